"""How numbers are written for people: three significant figures, a unit that fits, the range beside the estimate."""

from __future__ import annotations

import math
import re
from datetime import datetime

from joulebook.accounting.estimates import Estimate

MISSING = "–"
THIN = "\u2009"


def _by_thousands(unit: str) -> tuple[tuple[str, float], ...]:
    """A unit and its multiples: FLOP, kFLOP, MFLOP, …"""
    return tuple((prefix + unit, 1e3**step) for step, prefix in enumerate(("", *"kMGTPEZY")))


# canonical unit -> (what one step is written as, how many canonical units it is), small to large
SCALES: dict[str, tuple[tuple[str, float], ...]] = {
    "J": (("mWh", 3.6), ("Wh", 3.6e3), ("kWh", 3.6e6), ("MWh", 3.6e9), ("GWh", 3.6e12)),
    "g": (("mg", 1e-3), ("g", 1.0), ("kg", 1e3), ("t", 1e6), ("kt", 1e9)),
    "L": (("mL", 1e-3), ("L", 1.0), ("m³", 1e3)),
    "kgSb": (("ngSb", 1e-12), ("µgSb", 1e-9), ("mgSb", 1e-6), ("gSb", 1e-3), ("kgSb", 1.0)),
    "USD": (("µ$", 1e-6), ("m$", 1e-3), ("$", 1.0)),
    "W": (("mW", 1e-3), ("W", 1.0), ("kW", 1e3), ("MW", 1e6)),
    "J/kWh": (("J/kWh", 1.0), ("kJ/kWh", 1e3), ("MJ/kWh", 1e6)),
    "FLOP": _by_thousands("FLOP"),
    "FLOP/s": _by_thousands("FLOP/s"),
    "FLOP/J": _by_thousands("FLOP/J"),
    "token": _by_thousands("token"),
    "byte": (("byte", 1.0), *_by_thousands("B")[1:]),
    "%": (("%", 1e-2),),  # the unit of a column whose values are shares of 1
}
_LONGEST = 15  # digits before the point; longer numbers are written as powers of ten
_SMALLEST = -4  # the exponent below which nobody counts the zeros
_ACRONYMS = {"cpu": "CPU", "gpu": "GPU", "pue": "PUE", "wue": "WUE", "adpe": "ADPe", "gwp": "GWP", "iea": "IEA"}
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)


def scale_for(unit: str, largest: float | None) -> tuple[str, float]:
    """The written unit for a column or an axis, chosen from its largest value: `("kWh", 3.6e6)`."""
    steps = SCALES.get(unit)
    if steps is None:
        return unit, 1.0
    if not largest:
        return next((step for step in steps if step[1] == 1.0), steps[min(1, len(steps) - 1)])
    if unit == "USD" and abs(largest) >= 0.01:
        return steps[-1]  # cents are written as parts of a dollar
    fitting = [step for step in steps if abs(largest) >= step[1]]
    return fitting[-1] if fitting else steps[0]


def number(value: float | None, digits: int = 3) -> str:
    """Three significant figures with thousands separators; a missing value is a dash, never 0."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])  # after rounding, so that 99.96 is 100 and not 100.0
    places = digits - 1 - exponent
    if exponent < _SMALLEST:
        return f"{value / 10.0**exponent:.{digits - 1}f}e{exponent}"
    if exponent >= _LONGEST:
        return f"{value / 10**exponent:.{digits - 1}f} × 10{str(exponent).translate(_RAISED)}"
    return f"{round(value, places):,.{max(places, 0)}f}"


def count(value: float | None) -> str:
    """Whole numbers in full, others with three significant figures."""
    if value is not None and float(value).is_integer() and abs(value) < 10**_LONGEST:
        return f"{value:,.0f}"
    return number(value)


def money(value: float | None) -> str:
    """Dollars with cents; below a cent in m$ or µ$, so that a small run is not "$0.00"."""
    if value is None:
        return MISSING
    if value and abs(value) < 0.01:
        name, size = scale_for("USD", value)
        return f"{number(value / size)}{THIN}{name}"
    sign = "-" if value < 0 else ""
    return f"{sign}${abs(value):,.2f}" if abs(value) < 1000 else f"{sign}${abs(value):,.0f}"


def amount(value: float | None, unit: str, scale: tuple[str, float] | None = None) -> str:
    """A value with its unit, e.g. `amount(7.2e6, "J") == "2.00 kWh"`."""
    if value is None:
        return MISSING
    name, size = scale or scale_for(unit, value)
    if name == "$":
        return money(value)
    if name in ("call", "run"):  # counted, so all its figures are true; its label says what it is
        return count(value)
    return with_unit(number(value / size), name)


def words(name: str) -> str:
    """A name of ours as people write it: `cpu_power` is "CPU power"."""
    return " ".join(_ACRONYMS.get(word, word) for word in name.split("_"))


def with_unit(text: str, name: str) -> str:
    """A written number with its unit after it; a ratio, whose unit is 1, has none."""
    return text if name in ("", "1") else f"{text}{THIN}{name}"


def span_of(estimate: Estimate) -> str:
    """The range of an estimate in the unit of its middle, e.g. `"1.10–3.40 kWh"`; empty when there is none."""
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return ""
    name, size = scale_of(estimate)
    if name == "$":
        return between(money(estimate.low), money(estimate.high))
    return with_unit(between(number(estimate.low / size), number(estimate.high / size)), name)


def between(low: str, high: str) -> str:
    """A range as text; beside a minus sign a dash would be read as another."""
    return f"{low} to {high}" if "-" in low else f"{low}–{high}"


def short_id(text: str) -> str:
    """A text whose UUIDs are cut to their first part, which tells the devices of a machine apart."""
    return _UUID.sub(r"\1", text)


def scale_of(estimate: Estimate) -> tuple[str, float]:
    """The written unit of an estimate: that of its middle; where its range goes through zero, that of its far end."""
    ends = (estimate.low, estimate.high)
    if ends[0] is not None and ends[1] is not None and ends[0] < 0 < ends[1]:
        return scale_for(estimate.unit, max(-ends[0], ends[1]))
    return scale_for(estimate.unit, estimate.mid)


def mid_of(estimate: Estimate) -> str:
    return amount(estimate.mid, estimate.unit, scale_of(estimate))


def duration(seconds: float | None) -> str:
    """A time span as people say it: `480 ms`, `3.2 s`, `4 min 10 s`, `2 h 05 min`."""
    if seconds is None:
        return MISSING
    if seconds < 1:
        return f"{number(seconds * 1000)}{THIN}ms"
    if seconds < 60:
        return f"{number(seconds)}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min {rest:02d}{THIN}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}{THIN}h {minutes:02d}{THIN}min"


def moment(when: datetime | None) -> str:
    """`2026-11-23 18:04` in UTC."""
    return MISSING if when is None else when.strftime("%Y-%m-%d %H:%M")


def day(when: datetime | None) -> str:
    """`23 Nov 2026`."""
    return MISSING if when is None else f"{when.day} {when:%b %Y}"
