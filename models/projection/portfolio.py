"""A portfolio: who asks how often for what. From a questionnaire, or the 100 use cases of the study.

    a file, CSV or TOML ──▶ rows, each cell with its line ──▶ checked, gaps filled ──▶ `Portfolio`

Only `name` and `kind` are asked for. What is left out has the study's value (a place: this site's), and stands in
`defaults`. A cell that cannot be true stops the reading with its line and field; nothing is half-loaded. Shares are
written `FR=0.6 US=0.4` in CSV and as tables in TOML; they add up to 1.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate
from joulebook.accounting.factors import WORLD, load
from joulebook.models.projection import paper2501

KINDS = (*paper2501.GENERATIVE, *paper2501.TRADITIONAL, "job")
NUMBERS = ("use_cases", "users", "requests_per_user_day", "days_per_year", "input_tokens", "output_tokens", "calls")
SHARES = ("model_sizes", "regions")
FIELDS = ("name", "kind", *NUMBERS[:4], "model_sizes", "provider", "model", *NUMBERS[4:], "regions")
MOST = 1e15  # of anything that is counted
MOST_DAYS = 366.0
FORMULA_STARTS = ("=", "+", "-", "@")
TEMPLATE = """\
name,kind,use_cases,users,requests_per_user_day,days_per_year,model_sizes,provider,model,input_tokens,output_tokens,calls,regions
Assistant for everybody,chat,1,5000,4,220,,openai,gpt-4o,300,400,,FR=0.6 US=0.4
Search in our documents,rag,2,800,10,220,medium,,,,,,DE
Agents of the back office,agents,3,200,6,220,low=0.5 high=0.5,,,,,,
Photos of parts,cv,1,50,200,250,,,,,,,
"""


@dataclass(frozen=True)
class Price:
    """What a request costs at its API: what goes in, and what comes out. `basis`: how the price is known."""

    input_usd: float
    output_usd: float
    basis: str


@dataclass(frozen=True)
class UseCase:
    """So many use cases that are alike. `defaults`: the fields that nobody filled in.

    `energy_j`: IT energy of a request, where it is one's own and measured. `price`: where it was paid for.
    """

    name: str
    kind: str
    use_cases: float
    users: float
    requests_per_user_day: float
    days_per_year: float
    model_sizes: Mapping[str, float]
    regions: Mapping[str, float]
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    calls: float = 1.0
    provider: str | None = None
    model: str | None = None
    energy_j: Estimate | None = None
    price: Price | None = None
    defaults: tuple[str, ...] = ()

    @property
    def requests_per_year(self) -> float:
        return self.use_cases * self.users * self.requests_per_user_day * self.days_per_year


@dataclass(frozen=True)
class Portfolio:
    """Use cases as they are in `base_year`."""

    name: str
    use_cases: tuple[UseCase, ...]
    base_year: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """What somebody wrote of a use case, and where each cell of it stands."""

    cells: Mapping[str, Any]
    where: Callable[[str], str]


# The study's own --------------------------------------------------------------------------------------------------


def of_the_paper(inputs: str, region: str = WORLD) -> Portfolio:
    """The study's 100 use cases, by kind: shares and frequency as printed, or as its results need them."""
    known = paper2501.facts()
    count = known["use_cases"]
    rows = [
        Row({"name": kind, "kind": kind, "use_cases": count * share,
             "requests_per_user_day": known[f"requests_per_user_day_{inputs}"]}, lambda field: field)
        for kind, share in paper2501.shares(inputs).items()
    ]  # fmt: skip
    notes = (f"100 use cases of a firm with more than 20 bn of revenue, as {paper2501.CITATION}, has them.",)
    return Portfolio("the study's 100 use cases", tuple(_use_case(row, region) for row in rows), 2024, notes)


# A file -----------------------------------------------------------------------------------------------------------


