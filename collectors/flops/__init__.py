"""Who counts floating-point operations (FLOP), and how a count gets into the journal.

    torch_counter   PyTorch's FlopCounterMode around one training step    modelled   model_flop
    transformer     the formulas of a transformer                         modelled   model_flop, hardware_flop
    perf_fp         what the CPU's counters saw retire                    measured   hardware_flop
    the job itself  run.flops(...)                                        declared   either

    run.flops(...), run.flops_per_step(...) ─> flop_usage(...) ─> one `usage` event: kind, amount, coverage, source

`model_flop` is what the mathematics of the model asks for: recomputed activations do not raise it. `hardware_flop` is
what the device has executed. The two are never added. A multiplication with an addition counts as two.

`coverage` is the part of the work that was counted, 0 to 1: of the time of the operations, the share spent in those
whose FLOP are known. None says that nobody knows the share.
"""

from __future__ import annotations

from typing import Any

from joulebook.accounting.errors import InputError
from joulebook.accounting.journal import usage
from joulebook.accounting.records import METHODS

KINDS = ("model", "hardware")

# What the count of a provider is worth. That of one which is not here is declared.
PROVIDERS = {"analytic": "modelled", "flop_counter": "modelled", "fp_arith": "measured", "perf": "measured"}


def flop_usage(amount: float, method: str, coverage: float | None, kind: str, source: str | None) -> dict[str, Any]:
    """The fields of a `usage` event in FLOP. Where `method` names a provider that becomes the source.

    Raises InputError for an amount, a coverage or a kind that is none.
    """
    if kind not in KINDS:
        raise InputError(f"the kind of FLOP is none of {', '.join(KINDS)}")
    if method not in METHODS:
        source, method = source or method, PROVIDERS.get(str(method), "declared")
    return usage(f"{kind}_flop", amount, "FLOP", method, coverage, source)
