"""What only a browser shows: the address, Back, rows to choose, downloads, dark, a phone, and that nothing leaves."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import stand_in
from screenshots import APP, CHROMIUM, Seen, browsing, open_first_run, serving, settle
from twin.gpu import Gpu, Node
from twin.powercap import INTEL_SERVER, feeding
from twin.wave import Wave

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser: {CHROMIUM} is not there"),
]
SCRIPT = Path(__file__).with_name("stand_in_app.py")


@pytest.fixture(scope="module")
def address():
    """The app on the full hand-made ledger."""
    with serving(SCRIPT, STAND_IN="full") as url:
        yield url


@pytest.fixture
def seen():
    """What the browser did; a test fails when it asked for anything outside, or when its console shows an error."""
    noted = Seen()
    yield noted
    assert (noted.strays, noted.errors) == ([], [])


@pytest.fixture
def page(seen):
    with browsing("light", seen) as opened:
        opened.on("dialog", lambda dialog: seen.errors.append(f"a script ran: {dialog.message}"))
        yield opened


JOB = """
import time
from joulebook import track
with track("eight GPUs") as run:
    run.flops(1e15, coverage=0.97)
    run.flops(1e21, kind="hardware")
    time.sleep(1.2)
"""


@pytest.fixture(scope="module")
def eight_gpus(tmp_path_factory):
    """The app on the run of a job that saw the twin's eight GPUs, two packages and their memory."""
    folder = tmp_path_factory.mktemp("eight")
    node = Node(tuple(Gpu(Wave(100, 400 + 10 * n)) for n in range(8)))
    places = {"JOULEBOOK_HOME": str(folder / "home"), "JOULEBOOK_SYSFS_ROOT": str(folder / "sys")}
    with feeding(folder / "sys", INTEL_SERVER):
        environment = os.environ | places | node.install(folder / "gpus")
        subprocess.run([sys.executable, "-c", JOB], env=environment, check=True)
    with serving(APP, JOULEBOOK_HOME=str(folder / "home")) as url:
        yield url


def go(page, url: str) -> None:
    page.goto(url)
    settle(page)


