"""A profile from probes of one's own: what was asked and answered, with the energy of each size.

    rows of a session ─> the fastest third of each size ─> Samples ─> fit ─> Profile
                 sizes that the grid lacks ─> measured beside foretold: the check

Whatever else the machine does makes a request slower, never faster: the slower trials of a size tell of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import nan
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from joulebook.accounting.estimates import Estimate
from joulebook.models.runtime.fit import fit
from joulebook.models.runtime.profile import Energy, Hardware, Origin, Profile, Software, Text
from joulebook.models.runtime.samples import Samples
from joulebook.models.runtime.times import times_s

Size = tuple[int, int]
Row = Mapping[str, Any]
COLUMNS = ("prompt_tokens", "output_tokens", "runtime_s", "first_token_s", "energy_j", "energy_method", "batch")


class Ran(NamedTuple):
    """What the probes ran on. `boundary`: of the energies."""

    model: str
    hardware: Hardware
    software: Software
    batch: int = 1
    boundary: str = "it"


class Checked(NamedTuple):
    """A size that was not fitted: what it took, and what the profile foretold."""

    prompt_tokens: float
    output_tokens: float
    measured_s: float
    foretold_s: float

    @property
    def relative_error(self) -> float:
        return self.foretold_s / self.measured_s - 1


def kept(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The fastest third of the answers to each size, at the size that the most of them had."""
    sizes: dict[Size, list[Row]] = {}
    for row in rows:
        if "left_out" not in row:
            sizes.setdefault(_asked(row), []).append(row)
    found: list[dict[str, Any]] = []
    for some in sizes.values():
        fastest = sorted(some, key=lambda row: row["runtime_s"])[: max(1, round(len(some) / 3))]
        prompt = round(median(row["prompt_tokens"] for row in some))
        found += [{**row, "prompt_tokens": prompt} for row in fastest]
    return found


def _asked(row: Row) -> Size:
    prompt, output = row["asked"]
    return int(prompt), int(output)


def table(rows: Sequence[Row], energies: Mapping[Size, Estimate], batch: int) -> list[dict[str, Any]]:
    """The samples as `joulebook fit` reads them, one row each: what is not known is empty."""
    told: list[dict[str, Any]] = []
    for row in rows:
        energy = energies.get(_asked(row))
        known = {"energy_j": energy.mid, "energy_method": energy.method} if energy and energy.known else {}
        told.append({name: {**row, **known, "batch": batch}.get(name, "") for name in COLUMNS})
    return told


def profile(rows: Sequence[Row], energies: Mapping[Size, Estimate], ran: Ran, origin: Origin) -> Profile:
    """The profile that the probes give. Raises Unidentified where they cannot tell."""
    fitted = fit(samples(rows, energies), ran.model)
    energy = fitted.energy and replace(_widened(fitted.energy, energies.values()), boundary=ran.boundary)
    return replace(fitted, hardware=ran.hardware, software=ran.software, batch=ran.batch, origin=origin,
                   energy=energy, text=text(rows))  # fmt: skip


def samples(rows: Sequence[Row], energies: Mapping[Size, Estimate]) -> Samples:
    told = table(rows, energies, 1)
    columns: dict[str, Any] = {name: np.array([_number(row[name]) for row in told]) for name in COLUMNS[:5]}
    methods = {row["energy_method"] for row in told} - {""}
    return Samples(**columns, energy_method=methods.pop() if len(methods) == 1 else "modelled")


def _number(value: Any) -> float:
    return nan if value == "" else float(value)


def _widened(energy: Energy, some: Iterable[Estimate]) -> Energy:
    """The range of a fit knows the scatter alone: what the meters may be off by, all of them alike, comes on top."""
    known = [(one.low / one.mid, one.high / one.mid) for one in some if one.low is not None and one.mid and one.high]
    low, high = (median(each) for each in zip(*known, strict=True))
    return replace(
        energy,
        **{
            name: (ends[0] * low, ends[1], ends[2] * high)
            for name in ("j_per_call", "j_per_prompt_token", "j_per_output_token")
            for ends in [getattr(energy, name)]
        },
    )


def text(rows: Sequence[Row]) -> Text | None:
    """How many characters the tokens of this model stand for, where they were counted."""
    prompt, output = (_chars_per_token(rows, what) for what in ("prompt", "output"))
    return Text(prompt, output) if prompt or output else None


def _chars_per_token(rows: Sequence[Row], what: str) -> float | None:
    counted = [(row[f"{what}_chars"], row[f"{what}_tokens"]) for row in rows if row.get(f"{what}_chars")]
    tokens = sum(tokens for _, tokens in counted)
    return sum(chars for chars, _ in counted) / tokens if tokens else None


def checked(profile: Profile, rows: Sequence[Row]) -> list[Checked]:
    """Every size of the rows, by its fastest third, beside what the profile says of it."""
    sizes: dict[Size, list[Row]] = {}
    for row in rows:
        sizes.setdefault((row["prompt_tokens"], row["output_tokens"]), []).append(row)
    return [
        Checked(*size, float(np.mean([row["runtime_s"] for row in some])), float(times_s(profile, *size).runtime_s))
        for size, some in sizes.items()
    ]
