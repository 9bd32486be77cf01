"""A profile: what was measured of one model on one machine, enough to tell the runtime of any request to it.

A published profile is a table of rounded numbers. A profile of one's own (`joulebook fit`, `denoise`, `calibrate`) has
the spread of its coefficients too. It is a JSON file that others can import:

    {"format": "joulebook-runtime-profile", "version": 1,
     "model": "my-model", "kind": "idealized",              idealized: alone on the machine; denoised: of an API
     "created_at": "2026-11-26T12:00:00Z",
     "hardware": {"device": "NVIDIA A100-SXM4-80GB", "gpus": 1, "tdp_w": 400.0, "usd_per_gpu_hour": 4.096},
     "software": {"stack": "vllm", "versions": {"vllm": "0.11.0"}},
     "batch": 1,                                            requests served at once
     "coefficients": {
       "prompt_s": [{"prompt_tokens": 1, "low": …, "mid": …, "high": …}, …],   the first output token with it
       "per_output_token_s": {"low": …, "mid": …, "high": …},                  each further one
       "per_context_token_s": {…}, "overhead_s": {…}},
     "spread": {"relative_error": 0.004,                    of a cell around the fit, one standard deviation
                "covariance": [[…], …]},                    of the prompt times, then per output, per context token
     "measured": {"cells": 35, "samples": 700, "longest_output_tokens": 64},
     "energy": {"method": "measured", "boundary": "device", "j_per_call": {…}, "j_per_prompt_token": {…},
                "j_per_output_token": {…}},                 null where no energy was measured
     "text": {"chars_per_prompt_token": 4.1, "chars_per_output_token": 4.4},   null where nobody counted
     "basis": "…", "source": "…", "url": "", "licence": ""}

Low and high are the ends of a 90 % interval. What is not known of the hardware is null; a machine without GPUs has 0.
The id of a profile is its model, its kind and a hash of its content.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np

from joulebook.accounting.errors import InputError
from joulebook.models.runtime.closed_form import Floats, isotonic

FORMAT, VERSION = "joulebook-runtime-profile", 1
KINDS = ("idealized", "denoised")
Ends = tuple[float, float, float]  # low, mid, high
ENERGIES = ("j_per_call", "j_per_prompt_token", "j_per_output_token")


@dataclass(frozen=True)
class Hardware:
    """What the model ran on. `gpus`: 0 on a machine without, None where nobody knows."""

    device: str = ""
    gpus: int | None = None
    tdp_w: float | None = None
    usd_per_gpu_hour: float | None = None


@dataclass(frozen=True)
class Software:
    """What served the model: the stack, e.g. vllm, and the versions of its parts."""

    stack: str = ""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Coefficients:
    """The closed form of one model, as low, mid, high. `prompt_s` belongs to `prompt_tokens`, its sizes in order."""

    prompt_tokens: tuple[float, ...]
    prompt_s: tuple[Ends, ...]
    per_output_token_s: Ends
    per_context_token_s: Ends = (0.0, 0.0, 0.0)
    overhead_s: Ends = (0.0, 0.0, 0.0)

    @cached_property
    def sizes(self) -> Floats:
        return np.array(self.prompt_tokens, dtype=float)

    @cached_property
    def table_s(self) -> Floats:
        """The time of each profiled prompt as it was published or fitted."""
        return np.array([mid for _, mid, _ in self.prompt_s])

    @cached_property
    def monotone_s(self) -> Floats:
        """The same, mended so that a longer prompt never takes less."""
        return isotonic(self.table_s)


@dataclass(frozen=True)
class Spread:
    """How far the fit may be off: of a cell around it (one standard deviation), and of its coefficients together."""

    relative_error: float
    covariance: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Energy:
    """What a request uses, as low, mid, high, and how that is known."""

    j_per_call: Ends
    j_per_prompt_token: Ends
    j_per_output_token: Ends
    method: str
    boundary: str = "device"


@dataclass(frozen=True)
class Text:
    """How many characters a token of this model stands for, as they were counted."""

    chars_per_prompt_token: float | None = None
    chars_per_output_token: float | None = None


@dataclass(frozen=True)
class Measured:
    """What the coefficients rest on."""

    cells: int
    samples: int
    longest_output_tokens: int


@dataclass(frozen=True)
class Origin:
    """Whose numbers these are."""

    basis: str = ""
    source: str = ""
    url: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Profile:
    """The coefficients of one model on one machine, and where they come from."""

    model: str
    kind: str
    coefficients: Coefficients
    measured: Measured
    hardware: Hardware = Hardware()
    software: Software = Software()
    origin: Origin = Origin()
    batch: int = 1
    spread: Spread | None = None  # None: published, rounded to a millisecond
    energy: Energy | None = None
    text: Text | None = None
    created_at: str = ""

    @cached_property
    def profile_id(self) -> str:
        digest = hashlib.sha256(json.dumps(as_json(self), sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.model}/{self.kind}/{digest}"


# Written and read ------------------------------------------------------------------------------------------------


def as_json(profile: Profile) -> dict[str, Any]:
    """A profile in its file format."""
    told = profile.coefficients
    prompts = [
        {"prompt_tokens": size, **_ends_json(ends)}
        for size, ends in zip(told.prompt_tokens, told.prompt_s, strict=True)
    ]
    single = {name: _ends_json(getattr(told, name)) for name in _SINGLE}
    spread, energy = profile.spread, profile.energy
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": profile.model,
        "kind": profile.kind,
        "created_at": profile.created_at,
        "hardware": vars(profile.hardware),
        "software": {"stack": profile.software.stack, "versions": dict(profile.software.versions)},
        "batch": profile.batch,
        "coefficients": {"prompt_s": prompts, **single},
        "spread": spread
        and {"relative_error": spread.relative_error, "covariance": [list(row) for row in spread.covariance]},
        "measured": vars(profile.measured),
        "energy": energy
        and {"method": energy.method, "boundary": energy.boundary}
        | {name: _ends_json(getattr(energy, name)) for name in ENERGIES},
        "text": profile.text and vars(profile.text),
        **vars(profile.origin),
    }


_SINGLE = ("per_output_token_s", "per_context_token_s", "overhead_s")


def _ends_json(ends: Ends) -> dict[str, float]:
    return dict(zip(("low", "mid", "high"), ends, strict=True))


def from_text(text: str, name: str) -> Profile:
    """A profile from the text of its file. Raises InputError that says what of the file `name` is wrong."""
    try:
        told = json.loads(text)
        if not isinstance(told, dict) or cast("dict[str, Any]", told).get("format") != FORMAT:
            raise InputError(f'{name} is no profile: its "format" is not "{FORMAT}"; `joulebook fit` writes one')
        if cast("dict[str, Any]", told).get("version") != VERSION:
            raise InputError(f"{name} is a profile of version {told['version']}, and this joulebook reads {VERSION}")
        profile = _from_json(cast("dict[str, Any]", told))
        _check(profile)
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{name} is no profile that can be used: {missing}") from error
    return profile


def _from_json(told: dict[str, Any]) -> Profile:
    coefficients, spread, energy = told["coefficients"], told.get("spread"), told.get("energy")
    return Profile(
        model=str(told["model"]),
        kind=str(told["kind"]),
        coefficients=Coefficients(
            tuple(float(row["prompt_tokens"]) for row in coefficients["prompt_s"]),
            tuple(map(_ends, coefficients["prompt_s"])),
            *(_ends(coefficients[name]) for name in _SINGLE),
        ),
        measured=Measured(**{name: int(told["measured"][name]) for name in Measured.__annotations__}),
        hardware=_hardware(told.get("hardware") or {}),
        software=_software(told.get("software") or {}),
        origin=Origin(**{name: str(told.get(name) or "") for name in Origin.__annotations__}),
        batch=int(told.get("batch", 1)),
        spread=spread and Spread(float(spread["relative_error"]), _matrix(spread["covariance"])),
        energy=energy and _energy(energy),
        text=_text(told.get("text") or {}),
        created_at=str(told.get("created_at") or ""),
    )


def _energy(told: Mapping[str, Any]) -> Energy:
    ends = {name: _ends(told[name]) for name in ENERGIES}
    return Energy(**ends, method=str(told["method"]), boundary=str(told["boundary"]))


def _hardware(told: Mapping[str, Any]) -> Hardware:
    numbers = {name: _maybe(told.get(name)) for name in ("tdp_w", "usd_per_gpu_hour")}
    gpus = told.get("gpus")
    return Hardware(str(told.get("device") or ""), None if gpus is None else int(gpus), **numbers)


def _software(told: Mapping[str, Any]) -> Software:
    versions = cast("Mapping[str, Any]", told.get("versions") or {})
    return Software(str(told.get("stack") or ""), {str(name): str(version) for name, version in versions.items()})


def _text(told: Mapping[str, Any]) -> Text | None:
    sizes = [_maybe(told.get(name)) for name in Text.__annotations__]
    return Text(*sizes) if any(sizes) else None


def _maybe(value: Any) -> float | None:
    return None if value is None else float(value)


def _ends(told: Mapping[str, Any]) -> Ends:
    return float(told["low"]), float(told["mid"]), float(told["high"])


def _matrix(rows: Sequence[Sequence[Any]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in rows)


def _check(profile: Profile) -> None:
    """Raises ValueError for what no measurement can have given."""
    told, energy = profile.coefficients, profile.energy
    ranges = [*told.prompt_s, *(getattr(told, name) for name in _SINGLE),
              *((getattr(energy, name) for name in ENERGIES) if energy else ())]  # fmt: skip
    for low, mid, high in ranges:
        if not (0 <= low <= mid <= high < math.inf):
            raise ValueError(f"0 ≤ low ≤ mid ≤ high does not hold: {low:g}, {mid:g}, {high:g}")
    if profile.kind not in KINDS or not profile.model.isprintable() or not profile.model.strip():
        raise ValueError(f"its kind is {profile.kind!r}, not one of {', '.join(KINDS)}, or it names no model")
    if not told.prompt_tokens or told.prompt_tokens[0] < 0 or any(np.diff(told.prompt_tokens) <= 0):
        raise ValueError("its prompt sizes are not in order")
    if profile.batch < 1 or (profile.hardware.gpus or 0) < 0:
        raise ValueError("its batch is below 1, or its GPUs are below 0")
    for part in filter(None, (profile.hardware, profile.text)):
        for name, value in vars(part).items():
            if isinstance(value, float) and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value:g}, not a number above 0")
    if profile.spread is not None:
        _check_spread(profile.spread, len(told.prompt_tokens) + 2)


def _check_spread(spread: Spread, parts: int) -> None:
    if np.shape(spread.covariance) != (parts, parts) or not np.all(np.isfinite(spread.covariance)):
        raise ValueError("its covariance has not one row of numbers for each prompt time and the two slopes")
    if not 0 <= spread.relative_error < math.inf:
        raise ValueError(f"its relative_error is {spread.relative_error:g}, not a number of 0 or more")
