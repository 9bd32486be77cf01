"""Units. Inside: J, g, L, USD, s, token, FLOP, byte, kgSb. Others appear only where people read and write."""

from __future__ import annotations

from joulebook.accounting.errors import UnitError

J_PER_KWH = 3_600_000.0

# unit -> (canonical unit, how many canonical units one of it is)
_UNITS: dict[str, tuple[str, float]] = {
    "J": ("J", 1.0), "mJ": ("J", 1e-3), "uJ": ("J", 1e-6), "kJ": ("J", 1e3), "MJ": ("J", 1e6), "GJ": ("J", 1e9),
    "Ws": ("J", 1.0), "Wh": ("J", 3.6e3), "kWh": ("J", J_PER_KWH), "MWh": ("J", 3.6e9), "GWh": ("J", 3.6e12),
    "g": ("g", 1.0), "mg": ("g", 1e-3), "kg": ("g", 1e3), "t": ("g", 1e6),
    "L": ("L", 1.0), "mL": ("L", 1e-3), "m3": ("L", 1e3),
    "s": ("s", 1.0), "ms": ("s", 1e-3), "us": ("s", 1e-6), "ns": ("s", 1e-9), "min": ("s", 60.0), "h": ("s", 3600.0),
    "FLOP": ("FLOP", 1.0), "GFLOP": ("FLOP", 1e9), "TFLOP": ("FLOP", 1e12), "PFLOP": ("FLOP", 1e15),
    "byte": ("byte", 1.0), "kB": ("byte", 1e3), "MB": ("byte", 1e6), "GB": ("byte", 1e9),
    "token": ("token", 1.0), "step": ("step", 1.0), "USD": ("USD", 1.0), "kgSb": ("kgSb", 1.0),
}  # fmt: skip


def canonical(amount: float, unit: str) -> tuple[float, str]:
    """The amount in its canonical unit, e.g. `canonical(2, "kWh") == (7_200_000.0, "J")`; unknown units stay."""
    base, factor = _UNITS.get(unit, (unit, 1.0))
    return amount * factor, base


def convert(amount: float, unit: str, to: str) -> float:
    """The amount in another unit of the same kind.

    Raises UnitError when either unit is unknown or they measure different things.
    """
    for name in (unit, to):
        if name not in _UNITS:
            raise UnitError(f"unknown unit {name!r}: joulebook knows {', '.join(_UNITS)}")
    if _UNITS[unit][0] != _UNITS[to][0]:
        raise UnitError(f"cannot turn {unit} into {to}: they measure different things")
    return amount * _UNITS[unit][1] / _UNITS[to][1]
