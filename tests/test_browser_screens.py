"""What only a browser shows of the newer pages: a bar that is chosen, the address and Back, both themes, a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from screenshots import APP, CHROMIUM, Seen, browsing, serving, settle
from stand_in import HOSTILE
from test_browser import CUT, FAINT, asked, go
from test_views import DAY, HOUR, WH_CPU_S, job, told

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser: {CHROMIUM} is not there"),
]
PAGES = ("explore", "compare?two=runs", "projection", "method", "sources", "scopes", "budgets")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory):
    """The app on three runs of two projects, one with a hostile name."""
    home: Path = tmp_path_factory.mktemp("home")
    job(home, HOUR, WH_CPU_S, "train", project="search")
    job(home, 2 * HOUR, 3 * WH_CPU_S, HOSTILE, project=HOSTILE)
    job(home, DAY + HOUR, 2 * WH_CPU_S, "check", project="search")
    told(home)
    with serving(APP, JOULEBOOK_HOME=str(home)) as url:
        yield url


@pytest.fixture
def seen():
    noted = Seen()
    yield noted
    assert (noted.strays, noted.errors) == ([], [])


def behind(page) -> str:
    return page.locator(".st-key-card-behind h2").inner_text()


def touch(page, bar) -> None:
    """Click where a bar is; what Plotly lays over its bars takes the click."""
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_a_chosen_bar_leads_to_its_runs_and_back(seen, address):
    with browsing("light", seen) as page:
        go(page, f"{address}/explore?period=all")
        touch(page, page.locator("[class*=st-key-figure-explore_parts] .barlayer .trace:nth-child(2) .point").first)
        page.wait_for_url("**of=**")
        page.locator(".st-key-card-behind h2", has_text="The runs behind ").wait_for()
        settle(page)
        assert asked(page)["of"] == [HOSTILE]  # 3 Wh on one day against 1 + 2: the names' order decides
        assert behind(page) == f"The runs behind {HOSTILE}"
        page.get_by_role("button", name="All bars").click()
        page.locator(".st-key-card-behind h2", has_text="The runs behind it").wait_for()
        settle(page)
        assert asked(page) == {"period": ["all"]}


def test_a_choice_is_in_the_address_and_leaves_with_its_page(seen, address):
    with browsing("light", seen) as page:
        go(page, f"{address}/explore?period=all")
        page.get_by_role("combobox", name="Measure").click()
        page.get_by_role("option", name="IT energy").click()
        page.wait_for_url("**measure=energy**")
        page.locator(".jb .sentence", has_text="IT energy: 6.00").wait_for()
        page.get_by_role("link", name="Compare").click()
        page.locator(".jb h1", has_text="Compare").wait_for()
        settle(page)
        assert asked(page) == {"period": ["all"]}


def test_on_a_phone_nothing_is_cut_and_text_can_be_read_in_both_themes(seen, address):
    with browsing("phone", seen) as page:
        for path in PAGES:
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                go(page, f"{address}/{path}{'&' if '?' in path else '?'}period=all")
                assert page.evaluate(CUT) == [], path
                assert page.evaluate("() => document.querySelector('.stMain').scrollWidth") <= 420, path
                assert page.evaluate(FAINT) == [], (path, scheme)
