"""The corporate projection study, reproduced: Desroches and others (2025), arXiv 2501.14334.

    tokens, size of model ──▶ seconds × vGPUs × W ──▶ × PUE, + storage, + network ──▶ Wh of a request
    Wh of a request ──▶ electricity, cooling water, manufacture ──▶ its impacts
    100 use cases of a large firm ──▶ `portfolio`

Its numbers stand in `data/tables/paper2501.csv`. Each request has all the vGPUs to itself that hold the model, without
batching: for large models that is 8 to 80 times what others measure or estimate. So the study is one engine, for its
index, and never the default for absolute values. Its water is weighted by scarcity (AWARE, L world-eq). Training of the
traditional models (0.002 % of the energy) is left out.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

NAME, VERSION = "paper2501", "v1"
CITATION = "Desroches and others (2025), arXiv 2501.14334"
INPUTS = ("calibrated", "printed")
SIZES = ("low", "medium", "high")
GENERATIVE = ("chat", "rag", "agents")
TRADITIONAL = ("tabular", "cv", "nlp")
LONG_PROMPT = 1000  # tokens, from which on the time to the first token is that of a long prompt
CRITERIA = {"gwp": ("gwp_kg", 1e3), "water": ("water_m3", 1e3), "primary_energy": ("primary_energy_mj", 1e6),
            "adpe": ("adpe_kgsb", 1.0)}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A request to a language model of a class of sizes."""

    size: str
    input_tokens: float
    output_tokens: float
    calls: float = 1.0


@dataclass(frozen=True)
class Energy:
    """Facility energy of a request, by component."""

    compute_wh: float
    storage_wh: float
    network_wh: float

    @property
    def total_wh(self) -> float:
        return self.compute_wh + self.storage_wh + self.network_wh


@cache
def facts() -> Mapping[str, float]:
    text = (resources.files("joulebook.data") / "tables" / "paper2501.csv").read_text(encoding="utf-8")
    return {row["name"]: float(row["value"]) for row in csv.DictReader(text.splitlines())}


# A request --------------------------------------------------------------------------------------------------------


def vgpus(parameters_b: float) -> int:
    """How many vGPUs hold a model. Unit: 1 = ⌈billions × bytes × overhead ÷ GB of a vGPU⌉."""
    known = facts()
    return math.ceil(parameters_b * known["bytes_per_parameter"] * known["memory_overhead"] / known["vgpu_memory_gb"])


def compute_wh(request: Request) -> float:
    """Facility energy of its vGPUs. Unit: Wh = calls × (s + tokens ÷ tokens/s) ÷ 3600 × vGPUs × W × PUE."""
    known, size = facts(), request.size
    prompt = 1000 if request.input_tokens >= LONG_PROMPT else 100
    call_s = known[f"{size}_ttft_{prompt}_s"] + request.output_tokens / known[f"{size}_tokens_per_s_1000"]
    power_w = vgpus(known[f"{size}_parameters_b"]) * known["vgpu_power_w"]
    return request.calls * call_s / 3600 * power_w * known["pue"]


def request_energy(request: Request) -> Energy:
    tokens = request.calls * (request.input_tokens + request.output_tokens)
    return _with_data(compute_wh(request), tokens * facts()["bytes_per_token"] / 1e9)


def traditional_energy(kind: str) -> Energy:
    """One inference of traditional AI. Its computing is printed with the building included."""
    known = facts()
    return _with_data(known[f"{kind}_compute_kwh"] * 1e3, known[f"{kind}_data_gb"])


def _with_data(compute_wh: float, data_gb: float) -> Energy:
    """Data is kept for a year, in the building, and sent once, over a network of its own."""
    known = facts()
    storage_wh = data_gb * known["kept_h"] * known["storage_power_w_per_gb"] * known["pue"]
    return Energy(compute_wh, storage_wh, data_gb * known["network_kwh_per_gb"] * 1e3)


def typical(kind: str, size: str) -> Request:
    """The study's request of a kind: chat, rag or agents."""
    known = facts()
    return Request(
        size, known[f"{kind}_input_tokens"], known[f"{kind}_output_tokens"], known[f"{kind}_calls"]
    )  # fmt: skip


# Impacts ----------------------------------------------------------------------------------------------------------


def grid_per_kwh(criterion: str) -> float:
    """Its mix of electricity, by where the data centres are. Units: kgCO2e, m3 world-eq, MJ, kgSb per kWh."""
    known = facts()
    return sum(known[f"share_{place}"] * known[f"grid_{place}_{criterion}"] for place in ("us", "eu", "cn"))


def impacts(facility_wh: float) -> dict[tuple[str, str], float]:
    """The impacts of facility energy, by criterion and part: grid, site (cooling water) and embodied.

    Units: g, L world-eq, J, kgSb = kWh × mix; kWh ÷ PUE × WUE × per L; IT kWh ÷ kW of a vGPU × per vGPU-hour.
    """
    known = facts()
    facility_kwh = facility_wh / 1e3
    it_kwh = facility_kwh / known["pue"]
    vgpu_h = it_kwh * 1e3 / known["vgpu_power_w"]
    found: dict[tuple[str, str], float] = {}
    for category, (criterion, unit) in CRITERIA.items():
        found[category, "grid"] = facility_kwh * grid_per_kwh(criterion) * unit
        found[category, "site"] = it_kwh * known["wue"] * known[f"cooling_{criterion}"] * unit
        found[category, "embodied"] = vgpu_h * known[f"vgpu_{criterion}"] * unit
    return found


# The portfolio ----------------------------------------------------------------------------------------------------


def shares(inputs: str) -> dict[str, float]:
    """The part of each kind in the use cases of a firm."""
    known = facts()
    generative = {kind: known["genai_share"] * known[f"{kind}_share_{inputs}"] for kind in GENERATIVE}
    return generative | {kind: (1 - known["genai_share"]) * known[f"{kind}_share"] for kind in TRADITIONAL}


def requests_per_year(kind: str, inputs: str) -> float:
    """Of all use cases of a kind. Unit: 1 = use cases × users × requests a day × days."""
    known = facts()
    users = known["genai_users" if kind in GENERATIVE else "traditional_users"]
    daily = known[f"requests_per_user_day_{inputs}"]
    return known["use_cases"] * shares(inputs)[kind] * users * daily * known["days_per_year"]


def size_shares() -> dict[str, float]:
    return {size: facts()[f"{size}_share"] for size in SIZES}


def published_index(scenario: str, category: str) -> float:
    """Its own result: 2030 over 2024."""
    return facts()[f"index_{scenario}_{category}"]
