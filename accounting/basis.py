"""What impacts rest on: a set of factors and what the site declares. Kept, so that an old report can be made again.

    <home>/kept/factors-<set id>.json.gz   every row of a factor set that was used, and the names of its series
    <home>/kept/factors/                   those series, as they were imported
    <home>/kept/site-<site id>.json        what a site declared
    <home>/kept/history.jsonl              which basis was in force, and from when on

A basis that was made for one question, as that of an earlier day, is kept as well; it is in no history.

Both ids are made of the content. A basis is named by both, as in `3f2a9c0d1e4b-77c1d02a9f30`, and never changes: the
same ledger under the same basis gives the same numbers, whatever tables a later version of joulebook brings. A factor
set may also be named alone; it is then seen from the site of now. Prices of tokens have versions of their own.

A column that is added to factors later must be left out of a row's hash where it is empty, or old sets lose their ids.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting.errors import FactorError, InputError, NotFound, SiteError
from joulebook.accounting.factors import COLUMNS, Factor, FactorSet, factor_set
from joulebook.accounting.factors.series import Series, load_series, store_series
from joulebook.accounting.site import Site, load_site, parse_site

NOW = "now"
_DAYS = ("valid_from", "valid_to", "retrieved")
_ID = re.compile(r"[0-9a-f]{4,12}(-[0-9a-f]{4,12})?")


@dataclass(frozen=True)
class Basis:
    """A factor set seen from a site. `because` says in words how it was chosen."""

    site: Site
    factors: FactorSet
    because: str = "the factors and the site of now"

    @cached_property
    def site_id(self) -> str:
        """A hash of everything that the site declares, 12 hexadecimal digits."""
        return hashlib.sha256(_site_text(self.site).encode()).hexdigest()[:12]

    @cached_property
    def basis_id(self) -> str:
        return f"{self.factors.set_id}-{self.site_id}"


class Kept(NamedTuple):
    """A basis in the history of a home: since when it was in force, and how many factors it has."""

    basis_id: str
    since: datetime
    region: str
    rows: int


def current(home: Path) -> Basis:
    """The basis of now. Raises SiteError and FactorError."""
    return Basis(load_site(home), factor_set(home))


# Keeping ----------------------------------------------------------------------------------------------------------


def folder(home: Path) -> Path:
    return home / "kept"


def keep(home: Path, basis: Basis) -> None:
    """Keep a basis of now, and note when it is another one than before. Cheap where nothing is new.

    A home that may only be read keeps nothing, and can be asked all the same.
    """
    newest = kept(home)[:1]
    if not newest or newest[0].basis_id != basis.basis_id:
        with suppress(OSError):
            _store(home, basis)
            _note(home, basis)


def keep_aside(home: Path, basis: Basis) -> None:
    """Keep a basis that was made for one question, so that its id finds it again."""
    with suppress(OSError):
        _store(home, basis)


def _store(home: Path, basis: Basis) -> None:
    folder(home).mkdir(parents=True, exist_ok=True)
    for series in basis.factors.series:
        store_series(folder(home), series)
    _write_once(folder(home) / f"factors-{basis.factors.set_id}.json.gz", lambda: _packed(basis.factors))
    _write_once(folder(home) / f"site-{basis.site_id}.json", lambda: _site_text(basis.site).encode())


def _note(home: Path, basis: Basis) -> None:
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "basis_id": basis.basis_id,
            "region": basis.site.region, "rows": len(basis.factors.rows)}  # fmt: skip
    with (folder(home) / "history.jsonl").open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")


def _write_once(path: Path, content: Callable[[], bytes]) -> None:
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_bytes(content())
        draft.replace(path)


def _site_text(site: Site) -> str:
    """What a site declares, the same text for the same site: what it does not say is left out."""
    defaults = asdict(Site())
    said = {key: value for key, value in asdict(site).items() if value != defaults[key]}
    return json.dumps(said, sort_keys=True, ensure_ascii=False)


def _packed(factors: FactorSet) -> bytes:
    columns = ("kind", *COLUMNS)
    rows = [[_plain(getattr(row, name)) for name in columns] for row in sorted(factors.rows, key=_id)]
    told = {"columns": columns, "rows": rows, "series": sorted(map(_id, factors.series))}
    return gzip.compress(json.dumps(told, ensure_ascii=False).encode(), mtime=0)


def _id(fact: Factor | Series) -> str:
    return fact.factor_id


def _plain(cell: object) -> object:
    return cell.isoformat() if isinstance(cell, date) else cell


# Finding ----------------------------------------------------------------------------------------------------------


def kept(home: Path) -> list[Kept]:
    """The bases that were in force in a home, newest first."""
    found = [
        Kept(line["basis_id"], datetime.fromisoformat(line["at"]), line["region"], line["rows"])
        for line in _history(home)
    ]
    return found[::-1]


def _history(home: Path) -> Iterator[dict[str, Any]]:
    """The lines of the history; one that was torn says nothing."""
    try:
        lines = (folder(home) / "history.jsonl").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line)


def find(home: Path, named: str) -> Basis:
    """A basis by what people write: `now`, a day, the id of a basis or of a factor set, or its beginning.

    Raises InputError for what is none of these, NotFound for an id that was not kept.
    """
    if named == NOW:
        return current(home)
    if _is_day(named):
        return on_day(home, date.fromisoformat(named))
    return by_id(home, named)


def on_day(home: Path, day: date) -> Basis:
    """The basis that was in force at the end of a day; before the history began, what today's tables knew by then.

    Raises InputError for a day to come: what will be in force then nobody knows.
    """
    if day > datetime.now(UTC).date():
        raise InputError(f"{day} is still to come: write a day that is over, today, or now")
    before = [line for line in kept(home) if line.since.date() <= day]
    if before:
        return replace(by_id(home, before[0].basis_id), because=f"in force on {day}")
    return known_by(current(home), day)


def known_by(basis: Basis, day: date) -> Basis:
    """The rows of a basis that were known on a day. Raises InputError where that is none."""
    factors = basis.factors.as_of(day)
    if not factors.rows:
        oldest = min(row.retrieved for row in basis.factors.rows)
        raise InputError(
            f"no factor was known on {day}: the oldest of this set was retrieved on {oldest}; write a later day"
        )
    return Basis(basis.site, factors, f"{basis.because}, less what was not known on {day}")


def by_id(home: Path, named: str) -> Basis:
    """A basis that was kept, by its id or the beginning of it; a factor set alone is seen from the site of now."""
    if not _ID.fullmatch(named):
        raise InputError(
            f"{named!r} names no basis: write now, a day such as 2026-11-01, or an id of --factor-set list"
        )
    set_id, _, site_id = named.partition("-")
    factors = _unpacked(home, _one(home, f"factors-{set_id}*.json.gz", named))
    if not site_id:
        return Basis(load_site(home), factors, f"factor set {factors.set_id} and the site of now")
    found = Basis(_kept_site(_one(home, f"site-{site_id}*.json", named)), factors)
    return replace(found, because="as it was kept")


def _one(home: Path, pattern: str, named: str) -> Path:
    found = sorted(folder(home).glob(pattern))
    if len(found) != 1:
        what = "fits more than one" if found else "was not kept here"
        raise NotFound(f"the factor set {named!r} {what}: joulebook assess --factor-set list names those that were")
    return found[0]


def _unpacked(home: Path, path: Path) -> FactorSet:
    try:
        told = json.loads(gzip.decompress(path.read_bytes()))
        rows = tuple(_factor(dict(zip(told["columns"], cells, strict=True))) for cells in told["rows"])
        named = set(told["series"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise FactorError(f"{path}: cannot be read ({error}); without it old reports cannot be made again") from error
    series = tuple(each for each in load_series(folder(home)) if each.factor_id in named)
    factors = FactorSet(rows, series)
    if f"factors-{factors.set_id}.json.gz" != path.name:
        raise FactorError(f"{path}: its content does not have the id that it is named by; it was changed or cut")
    return factors


def _factor(cells: dict[str, Any]) -> Factor:
    days: dict[str, Any] = {name: date.fromisoformat(cells[name]) if cells[name] else None for name in _DAYS}
    return Factor(**{**cells, **days})


def _kept_site(path: Path) -> Site:
    try:
        site = parse_site(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise SiteError(f"{path}: cannot be read ({error}); without it old reports cannot be made again") from error
    if f"site-{Basis(site, FactorSet(())).site_id}.json" != path.name:
        raise SiteError(f"{path}: it does not have the id that it is named by; it was changed")
    return site


def _is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text)) and len(text) == len("2026-11-01")
    except ValueError:
        return False
