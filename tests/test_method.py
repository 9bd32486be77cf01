"""Method and Sources: formulas as they are computed, what the data of a period is worth, every table of facts."""

from __future__ import annotations

import ast
import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from handmade import HandmadeJournal
from test_views import DAY, HERE, HOUR, WH_CPU_S, ends, from_to, job, part, plain, told

from joulebook.accounting import carbon
from joulebook.accounting.errors import InputError
from joulebook.accounting.factors import load
from joulebook.accounting.records import uuid7
from joulebook.reports import views
from joulebook.reports.draw import Shown, csv_of
from joulebook.reports.formulas import formulas

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "data" / "tables"
JANUARY = from_to(0, 31 * DAY)


def formula(name: str):
    (found,) = [each for each in formulas() if each.name == name and each.place.startswith("accounting/")]
    return found


# Formulas.


def test_a_formula_is_printed_as_it_is_computed():
    printed = formula("water_l")
    assert printed.unit == "L = J ÷ 3.6e6 × (WUE + PUE × off-site L/kWh)"
    assert printed.returns == "it_energy_j / J_PER_KWH * (wue_l_per_kwh + pue * offsite_l_per_kwh)"
    assert (
        printed.what == "Water consumption. WUE is defined per kWh of IT energy, so PUE touches only the off-site part."
    )
    assert printed.place == "accounting/water.py"


def test_what_is_printed_computes_the_same():
    """1 kWh at PUE 1.5 and 200 g/kWh is 300 g, by the function and by the expression on the page."""
    printed = formula("operational_carbon_g")
    values = {"it_energy_j": 3.6e6, "pue": 1.5, "intensity_g_per_kwh": 200.0}
    by_hand = eval(printed.returns, vars(carbon) | values)  # noqa: S307 - our own source, as it is printed
    assert by_hand == carbon.operational_carbon_g(3.6e6, pue=1.5, intensity_g_per_kwh=200.0) == 300.0


def test_every_function_that_says_its_unit_is_printed():
    said = 0
    for path in [*(ROOT / "accounting").rglob("*.py"), *(ROOT / "models").rglob("*.py")]:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                said += "Unit:" in (ast.get_docstring(node) or "")
    assert len(formulas()) == said


# Method.


def test_the_data_quality_says_what_the_energy_rests_on(home):
    job(home, HOUR, WH_CPU_S)
    journal = HandmadeJournal(home, "metered")
    run = journal.start(2 * HOUR, "metered")
    journal.event("usage", 2 * HOUR, run_id=run, span_id=run, kind="energy", amount=3, unit="Wh", method="measured")
    journal.end(3 * HOUR, run)
    journal.write()
    quality = part(views.method(told(home), JANUARY), "quality")
    # 3 Wh measured and 1 Wh modelled
    assert [(row["method"], row["energy_j"].mid, row["share"], row["tier"]) for row in quality.rows] == [
        ("measured", 10800, 0.75, 1),
        ("modelled", 3600, 0.25, 3),
    ]
    assert quality.figure is not None
    assert plain(quality.figure.alt) == "What the energy rests on: 75 % measured; 25 % modelled."


def test_what_is_missing_is_counted(home):
    job(home, HOUR)
    journal = HandmadeJournal(home, "silent")
    run = journal.start(HOUR, "silent")
    journal.event("gap", HOUR + 60, reason="the driver did not answer", sensor="gpu0")
    journal.end(HOUR + 90, run)
    journal.write()
    coverage = part(views.method(told(home), JANUARY), "coverage")
    rows = {row["what"]: (row["count"], row["of"]) for row in coverage.rows}
    assert rows["Runs without any energy"] == (1, 2)
    assert rows["Runs that ended without a word"] == (0, 2)
    assert rows["Readings: the driver did not answer (gpu0)"] == (1, None)
    assert coverage.sentence == "1 gap in readings on record."
    nothing = part(views.method(told(home), from_to(-9 * DAY, -8 * DAY)), "coverage")
    assert nothing.rows == ()


def test_calls_without_a_price_are_counted_for_the_project_that_is_asked_for(home):
    journal = HandmadeJournal(home, version=3)
    for number, project in enumerate(("search", "chat", "chat"), start=1):
        about = {"call_id": uuid7(), "source": "import", "provider": "openai", "request_model": "own", "status": 200}
        journal.event("call", number, **about, project=project, units=[["input_tokens", "5"]])
    journal.write()
    for project, count in ((None, 3), ("chat", 2)):
        coverage = part(views.method(told(home), JANUARY, project), "coverage")
        rows = {row["what"]: (row["count"], row["of"]) for row in coverage.rows}
        assert rows["Attempts of calls without a price"] == (count, count)


def test_the_factors_in_force_are_those_of_the_site(home):
    in_force = part(views.method(told(home, replace(HERE, provider="aws")), JANUARY), "in_force")
    rows = {row["kind"]: row for row in in_force.rows}
    assert in_force.sentence == "The site is FR, aws."
    assert (rows["PUE"]["match"], ends(rows["PUE"]["amount"])) == ("declared", (1, 1.5, 2))
    assert rows["Water intensity"]["region"] == "FR"


# Sources.


def test_every_table_is_there_with_its_rows_sources_licences_and_date(home):
    view = views.sources(told(home))
    assert [row["table"] for row in view.rows] == sorted(path.stem for path in TABLES.glob("*.csv"))
    for row in view.rows:
        facts = list(csv.DictReader(io.StringIO((TABLES / f"{row['table']}.csv").read_text("utf-8"))))
        assert row["rows"] == len(facts)
        assert row["sources"] == len({fact["source"] for fact in facts} - {""})
        assert (
            row["newest"] == max((fact.get("retrieved") or "" for fact in facts), default="") or row["newest"] is None
        )
    assert view.subtitle == f"factor set {load().set_id}"
    (pue,) = [row for row in view.rows if row["table"] == "pue"]
    assert (pue["kind"], pue["in_force"]) == ("factors", "SITE (declared)")


def test_the_rows_of_a_table_can_be_narrowed_by_words_and_exported_whole(home):
    ledger = told(home)
    shown = part(views.sources(ledger, "carbon_intensity", "fr 2024"), "source_rows")
    facts = [row for row in load().rows if row.kind == "carbon_intensity"]
    assert shown.sentence == f"{len(shown.rows)} of {len(facts)} rows with 'fr 2024'."
    assert {row["region"] for row in shown.rows} >= {"FR"}
    assert all("2024" in " ".join(map(str, row.values())) for row in shown.rows)
    lines = csv_of(shown, Shown("sources")).splitlines()
    header = next(line for line in lines if not line.startswith("#"))
    assert header.startswith("Region,Value (gCO2e/kWh),Value (gCO2e/kWh) low")
    assert len([line for line in lines if not line.startswith("#")]) == 1 + len(shown.rows)


def test_a_catalogue_keeps_its_own_columns(home):
    shown = part(views.sources(told(home), "accelerators", "MI210 bf16"), "source_rows")
    assert [column.key for column in shown.columns][:3] == ["name", "vendor", "name_pattern"]
    assert [row["peak_flop_per_s"] for row in shown.rows] == ["1.81e14"]


def test_nothing_found_and_no_such_table_are_said(home):
    ledger = told(home)
    nothing = part(views.sources(ledger, "pue", "<script>"), "source_rows")
    assert (nothing.rows, nothing.empty) == ((), "No row of pue has '<script>' in it.")
    with pytest.raises(InputError, match="there is no table 'nope': there are accelerators, "):
        views.sources(ledger, "nope")
