"""The dashboard's logic, without a browser: what is asked, what is drawn, and what happens when it goes wrong."""

from __future__ import annotations

import csv
import io
import json
import sys
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import pytest
import stand_in
from handmade import HandmadeJournal
from streamlit.testing.v1 import AppTest

from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.records import uuid7
from joulebook.reports import dashboard, draw, markup
from joulebook.reports import format as fmt
from joulebook.reports.view import Column, View

ROOT = Path(__file__).parents[1]
DEVICES = View(
    "devices",
    "Devices",
    columns=(
        Column("sensor", "Sensor", "id"),
        Column("tier", "Evidence", "state"),
        Column("energy", "Energy", "estimate", "J"),
        Column("share", "Share", "number", "%"),
    ),
    rows=(
        {
            "sensor": "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77",
            "tier": "impossible",
            "energy": Estimate(3600, 4940, 7200, "J", "measured"),
            "share": 0.9,
        },
    ),
    totals=({"sensor": "2 × GPU", "tier": "measured, integrated"},),
    alerts=("1 < 2",),
)
RUN_ID = "019ab003-aaaa-7bbb-8ccc-000000000000"  # its name and its project are hostile


@pytest.fixture
def ingests(monkeypatch):
    """The homes whose new events were folded in."""
    return []


@pytest.fixture
def app(monkeypatch, ingests):
    """Opens the app on hand-made Views in a state; keyword arguments stand in the address."""

    def opened(state: str = "full", **address: str) -> AppTest:
        for name, module in _modules(state, ingests).items():
            monkeypatch.setitem(sys.modules, name, module)
        return started(**address)

    return opened


def _modules(state: str, ingests: list) -> dict:
    modules: dict = {}
    stand_in.install(modules, state, ingests)
    return modules


