"""A user's own prices: `prices.toml` in the home, above all price lists.

    [exchange]                                  # US dollars for one unit of a currency, from a day on
    EUR = [{usd = 1.08}, {from = 2026-07-01, usd = 1.12}]

    [[price]]                                   # what was agreed; what it does not name stays as the list has it
    provider = "openai"                         # whose API, or the host that was called; * and ? stand for anything
    model = "gpt-5*"
    currency = "EUR"                            # else US dollars
    per_million = {input_tokens = 1.10, output_tokens = 8.80}
    per_unit = {web_searches = 0.008}
    from = 2026-01-01                           # the first day; leave out for always
    until = 2027-01-01                          # the first day on which it is over
    context = {processing = "batch"}            # only calls with it

    [[discount]]                                # off the prices of the lists, never off own prices
    provider = "anthropic"
    percent = 12.5

Where two entries fit, the later one counts. A price that depends on the size of a call is not to be told here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting import given, usage
from joulebook.accounting.errors import InputError
from joulebook.accounting.prices.nesting import unpriced_overlap

FILE_NAME = "prices.toml"
SCOPE = ("provider", "model", "context", "from", "until")
KEYS = {"price": (*SCOPE, "currency", "per_million", "per_unit"), "discount": (*SCOPE, "percent")}


class Called(NamedTuple):
    """How a call names its provider and model, in all ways that are known; and its whole context."""

    providers: tuple[str, ...]
    models: tuple[str, ...]
    context: Mapping[str, str]


@dataclass(frozen=True)
class Scope:
    """Which calls an entry is about."""

    provider: str
    model: str
    context: tuple[tuple[str, str], ...]
    valid_from: date | None
    valid_to: date | None

    def fits(self, called: Called) -> bool:
        return (
            _any_fits(called.providers, self.provider)
            and _any_fits(called.models, self.model)
            and all(called.context.get(key) == value for key, value in self.context)
        )

    def holds(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)


@dataclass(frozen=True)
class OwnPrice:
    """What was agreed for some units, in a currency."""

    scope: Scope
    currency: str
    per_unit: Mapping[str, float]


@dataclass(frozen=True)
class Discount:
    """A part of the list price that is not paid: 0.125 for 12.5 %."""

    scope: Scope
    part: float


@dataclass(frozen=True)
class Contract:
    """All of a file. `exchange`: by currency, from which day on one unit is how many US dollars."""

    prices: tuple[OwnPrice, ...] = ()
    discounts: tuple[Discount, ...] = ()
    exchange: Mapping[str, Sequence[tuple[date, float]]] | None = None

    def usd_of(self, currency: str, day: date) -> float:
        """US dollars for one unit of a currency on a day."""
        return 1.0 if currency == "USD" else _standing((self.exchange or {})[currency], day)

    def days(self, called: Called) -> set[date]:
        """The days on which something changes for such a call."""
        entries = [one for one in (*self.prices, *self.discounts) if one.scope.fits(called)]
        edges = {day for one in entries for day in (one.scope.valid_from, one.scope.valid_to) if day}
        return edges | {day for rates in (self.exchange or {}).values() for day, _ in rates if day > date.min}


def path_of(home: Path) -> Path:
    return home / FILE_NAME


def read(home: Path) -> str | None:
    """The text of the file, or None where there is none. Raises InputError where it cannot be read."""
    try:
        return path_of(home).read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path_of(home)}: cannot be read ({error})") from error


def list_id(text: str) -> str:
    return f"contract-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def load(home: Path, text: str | None) -> Contract:
    """The contract of a home from its text, empty where there is none. Raises InputError naming file, entry and key."""
    try:
        return parse(text or "")
    except InputError as error:
        raise InputError(f"{path_of(home)}: {error}; mend it, nothing was priced") from error


def parse(text: str) -> Contract:
    """A contract from its text. Raises InputError naming the line, or the entry and its key."""
    table = given.toml(text)
    given.only("the file", table, ("exchange", "price", "discount"))
    exchange = {code: _rates(code, told) for code, told in given.table("exchange", table.get("exchange", {})).items()}
    prices = [_price(where, one, exchange) for where, one in given.entries(table, "price", KEYS["price"])]
    discounts = [_discount(where, one) for where, one in given.entries(table, "discount", KEYS["discount"])]
    return Contract(tuple(prices), tuple(discounts), exchange)


def _any_fits(names: Sequence[str], pattern: str) -> bool:
    return pattern == "*" or any(fnmatchcase(name.lower(), pattern) for name in names)


def _standing(rates: Sequence[tuple[date, float]], day: date) -> float:
    return [usd for since, usd in rates if since <= day][-1]


def _scope(where: str, one: Mapping[str, Any]) -> Scope:
    if "provider" not in one and "model" not in one:
        raise InputError(f'{where}: names neither a provider nor a model; for all calls write provider = "*"')
    context = given.table(f"{where}: context", one.get("context", {}))
    for key, value in context.items():
        if not isinstance(value, str):
            raise InputError(f"{where}: context.{key} must be a text, not {value!r}")
    since, until = (given.day(f"{where}: {key}", one.get(key)) for key in ("from", "until"))
    if since and until and since >= until:
        raise InputError(f"{where}: from {since} is not before until {until}")
    provider, model = (_name(f"{where}: {key}", one.get(key, "*")) for key in ("provider", "model"))
    return Scope(provider, model, tuple(sorted(context.items())), since, until)


def _name(where: str, value: object) -> str:
    return given.text(where, value, '"openai" or "gpt-5*"').lower()


def _rates(code: str, told: object) -> list[tuple[date, float]]:
    example = "[{from = 2026-01-01, usd = 1.08}]"
    rates: list[tuple[date, float]] = []
    for number, one in enumerate(given.array(f"exchange.{code}", told or None, example), start=1):
        where = f"exchange.{code}, rate {number}"
        rate = given.table(where, one)
        given.only(where, rate, ("from", "usd"))
        rates.append(
            (given.day(f"{where}: from", rate.get("from")) or date.min, given.number(f"{where}: usd", rate.get("usd")))
        )
    return sorted(rates)


def _price(where: str, one: Mapping[str, Any], exchange: Mapping[str, Sequence[tuple[date, float]]]) -> OwnPrice:
    scope, currency = _scope(where, one), one.get("currency", "USD")
    if currency != "USD" and currency not in exchange:
        raise InputError(f"{where}: no exchange rate of currency {currency!r}: add it under [exchange]")
    first = date.min if currency == "USD" else exchange[currency][0][0]
    if (scope.valid_from or date.min) < first:
        raise InputError(f"{where}: begins before the first exchange rate of {currency}, which is from {first}")
    units = {
        unit: given.number(f"{where}: {key}.{unit}", value) / size
        for key, size in (("per_million", 1e6), ("per_unit", 1.0))
        for unit, value in given.table(f"{where}: {key}", one.get(key, {})).items()
    }
    if not units:
        raise InputError(f"{where}: has no price: add per_million = {{input_tokens = …}} or per_unit = {{…}}")
    _check_units(where, units)
    return OwnPrice(scope, currency, units)


def _check_units(where: str, units: Mapping[str, float]) -> None:
    """Units that exist, and of which each part of a call belongs to one."""
    for name in units:
        if name not in usage.units():
            near = get_close_matches(name, usage.units(), 1)
            raise InputError(f"{where}: unknown unit {name!r}" + (f", did you mean {near[0]!r}?" if near else ""))
    both = unpriced_overlap(frozenset(units))
    if both:
        raise InputError(f"{where}: {both[1]} and {both[2]} overlap: give {both[0]} a price, too")


def _discount(where: str, one: Mapping[str, Any]) -> Discount:
    if "percent" not in one:
        raise InputError(f"{where}: has no percent")
    return Discount(_scope(where, one), given.number(f"{where}: percent", one["percent"], 100) / 100)
