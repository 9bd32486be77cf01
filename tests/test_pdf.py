"""The PDF report: Views of every shape become tagged, reproducible pages that say what the View says."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from joulebook.accounting.errors import MissingExtra
from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.reports import pdf
from joulebook.reports.axes import duration_ticks, value_axis
from joulebook.reports.pdf import document_data, pdf_bytes, write_pdf
from joulebook.reports.pdf_figures import figure_data
from joulebook.reports.pdf_tables import MAX_ROWS, table_data
from joulebook.reports.view import Column, FactorUse, Figure, Series, Tile, View

PREPARED = datetime(2026, 11, 23, 18, 4, tzinfo=UTC)
HOSTILE = """"><script>alert(1)</script> $(rm -rf) =cmd|'/C calc'! #import "x" *b* _i_ @ref <label> \\ [x] //"""
LONG = "sweeps/2026-11/learning-rate-and-warmup_search.with.a.very.long.name/" + "x" * 60
PROJECTS = ("docs-rag", "vision-qc", "search", "forecast", "support-bot", "translation", "evals", "speech")

# Views of every shape; the numbers are made up but add up.


def modelled(mid: float, unit: str = "g", spread: float = 0.3, method: str = "modelled") -> Estimate:
    return Estimate(mid * (1 - spread), mid, mid * (1 + spread * 1.5), unit, method)


GRID = FactorUse(
    "grid/ember/2025/FR", "carbon intensity, location", "FR", "exact", 42.1, 56.2, 70.4, "g/kWh",
    "Ember, Yearly electricity data, 2025 edition", "https://ember-energy.org/data/yearly-electricity-data/", "2025",
)  # fmt: skip
PUE = FactorUse(
    "pue/uptime/2025/world", "PUE", "world", "world", 1.2, 1.54, 1.8, "facility/IT",
    "Uptime Institute, Global Data Center Survey 2025", "", "2025-01-01 to 2026-01-01",
)  # fmt: skip
PRICE = FactorUse(
    "price/api/model-a-large/2026-06", "price", "", "exact", 3.0, 3.0, 3.0, "USD/Mtoken",
    "Provider's price page, read 2026-06-14", "javascript:alert(1)", "from 2026-06-01",
)  # fmt: skip


def month(gaps: tuple[int, ...] = (5, 6, 7), length: int = 30) -> Figure:
    start = datetime(2026, 10, 25, tzinfo=UTC)
    days = tuple(start + timedelta(days=n) for n in range(length))
    weekly = (4200, 4600, 5100, 4800, 6900, 2100, 1700)
    values = tuple(None if n in gaps else float(weekly[n % 7] + 90 * (n % 5)) for n in range(length))
    values = (*values[:-1], 600.0)
    return Figure(
        "days", "Emissions per day", "g",
        (Series("Emissions", days, values,
                tuple(None if v is None else v * 0.7 for v in values),
                tuple(None if v is None else v * 1.45 for v in values)),),
        alt="Emissions stayed between 2 and 7 kg a day and were lowest at weekends.",
        partial_from=days[-1],
    )  # fmt: skip


def by_project(count: int) -> Figure:
    mids = tuple(40_000.0 / (n + 1) ** 1.3 for n in range(count))
    lows, highs = tuple(m * 0.7 for m in mids), tuple(m * 1.4 for m in mids)
    return Figure("bars", "Emissions by project", "g", (Series("Emissions", PROJECTS[:count], mids, lows, highs),),
                  alt=f"{PROJECTS[0]} emitted the most, 40 kg.")  # fmt: skip


def tiles() -> tuple[Tile, ...]:
    return (
        Tile("Emissions", modelled(128_400), "12 % below the 30 days before", "Carbon of use, location-based."),
        Tile("Energy", Estimate(1.62e9, 1.71e9, 1.83e9, "J", "measured"), "facility, PUE 1.54"),
        Tile("Water", unknown("L", "no water factor for this site"), ""),
        Tile("Cost", exactly(15_565.2, "USD", "declared"), "list prices"),
    )