def started(**address: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in address.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def html_of(at: AppTest) -> str:
    return "\n".join(element.proto.body for element in at.get("html"))


def button(at: AppTest, label: str):
    return next(b for b in at.button if b.label == label)


# What is drawn.


def test_the_overview_says_its_sentence_above_four_tiles_with_range_and_evidence(app):
    page = html_of(app())
    assert page.index("Your runs used 48.3 kWh") < page.index("jb-tiles")
    # 48.3 kWh from 0.85 times to 1.2 times; 48.3 × 0.24 = 11.59 dollars
    for text in (
        "48.3\u00a0kWh",
        "attributed",
        "range 41.1–58.0\u00a0kWh",
        "$11.59",
        "declared",
        "range $10.43–$12.75",
    ):
        assert text in page
    assert page.count('class="jb-tile"') == 4


def test_what_is_unknown_is_a_dash_with_its_reason(app):
    page = html_of(app())
    assert '<span class="value">–</span><span class="jb-badge unknown">unknown</span>' in page
    assert "no WUE for this site" in page


def test_each_chart_says_its_finding_and_has_its_table(app):
    at = app()
    charts = at.get("plotly_chart")
    assert [chart.proto.alt for chart in charts] == [
        "Energy a day between 0.4 and 4.0 kWh; none at weekends.",
        "The largest is search.",
    ]
    assert [e.label for e in at.expander] == ["Table", "Table", "Factors behind these numbers (3)"]


def test_charts_have_no_mode_bar_and_no_tex(app):
    for chart in app().get("plotly_chart"):
        config = json.loads(chart.proto.config)
        assert (config["displayModeBar"], config["typesetMath"]) == (False, False)


def test_the_factors_say_source_and_link_only_to_web_pages(app):
    factors = app().dataframe[-1].value
    assert list(factors["Value"]) == ["24.0 g/kWh", "445 g/kWh", "1.20 ratio"]
    assert list(factors["Range"])[:2] == ["18.0–39.0", "380–520"]
    assert factors["Source page"].iloc[0] == "https://ember-energy.org/data"
    assert factors["Source page"].isna().iloc[2]  # it was a script


def test_a_short_table_is_text_with_its_evidence_as_badges():
    table = markup.sheet(DEVICES)
    # 4.94 kJ = 1.37 Wh from 3.6 kJ = 1 Wh to 7.2 kJ = 2 Wh; 0.9 of it is written as a share of 1
    assert '<th role="columnheader" class="right">Energy, Wh</th>' in table
    assert '1.37<span class="of" style="--jb-chars: 9">1.00–2.00</span>' in table
    assert '<td role="cell" class="right" data-label="Share, %">90.0</td>' in table
    assert (
        '<span class="jb-badge measured">measured</span> <span class="jb-badge integrated">integrated</span>' in table
    )
    assert '<span class="jb-badge bad">impossible</span>' in table
    assert table.index('class="total last"') < table.index("GPU-5d5ba0d6<")
    assert "9e3d8d2b8a77" not in table


def test_what_is_wrong_is_told_before_the_numbers():
    assert markup.alerts(DEVICES) == '<p class="jb-alert" role="alert">1 &lt; 2</p>'


def test_why_a_value_is_missing_stands_under_its_table():
    view = replace(DEVICES, rows=({"energy": unknown("J", "no counter <b>")},), totals=())
    assert markup.sheet(view).endswith("<ul><li>Energy: not known in 1 row (no counter &lt;b&gt;).</li></ul>")


def test_parts_stand_beside_each_other_while_they_fill_a_row():
    widths = ("two-thirds", "third", "half", "half", "third", "third", "third", "half", "full", "third")
    parts = [View(str(n), "", width=width) for n, width in enumerate(widths)]
    assert [[int(p.key) for p in row] for row in draw.rows_of(parts)] == [[0, 1], [2, 3], [4, 5, 6], [7], [8], [9]]


# Names are data.


@pytest.mark.parametrize("name", [stand_in.HOSTILE, stand_in.MARKDOWN])
def test_a_hostile_name_is_text_everywhere(app, name):
    at = app(project=name)
    page = html_of(at)
    assert escape(f"all time · location-based · {name}").partition(" · ")[2] in page
    assert "<script" not in page
    assert not at.markdown
    assert f'<td role="cell" class="long" data-label="Project">{escape(name)}</td>' in page
    specs = "".join(chart.proto.spec for chart in at.get("plotly_chart"))
    assert "<script" not in specs
    assert "<b>" not in specs


def test_the_heading_of_a_run_is_its_name_literally(app):
    page = html_of(app(run=RUN_ID))
    assert f"<h1>{escape(stand_in.HOSTILE)}</h1>" in page
    assert "<script" not in page


# What is asked.


def test_the_period_is_whole_days_in_utc_and_today_is_its_last(app):
    now = datetime(2026, 11, 23, 18, 4, tzinfo=UTC)
    week = dashboard.asked("7d", None, now)
    assert (week.start, week.end) == (datetime(2026, 11, 17, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
    assert week.label == "17 Nov 2026 – 23 Nov 2026"
    assert (dashboard.asked("year", None, now).end - dashboard.asked("year", None, now).start).days == 365
    assert dashboard.asked("all", None, now).start == datetime(1970, 1, 1, tzinfo=UTC)
    assert dashboard.asked("all", None, now).label == "All time"


def test_the_address_sets_the_filters(app):
    at = app(period="all", project="forecast")
    assert "All time · location-based · forecast" in html_of(at)


def test_a_filter_changes_the_numbers(app):
    at = app()
    at.selectbox(key="project").select("search").run()
    assert "16.1\u00a0kWh" in html_of(at)  # a third of 48.3


def test_reset_brings_back_thirty_days_and_all_projects(app):
    at = app(period="7d", project="search")
    button(at, "Reset").click().run()
    assert at.session_state["period"] == "30d"
    assert "all projects" in html_of(at)


def test_the_sidebar_says_how_fresh_the_data_is(app):
    assert "Data through 23 Nov 2026 18:04 UTC · factors 3f2a9c1b" in html_of(app())


def test_new_events_are_folded_in_with_each_page(app, ingests, home):
    app()
    assert ingests == [home]


def test_the_environment_can_keep_the_app_from_folding_in(app, ingests, monkeypatch):
    monkeypatch.setenv("JOULEBOOK_NO_INGEST", "1")
    app()
    assert ingests == []


# One run.


def test_a_run_covers_the_page_and_back_uncovers_it(app):
    at = app(run=RUN_ID)
    assert "No such run" not in html_of(at)
    assert "Your runs used" not in html_of(at)
    button(at, "Back to overview").click().run()
    assert "Your runs used" in html_of(at)


def test_a_filter_leaves_the_run(app):
    at = app(run=RUN_ID)
    at.selectbox(key="project").select("search").run()
    assert "16.1\u00a0kWh" in html_of(at)  # the overview of that project


def test_the_page_below_can_be_reached_in_the_menu(app):
    at = app(run=RUN_ID)
    button(at, "Overview").click().run()
    assert "Your runs used" in html_of(at)


def test_a_wrong_run_is_said_in_a_sentence(app):
    page = html_of(app(run="<b>nope"))
    assert "There is no run &lt;b&gt;nope in this ledger." in page


# When it does not go well.


def test_an_empty_ledger_says_what_to_do(app):
    at = app("empty")
    assert "No run was recorded in this period." in html_of(at)
    assert "with track(" in at.code[0].value
    button(at, "Show everything").click().run()
    assert at.session_state["period"] == "all"
    assert "Show everything" not in [b.label for b in at.button]


def test_a_busy_ledger_is_no_error(app):
    assert "The ledger is being written" in html_of(app("busy"))


def test_an_error_is_shown_plainly_and_literally(app):
    page = html_of(app("broken"))
    assert "This cannot be shown" in page
    assert escape(f"The site file says {stand_in.HOSTILE}") in page


# Exports.


def test_the_csv_says_what_it_is():
    shown = draw.Shown("overview-all", (("period", "All time"), ("project", "search")))
    view = View("v", "Title", subtitle="All time · location-based", factors=stand_in.FACTORS[:1])
    lines = [row[0] for row in csv.reader(io.StringIO(draw.csv_of(view, shown))) if row]
    assert lines[:5] == [
        "# joulebook: Title",
        "# basis: All time · location-based",
        "# period: All time",
        "# project: search",
        "# factor ids: grid-se-2026",
    ]


def test_a_file_name_is_made_of_letters_and_digits():
    assert draw.file_stem("overview-30d-../a b/c", "by_day") == "joulebook-overview-30d-a-b-c-by-day"


def test_without_the_extra_there_is_no_pdf_button(app, monkeypatch):
    with_extra = [d.proto.label for d in app().get("download_button")]
    monkeypatch.setattr(draw.importlib.util, "find_spec", lambda name: None)
    assert with_extra.count("PDF") == 1
    assert "PDF" not in [d.proto.label for d in app().get("download_button")]


# The options of the server.


def test_an_installed_app_has_the_options_of_the_checkout():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config.pop("theme") == {"base": "reports/theme.toml"}
    written = [
        f"--{section}.{name}={str(value).lower() if isinstance(value, bool) else value}"
        for section, options in config.items()
        for name, value in options.items()
    ]
    theme, *others = dashboard.streamlit_flags()
    assert sorted(others) == sorted(written)
    assert Path(theme.removeprefix("--theme.base=")).samefile(ROOT / "reports" / "theme.toml")


# With the real ledger.


def test_an_empty_home_opens(home):
    at = started()
    assert "jb-none" in html_of(at)
    assert "No data yet" in html_of(at)


def test_a_real_run_is_shown_with_the_numbers_of_its_view(home):
    from joulebook.accounting.ledger import ingest, open_ledger
    from joulebook.reports.views import find_run, run

    journal = HandmadeJournal(home)
    journal.sensor()
    span = journal.start(0, stand_in.HOSTILE, counters={"cpu-time": 0.0})
    journal.end(100, span, counters={"cpu-time": 50.0})
    journal.write()
    ingest(home)
    ledger = open_ledger(home)
    view = run(ledger, find_run(ledger, "last"))
    page = html_of(started(period="all", run=span))
    assert f"<h1>{escape(stand_in.HOSTILE)}</h1>" in page
    assert [fmt.mid_of(tile.value).replace(fmt.THIN, "\u00a0") in page for tile in view.tiles] == [True] * 4


@pytest.fixture
def agent(home) -> tuple[str, str]:
    """The ids of a run and of its call, of a model with a hostile name, in the ledger of the home."""
    from joulebook.accounting.ledger import ingest

    journal = HandmadeJournal(home, version=3)
    run = journal.start(0, "agent")
    told = {"source": "http", "provider": "openai", "response_model": stand_in.HOSTILE, "status": 200, "outcome": "ok"}
    used = [["input_tokens", "1000"], ["output_tokens", "50"]]
    journal.event("call", 1, call_id=uuid7(), run_id=run, span_id=run, units=used, duration_s=1.5, **told)
    journal.end(100, run)
    journal.write()
    ingest(home)
    return run, json.loads(journal.lines[2])["call_id"]


def test_a_call_covers_the_run_that_covers_the_page(agent):
    run_id, call_id = agent
    at = started(period="all", run=run_id, call=call_id)
    assert f"<h1>{escape(stand_in.HOSTILE)}</h1>" in html_of(at)
    assert "used 1.05\u00a0ktoken" in html_of(at)
    button(at, "Back to run").click().run()
    assert "<h1>agent</h1>" in html_of(at)
    button(at, "Back to overview").click().run()
    assert "<h1>Overview</h1>" in html_of(at)


def test_a_wrong_call_is_said_in_a_sentence(agent):
    assert "There is no call &lt;b&gt;nope in this ledger." in html_of(started(call="<b>nope"))


def test_the_page_of_calls_says_what_has_no_price(agent):
    def page():
        from datetime import UTC, datetime

        from joulebook.accounting.home import home_dir
        from joulebook.accounting.ledger import open_ledger
        from joulebook.reports.screens import cost
        from joulebook.reports.screens import page as page_of

        cost.api_page(open_ledger(home_dir()), page_of.asked("all", None, datetime.now(UTC)))

    at = AppTest.from_function(page, default_timeout=60).run()
    assert not at.exception
    html = html_of(at)
    assert "1 call of 1 model used 1.05\u00a0ktoken; what they cost is unknown." in html
    assert '<span class="value">100\u00a0%</span>' in html
    assert "<script" not in html
    assert list(at.dataframe[0].value["call_id"]) == [agent[1][:13]]


def test_the_page_itself_never_opens_the_database():
    for module in (dashboard, draw, markup):
        assert "duckdb" not in Path(module.__file__).read_text()
