"""What all questions share: the period, the columns of impact, the factors behind a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from joulebook.accounting.assess import KINDS, Assessor, assessor, estimate_of
from joulebook.accounting.estimates import Estimate
from joulebook.accounting.factors import Match, load
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import weakest
from joulebook.reports.format import THIN, day, mid_of, moment, span_of
from joulebook.reports.view import Column, FactorUse, Tile, View

ALL_TIME = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_CALENDAR_DAYS = 800
P = ParamSpec("P")


def at_once(question: Callable[Concatenate[Ledger, P], View]) -> Callable[Concatenate[Ledger, P], View]:
    """For a question with many parts: it opens the ledger once, and all its parts see it in the same state."""

    @wraps(question)
    def asked(ledger: Ledger, *args: P.args, **kwargs: P.kwargs) -> View:
        with ledger.reading():
            return question(ledger, *args, **kwargs)

    return asked


@dataclass(frozen=True)
class Period:
    """From `start` until `end` (UTC, half-open)."""

    start: datetime
    end: datetime
    label: str
    is_open: bool = False  # it ends now, and nothing lies behind


def period_of(since: datetime | None = None, until: datetime | None = None) -> Period:
    """A period from its ends; open ends reach to the first run and to now."""
    start, end = since or ALL_TIME, until or datetime.now(UTC)
    last = day(end - timedelta(microseconds=1))
    label = f"all time to {last}" if since is None else day(start) if day(start) == last else f"{day(start)} – {last}"
    return Period(start, end, label, is_open=until is None)


def calendar(days: Sequence[datetime], period: Period) -> list[datetime]:
    """Every day of the period from its first day with data, or only the days with data when that is too long."""
    begin = [] if period.start == ALL_TIME else [midnight(period.start)]
    first = min([*days, *begin])
    last = max(days)
    length = (last - first).days + 1
    return [first + timedelta(days=n) for n in range(length)] if length <= LONGEST_CALENDAR_DAYS else list(days)


def midnight(when: datetime) -> datetime:
    """The beginning of its day."""
    return when.replace(hour=0, minute=0, second=0, microsecond=0)


def naive(when: datetime) -> datetime:
    """UTC without a zone, as the ledger keeps times."""
    return when.astimezone(UTC).replace(tzinfo=None)


def aware(when: datetime | None) -> datetime | None:
    return when.replace(tzinfo=UTC) if when else None


def assess_period(ledger: Ledger, period: Period) -> Assessor:
    """An assessor over a period: by the minute where it begins or ends within an hour (what ends now is open)."""
    now = datetime.now(UTC)
    cuts = [period.start] if period.is_open or period.end >= now else [period.start, period.end]
    whole = all(cut == cut.replace(minute=0, second=0, microsecond=0) for cut in cuts)
    return assessor(ledger, period.start, max(period.end, now), "hour" if whole else "minute")


def project_filter(project: str | None) -> tuple[str, tuple[str, ...]]:
    """A condition on `project` and its parameters."""
    return ("", ()) if project is None else ("and coalesce(project, '(no project)') = ?", (project,))


IMPACT_COLUMNS = (
    Column("energy_j", "IT energy", "estimate", "J"),
    Column("carbon_g", "Carbon, CO₂e", "estimate", "g"),
    Column("water_l", "Water", "estimate", "L"),
    Column("cost_usd", "Electricity", "estimate", "USD"),
)
SHOWN = {"energy_j": "it_energy_j", "carbon_g": "carbon_g", "water_l": "water_l", "cost_usd": "cost_usd"}


def impact_cells(row: Mapping[str, Any]) -> dict[str, Estimate]:
    """The four impacts of a result row, as estimates under the keys of `IMPACT_COLUMNS`."""
    return {key: estimate_of(row, category) for key, category in SHOWN.items()}


def impact_tiles(cells: Mapping[str, Estimate], captions: Mapping[str, str] | None = None) -> tuple[Tile, ...]:
    notes = captions or {}
    helps = {
        "energy_j": "Energy of the servers at their plugs (IT boundary): without cooling and losses of the building.",
        "carbon_g": "Location-based: IT energy × PUE × carbon intensity of the grid. Without manufacture.",
        "water_l": "Consumed on site for cooling and off site by power plants: IT energy × (WUE + PUE × off-site).",
        "cost_usd": "IT energy × PUE × price of electricity.",
    }
    labels = {"energy_j": "Energy", "carbon_g": "Carbon", "water_l": "Water", "cost_usd": "Electricity cost"}
    return tuple(Tile(labels[key], cells[key], notes.get(key, ""), helps[key]) for key in labels)


def factor_uses(assess: Assessor, rows: Sequence[Mapping[str, Any]]) -> tuple[FactorUse, ...]:
    """The factors behind some result rows, each once, in the order of `KINDS`."""
    timeline = assess.pieces
    pieces = sorted({piece for row in rows for piece in row["pieces"] or ()})
    unused = {"cpu_power": "cpu_time_s", "it_overhead": "device_energy_j_mid", "dram_power": "memory_gb_s"}
    kinds = [kind for kind in KINDS if kind not in unused or any(row[unused[kind]] is not None for row in rows)]
    uses: dict[str, FactorUse] = {}
    for kind in kinds:
        for piece in pieces:
            match = timeline[piece].matches.get(kind)
            if match is not None:
                uses[match.factor.factor_id] = use_of(match)
    return tuple(uses.values())


def use_of(match: Match) -> FactorUse:
    """A factor and how well it fits, as a View names it."""
    factor = match.factor
    return FactorUse(
        factor.factor_id, factor.kind, factor.region, match.match, factor.low, factor.value, factor.high, factor.unit,
        factor.source, factor.url, factor.valid,
    )  # fmt: skip


_FROM_CPU_TIME = (
    "from the CPU time of the job's processes and a power curve, with a wide range. Memory, disks and idle machines "
    "are inside that range, not apart."
)


def standing_notes(assess: Assessor, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What a reader must know about every number of a site, and about those of some result rows."""
    notes: list[str] = []
    if any(row["cpu_time_s"] is not None for row in rows):
        if all(row["device_energy_j_mid"] is None for row in rows):
            notes.append(f"No sensor could be read: this energy is modelled {_FROM_CPU_TIME}")
        else:
            notes.append(f"Where no sensor saw the processor, the server's part is modelled {_FROM_CPU_TIME}")
    if any(row["memory_gb_s"] is not None for row in rows):
        notes.append(
            "Where no sensor saw the memory, its energy is modelled from what a run reserved of it, with a wide range."
        )
    if assess.site.region == "WORLD":
        notes.append(
            "This home has no region: world averages stand in, with the world's range. "
            "Say where the machine stands: joulebook init --region FR."
        )
    notes.append("Carbon is location-based and operational: manufacture, and what APIs used elsewhere, are not in it.")
    return tuple(notes)


