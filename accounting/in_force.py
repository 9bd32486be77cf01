"""The factors of a site over time.

    factors_in_force(site, factors, day) -> InForce       which factor for each kind, and how well it fits
    timeline(site, factors, start, end)  -> [InForce]     the same, cut wherever a factor begins or ends
    in_force_table(pieces)               -> table         the pieces as rows that SQL joins by time

The tables' rows change by the day. Where a series of the home has values (by the hour, by the month), it stands above
the row of its place: its piece then holds in spells, each with values of its own, and the row's piece in what is left.
What a site declares itself stands above both.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from joulebook.accounting.factors import MATCHES, WORLD, Factor, FactorSet, Match, Series, Spell, locate
from joulebook.accounting.factors.series import clipped
from joulebook.accounting.site import Range, Site

if TYPE_CHECKING:
    import pyarrow as pa

# kind of factor -> (field of Site that stands above the tables, unit)
KINDS = {
    "cpu_power": ("cpu_power_w", "W"),
    "dram_power": ("dram_power_w_per_gb", "W/GB"),
    "it_overhead": ("it_overhead", "1"),
    "pue": ("pue", "1"),
    "carbon_intensity": ("carbon_intensity_g_per_kwh", "gCO2e/kWh"),
    "wue": ("wue_l_per_kwh", "L/kWh"),
    "water_intensity": ("", "L/kWh"),
    "electricity_price": ("price_usd_per_kwh", "USD/kWh"),
    "electricity_primary_energy": ("", "J/kWh"),
    "electricity_adpe": ("", "kgSb/kWh"),
}
# What scopes ask for on top. The first two come from series only.
SCOPE_KINDS = {
    "carbon_intensity_direct": ("", "gCO2e/kWh"),
    "residual_mix": ("", "gCO2e/kWh"),
    "upstream_share": ("", "1"),
    "grid_losses": ("", "1"),
}
# Where a place has none of these, what rests on it is not known. The rest have a value for the world.
OPTIONAL = ("electricity_primary_energy", "electricity_adpe", *SCOPE_KINDS)
Kinds = Mapping[str, tuple[str, str]]
ENDS = ("low", "mid", "high")
_WORLDWIDE = ("it_overhead", "dram_power")


@dataclass(frozen=True)
class Hours:
    """From an instant until another, and what stands there above the factors of its piece."""

    start: datetime
    end: datetime
    values: Mapping[str, Range]


@dataclass(frozen=True)
class InForce:
    """The factors of a site from `start` until `end` (UTC days, half-open); with `hours` only then."""

    start: date
    end: date
    matches: Mapping[str, Match]
    hours: tuple[Hours, ...] = ()

    def range_of(self, kind: str) -> Range:
        """Low, mid and high of a kind; of a series over all its time."""
        factor = self.matches[kind].factor
        return factor.low, factor.value, factor.high


def factors_in_force(site: Site, factors: FactorSet, day: date, kinds: Kinds = KINDS) -> InForce:
    """The factors of a site on a day, by the tables' rows. A kind of `OPTIONAL` that has none is not there.

    Raises FactorError when another is missing even for the world, InputError for a region that no cloud has.
    """
    found = {kind: _match(site, factors, kind, place, day) for kind, place in places_of(site, kinds).items()}
    return InForce(day, day + timedelta(days=1), {kind: match for kind, match in found.items() if match})


def places_of(site: Site, kinds: Kinds = KINDS) -> dict[str, str]:
    """Where the factor of each kind is looked for."""
    located = locate(site.region, site.provider)
    centre = located.provider or WORLD
    named = {"cpu_power": site.cpu_class or WORLD, "pue": centre, "wue": centre, **dict.fromkeys(_WORLDWIDE, WORLD)}
    return {kind: named.get(kind, located.place) for kind in kinds}


def _match(site: Site, factors: FactorSet, kind: str, place: str, day: date) -> Match | None:
    declared = _declared_by(site, kind)
    if declared:
        return Match(_as_factor(kind, declared), "declared")
    return factors.find(kind, place, day) if kind in OPTIONAL else factors.select(kind, place, day)


def _declared_by(site: Site, kind: str) -> Range | None:
    field = KINDS[kind][0] if kind in KINDS else ""
    return getattr(site, field) if field else None


def _as_factor(kind: str, values: Range) -> Factor:
    low, mid, high = values
    return Factor(kind, mid, low, high, KINDS[kind][1], "SITE", date(1970, 1, 1), None, "declared in site.toml",
                  "site.toml", "", "own", date(1970, 1, 1))  # fmt: skip


def timeline(site: Site, factors: FactorSet, start: date, end: date, kinds: Kinds = KINDS) -> list[InForce]:
    """The factors of a site over [start, end), one piece for each stretch in which the same factors hold."""
    cuts = [start, *(day for day in factors.edges() if start < day < end), end]
    pieces: list[InForce] = []
    for begin, until in pairwise(cuts):
        matches = factors_in_force(site, factors, begin, kinds).matches
        if pieces and pieces[-1].matches == matches:
            pieces[-1] = InForce(pieces[-1].start, until, matches)
        else:
            pieces.append(InForce(begin, until, matches))
    fitting = {
        kind: factors.series_of(kind, place)
        for kind, place in places_of(site, kinds).items()
        if factors.series and not _declared_by(site, kind)
    }
    series = {kind: some for kind, some in fitting.items() if some}
    return [part for piece in pieces for part in _cut(piece, series)] if series else pieces


def _cut(piece: InForce, series: Mapping[str, Sequence[Series]]) -> Iterator[InForce]:
    """A piece, cut where series have values: one part for all the time in which the same of them hold together."""
    start, end = midnight(piece.start), midnight(piece.end)
    held = {kind: clipped(some, start, end) for kind, some in series.items()}
    edges = {edge for pairs in held.values() for spell, _ in pairs for edge in (spell.start, spell.end)}
    parts: dict[tuple[str, ...], tuple[dict[str, Match], list[Hours]]] = {}
    for begin, until in pairwise(sorted({start, end} | edges)):
        at = {kind: found for kind, pairs in held.items() if (found := _at(pairs, begin))}
        key = tuple(each.digest for _, each in at.values())
        above = {kind: Match(each.as_factor, "exact") for kind, (_, each) in at.items()}
        hours = parts.setdefault(key, ({**piece.matches, **above}, []))[1]
        hours.append(Hours(begin, until, {kind: (spell.low, spell.mid, spell.high) for kind, (spell, _) in at.items()}))
    for matches, hours in parts.values():
        yield InForce(piece.start, piece.end, matches, tuple(hours))


def _at(pairs: list[tuple[Spell, Series]], instant: datetime) -> tuple[Spell, Series] | None:
    before = bisect_right(pairs, instant, key=lambda pair: pair[0].start) - 1
    return pairs[before] if before >= 0 and instant < pairs[before][0].end else None


def worst_match(in_force: InForce, kinds: tuple[str, ...]) -> str:
    found = (in_force.matches[kind].match for kind in kinds if kind in in_force.matches)
    return max(found, key=MATCHES.index, default="exact")


def in_force_table(pieces: Sequence[InForce], kinds: Kinds = KINDS) -> pa.Table:
    """The pieces of a timeline as a table that SQL can join: one column for each kind and end, null where unknown."""
    import pyarrow as pa

    rows = [
        (number, piece, hours)
        for number, piece in enumerate(pieces)
        for hours in piece.hours or (Hours(midnight(piece.start), midnight(piece.end), {}),)
    ]
    columns: dict[str, Any] = {
        "piece": pa.array([number for number, _, _ in rows], pa.int32()),
        "start_utc": pa.array([hours.start for _, _, hours in rows], pa.timestamp("us")),
        "end_utc": pa.array([hours.end for _, _, hours in rows], pa.timestamp("us")),
    }
    for kind in kinds:
        ranges = [hours.values.get(kind) or _range(piece, kind) for _, piece, hours in rows]
        for end, values in zip(ENDS, zip(*ranges, strict=True) if ranges else ((),) * 3, strict=True):
            columns[f"{kind}_{end}"] = pa.array(values, pa.float64())
    return pa.table(columns)


def _range(piece: InForce, kind: str) -> tuple[float | None, float | None, float | None]:
    return piece.range_of(kind) if kind in piece.matches else (None, None, None)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 — ledger times are UTC without a zone
