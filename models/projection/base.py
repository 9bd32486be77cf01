"""The base year: what all requests of a portfolio take, by kind of use and region, each part with its range.

Low, mid and high are summed each: the same engine is wrong in the same way everywhere. Of the sums, `spread` keeps how
far each kind of input may be off (energy of a request, impact of a kWh, manufacture), so that draws of it can be made.
A use case that the engine says nothing of is in `silent`, and in no sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from joulebook.accounting.records import weakest
from joulebook.accounting.site import Range, Site
from joulebook.models.projection.engines import CATEGORIES, Engine, Part, Said, added, place_of, scaled
from joulebook.models.projection.portfolio import Portfolio, UseCase

Cell = tuple[str, str]  # (kind of use, region)


@dataclass(frozen=True)
class Base:
    """A portfolio as an engine sees it.

    `cells`: the mids of a year of each part; `spread`: how far they may be off, against their mid; `missing`: why a
    category is not known; `covers`: what is in a category.
    """

    portfolio: Portfolio
    engine: Engine
    cells: Mapping[Cell, Mapping[Part, float]]
    spread: Mapping[str, Range]
    method: str
    said: tuple[tuple[UseCase, str, Said], ...]  # of each use case at each of its places
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    covers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def silent(self) -> tuple[tuple[UseCase, str], ...]:
        return tuple((use_case, said.reason) for use_case, _, said in self.said if said.reason)

    @property
    def why_unknown(self) -> str:
        return self.silent[0][1] if self.silent else "it has no request in a year"

    @property
    def known(self) -> bool:
        return self.total("energy") > 0

    @property
    def projected_method(self) -> str:
        """Of what is carried to a year and beyond: modelled at best, however the request was measured."""
        return weakest((self.method, "modelled"))

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f"{said.engine}: {note}" for _, _, said in self.said for note in said.notes))

    @property
    def factor_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, _, said in self.said for name in said.factor_ids))

    def total(self, category: str) -> float:
        return sum(value for parts in self.cells.values() for part, value in parts.items() if part[0] == category)


def base_of(portfolio: Portfolio, engine: Engine, site: Site) -> Base:
    """Every use case asked about at each of its places, and summed."""
    said: list[tuple[UseCase, str, Said]] = []
    sums: dict[Cell, dict[Part, Range]] = {}
    for use_case in portfolio.use_cases:
        for region, share in use_case.regions.items():
            told = engine.say(use_case, place_of(region, site))
            said.append((use_case, region, told))
            cell = sums.setdefault((use_case.kind, region), {})
            for part, values in told.parts.items():
                year = scaled(values, use_case.requests_per_year * share)
                cell[part] = added(cell.get(part, (0.0, 0.0, 0.0)), year)
    cells = {cell: {part: values[1] for part, values in parts.items()} for cell, parts in sums.items() if parts}
    answers = [told for _, _, told in said if not told.reason]
    missing = _missing(answers)
    return Base(
        portfolio, engine, cells, _spread(sums), weakest([told.method for told in answers]) if answers else "unknown",
        tuple(said), missing, _covers(cells, missing),
    )  # fmt: skip


def _missing(answers: list[Said]) -> dict[str, str]:
    """Categories of which the running part of some use case is not known: a partial sum would look like a whole one."""
    found: dict[str, str] = {}
    for category in CATEGORIES:
        lacking = [each for each in answers if (category, "grid") not in each.parts]
        if lacking:
            found[category] = f"{lacking[0].engine}, {lacking[0].lacking.get(category, 'it does not say')}"
    return found


def _covers(cells: Mapping[Cell, Mapping[Part, float]], missing: Mapping[str, str]) -> dict[str, str]:
    """Whether manufacture is in a category: of all the energy, of a part, or not at all."""
    energy = {cell: parts["energy", "grid"] for cell, parts in cells.items()}
    whole = sum(energy.values())
    told: dict[str, str] = {}
    for category in CATEGORIES:
        made = sum(energy[cell] for cell, parts in cells.items() if (category, "embodied") in parts)
        if category in missing:
            continue
        if made == 0:
            told[category] = "operation only"
        elif made > 0.99999 * whole:
            told[category] = "operation and manufacture"
        else:
            told[category] = f"operation, and manufacture for {min(100 * made / whole, 99.9):.1f} % of the energy"
    return told


def _spread(sums: Mapping[Cell, Mapping[Part, Range]]) -> dict[str, Range]:
    """How far off, against the mid: the energy of a request, each impact of a kWh, manufacture in each category."""
    total: dict[Part, Range] = {}
    for parts in sums.values():
        for part, values in parts.items():
            total[part] = added(total.get(part, (0.0, 0.0, 0.0)), values)
    energy = _against_mid(total.get(("energy", "grid"), (0.0, 0.0, 0.0)))
    found = {"request_energy": energy}
    for (category, part), values in total.items():
        if part == "embodied":
            found[f"{category}_embodied"] = _against_mid(values)
        elif category != "energy":
            low, _, high = _against_mid(values)
            found[f"{category}_{part}"] = min(1.0, low / (energy[0] or 1.0)), 1.0, max(1.0, high / energy[2])
    return found


def _against_mid(values: Range) -> Range:
    low, mid, high = values
    return (low / mid, 1.0, high / mid) if mid else (1.0, 1.0, 1.0)