def overview() -> View:
    table = View(
        "by-project", "By project", "Three projects caused four fifths of the emissions.",
        columns=(Column("project", "Project"), Column("runs", "Runs", "number"),
                 Column("energy", "Energy", "estimate", "J"), Column("carbon", "Emissions", "estimate", "g"),
                 Column("cost", "Cost", "estimate", "USD"), Column("time", "Device time", "duration", "s")),
        rows=tuple(
            {"project": name, "runs": 900 - 83 * n, "energy": modelled(1.2e9 / (n + 1) ** 2, "J", 0.05, "measured"),
             "carbon": modelled(40_000 / (n + 1) ** 2.6), "cost": exactly(3189.4 / (n + 1) ** 3, "USD", "declared"),
             "time": 90_000.0 / (n + 1)}
            for n, name in enumerate(PROJECTS)
        ),
    )  # fmt: skip
    return View(
        "overview", "Compute footprint and cost", "In these 30 days, 9,151 runs emitted 128 kg of CO₂e, between 90 and "
        "186 kg, and cost $15,565. Two thirds came from one project, docs-rag.",
        "25 October – 23 November 2026 · location-based", tiles(),
        parts=(View("days", "Day by day", figure=month(), width="two-thirds"),
               View("bars", "Who caused it", figure=by_project(5), width="third"), table),
        notes=("Emissions are location-based: they follow the grid where the work ran, not the contract.",
               "Three days have no value because the collector was down; they are not counted as zero."),
        factors=(GRID, PUE, PRICE),
    )  # fmt: skip


def runs(count: int = 120) -> View:
    start = datetime(2026, 11, 1, 6, 12, tzinfo=UTC)
    names = ("finetune", HOSTILE, LONG, "eval-nightly", "embed corpus", "ünïcödé – Ωμέγα – Прогон", "日本語 \U0001f680")

    def row(n: int) -> dict[str, object]:
        method = ("measured", "measured", "measured", "modelled", "attributed")[n % 5]
        energy = unknown("J", "no energy counter could be read") if n % 17 == 16 else modelled(
            4.1e6 * (1 + n * 7 % 23) ** 2 / 40, "J", 0.1, method)  # fmt: skip
        return {
            "run": f"019a4c{n:02x}-7f3a-7000-8000-00000000{n:04x}", "start": start + timedelta(minutes=47 * n),
            "name": names[n % len(names)], "project": PROJECTS[n % 8], "state": ("ok", "ok", "failed")[n % 3],
            "time": None if n % 11 == 10 else 31.0 * (n + 1) ** 1.4, "energy": energy,
            "carbon": energy.scaled(56.2 * 1.54 / 3.6e6, "g"), "cost": exactly(0.0123 * (n + 1), "USD", "declared"),
        }  # fmt: skip

    return View(
        "runs", "Runs", f"{count} runs, newest last.", "1 – 5 November 2026",
        columns=(Column("run", "Run", "run"), Column("start", "Started", "time"), Column("name", "Name"),
                 Column("project", "Project"), Column("state", "State", "state"),
                 Column("time", "Duration", "duration", "s"), Column("energy", "Energy", "estimate", "J"),
                 Column("carbon", "Emissions", "estimate", "g"), Column("cost", "Cost", "estimate", "USD")),
        rows=tuple(row(n) for n in range(count)),
        factors=(GRID,),
    )  # fmt: skip


def power_trace() -> Figure:
    start = datetime(2026, 11, 21, 9, 58, 30, tzinfo=UTC)
    times = tuple(start + timedelta(seconds=5 * n) for n in range(300))
    watts = tuple(None if 120 <= n < 135 else 92.0 + (n > 20) * 240 + n * 37 % 61 - (n > 250) * 200 for n in range(300))
    return Figure("trace", "Power", "W", (Series("GPU 0", times, watts),
                                          Series("CPU", times, tuple(45.0 + n % 9 for n in range(300)))),
                  alt="Power rose to about 350 W after two minutes; 75 seconds have no reading.")  # fmt: skip


def work_spans() -> Figure:
    names = ("finetune", "load data", "epoch 1", "forward", "epoch 2", HOSTILE, "evaluate")
    return Figure("spans", "Where the time went", "s", (Series(
        "Spans", names, (0, 1, 1, 2, 1, 2, 1),
        (0.0, 2.0, 110.0, 115.0, 640.0, 650.0, 1180.0), (1500.0, 105.0, 630.0, 400.0, 1170.0, 652.0, 1490.0)),),
        alt="Two epochs took 70 % of the run.")  # fmt: skip


