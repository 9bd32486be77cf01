"""What spans that have just ended used, for the tools that tell it at once, and how it is written there.

    span_energies(home, span_ids)   folds what is new into the ledger of that home, and asks it
    in_words(energy)                12.3 J (8.21–20.5 J, modelled)

To import it takes the `ledger` extra: MissingExtra says so. The tools import it late.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from joulebook.accounting import spans
from joulebook.accounting.assess import assessor
from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.records import weakest

PREFIXES = ((1e-3, "mJ"), (1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ"))


class SpanEnergy(NamedTuple):
    """IT energy of a span (J), how long it took, and how often the slowest sensor of its node renews its value."""

    energy: Estimate
    duration_s: float | None
    update_s: float


_SPAN_SQL = """
    select s.span_id::varchar as span_id, s.started_at_utc, (s.end_mono_ns - s.start_mono_ns) / 1e9 as duration_s,
           coalesce((select max(n.update_s) from node_sensor n where n.process_id = s.process_id and n.counted), 0)
           as update_s
    from work s where s.span_id::varchar in (select unnest(?))
"""


def span_energies(home: Path, span_ids: Sequence[str]) -> dict[str, SpanEnergy]:
    """What each of these spans used; one that the ledger does not know is left out.

    Raises LedgerError or SiteError where the ledger or the site of the home cannot be used.
    """
    ingest(home)
    ledger = open_ledger(home)
    known = {row["span_id"]: row for row in ledger.rows(_SPAN_SQL, (list(span_ids),))}
    if not known:
        return {}
    began = min(row["started_at_utc"] for row in known.values()).replace(tzinfo=UTC)
    energies = spans.span_energies(assessor(ledger, began, datetime.now(UTC)), list(known))
    return {one: SpanEnergy(energies[one], row["duration_s"], row["update_s"]) for one, row in known.items()}


def in_words(energy: Estimate) -> str:
    """`12.3 J (8.21–20.5 J, modelled)`; why, where it is not known."""
    if energy.mid is None:
        return f"energy unknown: {energy.reason}"
    spread = "" if energy.low == energy.high else f"{spread_of(energy)}, "
    return f"{joules(energy.mid)} ({spread}{energy.method})"


def spread_of(energy: Estimate) -> str:
    """`8.21–20.5 J`: the ends of a known energy, in the unit of its middle."""
    scale = _scale(energy.mid or 0)
    return f"{_number(energy.low or 0, scale)}–{joules(energy.high or 0, scale)}"


def joules(energy_j: float, scale: tuple[float, str] | None = None) -> str:
    """Three significant figures, in the largest unit that fits: `12.3 J`."""
    scale = scale or _scale(energy_j)
    return f"{_number(energy_j, scale)} {scale[1]}"


def _scale(energy_j: float) -> tuple[float, str]:
    rounded = float(f"{energy_j:.3g}")
    return next((step for step in reversed(PREFIXES) if rounded >= step[0]), PREFIXES[0])


def _number(energy_j: float, scale: tuple[float, str]) -> str:
    return f"{float(f'{energy_j:.3g}') / scale[0]:,.10g}"


def summed(energies: Sequence[Estimate]) -> Estimate:
    """The sum of those that are known, with the weakest of their methods."""
    known = [energy for energy in energies if energy.known]
    if not known:
        return unknown("J", "no counter was read")
    ends = [sum(getattr(energy, end) for energy in known) for end in ("low", "mid", "high")]
    return Estimate(ends[0], ends[1], ends[2], "J", weakest([energy.method for energy in known]))
