"""In how many bytes the numbers of a model lie in memory, and in which of a device's dtypes they are multiplied."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """How weights are kept. `dtypes`: what they are multiplied in, the first that a device has.

    Attention, its cache and the output layer stay in 16 bits unless `cache_bytes` says otherwise.
    `experts_only`: what is not an expert is kept in 16 bits.
    """

    weight_bytes: float
    dtypes: tuple[str, ...]
    cache_bytes: float = 2
    experts_only: bool = False


HALF = ("bf16", "fp16")
HALF_BYTES = 2
# Blocks of 4-bit numbers share a scale: 8 bits for 32 (mxfp4) or 16 (nvfp4) of them, 20 bits for 128 (int4).
PRECISIONS = {
    "bf16": Precision(2, HALF),
    "fp16": Precision(2, HALF),
    "fp8": Precision(1, ("fp8", *HALF)),
    "int8": Precision(1, HALF),
    "int4": Precision(0.52, HALF),
    "mxfp4": Precision(0.53125, HALF, experts_only=True),
    "nvfp4": Precision(0.5625, ("fp4", "fp8", *HALF)),
}
