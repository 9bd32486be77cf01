"""Files of Electricity Maps, ENTSO-E, WattTime and one's own utility, as series for one region.

    file ─> table of text ─> (instant, low, mid, high) per kind ─> means of whole hours, or months ─> Series

    electricitymaps   hourly or monthly CSV: direct and life-cycle intensity
    entsoe            actual generation per production type, wide or long: worked into direct and life-cycle intensity
                      with the sourced factor of each technology
    watttime          marginal intensity (MOER), lb/MWh
    own               start_utc,value[,low,high] in the unit of its kind

A file is taken whole or not at all: the first bad field is named with its line. What belongs to one hour is averaged.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from joulebook.accounting.errors import FactorError
from joulebook.accounting.factors.series import Series, Spell
from joulebook.accounting.factors.store import load

# kinds that a series may be of -> their unit
UNITS = {
    "carbon_intensity": "gCO2e/kWh",
    "carbon_intensity_direct": "gCO2e/kWh",
    "carbon_intensity_marginal": "gCO2e/kWh",
    "residual_mix": "gCO2e/kWh",
    "electricity_price": "USD/kWh",
    "water_intensity": "L/kWh",
}
G_PER_KWH_OF_LB_PER_MWH = 0.45359237
HOUR = timedelta(hours=1)
MOST_LINES = 2_000_000
MOST = 1e9  # far above any value of a grid
YEARS = (1970, 2200)  # from, and before
# How far an hour's value that comes without a range may be off: as the annual rows have it.
WIDEN = 0.15

Ends = tuple[float, float, float]
Points = dict[str, dict[datetime, list[Ends]]]  # kind -> instant -> what is told of it


@dataclass(frozen=True)
class About:
    """What a file is imported as."""

    path: Path
    region: str
    retrieved: date
    licence: str
    kind: str = "carbon_intensity"  # of one's own file


@dataclass(frozen=True)
class Line:
    """One row of a file: its cells by the name of the column, and where it stands."""

    path: Path
    number: int
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        return (self.cells.get(column) or "").strip()

    def number_of(self, column: str, least: float = 0.0) -> float:
        try:
            value = float(self.text(column))
        except ValueError:
            value = math.nan
        if not least <= value <= MOST:
            raise self.wrong(column, f"a number from {least:g} up" if not value > MOST else f"a number up to {MOST:g}")
        return value

    def instant(self, column: str) -> datetime:
        """UTC without a zone."""
        try:
            when = datetime.fromisoformat(self.text(column))
        except ValueError:
            raise self.wrong(column, "a time such as 2026-01-31T13:00") from None
        if not YEARS[0] <= when.year < YEARS[1]:
            raise self.wrong(column, f"a time from {YEARS[0]} to {YEARS[1] - 1}")
        return when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when

    def wrong(self, column: str, wanted: str) -> FactorError:
        return FactorError(
            f"{self.path}, line {self.number}, {column}: {self.text(column)!r} is not {wanted}; nothing was imported"
        )


def read_series(about: About, form: str) -> list[Series]:
    """The series that a file has, one for each kind. Raises FactorError naming the line and the field that is wrong."""
    source, basis, points_of = FORMATS[form]
    points = points_of(about)
    if not any(points.values()):
        raise FactorError(f"{about.path}: has no row with a value; nothing was imported")
    return [_series(about, kind, source, basis, told) for kind, told in points.items() if told]


def _series(about: About, kind: str, source: str, basis: str, told: Mapping[datetime, Sequence[Ends]]) -> Series:
    resolution, spells = _spells(about.path, told)
    named = f"{source}, {about.path.name}"
    return Series(
        kind, about.region.upper(), UNITS[kind], resolution, basis, named, URLS.get(source, "–"), about.licence,
        about.retrieved, tuple(spells),
    )  # fmt: skip


def _spells(path: Path, told: Mapping[datetime, Sequence[Ends]]) -> tuple[str, list[Spell]]:
    """Means by the hour, or the months as they are told."""
    instants = sorted(told)
    steps = {after - before for before, after in pairwise(instants)}
    if len(instants) > 1 and min(steps) <= HOUR:
        hours: dict[datetime, list[Ends]] = defaultdict(list)
        for instant in instants:
            hours[instant.replace(minute=0, second=0, microsecond=0)] += told[instant]
        return "hourly", [Spell(hour, hour + HOUR, *_mean(values)) for hour, values in hours.items()]
    if all((at.day, at.hour, at.minute) == (1, 0, 0) for at in instants):
        return "monthly", [Spell(at, _next_month(at), *_mean(told[at])) for at in instants]
    raise FactorError(f"{path}: its times are neither an hour apart (or less) nor the beginnings of months")


def _mean(values: Sequence[Ends]) -> Ends:
    low, mid, high = (math.fsum(ends) / len(values) for ends in zip(*values, strict=True))
    return low, mid, high


def _next_month(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)


# Reading ----------------------------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[Line]:
    """The rows of a file with a header: comma-, semicolon- or tab-separated."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FactorError(f"{path}: cannot be read as text in UTF-8 ({error})") from error
    header = text.partition("\n")[0]
    reader = csv.DictReader(text.splitlines(), delimiter=max(",;\t", key=header.count))
    for cells in reader:
        if reader.line_num > MOST_LINES:
            raise FactorError(f"{path}: has more than {MOST_LINES:,} lines; import it in parts")
        yield Line(path, reader.line_num, {(name or "").strip(): value for name, value in cells.items() if name})


