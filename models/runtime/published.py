"""The profiles that Narayanan et al. 2023 measured and HELM publishes, from `data/tables`.

    runtime_profiles       which model has which profile, on which machine
    runtime_coefficients   the coefficients of each profile, one a row

An idealized profile is of an architecture that is known; some models borrow that of another with the same shape, and
the row says so. A denoised profile is of an API as it was in 2022.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from joulebook.models.roofline import hardware
from joulebook.models.runtime.profile import Coefficients, Ends, Hardware, Measured, Origin, Profile, Software

HALF_OF_LAST_DIGIT_S = 0.0005  # the published coefficients are rounded to a millisecond
OWN = "its own profile"  # the basis of a model that borrows none
CELLS = {"idealized": 270, "denoised": 35}  # what each was fitted to, and how many requests a cell had
SAMPLES = {"idealized": 270 * 50, "denoised": 35 * 10}
Row = Mapping[str, str]


@cache
def published() -> tuple[Profile, ...]:
    """Every published profile, one for each name of a model."""
    coefficients: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in _table("runtime_coefficients"):
        coefficients[row["kind"], row["profile"]].append(row)
    return tuple(_profile(row, coefficients[row["kind"], row["profile"]]) for row in _table("runtime_profiles"))


def _table(name: str) -> list[Row]:
    text = (resources.files("joulebook.data") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _profile(row: Row, told: Sequence[Row]) -> Profile:
    kind = row["kind"]
    return Profile(
        row["model"], kind, _coefficients(told),
        Measured(CELLS[kind], SAMPLES[kind], int(row["longest_output_tokens"])),
        _hardware(row), Software(row["software"]),
        Origin(row["basis"], told[0]["source"], told[0]["url"], told[0]["licence"]),
        created_at=row["retrieved"],
    )  # fmt: skip


def _coefficients(rows: Sequence[Row]) -> Coefficients:
    prompts = [row for row in rows if row["quantity"] == "prompt"]
    single = {row["quantity"]: _rounded(row) for row in rows if row["quantity"] != "prompt"}
    return Coefficients(
        tuple(float(row["prompt_tokens"]) for row in prompts), tuple(map(_rounded, prompts)),
        single["per_output_token"], overhead_s=single.get("overhead", (0.0, 0.0, 0.0)),
    )  # fmt: skip


def _rounded(row: Row) -> Ends:
    """A rounded number and what it may have been before."""
    value = float(row["value"])
    return max(value - HALF_OF_LAST_DIGIT_S, 0.0), value, value + HALF_OF_LAST_DIGIT_S


def _hardware(row: Row) -> Hardware:
    if not row["device"]:
        return Hardware()
    tdp_w = hardware.find(row["device"]).tdp_w
    return Hardware(row["device"], int(row["gpus"]), tdp_w, float(row["usd_per_gpu_hour"]))
