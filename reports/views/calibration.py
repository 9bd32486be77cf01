"""What a calibration found: the profile, and how well it foretells sizes that it was not fitted to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from joulebook.accounting.estimates import between, unknown
from joulebook.reports.format import amount
from joulebook.reports.view import Column, Tile, View

if TYPE_CHECKING:
    from joulebook.models.runtime.calibrated import Checked
    from joulebook.models.runtime.profile import Profile

GOOD = 0.1  # a mean error of the check
DISTURBED = (
    "The check is off by more than a tenth: other work on the machine slows the probes. Run them again with --fresh "
    "when there is less of it, or give more --trials."
)
COLUMNS = (
    Column("prompt_tokens", "Prompt, tokens", "number"),
    Column("output_tokens", "Answer, tokens", "number"),
    Column("measured_s", "Measured", "duration", "s"),
    Column("foretold_s", "By the profile", "duration", "s"),
    Column("relative_error", "Error", "number", "%"),
)


def calibration(profile: Profile, checks: Sequence[Checked]) -> View:
    """The coefficients of a profile, and sizes that were probed but not fitted beside what it says of them."""
    told = profile.coefficients
    rows = tuple({**check._asdict(), "relative_error": check.relative_error} for check in checks)
    return View(
        "calibration", f"Profile of {profile.model}", _sentence(checks),
        subtitle=f"{profile.hardware.device or 'unknown hardware'} · {profile.software.stack}",
        tiles=(
            Tile("First token, shortest prompt", between(told.prompt_s[0], "s", "measured"),
                 f"{told.prompt_tokens[0]:,.0f} tokens"),
            Tile("First token, longest prompt", between(told.prompt_s[-1], "s", "measured"),
                 f"{told.prompt_tokens[-1]:,.0f} tokens"),
            Tile("Each further token", between(told.per_output_token_s, "s", "measured")),
            _energy(profile),
        ),
        columns=COLUMNS, rows=rows, notes=tuple(_notes(profile)),
        alerts=_alerts(checks),
        empty="No size lies between those of the grid: nothing checks the profile.",
    )  # fmt: skip


def _sentence(checks: Sequence[Checked]) -> str:
    if not checks:
        return ""
    worst = max(abs(check.relative_error) for check in checks)
    mean = _mean_error(checks)
    return f"{len(checks)} sizes that were not fitted are foretold to {mean:.1%} in the mean, {worst:.1%} at worst."


def _alerts(checks: Sequence[Checked]) -> tuple[str, ...]:
    if _mean_error(checks) <= GOOD:
        return ()
    return (DISTURBED,)


def _mean_error(checks: Sequence[Checked]) -> float:
    return fmean(abs(check.relative_error) for check in checks) if checks else 0.0


def _energy(profile: Profile) -> Tile:
    energy = profile.energy
    if energy is None:
        return Tile("Energy of a token", unknown("J", "no energy was metered"))
    each = between(energy.j_per_output_token, "J", energy.method)
    return Tile("Energy of a token", each, f"of the answer; {energy.boundary} energy")


def _notes(profile: Profile) -> Iterator[str]:
    yield f"{profile.measured.cells} sizes, {profile.measured.samples} requests. Ranges hold nine of ten."
    if profile.energy is not None:
        prompt_j = amount(profile.energy.j_per_prompt_token[1], "J")
        yield f"A token of the prompt takes {prompt_j}; the energies are {profile.energy.method}."
    yield f"joulebook idealized --model {profile.model} now tells by it; {profile.profile_id} is its id."
