"""Epoch AI's estimate of a query (February 2025), for the models that it worked out, per output token.

Its sum: FLOP ÷ (utilisation × peak of an H100) is time, × power is energy. The low and mid are its baseline; the high
is its pessimistic case, a model twice as large at half the utilisation. Long inputs it works out apart, and
manufacture not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from joulebook.accounting.near import near
from joulebook.models.footprint.call import Absent, Ends, Rate, Rates

NAME, VERSION = "epoch", "2025"
URL = "https://epoch.ai/gradient-updates/how-much-energy-does-chatgpt-use"
PEAK_FLOP_PER_S = 9.89e14  # one H100, bf16, dense
SERVER_W, LOAD = 1275.0, 0.7  # a DGX H100's rated power for each GPU, and how much of it is drawn
PROVIDERS = (None, "openai", "azure")
NOTES = (
    "Output tokens only: a prompt costs nothing here.",
    "Manufacture and water are not modelled.",
)


@dataclass(frozen=True)
class Query:
    """What Epoch assumed of a model: active parameters in billions, how busy the chips are, the building's PUE."""

    active: float
    utilisation: float = 0.1
    pue: float = 1.2


PESSIMISTIC = Query(200, 0.05, 1.3)
MODELS = {"gpt-4o": (Query(100), PESSIMISTIC), "gpt-4o-mini": (Query(20), Query(20))}


def it_j_per_token(query: Query) -> float:
    """IT energy of an output token. Unit: J = 2 FLOP × parameters ÷ (utilisation × FLOP/s) × W × load."""
    return 2e9 * query.active / (query.utilisation * PEAK_FLOP_PER_S) * SERVER_W * LOAD


def rates(provider: str | None, model: str) -> Rates | Absent:
    """What Epoch's sum says of a model, or why it does not."""
    if (provider and provider.lower()) not in PROVIDERS or model.lower() not in MODELS:
        return Absent(f"Epoch AI worked out {' and '.join(MODELS)} of OpenAI, not {model!r}", near(model, MODELS))
    base, worst = MODELS[model.lower()]
    low, high = it_j_per_token(base), it_j_per_token(worst)
    ends: Ends = (Rate(0.0, 0.0, 0.0, low), Rate(0.0, 0.0, 0.0, low), Rate(0.0, 0.0, 0.0, high))
    return Rates(ends, (base.pue, base.pue, worst.pue), None, {}, (URL,), NOTES)