def read(path: Path, base_year: int, region: str = WORLD) -> Portfolio:
    """The use cases of a file. `region`: where those are that name no place. Raises InputError with line and field."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return of_bytes(content, path, base_year, region)


def of_bytes(content: bytes, path: Path, base_year: int, region: str = WORLD) -> Portfolio:
    """What a file holds; `path` tells its kind, and is named where something is wrong."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8; save it as CSV UTF-8") from error
    rows = list(_of_toml(path, text) if path.suffix.lower() == ".toml" else _of_csv(path, text))
    return portfolio_of(rows, str(path), base_year, region)


def portfolio_of(rows: Iterable[Row], name: str, base_year: int, region: str = WORLD) -> Portfolio:
    """Rows, from a file or a form, as a portfolio: all of them or none."""
    use_cases = tuple(_use_case(row, region) for row in rows)
    if not use_cases:
        raise InputError(
            f"{name}: has no use case; write a line for each below the header (joulebook portfolio template)"
        )
    return Portfolio(name, use_cases, base_year)


def _of_csv(path: Path, text: str) -> Iterable[Row]:
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in first and "," not in first else ",")
    header = [name.strip() for name in reader.fieldnames or ()]
    if text.strip():
        _known(header, f"{path}, line 1")
        reader.fieldnames = header
    for cells in reader:
        line = f"{path}, line {reader.line_num}"
        if None in cells or None in cells.values():
            count = len(header)
            raise InputError(f"{line}: does not have the {count} cells of the header; quote a cell with a comma in it")
        if any(cell.strip() for cell in cells.values()):  # a spreadsheet may end in lines of nothing
            yield Row({name: unguarded(cell.strip()) for name, cell in cells.items()}, _in_line(line))


def guarded(cell: str) -> str:
    """Text that a spreadsheet shows and does not run."""
    return f"'{cell}" if cell.lstrip("'").startswith(FORMULA_STARTS) else cell


def unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULA_STARTS) else cell


def _in_line(line: str) -> Callable[[str], str]:
    return lambda field: f"{line}, {field}"


def _of_toml(path: Path, text: str) -> Iterable[Row]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not TOML: {error}") from error
    found = table.pop("use_case", [])
    if table or not isinstance(found, list) or not all(isinstance(each, dict) for each in cast("list[Any]", found)):
        raise InputError(f"{path}: a portfolio is written as tables [[use_case]], and nothing else")
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*use_case\s*]]", line)]
    for number, cells in enumerate(cast("list[dict[str, Any]]", found)):
        start, end = (starts[number], [*starts, len(lines) + 1][number + 1]) if number < len(starts) else (1, 1)
        where = _in_table(path, lines[start : end - 1], start)
        for key in cells:
            _known({key, "name", "kind"}, where(key).rpartition(",")[0])
        yield Row(cells, where)


def _in_table(path: Path, lines: list[str], start: int) -> Callable[[str], str]:
    """`lines`: of a table, below its head in line `start`; a field that it lacks is told of the head."""

    def where(field: str) -> str:
        named = (n for n, line in enumerate(lines, start + 1) if re.match(rf"\s*{re.escape(field)}\b", line))
        return f"{path}, line {next(named, start)}, {field}"

    return where


