"""How far the engines are apart, beside the range inside each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from joulebook.models.footprint.answer import UNITS, WITH_MANUFACTURE, Footprint
from joulebook.models.footprint.call import Call
from joulebook.models.footprint.place import Place

COMPARED = {
    **UNITS, **{f"{part}_{name}": UNITS[name] for name in WITH_MANUFACTURE for part in ("operational", "embodied")},
}  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """How far the engines are apart in a category: between their mids, beside the range inside each of them."""

    category: str
    unit: str
    lowest: float | None
    lowest_engine: str | None
    highest: float | None
    highest_engine: str | None
    ratio: float | None
    within: Mapping[str, float | None]  # engine -> its high ÷ its low
    left_out: Mapping[str, str]  # engine -> why it is not compared


@dataclass(frozen=True)
class Answer:
    """All that the engines say of a call."""

    call: Call
    place: Place
    engines: tuple[Footprint, ...]
    spread: tuple[Spread, ...]

    @property
    def known(self) -> bool:
        return any(engine.known for engine in self.engines)


def spread_of(engines: Sequence[Footprint]) -> tuple[Spread, ...]:
    return tuple(_spread(category, unit, engines) for category, unit in COMPARED.items())


def _spread(category: str, unit: str, engines: Sequence[Footprint]) -> Spread:
    left_out = {each.name: each.apart[category] for each in engines if category in each.apart}
    told = {each.name: each.of(category) for each in engines if each.name not in left_out}
    mids = sorted((amount.mid, name) for name, amount in told.items() if amount.mid is not None)
    within = {name: _ratio(told[name].high, told[name].low) for _, name in mids}
    if not mids:
        return Spread(category, unit, None, None, None, None, None, within, left_out)
    (lowest, least), (highest, most) = mids[0], mids[-1]
    ratio = _ratio(highest, lowest) if len(mids) > 1 else None  # one engine alone has no spread
    return Spread(category, unit, lowest, least, highest, most, ratio, within, left_out)


def _ratio(high: float | None, low: float | None) -> float | None:
    return high / low if high is not None and low else None