def one_run() -> View:
    usage = View(
        "usage", "What it used", width="half",
        columns=(Column("kind", "Kind"), Column("amount", "Amount", "estimate"), Column("boundary", "Boundary")),
        rows=({"kind": "energy, GPU", "amount": modelled(1.9e6, "J", 0.05, "measured"), "boundary": "device"},
              {"kind": "energy, CPU", "amount": modelled(2.1e5, "J", 0.2, "attributed"), "boundary": "device"},
              {"kind": "tokens in", "amount": exactly(812_000, "token", "measured"), "boundary": None},
              {"kind": "water", "amount": unknown("L", "no water factor for this site"), "boundary": None}),
    )  # fmt: skip
    impacts = View(
        "impacts", "What it caused", width="half",
        columns=(Column("category", "Category"), Column("scope", "Scope", "number"),
                 Column("amount", "Amount", "estimate")),
        rows=({"category": "carbon, use", "scope": 2, "amount": modelled(51.4)},
              {"category": "carbon, embodied", "scope": 3, "amount": modelled(12.9, spread=0.6)},
              {"category": "cost", "scope": None, "amount": exactly(1.27, "USD", "declared")}),
        notes=("Embodied carbon is spread over a life of four years.",), factors=(PUE,),
    )  # fmt: skip
    return View(
        "run", "finetune", "The run took 25 min and emitted 64 g of CO₂e, between 41 and 91 g; most of it was the GPU.",
        "run 019a4c00-7f3a · project search · 21 November 2026, 09:58 UTC",
        (Tile("Emissions", modelled(64.3)), Tile("Energy", modelled(2.11e6, "J", 0.06, "measured")),
         Tile("Cost", exactly(1.27, "USD", "declared"))),
        parts=(View("power", "Power", figure=power_trace()), View("spans", "Work inside the run", figure=work_spans()),
               usage, impacts),
        factors=(GRID,),
    )  # fmt: skip


def empty() -> View:
    return View("runs", "Runs", subtitle="1 – 5 November 2026", columns=(Column("name", "Name"),), empty=(
        "No run was recorded in this period for project 'search'. Widen the period, or record one with: "
        "joulebook run -- python train.py"))  # fmt: skip


def figures() -> tuple[Figure, ...]:
    """Each kind of figure, in the shapes that are rare: one value, none, many series, below zero."""
    hours = tuple(600.0 * n for n in range(40))
    year = month(gaps=(40, 41, 200), length=365)
    saving = Series("Saving", ("Move to eu-north-1", "Batch at night", "Larger model"), (9_100.0, 2_400.0, -5_200.0),
                    (6_000.0, 900.0, -8_000.0), (12_000.0, 3_100.0, -2_100.0))  # fmt: skip
    return (
        by_project(1),
        by_project(8),
        Figure("bars", "What it would save", "g", (saving,), alt="Moving the work would save the most."),
        Figure("bars", "Cost by project and region", "USD", (
            Series("eu-north-1", ("docs-rag", LONG), (412.25, 3.5)), Series("us-east-1", ("docs-rag",), (1999.0,))),
            alt="docs-rag in us-east-1 cost the most."),
        month(gaps=(0, 1, 2), length=4),
        year,
        Figure("days", "Water per day", "L", (Series("Water", (PREPARED,), (None,)),), alt=""),
        Figure("trace", "Power by device", "W", tuple(
            Series(f"GPU {k}", hours, tuple(None if n % 13 == 12 else 300.0 + 50 * k + n for n in range(40)),
                   tuple(280.0 + 50 * k + n for n in range(40)), tuple(330.0 + 50 * k + n for n in range(40)))
            for k in range(8)), alt="All GPUs worked equally."),
    )  # fmt: skip


