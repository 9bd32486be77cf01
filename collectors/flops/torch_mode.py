"""What sees every operation of a training step: how long it takes, and how many FLOP by PyTorch's formulas.

The only module here that needs PyTorch; `torch_counter` loads it when a step is counted.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

# By name: the type checker must not need PyTorch either.
torch: Any = import_module("torch")
HigherOrderOperator: Any = import_module("torch._ops").HigherOrderOperator
FakeTensor: Any = import_module("torch._subclasses.fake_tensor").FakeTensor
TorchDispatchMode: Any = import_module("torch.utils._python_dispatch").TorchDispatchMode
flop_registry: dict[Any, Any] = import_module("torch.utils.flop_counter").flop_registry
aten: Any = torch.ops.aten

# The attention of the CPU has no formula in PyTorch; it takes the arguments of its twin on CUDA, in the same order.
_TWINS = {
    "_scaled_dot_product_flash_attention_for_cpu": "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu_backward": "_scaled_dot_product_flash_attention_backward",
}


class StepMode(TorchDispatchMode):
    """Inside it, every operation is timed alone: the device is idle when it begins and when it ends."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.flop = 0
        self.known_ns = 0  # in operations with a formula
        self.other_ns = 0  # in others, and in work of the device that no operation announced
        self._formulas = {**_cpu_formulas(), **flop_registry}

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """A compiled model stays compiled: what it calls is seen, what it was traced from is not."""
        return True

    def coverage(self) -> float | None:
        """The part of the time that was spent in operations with a formula. To be asked when the step is over."""
        total_ns = self.known_ns + self.other_ns + _wait()
        return self.known_ns / total_ns if total_ns else None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return self._timed(func, func, args, kwargs)
        if any(issubclass(kind, FakeTensor) for kind in types):
            return func(*args, **kwargs)  # only the shape of the answer is asked for
        if any(kind.__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl for kind in types):
            return NotImplemented  # a distributed or quantised tensor: it comes back with what it is made of
        if func._overloadpacket not in self._formulas:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        return self._timed(func, func._overloadpacket, args, kwargs)

    def _timed(self, func: Any, name: Any, args: Any, kwargs: Any) -> Any:
        self.other_ns += _wait()
        began_ns = time.perf_counter_ns()
        out = func(*args, **kwargs)
        _wait()
        took_ns = time.perf_counter_ns() - began_ns
        flop = self._flop_of(name, out, args, kwargs)
        if flop is not None:
            self.flop += flop
            self.known_ns += took_ns
        elif not getattr(func, "is_view", False):  # a view moves nothing
            self.other_ns += took_ns
        return out

    def _flop_of(self, name: Any, out: Any, args: Any, kwargs: Any) -> int | None:
        formula = self._formulas.get(name)
        try:
            return None if formula is None else int(formula(*args, **kwargs, out_val=out))
        except Exception:  # noqa: BLE001 - a formula that does not fit must not end a training step
            return None


def _cpu_formulas() -> dict[Any, Any]:
    twins = [(getattr(aten, cpu, None), getattr(aten, cuda, None)) for cpu, cuda in _TWINS.items()]
    return {cpu: flop_registry[cuda] for cpu, cuda in twins if cpu is not None and cuda in flop_registry}


def _wait() -> int:
    """Waits for the accelerator, if this process uses one. How long that took, in ns."""
    if not torch.cuda.is_initialized() or torch.cuda.is_current_stream_capturing():
        return 0
    began_ns = time.perf_counter_ns()
    torch.cuda.synchronize()
    return time.perf_counter_ns() - began_ns