def _column(line: Line, *parts: str) -> str | None:
    """The column whose name has all of these parts, in any case."""
    return next((name for name in line.cells if all(part in name.lower() for part in parts)), None)


def _needs(line: Line, form: str, **columns: str | None) -> None:
    missing = [name.replace("_", " ") for name, found in columns.items() if found is None]
    if missing:
        raise FactorError(f"{line.path}: is no file of {form}: it has no column for {' and '.join(missing)}")


def _widened(value: float) -> Ends:
    return value * (1 - WIDEN), value, value * (1 + WIDEN)


def _electricity_maps(about: About) -> Points:
    points: Points = {"carbon_intensity": defaultdict(list), "carbon_intensity_direct": defaultdict(list)}
    for line in _lines(about.path):
        at = _column(line, "datetime")
        whole = _column(line, "carbon intensity", "life") or _column(line, "carbon intensity", "lca")
        direct = _column(line, "carbon intensity", "direct")
        _needs(line, "Electricity Maps", a_time=at, carbon_intensity=whole or direct)
        for kind, column in (("carbon_intensity", whole), ("carbon_intensity_direct", direct)):
            if column and line.text(column):
                points[kind][line.instant(at or "")].append(_widened(line.number_of(column)))
    return points


def _watttime(about: About) -> Points:
    told: dict[datetime, list[Ends]] = defaultdict(list)
    for line in _lines(about.path):
        at = _column(line, "point_time") or _column(line, "timestamp")
        value = next((name for name in line.cells if name.lower() in ("value", "moer")), None)
        _needs(line, "WattTime", a_time=at, the_marginal_rate=value)
        told[line.instant(at or "")].append(_widened(line.number_of(value or "") * G_PER_KWH_OF_LB_PER_MWH))
    return {"carbon_intensity_marginal": told}


def _own(about: About) -> Points:
    if about.kind not in UNITS:
        raise FactorError(f"a series is of one of {', '.join(UNITS)}, not of {about.kind!r}")
    told: dict[datetime, list[Ends]] = defaultdict(list)
    for line in _lines(about.path):
        _needs(line, "one's own", start_utc=_column(line, "start_utc"), value=_column(line, "value"))
        mid = line.number_of("value")
        low = line.number_of("low") if line.text("low") else mid
        high = line.number_of("high", mid) if line.text("high") else mid
        if low > mid:
            raise line.wrong("low", f"at most the value {mid:g}")
        told[line.instant("start_utc")].append((low, mid, high))
    return {about.kind: told}


# ENTSO-E ----------------------------------------------------------------------------------------------------------

# production type, as it begins -> technology of `technology_intensity`; None: it has no factor, and takes the mean
TECHNOLOGIES = {
    "biomass": "biomass", "waste": "biomass", "fossil brown coal": "lignite", "fossil oil shale": "lignite",
    "fossil peat": "lignite", "fossil coal-derived gas": "coal", "fossil hard coal": "coal", "fossil gas": "gas",
    "fossil oil": "oil", "geothermal": "geothermal", "hydro pumped": None, "hydro": "hydro", "marine": "ocean",
    "nuclear": "nuclear", "solar": "solar", "wind offshore": "wind-offshore", "wind onshore": "wind-onshore",
    "energy storage": None, "other": None,
}  # fmt: skip
ABSENT = ("", "n/e", "n/a", "-")
MOST_UNKNOWN = 0.2  # of an hour's generation without a factor: with more of it the hour has no value