def _known(fields: Iterable[str], where: str) -> None:
    """The columns are ours, and those that are asked for are there."""
    fields = list(fields)
    for field in fields:
        if field not in FIELDS:
            near = get_close_matches(field, FIELDS, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; a portfolio has {', '.join(FIELDS)}"
            raise InputError(f"{where}: {field!r} is no field of a use case{hint}")
    twice = [field for field in FIELDS if fields.count(field) > 1]
    if twice:
        raise InputError(f"{where}: {twice[0]} stands there twice")
    missing = {"name", "kind"} - set(fields)
    if missing:
        raise InputError(f"{where}: {' and '.join(sorted(missing))} must be there")


# A use case -------------------------------------------------------------------------------------------------------


def _use_case(row: Row, region: str) -> UseCase:
    """A row, checked, its gaps filled with the study's values."""
    told = {field: value for field, value in row.cells.items() if value not in ("", None)}
    name, kind = _text(row, "name"), _text(row, "kind").lower()
    if kind not in KINDS:
        raise InputError(f"{row.where('kind')}: {kind!r} is no kind of use; write one of {', '.join(KINDS)}")
    filled = defaults_of(kind, region)
    numbers = {field: _number(row, field) if field in told else filled[field] for field in NUMBERS}
    shares = {field: _shares(row, field) if field in told else filled[field] for field in SHARES}
    named = {field: _text(row, field) for field in ("provider", "model") if field in told}
    gaps = (field for field in (*NUMBERS, *SHARES) if field not in told and filled[field])
    if "model" in named:
        gaps = (field for field in gaps if field != "model_sizes")
    values: dict[str, Any] = {**numbers, **shares, **named}
    return UseCase(name, kind, **values, defaults=tuple(gaps))


def defaults_of(kind: str, region: str = WORLD) -> dict[str, Any]:
    """What stands in a use case of this kind where nobody says anything: the study's values, and this place."""
    known = paper2501.facts()
    generative = kind in paper2501.GENERATIVE
    tokens = ("input_tokens", "output_tokens", "calls")
    return {
        "use_cases": 1.0,
        "users": known["genai_users" if generative else "traditional_users"],
        "requests_per_user_day": known["requests_per_user_day_calibrated"],
        "days_per_year": known["days_per_year"],
        **{field: known[f"{kind}_{field}"] if generative else 0.0 for field in tokens},
        "model_sizes": paper2501.size_shares() if generative else {},
        "regions": {region: 1.0},
    }


def _text(row: Row, field: str) -> str:
    value = row.cells.get(field)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{row.where(field)}: must be a text, not {value!r}")
    return value.strip()


def _number(row: Row, field: str) -> float:
    value = row.cells[field]
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= MOST:
        raise InputError(f"{row.where(field)}: {value!r} is not a number from 0 up")
    if field == "days_per_year" and number > MOST_DAYS:
        raise InputError(f"{row.where(field)}: {value!r} is more than the {MOST_DAYS:g} days of a year")
    return number


def _shares(row: Row, field: str) -> dict[str, float]:
    """`FR=0.6 US=0.4`, a table of the same, or one name alone; each known, from 0 to 1, together 1."""
    written, where = row.cells[field], row.where(field)
    if isinstance(written, str):
        words = (part.partition("=") for part in written.split())
        parts: list[tuple[str, object]] = [(name, share if equals else 1.0) for name, equals, share in words]
    elif isinstance(written, dict):
        parts = list(cast("dict[str, object]", written).items())
    else:
        raise InputError(f"{where}: {written!r} is not written as FR=0.6 US=0.4")
    clean = _regions if field == "regions" else _sizes
    shares = {clean(name, where): _share(name, share, where) for name, share in parts}
    if len(shares) < len(parts):
        raise InputError(f"{where}: names one of its parts twice: {written!r}")
    total = math.fsum(shares.values())
    if abs(total - 1) > 1e-6:
        raise InputError(f"{where}: the shares {written!r} add up to {total:g}, not to 1")
    return shares


def _share(name: str, written: object, where: str) -> float:
    try:
        share = float(cast("Any", written))
    except (TypeError, ValueError):
        share = math.nan
    if not 0 <= share <= 1:
        raise InputError(f"{where}: {written!r} is not a share from 0 to 1, of {name}")
    return share


def _sizes(name: str, where: str) -> str:
    if name.lower() not in paper2501.SIZES:
        raise InputError(f"{where}: {name!r} is no size of a model; write {', '.join(paper2501.SIZES)}")
    return name.lower()


def _regions(name: str, where: str) -> str:
    code, known = name.upper(), load()
    if known.knows_place("carbon_intensity", code):
        return code
    near = get_close_matches(code, known.regions("carbon_intensity"), 3, 0.5)
    hint = f"near it: {', '.join(near)}" if near else f"write a country such as FR, a state such as US-CA, or {WORLD}"
    raise InputError(f"{where}: the region {name!r} is not known; {hint}")
