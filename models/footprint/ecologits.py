"""EcoLogits' published formula for text (version 0.11.3), as a function of usage.

The constants are its own (a regression over the ML.ENERGY benchmark on H100s, and the manufacture of a server with
eight of them); the sizes of models, the data centres of providers and the mixes of electricity are read through the
package, in that version only. Its instrumentation is not used: it counts the chunks of a stream for its tokens.

    output tokens ─▶ GPU energy, latency ─▶ + server's share ─▶ IT energy ─▶ × PUE ─▶ energy
                                └─────────▶ share of the hardware's life ─▶ embodied
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from joulebook.accounting.near import near
from joulebook.accounting.site import Range
from joulebook.models.footprint.call import Absent, Ends, Rate, Rates
from joulebook.models.footprint.mixes import NAME, SOURCE, VERSION, country_code
from joulebook.models.footprint.packages import lacking

BATCH = 64  # requests that a server works on at once
GPU_WH = (1.1665273170451914e-6 * math.exp(-0.011205921025579175 * BATCH), 4.052928146734005e-5)
LATENCY_S = (6.785088094353663e-4, 3.119310311688259e-4 * BATCH + 0.019473717579473387)
GPU_MEMORY_GB, SERVER_GPUS, SERVER_POWER_W = 80, 8, 1200.0
BYTES_PER_PARAMETER, MEMORY_OVERHEAD = 2, 1.2
LIFE_S = 3 * 365 * 24 * 3600
# category -> (a server without its GPUs, one GPU)
EMBODIED = {
    "gwp_g": (5_700e3, 273e3),
    "adpe_kgsb": (0.37, 8.95e-3),
    "primary_energy_j": (70_000e6, 3_721e6),
}
OUTPUT_ONLY = "Output tokens only: input and cached tokens are not modelled, so a long prompt costs nothing here."
NOTES = (
    OUTPUT_ONLY,
    f"A batch of {BATCH} on H100s, 16 bits a parameter.",
    "The range is that of parameters, PUE and WUE, not of batch or utilisation; the mid is the mean of the ends.",
    "The latency is the formula's own and never the one that a client saw: streamed or not, equal usage is equal.",
)
PROVIDERS = {"google": "google_genai", "mistral": "mistralai", "huggingface": "huggingface_hub"}  # ours -> its own


@dataclass(frozen=True)
class Served:
    """A model as it is served. Parameters in billions; without a `token_rate` (1/s) the formula has its own."""

    active: float
    total: float
    token_rate: float | None = None
    first_token_s: float = 0.0

    @property
    def gpus(self) -> int:
        """How many GPUs hold its weights: a power of two."""
        memory_gb = MEMORY_OVERHEAD * self.total * BYTES_PER_PARAMETER
        return 2 ** math.ceil(math.log2(math.ceil(memory_gb / GPU_MEMORY_GB)))

    @property
    def token_s(self) -> float:
        return 1 / self.token_rate if self.token_rate else LATENCY_S[0] * self.active + LATENCY_S[1]


def it_energy_rate(served: Served) -> Rate[float]:
    """IT energy. Unit: J = tokens × GPUs × J/token + latency × server's W × share of its GPUs ÷ batch."""
    gpu_j = served.gpus * (GPU_WH[0] * served.active + GPU_WH[1]) * 3600
    server_w = SERVER_POWER_W * served.gpus / SERVER_GPUS / BATCH
    return Rate(server_w * served.first_token_s, 0.0, 0.0, gpu_j + server_w * served.token_s)


def embodied_rate(served: Served, category: str) -> Rate[float]:
    """Manufacture by time. Unit: amount = (server × share + GPUs) × latency ÷ (life × batch)."""
    server, gpu = EMBODIED[category]
    per_s = (served.gpus / SERVER_GPUS * server + served.gpus * gpu) / (LIFE_S * BATCH)
    return Rate(per_s * served.first_token_s, 0.0, 0.0, per_s * served.token_s)


def rates(provider: str | None, model: str) -> Rates | Absent:
    """What the formula says of a model, or why it does not."""
    without = lacking(NAME, VERSION)
    if without:
        return without
    found = _find(provider, model)
    if isinstance(found, Absent):
        return found
    ends = _ends(found)
    centre = _centres()[found.provider.value]
    return Rates(
        it_energy_j=_between([it_energy_rate(end) for end in ends]),
        pue=_range(centre.datacenter_pue),
        wue_l_per_kwh=_range(centre.datacenter_wue),
        embodied={category: _between([embodied_rate(end, category) for end in ends]) for category in EMBODIED},
        sources=(f"{SOURCE}/models/{found.provider.value}/{found.name}", f"{SOURCE}/providers/{found.provider.value}"),
        notes=(*NOTES, *(warning.message for warning in found.warnings)),
    )


def location_of(provider: str | None) -> str | None:
    """The country in which EcoLogits believes the servers of a provider to be (ISO alpha-2)."""
    if not provider or lacking(NAME, VERSION):
        return None
    centre = _centres().get(_its_name(provider))
    return centre and country_code(centre.datacenter_location)


def _its_name(provider: str) -> str:
    return PROVIDERS.get(provider.lower(), provider.lower())


def _find(provider: str | None, model: str) -> Any:
    """The package's record of a model; Absent, with what is called nearly the same, when it has none."""
    name = provider and _its_name(provider)
    if name and name not in _centres():
        return Absent(f"EcoLogits knows no provider {provider!r}", near(name, (*_centres(), *PROVIDERS)))
    known = [record for record in _records() if name in (None, record.provider.value)]
    exact = [record for record in known if record.name.lower() == model.lower()]
    if not exact:
        whose = f" of {provider}" if provider else ""
        return Absent(f"EcoLogits knows no model {model!r}{whose}", near(model, (record.name for record in known)))
    return exact[0]


@cache
def _records() -> tuple[Any, ...]:
    from ecologits.model_repository import models

    return tuple(models.list_models())


@cache
def _centres() -> dict[str, Any]:
    from ecologits.tracers.utils import PROVIDER_CONFIG_MAP

    return PROVIDER_CONFIG_MAP


def _ends(record: Any) -> list[Served]:
    """A model with its fewest and with its most parameters."""
    size, deployment = record.architecture.parameters, record.deployment
    total, active = getattr(size, "total", size), getattr(size, "active", size)
    rate, first = (deployment.tps, deployment.ttft or 0.0) if deployment else (None, 0.0)
    return [Served(_range(active)[end], _range(total)[end], rate, first) for end in (0, 2)]


def _range(value: Any) -> Range:
    """A number of the package, or its RangeValue, as low, mid and high."""
    low, high = float(getattr(value, "min", value)), float(getattr(value, "max", value))
    return low, (low + high) / 2, high


def _between(ends: list[Rate[float]]) -> Ends:
    low, high = ends
    mid = Rate(
        (low.per_call + high.per_call) / 2, 0.0, 0.0, (low.per_output_token + high.per_output_token) / 2
    )  # fmt: skip
    return low, mid, high