def quarter() -> View:
    """A long report: many parts, more than three pages, a table of contents."""
    chapters = tuple(
        View(f"figure-{n}", f"Chapter {n + 1}", "One figure and what it says.", figure=figure)
        for n, figure in enumerate(figures())
    )
    left = View("left", "Of use", figure=by_project(3), width="half")
    right = View("right", "Of making", figure=by_project(4), width="half", notes=("Spread over four years.",))
    nested = View("nested", "Both kinds of footprint", parts=(left, right))
    return View("quarter", "Footprint of the third quarter", "All figures in one place.", "July – September 2026",
                tiles()[:1], parts=(*chapters, nested, runs(30)), factors=(GRID,) * 3 + (PUE,))  # fmt: skip


VIEWS = {"overview": overview, "runs": runs, "one_run": one_run, "empty": empty, "quarter": quarter}


# The tools of the tests.


def compiled(view: View) -> bytes:
    return pdf_bytes(view, prepared_at=PREPARED, organisation="Example Robotics Ltd")


def pages_of(content: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", content))


def text_of(content: bytes, path: Path) -> str:
    """The text of a PDF without any white space, since a name may go over two lines."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler) is not installed: the printed text cannot be read back")
    path.write_bytes(content)
    found = subprocess.run(["pdftotext", "-raw", path, "-"], capture_output=True, text=True, check=True)
    return squeezed(found.stdout)


def squeezed(text: str) -> str:
    return "".join(text.split())


def body(view: View) -> dict[str, Any]:
    return document_data(view, PREPARED)["body"]


def table(columns: tuple[Column, ...], *rows: Mapping[str, Any]) -> dict[str, Any]:
    return table_data(View("t", "T", columns=columns, rows=rows), 1.0)


def texts(data: dict[str, Any], column: int, what: str = "text") -> list[str]:
    return [row[column][what] for fold in data["folds"] for row in fold]


# The file.


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_becomes_a_tagged_archive_file(name: str) -> None:
    content = compiled(VIEWS[name]())
    assert content.startswith(b"%PDF-1.7")
    for declared in (b"<pdfuaid:part>1<", b"<pdfaid:part>2<", b"<pdfaid:conformance>A<", b"/MarkInfo", b"/Outlines"):
        assert declared in content


def test_same_view_and_time_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_pdf(overview(), tmp_path / "a" / "one.pdf", prepared_at=PREPARED)
    second = write_pdf(overview(), tmp_path / "two.pdf", prepared_at=PREPARED.replace(tzinfo=None))  # naive is UTC
    shas = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, second)]
    assert first == tmp_path / "a" / "one.pdf"
    assert shas[0] == shas[1]
    later = pdf_bytes(overview(), prepared_at=PREPARED + timedelta(seconds=1))
    assert hashlib.sha256(later).hexdigest() != shas[0]


def test_pages_are_counted_and_the_contents_stand_only_in_a_long_report(tmp_path: Path) -> None:
    # 120 runs of two lines at about 28 a page are five pages; a report of nine parts is longer than three.
    for name, count, has_contents in (
        ("empty", 1, False),
        ("overview", 2, False),
        ("runs", 5, False),
        ("quarter", 5, True),
    ):
        content = compiled(VIEWS[name]())
        text = text_of(content, tmp_path / "x.pdf")
        assert pages_of(content) == count
        assert f"page{count}of{count}" in text
        assert ("Contents1Chapter1" in text) is has_contents


def test_totals_and_the_empty_sentence_are_printed(tmp_path: Path) -> None:
    text = text_of(compiled(overview()), tmp_path / "o.pdf")
    # 128,400 g = 128 kg, from 0.7 to 1.45 of it; 1.71e9 J / 3.6e6 = 475 kWh
    for printed in ("128kg", "range89.9–186kg", "475kWh", "range450–508kWh", "$15,565", "nowaterfactorforthissite"):
        assert printed in text
    assert "EXAMPLEROBOTICSLTD" in text
    assert "prepared2026-11-2318:04UTC" in text
    assert squeezed(empty().empty) in text_of(compiled(empty()), tmp_path / "e.pdf")


def test_hostile_text_is_printed_as_it_is_wherever_it_stands(tmp_path: Path) -> None:
    hostile = View(
        "h", HOSTILE, HOSTILE, HOSTILE, (Tile(HOSTILE, unknown("g", HOSTILE), HOSTILE, HOSTILE),),
        (Column("name", HOSTILE), Column("run", "Run", "run")), ({"name": HOSTILE, "run": HOSTILE},),
        Figure("bars", "B", "g", (Series("s", (HOSTILE[:55],), (1.0,)),), alt=HOSTILE),
        notes=(HOSTILE,), factors=(replace(GRID, factor_id=HOSTILE, kind=HOSTILE, source=HOSTILE, url=HOSTILE),),
    )  # fmt: skip
    text = text_of(pdf_bytes(hostile, prepared_at=PREPARED, organisation=HOSTILE), tmp_path / "h.pdf")
    # title, subtitle, sentence; tile: label, reason, caption, help; column, cell; note; factor: id and source, unbroken
    assert text.count(squeezed(HOSTILE)) >= 12
    assert squeezed(HOSTILE[:55]) in text
    assert squeezed(HOSTILE.upper()) in text


def test_only_web_addresses_become_links() -> None:
    content = compiled(overview())
    assert b"https://ember-energy.org/data/yearly-electricity-data/" in content
    assert b"javascript:" not in content


def test_what_the_font_lacks_is_escaped_and_said(tmp_path: Path) -> None:
    view = View("x", "日 a\u202eb \x1b \ue000 e\u0301 tab\tnew\nline \udc80")
    data = document_data(view, PREPARED)
    assert data["title"] == "\\u65e5 a\\u202eb \\x1b \\ue000 é tab new line \\udc80"
    assert data["notes"] == ["Characters that the typeface of this report lacks are written as \\u and their number."]
    assert document_data(View("x", "Ωμέγα – Прогон ₂ ≤"), PREPARED)["notes"] == []
    assert "\\u65e5" in text_of(compiled(view), tmp_path / "x.pdf")


def test_every_character_that_is_not_escaped_can_be_drawn() -> None:
    drawable = [chr(n) for n in range(0x20, 0xD800) if not pdf._UNDRAWABLE.search(chr(n))]
    assert set("Aäßøñ Łžơế Ωώ Жй €₂≤×–…\u2009") <= set(drawable)
    compiled(View("x", "All characters", notes=(" ".join(drawable),)))  # PDF/A refuses what the font cannot draw


@pytest.mark.parametrize("package", ["typst", "font_source_sans_pro"])
def test_a_missing_package_is_named_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"the PDF report needs .* pip install 'joulebook\[report\]'"):
        compiled(empty())


# Sections.


def test_parts_stand_beside_each_other_only_when_they_fill_the_width_and_are_small() -> None:
    assert [band["widths"] for band in body(overview())["bands"]] == [[2 / 3, 1 / 3], [1.0]]
    small = View("s", "S", columns=(Column("a", "A"),), rows=({"a": "x"},), width="half")
    long = View("l", "L", columns=(Column("a", "A"),), rows=({"a": "x"},) * 15, width="half")
    for parts, widths in (((small, small), [[0.5, 0.5]]), ((small,), [[1.0]]), ((small, long), [[1.0], [1.0]])):
        assert [band["widths"] for band in body(View("v", "V", parts=parts))["bands"]] == widths


def test_the_table_of_a_narrow_figure_stands_at_the_end() -> None:
    part = View("p", "Days", columns=(Column("a", "A"),), rows=({"a": "x"},), figure=month(), width="half")
    data = document_data(View("v", "V", parts=(part,)), PREPARED)
    section = data["body"]["bands"][0]["sections"][0]
    assert section["table"] is None
    assert section["figure"]["caption"].endswith("The numbers are in a table at the end.")
    assert [table["title"] for table in data["tables"]] == ["Days"]


def test_a_long_trace_has_no_table_on_paper() -> None:
    rows = tuple({"w": float(n)} for n in range(151))
    view = View("p", "Power", columns=(Column("w", "Power", "number", "W"),), rows=rows, figure=power_trace())
    data = document_data(view, PREPARED)
    assert (data["body"]["table"], data["tables"]) == (None, [])
    assert data["body"]["figure"]["caption"].endswith("The numbers are in an export as CSV.")


def test_an_empty_view_says_so_and_another_does_not() -> None:
    assert body(empty())["empty"].startswith("No run was recorded")
    assert body(View("v", "V", empty="Nothing."))["empty"] == "Nothing."
    assert body(View("v", "V", tiles=tiles(), empty="Nothing."))["empty"] == ""
    assert body(View("v", "V", columns=(Column("a", "A"),), rows=({"a": 1},), empty="Nothing."))["empty"] == ""


def test_each_factor_stands_once_in_the_order_of_first_use() -> None:
    factors = document_data(quarter(), PREPARED)["factors"]
    assert [factor["id"] for factor in factors] == ["grid/ember/2025/FR", "pue/uptime/2025/world"]
    assert (factors[0]["value"], factors[0]["range"], factors[0]["unit"]) == ("56.2", "42.1–70.4", "g/kWh")


# Tables.


def test_a_column_has_one_unit_from_its_largest_value() -> None:
    energy = Column("e", "Energy", "estimate", "J")
    data = table(
        (energy,), {"e": exactly(7.2e6, "J", "measured")}, {"e": Estimate(1.8e4, 3.6e4, 5.4e4, "J", "measured")}
    )
    # 7.2e6 J = 2 kWh; 3.6e4 J = 0.01 kWh, from 0.005 to 0.015
    assert (data["columns"][0]["unit"], data["columns"][0]["method"]) == ("kWh", "measured")
    assert texts(data, 0) == ["2.00", "0.0100"]
    assert texts(data, 0, "pad") == ["00", ""]  # two empty places bring the points under each other
    assert texts(data, 0, "range") == ["", "0.00500–0.0150"]


def test_totals_stand_above_the_rows_and_leave_the_unit_to_them() -> None:
    """2 × 1.8 MJ = 3.6 MJ = 1000 Wh in the unit of the rows, which are 500 Wh each."""
    energy = Column("e", "Energy", "estimate", "J")
    rows = tuple({"n": name, "e": exactly(1.8e6, "J", "measured")} for name in "ab")
    totals = ({"e": exactly(3.6e6, "J", "measured")},)
    data = table_data(View("v", "V", columns=(Column("n", "Name"), energy), rows=rows, totals=totals), 1.0)
    assert (data["totals"], texts(data, 0), texts(data, 1)) == (1, ["", "a", "b"], ["1,000", "500", "500"])
    assert data["columns"][1]["unit"] == "Wh"


def test_a_unit_that_the_label_says_is_told_as_soon_as_it_is_a_multiple() -> None:
    tokens = Column("t", "Tokens", "number", "token")
    assert [table((tokens,), {"t": count})["columns"][0]["unit"] for count in (900, 1_200_000)] == ["", "Mtoken"]


def test_shares_of_one_are_written_in_percent() -> None:
    columns = (Column("s", "Share", "number", "%"), Column("mfu", "MFU", "estimate", "%"))
    data = table(columns, {"s": 0.4286, "mfu": exactly(0.404, "1", "declared")})
    assert [column["unit"] for column in data["columns"]] == ["%", "%"]
    assert [texts(data, index) for index in range(2)] == [["42.9"], ["40.4"]]


def test_what_is_wrong_and_sums_are_printed(tmp_path: Path) -> None:
    rows = tuple({"id": f"GPU-5d5ba0d{n}-d33d-2b2c-524d-9e3d8d2b8a77", "state": "impossible"} for n in range(8))
    columns = (Column("id", "Device", "id"), Column("state", "State", "state"))
    devices = View("d", "D", columns=columns, rows=rows, totals=({"id": "8 × H100"},), alerts=("Impossible: #1 [x]",))
    text = text_of(compiled(View("v", "V", parts=(devices,))), tmp_path / "a.pdf")
    assert text.index("Impossible:#1[x]") < text.index("8×H100") < text.index("GPU-5d5ba0d0")
    assert "9e3d8d2b8a77" not in text


def test_small_sums_of_money_share_a_small_unit() -> None:
    cost = Column("c", "Cost", "estimate", "USD")
    small = table((cost,), {"c": exactly(0.0005, "USD", "declared")}, {"c": exactly(0.000125, "USD", "declared")})
    assert (small["columns"][0]["unit"], texts(small, 0)) == ("µ$", ["500", "125"])
    large = table((cost,), {"c": exactly(12.5, "USD", "declared")})
    assert (large["columns"][0]["unit"], texts(large, 0)) == ("", ["$12.50"])


def test_different_units_stand_in_the_cells() -> None:
    amount = Column("a", "Amount", "estimate")
    data = table((amount,), {"a": exactly(3.6e6, "J", "measured")}, {"a": Estimate(1.0, 2.0, 3.0, "g", "measured")})
    assert data["columns"][0]["unit"] == ""
    assert texts(data, 0) == ["1.00\u2009kWh", "2.00\u2009g"]
    assert texts(data, 0, "range") == ["", "1.00–3.00\u2009g"]


def test_a_missing_value_is_a_dash_with_its_reason_and_another_method_is_marked() -> None:
    carbon = Column("c", "Carbon", "estimate", "g")
    rows = [{"c": exactly(1.0, "g", "measured")}, {"c": exactly(2.0, "g", "measured")},
            {"c": exactly(3.0, "g", "modelled")}, {"c": unknown("g", "no counter")}, {"c": None}]  # fmt: skip
    data = table((carbon,), *rows)
    assert texts(data, 0) == ["1.00", "2.00", "3.00", "–", "–"]
    assert texts(data, 0, "mark") == ["", "", "a", "", ""]
    assert data["notes"] == [
        "Carbon: measured, unless marked a (modelled).",
        "Carbon: not known in 1 row (no counter).",
    ]


def test_each_kind_of_column_is_written_by_format() -> None:
    columns = (Column("r", "Run", "run"), Column("t", "Start", "time"), Column("d", "Time", "duration", "s"),
               Column("n", "Runs", "number"), Column("s", "State", "state"),
               Column("m", "Cost", "number", "USD"))  # fmt: skip
    row = {"r": "019a4c00-7f3a-7000-8000-000000000000", "t": PREPARED, "d": 250.0, "n": 9151, "s": "ok", "m": 3.5}
    data = table(columns, row, {})
    assert [cell["text"] for cell in data["folds"][0][0]] == [
        "019a4c00-7f3a", "2026-11-23 18:04", "4\u2009min 10\u2009s", "9,151", "ok", "$3.50",
    ]  # fmt: skip
    assert [cell["text"] for cell in data["folds"][0][1]] == ["–"] * 6
    midnight = PREPARED.replace(hour=0, minute=0)
    assert texts(table((columns[1],), {"t": midnight}), 0) == ["23 Nov 2026"]


def test_a_narrow_table_is_folded_and_a_long_one_is_cut_and_says_so() -> None:
    folded = table((Column("a", "A"),), *({"a": str(n)} for n in range(31)))
    assert [len(fold) for fold in folded["folds"]] == [11, 11, 9]
    long = table((Column("a", "A"),), *({"a": "x" * 40} for _ in range(MAX_ROWS + 234)))
    assert [len(fold) for fold in long["folds"]] == [1000]
    assert long["notes"] == ["The first 1,000 of 1,234 rows; an export as CSV has all."]


# Figures.


def test_every_shape_of_figure_is_drawn() -> None:
    for figure in (*figures(), power_trace(), work_spans(), Figure("bars", "None", "g", (), alt="")):
        compiled(View("f", "F", figure=figure))


def test_a_gap_stays_a_gap_and_an_unfinished_day_is_a_piece_of_its_own() -> None:
    days = tuple(datetime(2026, 11, n, tzinfo=UTC) for n in (1, 2, 3, 4, 5))
    figure = Figure("days", "D", "g", (Series("s", days, (1000.0, None, 2000.0, 4000.0, 1000.0)),), "Up.", days[4])
    data = figure_data(figure)
    pieces = [(piece["points"], piece["partial"]) for piece in data["lines"][0]]
    # x: days 0 to 4 over 4; y: kg over 4 kg
    assert pieces == [
        ([(0.0, 0.25, 0.25, 0.25)], False),
        ([(0.5, 0.5, 0.5, 0.5), (0.75, 1.0, 1.0, 1.0)], False),
        ([(0.75, 1.0, 1.0, 1.0), (1.0, 0.25, 0.25, 0.25)], True),
    ]
    assert data["unit"] == "kg"
    assert data["caption"] == (
        "Up. Where the line is broken there is no value. Dashed from 5 Nov 2026: not complete yet."
    )


def test_days_that_are_not_there_are_a_gap_too() -> None:
    days = tuple(datetime(2026, 11, n, tzinfo=UTC) for n in (1, 2, 5))
    pieces = figure_data(Figure("days", "D", "g", (Series("s", days, (1.0, 1.0, 1.0)),), "a"))["lines"][0]
    assert [len(piece["points"]) for piece in pieces] == [2, 1]


def test_bars_start_at_zero_and_carry_value_and_range() -> None:
    series = Series("s", ("a", "b", "c"), (4000.0, -1000.0, None), (3000.0, -1000.0, None), (9000.0, -1000.0, None))
    data = figure_data(Figure("bars", "B", "g", (series,), "a"))
    # from -1 kg to 9 kg: zero at 0.1, 4 kg at 0.5, 3 kg at 0.4
    assert (data["zero"], data["unit"]) == (0.1, "kg")
    first, second, third = (row["bars"][0] for row in data["rows"])
    assert first == {"to": 0.5, "low": 0.4, "high": 1.0, "value": "4.00", "range": "3.00–9.00", "hue": 0}
    assert (second["to"], second["value"], second["range"]) == (0.0, "-1.00", "")
    assert (third["to"], third["value"]) == (None, "–")


def test_an_axis_of_money_says_so_and_bars_of_money_need_not() -> None:
    days = Series("s", (PREPARED,), (12.5,))
    assert figure_data(Figure("days", "D", "USD", (days,), "a"))["unit"] == "$"
    data = figure_data(Figure("bars", "B", "USD", (Series("s", ("a",), (12.5,)),), "a"))
    assert (data["unit"], data["rows"][0]["bars"][0]["value"]) == ("", "$12.50")


def test_more_bars_or_series_than_can_be_read_are_left_out_and_counted() -> None:
    many = Series("s", tuple(f"p{n}" for n in range(33)), (1.0,) * 33)
    assert figure_data(Figure("bars", "B", "g", (many,), "a"))["caption"] == "B. 13 more are not drawn."
    data = figure_data(figures()[-1])
    assert (len(data["lines"]), len(data["names"])) == (6, 6)
    assert data["caption"].endswith("2 more series are not drawn.")


def test_spans_are_places_on_one_clock() -> None:
    data = figure_data(work_spans())
    load = data["rows"][1]
    # load data runs from 2 s to 105 s of 1500 s: 103 s
    assert (load["depth"], load["from"], load["to"], load["value"]) == (1, 0.00133, 0.07, "1\u2009min 43\u2009s")
    # 1500 s are 25 min: a tick each 5 min is a fifth of it
    assert data["x_ticks"] == [(0.0, "0"), *((n / 5, f"{5 * n}\u2009min") for n in range(1, 6))]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 10.4], ["0", "5", "10"]),
        ([3.9], ["0", "1", "2", "3"]),
        ([0.04], ["0", "0.01", "0.02", "0.03", "0.04"]),
        ([-2.0, 3.0], ["-2", "-1", "0", "1", "2", "3"]),
        ([4100.0], ["0", "2,000", "4,000"]),
        ([0.0], ["0"]),
    ],
)
def test_the_axis_starts_at_zero_and_has_round_ticks(values: list[float], ticks: list[str]) -> None:
    axis, found = value_axis(values)
    assert [text for _, text in found] == ticks
    assert axis.at(0.0) == (0.4 if min(values) < 0 else 0.0)


def test_ticks_of_time_are_round_on_a_clock() -> None:
    assert [text for _, text in duration_ticks(5 * 3600)] == ["0", *(f"{n}\u2009h" for n in range(1, 6))]
    assert [text for _, text in duration_ticks(0.5)] == ["0", *(f"0.{n}\u2009s" for n in range(1, 6))]
    assert [text for _, text in duration_ticks(90)] == ["0", *(f"{n}\u2009s" for n in (15, 30, 45, 60, 75, 90))]
