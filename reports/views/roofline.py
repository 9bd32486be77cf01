"""What a model takes on named hardware by the roofline, and what holds each step up; and what its catalogues hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from joulebook.accounting.estimates import exactly
from joulebook.reports.format import mid_of
from joulebook.reports.view import Column, Figure, Series, Tile, View
from joulebook.reports.views.common import plural

if TYPE_CHECKING:
    from joulebook.models.roofline.estimate import Load, Prediction, Setup
    from joulebook.models.roofline.step import Times

PARTS = {
    "compute_s": "Computing",
    "memory_s": "Reading memory",
    "communication_s": "Between GPUs",
    "overhead_s": "Software",
}
STEP = (
    Column("phase", "Step"),
    *(Column(part, label, "estimate", "s") for part, label in PARTS.items()),
    Column("total_s", "Together", "estimate", "s"),
)
MODELS = (
    Column("model", "Model"),
    Column("parameters", "Parameters, 10⁹", "number"),
    Column("active_parameters", "Active, 10⁹", "number"),
    Column("layers", "Layers", "number"),
    Column("precision", "Precision"),
)
HARDWARE = (
    Column("hardware", "Hardware"),
    Column("memory_gib", "Memory, GiB", "number"),
    Column("bandwidth_tb_per_s", "Bandwidth, TB/s", "number"),
    Column("peak_tflop_per_s", "16 bit, TFLOP/s", "number"),
    Column("tdp_w", "TDP", "estimate", "W"),
    Column("usd_per_gpu_hour", "USD an hour", "number"),
    Column("price_day", "Asked on"),
)
STACKS = (
    Column("stack", "Software"),
    Column("hardware", "Hardware"),
    Column("held_out_error", "Held-out error", "estimate", "%"),
    Column("source", "Fitted to"),
)


def roofline(setup: Setup, load: Load, told: Prediction) -> View:
    """One load on one setup."""
    from joulebook.models.roofline.estimate import as_estimate

    machine, fitted = told.machine, told.fitted
    sizes = f"{float(load.prompt_tokens):,.0f} tokens in ({float(load.cached_tokens):,.0f} cached), "
    where = f"{machine.gpus} × {machine.hardware.name} with {fitted.stack}, {setup.precision or setup.card.precision}"
    tiles = (
        Tile("First token", as_estimate(told.time_to_first_token_s, "s")),
        Tile("Each further token", as_estimate(told.per_output_token_s, "s")),
        Tile("The whole request", as_estimate(told.runtime_s, "s")),
        Tile("Energy of the GPUs", as_estimate(told.energy_j, "J"), "for one request"),
        Tile("With the host", as_estimate(told.it_energy_j, "J"), "for one request"),
        Tile("Cost of the GPUs", as_estimate(told.cost_usd, "USD"), "for one request"),
    )
    return View(
        "roofline", f"{setup.card.name} on {where}", _sentence(told),
        f"{sizes}{float(load.output_tokens):,.0f} out; {plural(int(told.running), 'request')} at once",
        tiles=tuple(tile for tile in tiles if tile.value.known), columns=STEP,
        rows=(_row("The prompts", told.prefill), _row("One token of each", told.decode)),
        figure=_figure(told.decode), alerts=_alerts(told), notes=_notes(told, setup.usd_per_gpu_hour is None),
    )  # fmt: skip


def _row(phase: str, times: Times) -> Mapping[str, Any]:
    parts = {part: exactly(float(getattr(times, part)), "s", "modelled") for part in (*PARTS, "total_s")}
    return {"phase": phase, **parts}


def _sentence(told: Prediction) -> str:
    from joulebook.models.roofline.estimate import as_estimate

    parts = {label: float(getattr(told.decode, part)) for part, label in PARTS.items()}
    most = max(parts, key=lambda label: parts[label])
    share = parts[most] / sum(parts.values())
    token = mid_of(as_estimate(told.per_output_token_s, "s"))
    return f"{token} a token, of which {share:.0%} is {most[0].lower()}{most[1:]}."


def _figure(times: Times) -> Figure:
    values = tuple(float(getattr(times, part)) for part in PARTS)
    series = Series("One token of each request", tuple(PARTS.values()), values)
    alt = ", ".join(f"{label} {value:.3g} s" for label, value in zip(PARTS.values(), values, strict=True))
    return Figure("bars", "What holds a decoding step up", "s", (series,), alt)


def _alerts(told: Prediction) -> tuple[str, ...]:
    waits = float(told.waves)
    full = f"Only {float(told.running):.0f} requests fit in memory at once: the rest waits, {waits:.1f} rounds in all."
    return (*((full,) if waits > 1 else ()), *((told.not_measured,) if told.not_measured else ()))


def _notes(told: Prediction, is_listed: bool) -> tuple[str, ...]:
    fitted, split, price = told.fitted, told.split, told.machine.hardware.price
    unseen = f"its mean error on them is {fitted.mean_error:.0%} ({fitted.source})"
    notes = [f"Ranges hold nine of ten estimates of what the fit had not seen; {unseen}."]
    if split:
        measured = "measured on this device" if split.measured else "as shares of its TDP that other devices had"
        notes.append(f"Energy: being awake, bytes and FLOP, {measured}. PUE is not in it.")
    if price and is_listed:
        notes.append(f"{price.source} asked {price.usd_per_gpu_hour:g} USD an hour on {price.day}.")
    return tuple(notes)


def roofline_catalogue(which: str) -> View:
    """The models, the hardware or the software that the roofline knows."""
    return {"models": _models, "hardware": _hardware, "stacks": _stacks}[which]()


def _models() -> View:
    from joulebook.models.roofline import catalogue

    rows = tuple(
        {"model": card.name, "parameters": card.parameters / 1e9, "active_parameters": card.active_parameters / 1e9,
         "layers": card.layers, "precision": card.precision}
        for card in catalogue.load().values()
    )  # fmt: skip
    told = f"{plural(len(rows), 'open model')}; any other by its config.json."
    return View("models", "Model cards", told, columns=MODELS, rows=rows)


def _hardware() -> View:
    from joulebook.models.roofline import hardware
    from joulebook.models.roofline.precision import HALF

    rows = tuple(
        {"hardware": one.name, "memory_gib": one.memory_bytes / hardware.GIB,
         "bandwidth_tb_per_s": one.bandwidth_bytes_per_s / 1e12, "peak_tflop_per_s": one.peak(HALF) / 1e12,
         "tdp_w": exactly(one.tdp_w, "W", "declared") if one.tdp_w else None,
         "usd_per_gpu_hour": one.price.usd_per_gpu_hour if one.price else None,
         "price_day": one.price.day if one.price else None}
        for one in hardware.load().values()
    )  # fmt: skip
    told = f"{plural(len(rows), 'device')}; a price is what one seller asked on that day."
    return View("hardware", "Hardware", told, columns=HARDWARE, rows=rows)


def _stacks() -> View:
    from joulebook.models.roofline import stacks

    rows = tuple(
        {"stack": each.stack, "hardware": "any" if each.hardware == stacks.ANY else each.hardware,
         "held_out_error": exactly(each.mean_error, "1", "measured"), "source": each.source}
        for each in stacks.load().values()
    )  # fmt: skip
    return View("stacks", "Serving software", "Fitted constants, and how wrong they are.", columns=STACKS, rows=rows)