def evidence(amounts: Mapping[str, float]) -> list[str]:
    """How much of some amounts rests on which method, the most first: `["81 % measured", "19 % modelled"]`."""
    whole = sum(amounts.values())
    ordered = sorted(amounts, key=lambda method: -amounts[method])
    return [f"{percent(amounts[method] / whole)} {method}" for method in ordered] if whole else []


def percent(share: float) -> str:
    """Whole percent; a part that is there is never 0 %, and with it the other is never 100 %."""
    if share < 0.01:
        return f"under 1{THIN}%"
    return f"over 99{THIN}%" if 0.99 < share < 1 else f"{share * 100:.0f}{THIN}%"


def sum_of(cells: Sequence[Estimate]) -> Estimate:
    """The sum of what is known, with the weakest method; low with low and high with high, as factors are shared.

    Unknown where nothing is known.
    """
    known = [cell for cell in cells if cell.known]
    if not known:
        return cells[0]
    low, mid, high = (sum(getattr(cell, end) for cell in known) for end in ("low", "mid", "high"))
    return Estimate(low, mid, high, known[0].unit, weakest([cell.method for cell in known]))


def in_words(estimate: Estimate, shares: Sequence[str] = ()) -> str:
    """`3.40 Wh (modelled, 1.1–9.0 Wh)`; with several `shares` of evidence, the first of them and what else there is."""
    others = [share.rpartition(" ")[2] for share in shares[1:]]
    method = f"{shares[0]}, the rest {listed(others)}" if others else estimate.method
    told = [text for text in (method, span_of(estimate)) if text]
    return f"{mid_of(estimate)} ({('; ' if others else ', ').join(told)})"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; of nothing, nothing."""
    return " and ".join(text for text in (", ".join(words[:-1]), *words[-1:]) if text)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def of_project(project: str | None) -> str:
    return "" if project is None else f" of project {project}"


def projects(ledger: Ledger) -> list[str]:
    rows = ledger.rows(
        "select distinct coalesce(project, '(no project)') as p from span where parent_id is null order by p"
    )
    return [row["p"] for row in rows]


def freshness(ledger: Ledger) -> str:
    """Up to when the ledger knows, and which factors it is read with."""
    last = ledger.rows("select max(last_event_at_utc) as at from journal")[0]["at"]
    through = f"Data through {moment(last)} UTC" if last else "No data yet"
    return f"{through} · factors {load().set_id}"
