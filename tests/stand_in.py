"""Views made by hand, for the dashboard's tests: a full ledger, one run, an empty one, a busy one.

They replace `joulebook.reports.views` and `joulebook.accounting.ledger` in `sys.modules`, so that what is drawn is
known to the last digit. `install` does it for one process; the tests undo it, `stand_in_app.py` does not need to.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from joulebook.accounting.errors import InputError, LedgerBusy, NotFound
from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.reports.view import Column, FactorUse, Figure, Series, Tile, View

HOSTILE = '"><script>alert(1)</script> $(rm -rf) =cmd|\'/C calc\'! #import "x"'
MARKDOWN = "**b** _i_ `c` $x^2$ :smile: :material/home: :red[r] [l](http://x) <b>#000001</b> -> %{x}"
PROJECTS = ["search", "forecast", "vision-qc", HOSTILE, MARKDOWN]
KWH = 3.6e6
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """The same shape as the real one."""

    start: datetime
    end: datetime
    label: str


def around(mid: float, unit: str, method: str = "modelled", low: float = 0.7, high: float = 1.5) -> Estimate:
    return Estimate(mid * low, mid, mid * high, unit, method)


FACTORS = (
    FactorUse("grid-se-2026", "grid carbon intensity", "SE", "exact", 18, 24, 39, "g/kWh", "Ember, yearly data",
              "https://ember-energy.org/data", "2026"),
    FactorUse("grid-world-2025", "grid carbon intensity", "world", "world", 380, 445, 520, "g/kWh",
              "Ember, yearly data", "https://ember-energy.org/data", "2025"),
    FactorUse("pue-site", "PUE", "site", "exact", 1.2, 1.2, 1.2, "ratio", HOSTILE, "javascript:alert(1)", "2026"),
)  # fmt: skip


def _calendar(period: Period) -> list[datetime]:
    last = period.end - DAY
    count = min((period.end - period.start).days, 120)
    return [last - (count - 1 - n) * DAY for n in range(count)]


def _energy_of_day(n: int, count: int) -> float | None:
    if n % 7 in (5, 6) and n != count - 1:
        return None
    return (2.2 + math.sin(n / 3.0) + 0.4 * (n % 3)) * KWH * (0.3 if n == count - 1 else 1)


def by_day(period: Period, only_today: bool) -> View:
    days = _calendar(period)
    mids = tuple(None if only_today and n < len(days) - 1 else _energy_of_day(n, len(days)) for n in range(len(days)))
    figure = Figure(
        "days", "Energy of each day", "J",
        (Series("energy", tuple(days), mids, tuple(m and m * 0.8 for m in mids), tuple(m and m * 1.3 for m in mids)),),
        alt="Energy a day between 0.4 and 4.0 kWh; none at weekends.", partial_from=days[-1],
    )  # fmt: skip
    rows = tuple({"day": d, "energy": m and around(m, "J", low=0.8, high=1.3)} for d, m in zip(days, mids, strict=True))
    columns = (Column("day", "Day", "time"), Column("energy", "Energy", "estimate", "J"))
    return View("overview-days", "Energy per day", columns=columns, rows=rows, figure=figure, width="two-thirds")


def by_project(names: list[str]) -> View:
    mids = tuple(18.0 * KWH / (n + 1) ** 1.4 for n in range(len(names)))
    lows, highs = tuple(m * 0.8 for m in mids), tuple(m * 1.3 for m in mids)
    figure = Figure("bars", "Energy by project", "J", (Series("energy", tuple(names), mids, lows, highs),),
                    alt=f"The largest is {names[0]}.")  # fmt: skip
    columns = (
        Column("project", "Project"),
        Column("energy", "Energy", "estimate", "J"),
        Column("share", "Share of all"),
    )
    rows = tuple(
        {"project": name, "energy": around(mid, "J", low=0.8, high=1.3), "share": f"{mid / sum(mids):.0%}"}
        for name, mid in zip(names, mids, strict=True)
    )
    return View("overview-projects", "By project", columns=columns, rows=rows, figure=figure, width="third")


def _tiles(energy_j: float) -> tuple[Tile, ...]:
    return (
        Tile("Energy", around(energy_j, "J", "attributed", 0.85, 1.2), "12 % less than the 30 days before",
             "Energy of the machines while your runs used them, without cooling."),
        Tile("Carbon", around(energy_j / KWH * 210, "g"), "location-based, life cycle",
             "Facility energy times the carbon intensity of the grid, hour by hour."),
        Tile("Water", unknown("L", "no WUE for this site")),
        Tile("Electricity cost", around(energy_j / KWH * 0.24, "USD", "declared", 0.9, 1.1), "at the site's tariff"),
    )  # fmt: skip


def _models() -> View:
    columns = (Column("model", "Model"), Column("calls", "Calls", "number"),
               Column("tokens", "Tokens", "number", "token"),
               Column("energy", "Energy", "estimate", "J"), Column("cost", "Price", "estimate", "USD"))  # fmt: skip
    rows = (
        {"model": "large-4", "calls": 18_204, "tokens": 41_220_113, "energy": around(9.1e6, "J", low=0.3, high=3),
         "cost": exactly(412.31, "USD", "declared")},
        {"model": "small-2", "calls": 91_877, "tokens": 80_110_002, "energy": around(2.2e6, "J", low=0.3, high=3),
         "cost": exactly(31.07, "USD", "declared")},
        {"model": HOSTILE, "calls": 3, "tokens": None, "energy": unknown("J", "no size known for this model"),
         "cost": unknown("USD", "no price known")},
    )  # fmt: skip
    return View("overview-models", "API use", columns=columns, rows=rows, width="half")


def _coverage() -> View:
    columns = (Column("what", "What"), Column("share", "Share of run time"))
    rows = (
        {"what": "measured", "share": "81 %"},
        {"what": "modelled", "share": "17 %"},
        {"what": "gap", "share": "2 %"},
    )
    notes = ("For 2 % of the run time no counter could be read: that energy is missing from the totals.",)
    return View("overview-coverage", "How well it is known", columns=columns, rows=rows, notes=notes, width="half")


EMPTY = View("overview", "Overview", empty="No run was recorded in this period. The ledger holds no runs at all yet.")


def _overview(period: Period, project: str | None, names: list[str]) -> View:
    chosen = [project] if project else names
    return View(
        "overview", "Overview",
        sentence=f"Your runs used 48.3 kWh and caused 10.1 kg CO₂e; {chosen[0]} used the most, 62 % of it.",
        subtitle=f"{period.label} · location-based · {project or 'all projects'}",
        tiles=_tiles(48.3 * KWH / (3 if project else 1)),
        parts=(by_day(period, len(names) == 1), by_project(chosen), _models(), _coverage()),
        notes=("Embodied emissions are not in these totals.", f"Tag of the last run: {MARKDOWN}"),
        factors=FACTORS,
    )  # fmt: skip


RUN_COLUMNS = (
    Column("name", "Run"), Column("project", "Project"), Column("start", "Start", "time"),
    Column("time", "Duration", "duration"), Column("state", "State", "state"),
    Column("energy", "Energy", "estimate", "J"), Column("carbon", "Carbon", "estimate", "g"),
    Column("cost", "Cost", "estimate", "USD"), Column("run_id", "Id", "run"),
)  # fmt: skip


def run_rows(count: int) -> tuple[dict[str, Any], ...]:
    start = datetime(2026, 11, 23, 17, 4, tzinfo=UTC)
    names = ["finetune", "evaluate", "embed-docs", HOSTILE, MARKDOWN, "a name that is rather long " * 6]
    return tuple(
        {
            "name": names[n % 6], "project": PROJECTS[n % 5], "start": start - timedelta(hours=7 * n),
            "time": 40.0 * (n + 1) ** 2, "state": ("ok", "ok", "failed", "running")[n % 4],
            "energy": around(0.4e6 * (n + 1), "J", "measured" if n % 2 else "attributed", 0.9, 1.1)
            if n % 5 != 4 else unknown("J", "no counter on this machine"),
            "carbon": around(21.0 * (n + 1), "g") if n % 5 != 4 else unknown("g", "energy unknown"),
            "cost": around(0.012 * (n + 1), "USD", "declared", 0.9, 1.1)
            if n % 5 != 4 else unknown("USD", "energy unknown"),
            "run_id": f"019ab{n:03d}-aaaa-7bbb-8ccc-000000000000",
        }
        for n in range(count)
    )  # fmt: skip


def _runs(period: Period, project: str | None, count: int) -> View:
    rows = tuple(row for row in run_rows(count) if project in (None, row["project"]))
    return View("runs", "Runs", sentence=f"{len(rows)} runs, newest first.",
                subtitle=f"{period.label} · location-based · {project or 'all projects'}",
                columns=RUN_COLUMNS, rows=rows, factors=FACTORS,
                empty="No run of this project in this period.")  # fmt: skip


def _power() -> View:
    start = datetime(2026, 11, 23, 17, 4, tzinfo=UTC)
    xs = tuple(start + timedelta(seconds=10 * n) for n in range(240))
    mid = tuple(None if 100 < n < 130 else 310 + 80 * math.sin(n / 9) + 30 * (n % 5) for n in range(240))
    series = Series("power", xs, mid, tuple(m and m * 0.9 for m in mid), tuple(m and m * 1.1 for m in mid))
    figure = Figure("trace", "Power of the device", "W", (series,), alt="Power between 230 and 510 W, with a gap.")
    return View("run-power", "Power", figure=figure, width="two-thirds")


def _spans() -> View:
    names = ("finetune", "load data", "epoch 1", "train", HOSTILE, "epoch 2", "train", MARKDOWN, "save")
    depth = (0, 1, 1, 2, 2, 1, 2, 2, 1)
    low = (0, 2, 180, 185, 900, 1100, 1105, 1900, 2250)
    high = (2400, 175, 1100, 895, 1095, 2240, 1890, 2230, 2390)
    figure = Figure(
        "spans", "Pieces of work", "s", (Series("spans", names, depth, low, high),), alt="Nine pieces of work."
    )
    columns = (
        Column("name", "Work"),
        Column("time", "Duration", "duration"),
        Column("energy", "Energy", "estimate", "J"),
    )
    rows = tuple({"name": n, "time": float(e - b), "energy": around(380.0 * (e - b), "J", "measured", 0.95, 1.05)}
                 for n, b, e in zip(names, low, high, strict=True))  # fmt: skip
    return View("run-spans", "Where the time went", columns=columns, rows=rows, figure=figure)


def _usage() -> View:
    columns = (Column("kind", "Used"), Column("amount", "Amount", "estimate"))
    rows = ({"kind": "device energy", "amount": exactly(0.91e6, "J", "measured")},
            {"kind": "tokens", "amount": exactly(1_204_331, "token", "measured")},
            {"kind": "arithmetic", "amount": around(3.1e18, "FLOP")})  # fmt: skip
    return View("run-usage", "Used", columns=columns, rows=rows, width="half")


def _impacts() -> View:
    columns = (Column("category", "Impact"), Column("amount", "Amount", "estimate"))
    rows = ({"category": "facility energy", "amount": around(1.09e6, "J", "modelled", 0.95, 1.1)},
            {"category": "carbon", "amount": around(63.7, "g")},
            {"category": "water", "amount": unknown("L", "no WUE for this site")},
            {"category": "electricity", "amount": around(0.0727, "USD", "declared", 0.9, 1.1)})  # fmt: skip
    return View("run-impacts", "Caused", columns=columns, rows=rows, width="half")


def _gaps() -> View:
    return View("run-gaps", "Gaps", sentence="4 min 50 s of 40 min could not be read.", width="third",
                columns=(Column("sensor", "Counter"), Column("time", "Missing", "duration"), Column("cause", "Cause")),
                rows=({"sensor": "gpu0", "time": 290.0, "cause": "the driver did not answer"},))  # fmt: skip


def _run(run_id: str) -> View:
    row = next((row for row in run_rows(40) if row["run_id"] == run_id), None)
    if row is None:
        raise NotFound(f"no run {run_id}")
    return View(
        f"run-{run_id}", row["name"],
        sentence=f"It ran 40 min 00 s on h200-3 and used 1.09 MJ; tagged {MARKDOWN}.",
        subtitle=f"{row['project']} · 2026-11-23 17:04 UTC · {row['state']} · {run_id}",
        tiles=_tiles(0.303 * KWH), parts=(_power(), _gaps(), _spans(), _usage(), _impacts()),
        notes=("The counter was silent for 4 min 50 s: that energy is missing.",), factors=FACTORS,
    )  # fmt: skip


def _is_free() -> bool:
    free = os.environ.get("STAND_IN_FREE")
    return bool(free) and Path(free).exists()


def views(state: str) -> ModuleType:
    """A stand-in for `joulebook.reports.views` in one state: full, one, empty, busy, broken.

    A busy one is full once the file that the environment names as STAND_IN_FREE is there.
    """
    module = ModuleType("joulebook.reports.views")
    names = {"full": PROJECTS, "busy": PROJECTS, "one": ["search"]}.get(state, [])
    count = {"full": 40, "busy": 40, "one": 1}.get(state, 0)

    def asked(answer: Callable[..., Any]) -> Callable[..., Any]:
        def question(ledger: Any, *args: Any) -> Any:
            if state == "busy" and not _is_free():
                raise LedgerBusy("pid 1 holds it")
            if state == "broken":
                raise InputError(f"the site file says {HOSTILE}")
            return answer(*args)

        return question

    module.Period = Period
    module.overview = asked(lambda period, project=None: _overview(period, project, names) if names else EMPTY)
    module.runs = asked(lambda period, project=None: _runs(period, project, count))
    module.run = asked(_run)
    module.projects = lambda ledger: names if state == "broken" else asked(lambda: names)(ledger)
    module.freshness = lambda ledger: "Data through 23 Nov 2026 18:04 UTC · factors 3f2a9c1b"
    return module


def ledger(calls: list[Any]) -> ModuleType:
    """A stand-in for `joulebook.accounting.ledger` that notes each ingest."""
    module = ModuleType("joulebook.accounting.ledger")
    module.ingest = calls.append
    module.open_ledger = lambda home: home
    return module


def install(modules: dict[str, Any], state: str, calls: list[Any]) -> None:
    modules["joulebook.reports.views"] = views(state)
    modules["joulebook.accounting.ledger"] = ledger(calls)
