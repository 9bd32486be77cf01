"""A View's table as plain cells: what the screen shows, and what the CSV holds."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from stand_in import HOSTILE

from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.reports.sheet import csv_text, safe_text, screen_columns
from joulebook.reports.view import Column, View

COLUMNS = (
    Column("name", "Name"),
    Column("at", "Start", "time"),
    Column("took", "Duration", "duration"),
    Column("calls", "Calls", "number"),
    Column("energy", "Energy", "estimate", "J"),
    Column("cost", "Cost", "estimate", "USD"),
    Column("run_id", "Run", "run"),
)
ROWS = (
    {
        "name": HOSTILE,
        "at": datetime(2026, 11, 23, 18, 4, 5, tzinfo=UTC),
        "took": 250.0,
        "calls": 18_204,
        "energy": Estimate(3.6e6, 7.2e6, 10.8e6, "J", "modelled"),
        "cost": exactly(0.5, "USD", "declared"),
        "run_id": "01a209c6-8099-7a92-ae63-123ada6db1b8",
    },
    {
        "name": "=1+1",
        "at": None,
        "took": None,
        "calls": None,
        "energy": unknown("J", "no counter"),
        "cost": unknown("USD", "no price"),
        "run_id": "x",
    },
)
VIEW = View("runs", "Runs", columns=COLUMNS, rows=ROWS)


def shown() -> dict[str, tuple]:
    return {column.header: column.values for column in screen_columns(VIEW)}


def test_an_estimate_stands_in_the_unit_of_its_column_with_its_range_beside_it():
    columns = {column.header: column for column in screen_columns(VIEW)}
    # 7.2 MJ = 2 kWh, from 3.6 MJ = 1 kWh to 10.8 MJ = 3 kWh
    assert columns["Energy, kWh"].values == (2.0, None)
    assert columns["Energy, kWh"].write(2.0) == "2.00"
    assert columns["Range (modelled)"].values == ("1.00–3.00", "no counter")


def test_a_value_without_a_range_says_its_method_or_why_it_is_missing():
    assert shown()["Cost"] == (0.5, None)
    assert shown()["Range (declared)"] == ("", "no price")


def test_a_table_that_has_a_column_of_methods_does_not_say_them_twice():
    columns = (Column("e", "E", "estimate", "J"), Column("method", "Method"))
    view = View("v", "V", columns=columns, rows=({"e": exactly(3.6, "J", "measured"), "method": "measured"},))
    assert [column.header for column in screen_columns(view)] == ["E, mWh", "Method"]


def test_methods_stand_in_the_cells_where_rows_differ_in_them():
    rows = ({"e": Estimate(0.9, 1, 1.1, "J", "measured")}, {"e": Estimate(0.5, 1, 2, "J", "modelled")})
    column = screen_columns(View("v", "V", columns=(Column("e", "E", "estimate", "J"),), rows=rows))[1]
    # 1 J = 0.2777… mWh, so 0.9 J = 0.250, 1.1 J = 0.3055…, 0.5 J = 0.1388…, 2 J = 0.5555…
    assert (column.header, column.values) == ("Range", ("0.250–0.306 · measured", "0.139–0.556 · modelled"))


def test_counts_keep_all_their_figures():
    calls = next(column for column in screen_columns(VIEW) if column.header == "Calls")
    assert calls.write(18_204) == "18,204"


def test_a_unit_that_the_label_says_is_told_as_soon_as_it_is_a_multiple():
    """1500 steps are steps; 1.2 million tokens are 1.2 Mtoken."""
    columns = (Column("s", "Steps", "number", "step"), Column("t", "Tokens", "number", "token"))
    view = View("v", "V", columns=columns, rows=({"s": 1500, "t": 1_200_000},))
    assert [(column.header, column.values) for column in screen_columns(view)] == [
        ("Steps", (1500,)), ("Tokens, Mtoken", (1.2,))]  # fmt: skip
    assert next(csv.reader(io.StringIO(csv_text(view)))) == ["Steps", "Tokens (Mtoken)"]


def test_times_are_utc_and_say_so():
    assert shown()["Start, UTC"] == (datetime(2026, 11, 23, 18, 4, 5), None)  # noqa: DTZ001 - a cell has no zone
    column = screen_columns(View("v", "V", columns=(Column("at", "Started, UTC", "time"),), rows=({"at": None},)))[0]
    assert column.header == "Started, UTC"


def test_rows_of_different_units_are_text_with_their_own_unit():
    rows = (
        {"a": exactly(7.2e6, "J", "measured")},
        {"a": Estimate(1, 2, 3, "L", "modelled")},
        {"a": unknown("g", "why")},
    )
    view = View("v", "V", columns=(Column("a", "Amount", "estimate"),), rows=rows)
    middle, beside = screen_columns(view)
    assert [text.replace("\u2009", " ") for text in middle.values] == ["2.00 kWh", "2.00 L", "–"]
    assert [text.replace("\u2009", " ") for text in beside.values] == ["measured", "1.00–3.00 L · modelled", "why"]
    header, first, *_ = csv.reader(io.StringIO(csv_text(view)))
    assert header == ["Amount", "Amount low", "Amount high", "Amount method", "Amount unit"]
    assert first == ["7200000.0", "7200000.0", "7200000.0", "measured", "J"]


def test_the_csv_holds_the_numbers_in_full_after_its_comments():
    lines = list(csv.reader(io.StringIO(csv_text(VIEW, [("period", "1 – 30 Nov 2026"), ("factor ids", "")]))))
    assert lines[0] == ["# period: 1 – 30 Nov 2026"]
    assert lines[1] == [
        "Name", "Start, UTC", "Duration (s)", "Calls",
        "Energy (kWh)", "Energy (kWh) low", "Energy (kWh) high", "Energy method",
        "Cost (USD)", "Cost (USD) low", "Cost (USD) high", "Cost method", "Run",
    ]  # fmt: skip
    assert lines[2] == [
        HOSTILE, "2026-11-23 18:04:05", "250.0", "18204", "2.0", "1.0", "3.0", "modelled",
        "0.5", "0.5", "0.5", "declared", "01a209c6-8099-7a92-ae63-123ada6db1b8",
    ]  # fmt: skip
    assert lines[3] == ["'=1+1", "", "", "", "", "", "", "unknown", "", "", "", "unknown", "x"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_is_made_harmless(start):
    assert safe_text(f"{start}cmd") == f"'{start}cmd"
    assert safe_text(f"a{start}cmd") == f"a{start}cmd"


def test_a_comment_stays_one_cell_of_one_line():
    text = csv_text(VIEW, [("project", "a,=cmd()\nb,=cmd()")])
    assert next(csv.reader(io.StringIO(text))) == ["# project: a,=cmd() b,=cmd()"]


GPU = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77"
SHARES = View(
    "v",
    "V",
    columns=(
        Column("sensor", "Sensor", "id"),
        Column("share", "Share", "number", "%"),
        Column("mfu", "MFU", "estimate", "%"),
    ),
    rows=({"sensor": GPU, "share": 0.4286, "mfu": exactly(0.404, "1", "declared")},),
    totals=({"sensor": "all", "share": 1.0},),
)


def test_shares_of_one_are_written_in_percent_whatever_their_unit():
    _, share, mfu = screen_columns(SHARES)
    assert (share.header, share.write(share.values[0])) == ("Share, %", "42.9")
    assert (mfu.header, mfu.write(mfu.values[0])) == ("MFU, % (declared)", "40.4")


def test_an_id_is_short_on_the_screen_and_whole_in_the_file_and_totals_are_not_in_it():
    assert screen_columns(SHARES)[0].values == ("GPU-5d5ba0d6",)
    header, *rows = csv.reader(io.StringIO(csv_text(SHARES)))
    assert header[:2] == ["Sensor", "Share (%)"]
    assert [row[:2] for row in rows] == [[GPU, "42.86"]]
