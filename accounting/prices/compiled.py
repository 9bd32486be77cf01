"""The dated list as rows: one for each price of a model, for each context and time in which it holds.

    model ─> its contexts × the days and times of day at which a price begins ─> what the list says then ─> rows

The list itself is asked what holds at one moment of each stretch of time, so that its rules (the last price that is
active, the first variant that fits) are never written a second time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple, cast

from joulebook.accounting.prices import listed

MIDNIGHT = time(0)
# Groq bills a transcription as ten seconds at least.
LEAST = {("groq", "whisper-large-v3"): 10.0, ("groq", "whisper-large-v3-turbo"): 10.0}


class Price(NamedTuple):
    """What one unit costs, in a stretch of time, from `tier_start` input tokens of a call on (0: always)."""

    provider: str
    model: str
    context: str
    valid_from: date | None
    valid_to: date | None
    daily_from: time | None
    daily_to: time | None
    unit: str
    tier_start: float
    usd_per_unit: float
    least_amount: float | None  # a smaller amount is billed as this
    source: str


Stretch = tuple[date | None, date | None, time | None, time | None]  # days and times of day, an open end is None


@cache
def prices() -> tuple[Price, ...]:
    """All rows of the list that the package carries."""
    found: list[Price] = []
    for provider in listed.snapshot().providers:
        for model in provider.models:
            for context in _contexts(model):
                found += _of_model(provider, model, context)
        known = {model.id for model in provider.models}
        for model in listed.borrowed(provider):
            name = listed.listed_id(provider, model)
            if name not in known:  # the first one that it falls back to has the name
                found += _of_model(provider, model, {})
                known.add(name)
    return tuple(found)


@cache
def list_id() -> str:
    """The version of the package, and a hash of all rows."""
    from genai_prices import __version__

    return f"genai-prices-{__version__}-{digest(map(str, prices()))}"


@cache
def fingerprint() -> str:
    """A hash of what the rows are made from, which costs far less than making them."""
    from genai_prices import data, data_units

    files = (data.__file__, data_units.__file__, listed.__file__, __file__)
    return digest(hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in files)


def digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:12]


def _contexts(model: Any) -> Iterator[dict[str, str]]:
    """Every context on which a price of the model depends, the empty one first."""
    values: dict[str, list[str | None]] = {}
    for variant in model.price_variants or ():
        for key, value in variant.when.items():
            values.setdefault(key, [None]).append(value)
    for chosen in product(*(dict.fromkeys(some) for some in values.values())):
        yield {key: value for key, value in zip(values, chosen, strict=True) if value is not None}


def _of_model(provider: Any, model: Any, context: dict[str, str]) -> Iterator[Price]:
    name, about = listed.listed_id(provider, model), json.dumps(context, sort_keys=True)
    source = next(iter(provider.pricing_urls or ()), "genai-prices")
    least = LEAST.get((provider.id, model.id))
    for when, unit, tier_start, usd in _in_time(model, context):
        yield Price(provider.id, name, about, *when, unit, tier_start, usd, least, source)


def _in_time(model: Any, context: dict[str, str]) -> Iterator[tuple[Stretch, str, float, float]]:
    """`(stretch, unit, tier_start, usd_per_unit)`; stretches of days with the same prices are one."""
    days, times = _cuts(model)
    for daily_from, daily_to in pairwise([*times, None]):
        since: date | None = None
        for day, following in pairwise([None, *days, None]):
            moment = datetime.combine(day or _before(days), daily_from or MIDNIGHT, UTC)
            now = model.get_prices(moment, context)
            later = following and model.get_prices(datetime.combine(following, daily_from or MIDNIGHT, UTC), context)
            if later != now or following is None:
                whole_day = len(times) == 1
                stretch = (since, following, None if whole_day else daily_from, daily_to)
                for unit, tier_start, usd in _units(model, now):
                    yield stretch, unit, tier_start, usd
                since = following


def _cuts(model: Any) -> tuple[list[date], list[time]]:
    """The days and the times of day, from midnight, at which a price of a model may begin or end."""
    conditional: list[Any] = [] if hasattr(model.prices, "calc_price") else model.prices
    ruled = (*conditional, *(model.price_variants or ()))
    limits: list[Any] = [one.constraint for one in ruled if one.constraint is not None]
    days: set[date] = {limit.start_date for limit in limits if hasattr(limit, "start_date")}
    daily: list[Any] = [limit for limit in limits if hasattr(limit, "start_time")]
    times = {_utc(at) for limit in daily for at in (limit.start_time, limit.end_time)}
    return sorted(days), sorted({MIDNIGHT, *times})


def _before(days: list[date]) -> date:
    return days[0] - timedelta(days=1) if days else date(2026, 1, 1)


def _utc(at: time) -> time:
    zoned = at if at.tzinfo else at.replace(tzinfo=UTC)
    return datetime.combine(date(1970, 1, 2), zoned).astimezone(UTC).time()


def _units(model: Any, price: Any) -> Iterator[tuple[str, float, float]]:
    """`(unit, tier_start, usd_per_unit)` of all that has a price; tokens of a model that is listed as free cost 0."""
    by_key = _by_price_key()
    told = cast("dict[str, Any]", vars(price))
    stated = {key: value for key, value in told.items() if value is not None and key in by_key}
    if not stated and _is_free(model):
        yield from (("input_tokens", 0.0, 0.0), ("output_tokens", 0.0, 0.0))
    for key, value in stated.items():
        unit = by_key[key]
        yield unit.usage_key, 0.0, float(getattr(value, "base", value) / unit.per)
        for tier in getattr(value, "tiers", ()):
            yield unit.usage_key, float(tier.start), float(tier.price / unit.per)


def _is_free(model: Any) -> bool:
    return (
        model.id.endswith(":free")
        or "(free)" in (model.name or "").lower()
        or "free of charge" in (model.description or "")
    )


@cache
def _by_price_key() -> dict[str, Any]:
    from genai_prices.data_units import unit_data
    from genai_prices.units import UnitRegistry

    return {unit.price_key: unit for unit in UnitRegistry(unit_data).units.values()}
