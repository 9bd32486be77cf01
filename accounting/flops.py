"""What floating-point operations (FLOP) say of a run: per joule, and as a share of what its devices could have done.

    flop_per_j                      how much work a joule gave
    model_flop_utilization    MFU   model FLOP ÷ what the devices could do in that time, at their dense peak
    hardware_flop_utilization HFU   the same of what they did do: recomputed work counts, so HFU is not below MFU
    implausible                     why a number of FLOP cannot be true

The peak is that of all the devices of the run together, for one dtype (`joulebook.accounting.accelerators`), and the
energy that of the same devices. An amount of which only a part was counted (`coverage`) gives a lower bound.
"""

from __future__ import annotations

from joulebook.accounting.energy import Carrier


def flop_per_j(flop: Carrier, energy_j: Carrier) -> Carrier:
    """Work per energy. Unit: FLOP/J = FLOP ÷ J."""
    return flop / energy_j


def model_flop_utilization(model_flop: Carrier, seconds: Carrier, peak_flop_per_s: Carrier) -> Carrier:
    """MFU, 0 to 1, from what the mathematics of the model asks for. Unit: 1 = FLOP ÷ (s × FLOP/s)."""
    return model_flop / (seconds * peak_flop_per_s)


def hardware_flop_utilization(hardware_flop: Carrier, seconds: Carrier, peak_flop_per_s: Carrier) -> Carrier:
    """HFU, 0 to 1, from what the device has executed. Unit: 1 = FLOP ÷ (s × FLOP/s)."""
    return hardware_flop / (seconds * peak_flop_per_s)


def implausible(
    flop: float, seconds: float, energy_j: float | None, peak_flop_per_s: float | None, idle_w: float | None
) -> str | None:
    """Why nobody should believe this number of FLOP; None when nothing speaks against it.

    A device does not work faster than at its peak, and it draws at least its idle power while it does: more than
    peak ÷ idle power FLOP per joule is impossible. What is None is not held against it.
    """
    if peak_flop_per_s is None:
        return None
    if flop > peak_flop_per_s * seconds:
        return (
            f"{flop:.3g} FLOP in {seconds:.3g} s is more than the devices can do "
            f"at their peak of {peak_flop_per_s:.3g} FLOP/s"
        )
    if energy_j is not None and idle_w is not None and flop * idle_w > peak_flop_per_s * energy_j:
        return (
            f"{flop:.3g} FLOP from {energy_j:.3g} J is more than the devices can do "
            f"at their peak of {peak_flop_per_s:.3g} FLOP/s on their idle power of {idle_w:.3g} W"
        )
    return None
