"""How good the data behind totals is: what shares of them rest on, and their tiers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from joulebook.accounting.assess import CATEGORIES, Assessor, worst_match
from joulebook.accounting.basis import Basis
from joulebook.accounting.quality import WORDS, Line, Quality, quality
from joulebook.accounting.records import METHODS
from joulebook.reports.view import Column
from joulebook.reports.views.common import SHOWN, evidence, percent

TIER = Column("tier", "Data tier", "number")
TIER_NOTE = f"Data tiers: {'; '.join(f'{tier} {words}' for tier, words in WORDS.items())}."
Qualities = Mapping[str, Quality | None]  # by the keys of the impacts that are shown


def qualities(assess: Assessor, key: str, where: str = "true", params: Sequence[Any] = ()) -> dict[str, Qualities]:
    """For each key (SQL over `assessed` a and `work` w) the quality of each of its impacts."""
    sums = ", ".join(f"sum({category}_mid) as {category}" for category in SHOWN.values())
    rows = assess.rows(
        f"""select {key} as key, piece, method_rank, {sums}
            from assessed a join work w on w.span_id = a.run_id where {where} group by all order by all""",
        tuple(params),
    )
    of_key: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        of_key[row["key"]].append(row)
    return {each: {cell: _quality(assess, some, cell) for cell in SHOWN} for each, some in of_key.items()}


def _quality(assess: Assessor, rows: Sequence[Mapping[str, Any]], cell: str) -> Quality | None:
    category = SHOWN[cell]
    kinds = CATEGORIES[category][1]
    return quality(
        Line(row[category], METHODS[row["method_rank"]], worst_match(assess.pieces[row["piece"]], kinds))
        for row in rows
        if row[category] is not None
    )


def quality_cells(told: Qualities | None) -> dict[str, Any]:
    """What a row of a table has: the tier of its carbon, and all of it for who exports it."""
    cells = {cell: each and each.as_json() for cell, each in (told or dict.fromkeys(SHOWN)).items()}
    carbon = (told or {}).get("carbon_g")
    return {"tier": carbon.tier if carbon else None, "data_quality": cells}


def energy_rests_on(told: Qualities | None) -> list[str]:
    """`81 % measured`, `19 % modelled`: how much of the energy rests on which method."""
    energy = (told or {}).get("energy_j")
    return evidence(energy.rests_on) if energy else []


def quality_notes(told: Qualities | None) -> tuple[str, ...]:
    carbon = (told or {}).get("carbon_g")
    return (tiers_in_words(carbon),) if carbon else ()


def tiers_in_words(quality: Quality) -> str:
    """`Data behind the carbon: 81 % tier 1 (measured, …), 19 % tier 4 (a world average stands in).`"""
    parts = [f"{percent(share)} tier {tier} ({WORDS[tier]})" for tier, share in quality.tiers.items()]
    default = quality.rests_on.get("default", 0)
    rest = f" {percent(default)} of it rests on default values." if 0 < default < 1 else ""
    return f"Data behind the carbon: {', '.join(parts)}.{rest}"


def basis_in_words(basis: Basis) -> str:
    """Which basis it is, and how to get the same numbers again."""
    return f"Basis {basis.basis_id}: {basis.because}. The same again: joulebook assess --factor-set {basis.basis_id}"