def _entsoe(about: About) -> Points:
    made: dict[datetime, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    areas: set[str] = set()
    for line in _lines(about.path):
        at = _column(line, "mtu") or _column(line, "datetime")
        _needs(line, "ENTSO-E (actual generation per production type)", a_time=at)
        areas.add(line.text(_column(line, "area") or ""))
        if len(areas) > 1:
            raise FactorError(f"{about.path}: has several areas ({', '.join(sorted(areas))}); keep the rows of one")
        instant = _entsoe_instant(line, at or "")
        for production, column in _productions(line):
            if line.text(column).lower() not in ABSENT:
                made[instant][production] += line.number_of(column, -math.inf)
    kinds = {"carbon_intensity": "technology_intensity", "carbon_intensity_direct": "technology_intensity_direct"}
    return {kind: _intensities(made, table) for kind, table in kinds.items()}


def _productions(line: Line) -> Iterator[tuple[str, str]]:
    """(production type, column of its MW) of a row: one in the long form, many in the wide one."""
    named, amount = _column(line, "production", "type"), _column(line, "generation")
    if named and amount:
        yield line.text(named).lower(), amount
        return
    columns = [name for name in line.cells if "actual aggregated" in name.lower()]
    _needs(line, "ENTSO-E (actual generation per production type)", production=columns[0] if columns else None)
    yield from ((name.lower(), name) for name in columns)


def _entsoe_instant(line: Line, column: str) -> datetime:
    """The beginning of a market time unit: `01.01.2026 00:00 - 01.01.2026 01:00 (CET/CEST)`, or ISO in UTC."""
    text = line.text(column)
    zone = ZoneInfo("Europe/Brussels") if "CE" in (text + column).upper().partition("(")[2] else UTC
    begin = text.partition(" - ")[0].strip()
    for form in ("%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"):
        try:
            return datetime.strptime(begin, form).replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
        except ValueError:
            continue
    raise line.wrong(column, "a time such as 01.01.2026 00:00 - 01.01.2026 01:00 (UTC)")


def _intensities(made: Mapping[datetime, Mapping[str, float]], table: str) -> dict[datetime, list[Ends]]:
    """Mean intensity of each instant, weighted with what each technology made; of storage that is being filled none."""
    factors = {row.region: (row.low, row.value, row.high) for row in load().rows if row.kind == table}
    told: dict[datetime, list[Ends]] = {}
    for instant, by_type in made.items():
        known: dict[str, float] = defaultdict(float)
        for production, mw in by_type.items():
            technology = _technology(production)
            if technology:
                known[technology] += max(mw, 0.0)
        whole, covered = math.fsum(max(mw, 0.0) for mw in by_type.values()), math.fsum(known.values())
        if covered > 0 and covered >= (1 - MOST_UNKNOWN) * whole:
            low, mid, high = (
                math.fsum(mw * factors[technology][end] for technology, mw in known.items()) / covered
                for end in range(3)
            )
            told[instant] = [(low, mid, high)]
    return told


def _technology(production: str) -> str | None:
    return next((found for name, found in TECHNOLOGIES.items() if production.startswith(name)), None)


Reader = Callable[[About], Points]
_OF_GRID = "location-based, by time"
FORMATS: dict[str, tuple[str, str, Reader]] = {
    "electricitymaps": (
        "Electricity Maps",
        f"{_OF_GRID}, consumption mix; low/high: the value, widened by 15 % (ours)", _electricity_maps,
    ),
    "entsoe": (
        "ENTSO-E Transparency Platform",
        f"{_OF_GRID}, production mix; each technology by IPCC AR5; low/high: those of the technologies", _entsoe,
    ),
    "watttime": ("WattTime", "marginal, at the stack, by time; low/high: the value, widened by 15 % (ours)", _watttime),
    "own": ("own file", "as its file has it", _own),
}  # fmt: skip
URLS = {
    "Electricity Maps": "https://app.electricitymaps.com/datasets",
    "ENTSO-E Transparency Platform": "https://transparency.entsoe.eu",
    "WattTime": "https://watttime.org",
}