def asked(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def wait_for_sentence(page, text: str) -> None:
    page.locator(".jb .sentence", has_text=text).wait_for()


# The address and the filters.


def test_a_filter_goes_into_the_address_and_stays_on_the_next_page(page, address):
    go(page, address)
    page.get_by_role("radio", name="7d").click()
    page.wait_for_url("**/?period=7d")
    page.get_by_role("combobox", name="Project").click()
    page.get_by_role("option", name="forecast").click()
    page.wait_for_url("**/?*project=forecast*")
    page.locator(".jb .value", has_text="16.1").wait_for()  # a third of 48.3
    page.get_by_role("link", name="Runs").click()
    wait_for_sentence(page, "8 runs")
    assert asked(page) == {"period": ["7d"], "project": ["forecast"]}


def test_the_address_sets_the_filters(page, address):
    go(page, f"{address}/runs?period=all&project=search")
    wait_for_sentence(page, "8 runs")
    assert page.get_by_role("radio", name="all").get_attribute("aria-checked") == "true"
    page.get_by_role("button", name="Reset").click()
    wait_for_sentence(page, "40 runs")
    assert asked(page) == {}


def test_what_the_address_gets_wrong_is_put_right(page, address):
    go(page, f"{address}/runs?period=3weeks&project=nobody")
    wait_for_sentence(page, "40 runs")
    page.wait_for_url("**/runs")


def test_a_hostile_project_survives_the_address(page, address):
    go(page, address)
    page.get_by_role("combobox", name="Project").click()
    page.get_by_role("option", name="<script>").click()
    page.locator(".jb .soft", has_text='location-based · "><script>').wait_for()
    link = page.url
    go(page, link)
    assert asked(page) == {"project": [stand_in.HOSTILE]}
    assert page.locator(".jb .soft", has_text=stand_in.HOSTILE).count() == 1


# Names are data.


def test_names_show_literally_in_charts_and_headings(page, address):
    go(page, address)
    shown = page.locator(".st-key-figure-overview-projects-light .annotation-text").all_text_contents()
    assert shown[6] == stand_in.HOSTILE[:29] + "…"
    assert shown[8] == stand_in.MARKDOWN[:29] + "…"
    go(page, f"{address}/runs?run=019ab003-aaaa-7bbb-8ccc-000000000000")
    assert page.locator(".jb h1").inner_text() == stand_in.HOSTILE
    assert stand_in.MARKDOWN in page.locator(".jb .sentence").inner_text()


# From the list to one run.


def test_a_chosen_row_opens_its_run_and_both_ways_back_work(page, address):
    go(page, f"{address}/runs?period=90d")
    open_first_run(page)
    assert page.locator(".jb h1").inner_text() == "finetune"
    assert asked(page) == {"period": ["90d"], "run": ["019ab000-aaaa-7bbb-8ccc-000000000000"]}
    page.get_by_role("button", name="Back to runs").click()
    wait_for_sentence(page, "40 runs")
    settle(page)
    assert asked(page) == {"period": ["90d"]}
    open_first_run(page)
    page.go_back()
    wait_for_sentence(page, "40 runs")
    settle(page)
    assert page.locator(".jb h1").inner_text() == "Runs"


def test_the_address_of_a_run_works_on_any_page(page, address):
    go(page, f"{address}/?run=019ab001-aaaa-7bbb-8ccc-000000000000")
    page.locator(".jb h1", has_text="evaluate").wait_for()
    page.get_by_role("button", name="Back to overview").click()
    wait_for_sentence(page, "Your runs used")


def test_the_menu_leads_from_a_run_to_the_list(page, address):
    go(page, f"{address}/runs?period=90d&run=019ab001-aaaa-7bbb-8ccc-000000000000")
    page.get_by_role("button", name="Runs", exact=True).click()
    wait_for_sentence(page, "40 runs")
    page.wait_for_url("**/runs?period=90d")


def test_a_filter_leads_from_a_run_to_the_list(page, address):
    go(page, f"{address}/runs?run=019ab001-aaaa-7bbb-8ccc-000000000000")
    page.get_by_role("combobox", name="Project").click()
    page.get_by_role("option", name="search").click()
    wait_for_sentence(page, "8 runs")
    page.wait_for_url("**/runs?project=search")


# Devices.


def open_devices(page, url: str):
    """The card of the devices of the first run."""
    go(page, f"{url}/runs")
    open_first_run(page)
    settle(page)
    return page.locator(".st-key-card-devices")


def test_eight_gpus_stand_in_a_table_with_their_sum_above_them(page, eight_gpus):
    card = open_devices(page, eight_gpus)
    rows = [row.locator("td").all_inner_texts() for row in card.locator("tbody tr").all()]
    names = [row[0] for row in rows]
    assert names[:3] == ["8 × H100 80GB HBM3", "2 × CPU", "2 × DRAM"]
    assert names[3:11] == [f"GPU-5d5ba0{0xD6 + n:02x}" for n in range(8)]
    assert names[11:] == ["CPU 0", "CPU 1", "DRAM 0", "DRAM 1"]
    assert [row[1] for row in rows[3:11]] == ["measured"] * 8
    assert card.locator("tbody tr.total").count() == 3
    headers = card.locator("th").all_inner_texts()
    assert [text.partition(",")[0] for text in headers] == [
        "Device", "Evidence", "This run", "Whole device", "Share", "Of it idle", "Sensor"]  # fmt: skip


def test_what_is_impossible_stands_out_in_both_themes(page, eight_gpus):
    for scheme, red in (("light", "rgb(179, 38, 30)"), ("dark", "rgb(255, 180, 168)")):
        page.emulate_media(color_scheme=scheme)
        open_devices(page, eight_gpus)
        alert = page.get_by_role("alert").filter(has_text="Impossible: 1.00")
        assert alert.evaluate("e => getComputedStyle(e).color") == red
        assert page.locator(".st-key-card-flops .jb-badge.bad").inner_text() == "impossible"
        assert page.evaluate(FAINT) == [], scheme


def test_on_a_phone_each_device_is_a_few_lines_and_nothing_is_cut(seen, eight_gpus):
    with browsing("phone", seen) as page:
        card = open_devices(page, eight_gpus)
        assert card.locator("thead").evaluate("e => getComputedStyle(e).position") == "absolute"  # for ears only
        gpu = card.locator("tbody tr").nth(3)
        tops = [round(cell.bounding_box()["y"]) for cell in gpu.locator("td:visible").all()]
        assert len(tops) == 6  # the sensor's id is left out
        assert len(set(tops)) <= 4
        assert page.evaluate(CUT) == []
        assert page.evaluate("() => document.querySelector('.stMain').scrollWidth") <= 420


# Downloads.


def test_the_csv_is_what_is_shown(page, address):
    go(page, f"{address}/runs?period=all&project=search")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == "joulebook-runs-all-search-runs.csv"
    lines = list(csv.reader(io.StringIO(Path(download.value.path()).read_text())))
    comments = [line[0] for line in lines if line[0].startswith("#")]
    assert "# period: All time" in comments
    assert "# project: search" in comments
    assert "# ledger: Data through 23 Nov 2026 18:04 UTC · factors 3f2a9c1b" in comments
    table = lines[len(comments) :]
    assert table[0][:4] == ["Run", "Project", "Start, UTC", "Duration (s)"]
    assert len(table) == 1 + 8


def test_the_pdf_is_made_on_the_click(page, address):
    pytest.importorskip("typst")
    go(page, address)
    with page.expect_download() as download:
        page.get_by_role("button", name="PDF").click()
    assert download.value.suggested_filename == "joulebook-overview-30d.pdf"
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")


# How it looks.


def colours(page) -> tuple[str, str]:
    """The colour of the page and of the first solid bar."""
    bar = "[class*=st-key-figure-overview-projects] .barlayer .trace:nth-child(2) path"
    script = f"""() => [getComputedStyle(document.querySelector('.stApp')).backgroundColor,
                        getComputedStyle(document.querySelector('{bar}')).fill]"""
    return tuple(page.evaluate(script))


def test_charts_follow_light_and_dark(page, address):
    go(page, address)
    assert colours(page) == ("rgb(255, 255, 255)", "rgb(0, 114, 178)")
    page.emulate_media(color_scheme="dark")
    page.get_by_role("button", name="Reset").click()  # the server learns of the theme with the next click
    page.locator(".st-key-figure-overview-projects-dark .main-svg").first.wait_for()
    settle(page)
    assert colours(page) == ("rgb(15, 21, 19)", "rgb(86, 180, 233)")


def test_on_a_phone_tiles_stand_two_by_two_and_nothing_is_cut(seen, address):
    with browsing("phone", seen) as page:
        go(page, address)
        boxes = [tile.bounding_box() for tile in page.locator(".jb-tile").all()]
        assert len({round(box["x"]) for box in boxes}) == len({round(box["y"]) for box in boxes}) == 2
        assert page.evaluate(CUT) == []
        assert page.evaluate("() => document.querySelector('.stMain').scrollWidth") <= 420


def test_text_has_enough_contrast_in_both_themes(page, address):
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        go(page, address)
        assert page.evaluate(FAINT) == [], scheme


# What is wider than its place, in our own markup.
CUT = """() => [...document.querySelectorAll('.jb *')]
  .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML)"""

# The text of our own markup whose contrast with the page is below 4.5, by drawing both colours on a canvas.
FAINT = """() => {
  const context = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
  const page = getComputedStyle(document.querySelector('.stApp')).backgroundColor;
  const light = colour => {
    for (const fill of [page, colour]) { context.fillStyle = fill; context.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return [...document.querySelectorAll('.jb h1, .jb h2, .jb p, .jb li, .jb span, .jb td, .jb th, .jb summary')]
    .filter(e => contrast(light(getComputedStyle(e).color), light(page)) < 4.5).map(e => e.outerHTML);
}"""


# States.


def test_a_busy_ledger_shows_up_by_itself_once_it_is_free(page, tmp_path):
    free = tmp_path / "free"
    with serving(SCRIPT, STAND_IN="busy", STAND_IN_FREE=str(free)) as address:
        go(page, f"{address}/?period=7d&project=search")
        assert page.locator(".jb h1").inner_text() == "The ledger is being written"
        free.touch()
        page.locator(".jb h1", has_text="Overview").wait_for()
        settle(page)
        assert asked(page) == {"period": ["7d"], "project": ["search"]}


def test_an_installed_dashboard_opens_on_an_empty_home(page, home):
    with serving(APP, JOULEBOOK_HOME=str(home)) as address:
        go(page, address)
        assert "No data yet" in page.locator("[data-testid=stSidebar]").inner_text()
        page.get_by_role("button", name="Show everything").click()
        page.wait_for_url("**/?period=all")
