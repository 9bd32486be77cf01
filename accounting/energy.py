"""Energy at three boundaries.

    device     what a sensor on the chip or board sees
    it         the whole server at its plug: device plus power supply and fans
    facility   the whole building: it × PUE

An amount says which it is; one turns into the next by one factor.
"""

from __future__ import annotations

from typing import TypeVar

from joulebook.accounting.column import Column

# What a formula runs on: a float, a NumPy array, or a column of a SQL query.
Carrier = TypeVar("Carrier", float, Column)


def cpu_it_energy_j(cpu_time_s: Carrier, *, cpu_power_w: Carrier) -> Carrier:
    """IT energy modelled from CPU time, for machines whose sensors cannot be read.

    `cpu_power_w`: watts at the server's plug per busy logical CPU; the idle power is shared out by CPU time.
    Unit: J = s × W.
    """
    return cpu_time_s * cpu_power_w


def it_energy_j(device_energy_j: Carrier, *, it_overhead: Carrier) -> Carrier:
    """IT energy from device energy. `it_overhead`: IT ÷ device energy. Unit: J = J × 1."""
    return device_energy_j * it_overhead


def facility_energy_j(it_energy_j: Carrier, *, pue: Carrier) -> Carrier:
    """Facility energy. Unit: J = J × PUE."""
    return it_energy_j * pue


def memory_energy_j(memory_gb_s: Carrier, *, dram_power_w_per_gb: Carrier) -> Carrier:
    """Device energy modelled from installed memory, where no sensor sees it. Unit: J = GB × s × W ÷ GB."""
    return memory_gb_s * dram_power_w_per_gb


def least_share(share: Carrier, *, skew: Carrier) -> Carrier:
    """The least that a share can be if a unit of another's activity costs up to `skew` times ours. Unit: 1."""
    return share / (share + skew * (1 - share))


def most_share(share: Carrier, *, skew: Carrier) -> Carrier:
    """The most that a share can be if a unit of our activity costs up to `skew` times another's. Unit: 1."""
    return share * skew / (share * skew + 1 - share)
