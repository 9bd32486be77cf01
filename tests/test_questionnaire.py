"""The questionnaire: written, read again, kept by the home; the pages and the report that use it."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dashboard import button, html_of
from test_screens import opened

from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import open_ledger
from joulebook.cli import main
from joulebook.models.projection.ask import Asked, answer, portfolio_of, usual
from joulebook.models.projection.portfolio import TEMPLATE, of_bytes, of_the_paper
from joulebook.models.projection.questionnaire import (
    as_csv,
    as_toml,
    cells,
    checked_file,
    checked_form,
    keep,
    kept_file,
)
from joulebook.models.projection.scenarios import PRESETS, preset, scenario_of
from joulebook.reports import views
from joulebook.reports.screens.portfolio import from_form
from joulebook.reports.screens.projection import LEVERS, file_of
from joulebook.reports.views.beyond import USUAL, Beyond
from joulebook.reports.views.projection import Look, projected

YEAR = 2026
ALL_TIME = views.period_of(None, None)
TWO = b"name,kind,users,requests_per_user_day,days_per_year,regions\nHelp,chat,50,4,200,FR=0.6 US=0.4\nFind,rag,,,,\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12).filter(str.strip)


def two():
    return of_bytes(TWO, Path("two.csv"), YEAR, "DE")


# Written and read again.


def test_gaps_stay_gaps(home):
    helps, finds = cells(two())
    assert helps == {
        "name": "Help", "kind": "chat", "use_cases": "", "users": "50", "requests_per_user_day": "4",
        "days_per_year": "200", "model_sizes": "", "provider": "", "model": "", "input_tokens": "",
        "output_tokens": "", "calls": "", "regions": "FR=0.6 US=0.4",
    }  # fmt: skip
    assert {field for field, text in finds.items() if text} == {"name", "kind"}


@pytest.mark.parametrize("write", [as_csv, as_toml])
def test_the_study_s_own_comes_back(write):
    whole = of_the_paper("calibrated", "DE")
    name = {as_csv: "a.csv", as_toml: "a.toml"}[write]
    again = of_bytes(write(cells(whole)).encode(), Path(name), whole.base_year, "DE")
    assert again.use_cases == whole.use_cases


@settings(max_examples=30, deadline=None)
@given(TEXTS, TEXTS, st.floats(0, 1e9))
def test_any_text_comes_back(name, model, users):
    whole = checked_form([{"name": name, "kind": "chat", "model": model, "users": users}], YEAR, "DE")
    for write, file in ((as_csv, "a.csv"), (as_toml, "a.toml")):
        assert of_bytes(write(cells(whole)).encode(), Path(file), YEAR, "DE").use_cases == whole.use_cases


def test_a_spreadsheet_runs_nothing():
    whole = checked_form([{"name": "=1+1", "kind": "chat", "provider": "@x"}], YEAR, "DE")
    line = as_csv(cells(whole)).splitlines()[1]
    assert line.startswith("'=1+1,chat,")
    assert ",'@x," in line
    assert of_bytes(as_csv(cells(whole)).encode(), Path("a.csv"), YEAR, "DE").use_cases[0].name == "=1+1"


def test_toml_has_what_was_filled_in():
    table = tomllib.loads(as_toml(cells(two())))["use_case"]
    assert table[0] == {"name": "Help", "kind": "chat", "users": 50, "requests_per_user_day": 4,
                        "days_per_year": 200, "regions": "FR=0.6 US=0.4"}  # fmt: skip
    assert table[1] == {"name": "Find", "kind": "rag"}


def test_a_named_model_has_no_sizes_and_one_size_is_written_by_its_name():
    named, sized = cells(
        checked_form(
            [{"name": "a", "kind": "chat", "model": "gpt-4o"}, {"name": "b", "kind": "rag", "model_sizes": "medium"}],
            YEAR,
            "DE",
        )
    )
    assert (named["model"], named["model_sizes"], sized["model_sizes"]) == ("gpt-4o", "", "medium")


# Kept.


def test_what_is_wrong_names_row_and_field_and_nothing_is_kept(home):
    rows = [{"name": "a", "kind": "chat"}, {"name": "b", "kind": "chat", "users": -3.0}]
    with pytest.raises(InputError, match=r"the form, row 2, users: -3\.0 is not a number from 0 up"):
        checked_form(rows, YEAR, "DE")
    with pytest.raises(InputError, match=r"b\.csv, line 2, regions: the region 'Atlantis' is not known"):
        checked_file(b"name,kind,regions\na,chat,Atlantis\n", "b.csv", YEAR, "DE")
    with pytest.raises(InputError, match="the form: has no use case"):
        checked_form([], YEAR, "DE")
    assert not kept_file(home).exists()


def test_the_home_s_own_comes_first_and_the_study_s_engine_asks_the_study(home):
    ledger = open_ledger(home)
    assert usual(ledger) == "paper"
    with pytest.raises(InputError, match="this home keeps no portfolio"):
        portfolio_of(ledger, Asked(portfolio="own"))
    keep(home, two())
    assert (usual(ledger), usual(ledger, "paper2501")) == ("own", "paper")
    told = portfolio_of(ledger, Asked())
    # 50 users × 4 a day × 200 days
    assert (told.name, told.use_cases[0].requests_per_year) == ("this home's portfolio", 40_000)


# The page of the portfolio.


def test_a_form_is_kept_and_empty_rows_are_none(home):
    ledger = open_ledger(home)
    nothing = dict.fromkeys(("name", "kind"), None) | {"users": float("nan")}
    told = from_form(ledger, [{"name": "Help", "kind": "chat", "users": 10.0, "regions": ""}, nothing])
    assert [each.users for each in told.use_cases] == [10]
    assert "regions" in told.use_cases[0].defaults


def test_a_file_is_handed_over_on_the_page(home):
    at = opened("portfolio")
    at.file_uploader[0].upload("bad.csv", b"name,kind,users\nHelp,chat,-1\n", "text/csv")
    button(at, "Keep the file as this home's portfolio").click().run()
    assert "Nothing was kept. bad.csv, line 2, users: &#x27;-1&#x27; is not a number" in html_of(at)
    assert not kept_file(home).exists()
    at.file_uploader[0].upload("good.csv", TWO, "text/csv")
    button(at, "Keep the file as this home's portfolio").click().run()
    assert not at.exception
    assert "2 use cases are kept" in html_of(at)
    # 40,000 of Help, and 2,341 users × 6.92 × 250 of Find
    assert "2 use cases with 4,089,930 requests a year" in html_of(at)
    assert at.data_editor[0].value["users"].tolist()[0] == 50
    assert at.data_editor[0].value["users"].isna().tolist() == [False, True]


def test_the_form_of_the_page_is_kept(home):
    keep(home, two())
    at = opened("portfolio")
    at.session_state[at.data_editor[0].key] = {"edited_rows": {0: {"users": 60}}, "added_rows": [], "deleted_rows": [1]}
    at.run()
    button(at, "Keep as this home's portfolio").click().run()
    assert not at.exception
    # 60 users × 4 a day × 200 days
    assert "1 use case with 48,000 requests a year" in html_of(at)


# The page of the projection.


def test_every_driver_of_every_scenario_lies_on_its_slider():
    for name in PRESETS:
        for inputs in ("calibrated", "printed"):
            drivers = preset(name, inputs).drivers
            for lever, told in LEVERS.items():
                if lever in drivers:
                    assert told.span.low <= drivers[lever].value <= told.span.high, (name, lever)


def test_a_driver_that_is_moved_stands_in_the_address_and_changes_the_outcome(home):
    at = opened("projection", scenario="steady", portfolio="paper", engine="paper2501")
    assert at.slider(key="hardware").value == 4.4
    assert "5.52" in html_of(at)  # the study's own
    at.slider(key="hardware").set_value(8.8).run()
    assert at.query_params["hardware"] == "8.8"
    # of generative use twice the gain is half the energy: 5.52 ÷ 2
    assert "2.76" in html_of(at)
    button(at, "As the scenario has them").click().run()
    assert "hardware" not in at.query_params
    assert at.slider(key="hardware").value == 4.4


def test_the_file_of_moved_drivers_is_the_same_scenario(home, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(file_of("high", {"hardware": 6.0, "usage_cap": 5.0}), "utf-8")
    told = scenario_of(str(path))
    assert (told.drivers["hardware"].range, told.drivers["usage_cap"].value) == ((6.0, 6.0, 6.0), 5.0)
    assert told.drivers["genai_growth"] == preset("high").drivers["genai_growth"]


def test_where_an_engine_knows_nothing_the_choices_stay(home):
    at = opened("projection", engine="measured", portfolio="paper")
    assert "jb-none" in html_of(at)
    assert at.selectbox(key="engine").value == "measured"


def test_nonsense_in_the_address_moves_nothing(home):
    at = opened("projection", hardware="<b>", serving="nan", pue="9", until="1999")
    assert (at.slider(key="hardware").value, at.slider(key="serving").value) == (4.4, 1.0)
    assert at.slider(key="pue").value == 1.15
    assert at.selectbox(key="until").value == "2030"


def test_index_and_amounts_of_a_category(home):
    told = answer(open_ledger(home), Asked("steady", draws=64))
    amounts, index = (projected(told, Look("gwp", as_index)) for as_index in (False, True))
    last = told.projection.years[-1]
    assert amounts.figure.unit == "g"
    assert amounts.figure.series[0].mid[-1] == last.amounts["gwp"].mid
    assert (index.figure.unit, index.figure.series[0].mid[0]) == ("1", 1.0)
    assert index.figure.series[0].mid[-1] == last.index["gwp"]
    assert {part.key for part in index.parts} >= {"projection_beside", "engines", "study", "fixed_drivers"}


# The report.


def titles(home, asked=USUAL):
    return [part.title for part in views.report(open_ledger(home), ALL_TIME, None, asked).parts]


def test_a_report_has_the_home_s_own_portfolio_and_what_is_asked_for(home):
    assert titles(home) == []
    high = Beyond(None, Asked("high", until=2035))
    assert titles(home, high) == ["Portfolio", "Projection to 2035: high"]
    keep(home, of_bytes(TEMPLATE.encode(), Path("t.csv"), datetime.now(UTC).year, "DE"))
    assert titles(home) == ["Portfolio", "Projection to 2030: intermediate"]
    assert titles(home, Beyond(())) == []
    assert titles(home, Beyond(("frontier", "portfolio"))) == ["Quality against what it takes", "Portfolio"]


def test_the_command_writes_what_was_asked_for(home, tmp_path, capsys):
    pytest.importorskip("typst")
    out = tmp_path / "a.pdf"
    assert main(["report", "--out", str(out), "--json", "--scenario", "steady"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(out)
    assert out.read_bytes().startswith(b"%PDF")


def test_a_section_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "--with", "portfolio,weather"])
    assert ended.value.code == 2
    assert "'weather' is none of idealized, frontier, portfolio, projection, none" in capsys.readouterr().err
