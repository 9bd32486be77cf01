"""The pages of the dashboard on real ledgers: all open, their choices stand in the address, a bar leads to its runs."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest
from handmade import HandmadeJournal
from stand_in import HOSTILE
from streamlit.testing.v1 import AppTest
from test_dashboard import button, html_of
from test_views import DAY, HOUR, WH_CPU_S, job, told

from joulebook.accounting.records import uuid7
from joulebook.reports.screens.menu import GROUPS

SCREENS = {screen.path: screen for screens in GROUPS.values() for screen in screens}
# These have something to show all the same.
WITHOUT_LEDGER = {"scopes", "method", "sources", "portfolio", "projection", "profiles", "idealized"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of two projects, one with a hostile name, and calls of two models; pages only read it."""
    home = tmp_path_factory.mktemp("recorded")
    job(home, HOUR, WH_CPU_S, "train", project="search")
    job(home, 2 * HOUR, 3 * WH_CPU_S, HOSTILE, project=HOSTILE)
    journal = HandmadeJournal(home, version=3)
    run = journal.start(DAY, "agent", project="search")
    for n, model in enumerate(("gpt-4o", "gpt-4o", "gpt-4o-mini", "gpt-4o-mini")):
        units = [["input_tokens", "1000"], ["output_tokens", str(50 + n)]]
        journal.event("call", DAY + n, call_id=uuid7(), run_id=run, span_id=run, units=units, duration_s=1.5,
                      source="http", provider="openai", response_model=model, status=200, outcome="ok")  # fmt: skip
    journal.end(DAY + 100, run)
    journal.write()
    told(home)
    return home


@pytest.fixture
def full(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recorded ledger as the home of a test."""
    monkeypatch.setenv("JOULEBOOK_HOME", str(recorded))
    return recorded


def opened(path: str, **address: str) -> AppTest:
    """One page of the ledger of the home; keyword arguments stand in the address."""

    def page() -> None:
        from datetime import UTC, datetime

        import streamlit as st

        from joulebook.accounting.home import home_dir
        from joulebook.accounting.ledger import open_ledger
        from joulebook.reports.screens.menu import GROUPS
        from joulebook.reports.screens.page import asked

        body = next(s.body for some in GROUPS.values() for s in some if s.path == st.session_state["path"])
        body(open_ledger(home_dir()), asked("all", None, datetime.now(UTC)))

    at = AppTest.from_function(page, default_timeout=60)
    at.session_state["path"] = path
    for name, value in address.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def chosen(at: AppTest) -> dict[str, str]:
    return {box.key: box.value for box in at.selectbox}


def test_every_page_opens_on_an_empty_ledger_and_says_what_to_do(home):
    for path in SCREENS.keys() - WITHOUT_LEDGER:
        page = html_of(opened(path))
        assert "<h1>" in page, path
        assert "jb-none" in page, path


def test_every_page_opens_on_a_full_ledger_and_names_stay_text(full):
    for path in SCREENS:
        page = html_of(opened(path))
        assert "<h1>" in page, path
        assert "<script" not in page, path


def test_paths_and_titles_are_unique_and_every_page_has_a_group():
    everything = [screen for screens in GROUPS.values() for screen in screens]
    assert len(SCREENS) == len({screen.title for screen in everything}) == len(everything)
    assert next(iter(SCREENS)) == "overview"


# Explore.


def test_the_address_says_how_a_period_is_cut(full):
    at = opened("explore", measure="energy", split="name", grain="month")
    assert chosen(at) == {"measure": "energy", "split": "name", "grain": "month"}
    # 1 + 3 Wh
    assert "IT energy: 4.00\u00a0Wh" in html_of(at)


def test_a_choice_goes_into_the_address_and_what_cannot_be_split_so_falls_back(full):
    at = opened("explore", split="sensor")
    at.selectbox(key="measure").select("tokens").run()
    assert at.query_params["measure"] == "tokens"
    assert chosen(at)["split"] == "model"  # calls have no sensor
    at.selectbox(key="measure").select("carbon").run()
    assert "measure" not in at.query_params  # the default is left out


def test_nonsense_in_the_address_is_the_default(full):
    at = opened("explore", measure="<b>", split="x", grain="1", at="yesterday")
    assert chosen(at) == {"measure": "carbon", "split": "project", "grain": "day"}


def test_a_chosen_bar_shows_its_runs_and_all_bars_brings_back_the_others(full):
    at = opened("explore", at="2026-01-01", of="search")
    assert "The runs behind search, 1 Jan 2026" in html_of(at)
    assert list(at.dataframe[-2].value["name"]) == ["train"]
    button(at, "All bars").click().run()
    assert "The runs behind it" in html_of(at)
    assert {"at", "of"}.isdisjoint(at.query_params)


def test_charts_whose_bars_can_be_chosen_tell_the_app(full):
    charts = opened("explore").get("plotly_chart")
    assert [bool(chart.proto.selection_mode) for chart in charts] == [True, True]


# Compare.


def test_two_times_are_compared_at_first(full):
    at = opened("compare")
    assert chosen(at) == {"two": "periods", "against": "before"}


def test_the_newest_run_is_compared_with_the_one_before_and_the_address_can_say_others(full):
    at = opened("compare", two="runs")
    labels = {box.key: box.options[box.index or 0] for box in at.selectbox if box.key in ("from", "to")}
    assert labels["to"].startswith("agent · 2026-01-02")
    assert labels["from"].startswith(f"{HOSTILE} · 2026-01-01")
    other = at.selectbox(key="from")
    train = next(option for option in other.options if option.startswith("train"))
    other.select_index(other.options.index(train)).run()
    assert "1.00\u00a0Wh" in html_of(at)


def test_two_models_are_compared_and_a_table_says_what_is_sure(full):
    page = html_of(opened("compare", two="models"))
    assert "Output tokens per call" in page
    assert "not surely different" in page


def test_where_there_are_no_two_it_is_said(home):
    job(home, HOUR)
    told(home)
    assert "There are no two runs in this period." in html_of(opened("compare", two="runs"))


# Method and sources.


def test_formulas_stand_as_text_to_be_read(full):
    page = html_of(opened("method"))
    assert escape("it_energy_j / J_PER_KWH * (wue_l_per_kwh + pue * offsite_l_per_kwh)") in page


def test_a_table_of_facts_is_chosen_and_narrowed_by_the_address(full):
    at = opened("sources", table="pue", words="google")
    assert "rows with &#x27;google&#x27;." in html_of(at)
    assert at.text_input(key="words").value == "google"
    at.text_input(key="words").set_value("nobody<b>").run()
    assert "No row of pue has &#x27;nobody&lt;b&gt;&#x27; in it." in html_of(at)
    assert at.query_params["words"] == "nobody<b>"
