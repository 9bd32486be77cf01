"""From raw values of a node to joules, and from the node's joules to each run's part: against a truth that is known."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

import pytest
from handmade import START_NS, HandmadeJournal
from simulated import (
    Device,
    Job,
    Node,
    Power,
    Process,
    Ran,
    Scaled,
    Steady,
    Sum,
    busy_of,
    cpu_of,
    node_cpu,
)
from twin.wave import Wave

from joulebook.accounting.ledger import Ledger, ingest, open_ledger, rebuild
from joulebook.accounting.ledger.nodes import parts
from joulebook.accounting.spans import span_energies
from joulebook.accounting.verify import verify
from joulebook.collectors.sensors import Sensor
from joulebook.reports import as_json, views
from joulebook.reports.views.common import period_of

PACKAGE, GPU = "powercap:package-0", "nvml:GPU-1"
GOOD = Sensor(PACKAGE, "cpu:0", "uJ", "measured", "energy_uj", update_s=0.001, max_w=400.0)


class Part(NamedTuple):
    """What share_hour says of one run and sensor."""

    low: float
    mid: float
    high: float
    active: float
    idle_reservation: float
    idle_equal: float
    covered_s: float


def package(power: Power, **fields: Any) -> Device:
    """A RAPL package: microjoules, renewed every millisecond."""
    of_device = {name: fields.pop(name) for name in set(fields) & set(Device._fields)}
    return Device(GOOD._replace(**fields), power, **of_device)


def gpu(power: Power, **fields: Any) -> Device:
    """A GPU with a counter of millijoules, renewed every 100 ms."""
    of_device = {name: fields.pop(name) for name in set(fields) & set(Device._fields)}
    sensor = Sensor(GPU, "gpu:GPU-1", "mJ", "measured", "nvml", update_s=0.1, max_w=700.0, share_by="reservation")
    return Device(sensor._replace(**fields), power, **of_device)


def told(home: Path) -> Ledger:
    ingest(home)
    ledger = open_ledger(home)
    assert ledger.rows("select reason from quarantine") == []
    return ledger


def stored(ledger: Ledger, sensor: str = PACKAGE, table: str = "share_hour") -> dict[str, Part]:
    """What the ledger holds of a sensor, by run."""
    rows = ledger.rows(
        f"""select run_id::varchar as run_id, sum(node_low) as low, sum(node_mid) as mid, sum(node_high) as high,
                   sum(active) as active, sum(idle_reservation) as idle_reservation, sum(idle_equal) as idle_equal,
                   sum(covered_s) as covered_s from {table} where sensor = ? group by run_id""",
        (sensor,),
    )
    return {row.pop("run_id"): Part(**row) for row in rows}


def alone(home: Path, device: Device, job: Job, **settings: Any) -> tuple[Part, Ran, Ledger]:
    """One process with one run on a node with one device."""
    node = Node(home, [device])
    late_s = settings.pop("late_s", 0.0)
    for name, value in settings.items():
        setattr(node, name, value)
    ((ran,),) = node.write([Process((job,), late_s=late_s)])
    ledger = told(home)
    return stored(ledger, device.sensor.sensor)[ran.run_id], ran, ledger


def violations(ledger: Ledger) -> list[Any]:
    return [violation for check in verify(ledger) for violation in check.violations]


def odd_of(ledger: Ledger, ran: Ran) -> dict[str, int]:
    """How often something strange happened to the sensors of a run."""
    found: dict[str, int] = {}
    for step in parts(ledger, [ran.run_id]).odd.to_pylist():
        found[step["what"]] = found.get(step["what"], 0) + 1
    return found


# The range covers the truth --------------------------------------------------------------------------------------


class Trace(NamedTuple):
    """A random device, and the run beside it. `is_faulty`: with one outage or one reset."""

    wave: Wave
    device: Device
    job: Job
    late_s: float


def _trace(random: Random, is_faulty: bool) -> Trace:
    low_w = random.uniform(20, 200)
    period_s = random.choice((random.uniform(0.05, 0.5), random.uniform(0.5, 20)))
    wave = Wave(low_w, low_w + random.uniform(0, 500), period_s, random.uniform(0.1, 0.9), random.uniform(0, 20))
    length_s = math.exp(random.uniform(math.log(0.5), math.log(600)))
    start_s = random.uniform(5, 65)
    max_w = wave.high_w * random.uniform(1, 2.5)
    accuracy = random.choice((0.0, 0.01, 0.05, 0.2))
    wraps_at = random.choice((None, max_w * random.uniform(6, 30) * 1e6, 262_143_328_850.0))
    at_s = start_s + random.uniform(0.1, 0.9) * length_s
    fault = random.choice(({"reset_s": at_s}, {"outages": ((at_s, at_s + random.uniform(0.1, 5)),)}))
    device = package(
        wave,
        wraps_at=wraps_at,
        update_s=random.choice((0.001, 0.02, 0.1, random.uniform(0.001, 0.1))),
        accuracy=accuracy,
        max_w=max_w,
        gain=random.uniform(-accuracy, accuracy),
        quantum=random.choice((1.0, 61.0, 15_300.0)),
        begins_at=random.uniform(0, wraps_at or 1e12),
        phase_s=random.uniform(0, 1),
        **(fault if is_faulty else {}),
    )
    late_s = random.choice((0.0, random.uniform(0, min(0.3, length_s / 2))))
    return Trace(wave, device, Job(start_s, start_s + length_s), late_s)


def test_the_range_covers_the_truth_in_200_random_traces(home: Path) -> None:
    """A run without two values has no energy at all: it counts as not covered."""
    random = Random(20261123)  # noqa: S311
    truth: dict[str, tuple[float, Trace]] = {}
    for number in range(200):
        trace = _trace(random, is_faulty=number % 5 == 0)
        node = Node(home, [trace.device], seed=number)
        node.jitter_s, node.delay_s = random.choice((0, 0.05)), random.choice((0, 0.002))
        ((ran,),) = node.write([Process((trace.job,), late_s=trace.late_s)])
        truth[ran.run_id] = trace.wave.energy_j(ran.from_s, ran.to_s), trace
    found = stored(told(home))
    missed = [
        (true_j, found.get(run_id), trace)
        for run_id, (true_j, trace) in truth.items()
        if run_id not in found or not max(0, found[run_id].low) <= true_j <= found[run_id].high
    ]
    widths = [
        (found[run_id].high - found[run_id].low) / 2 / true_j
        for run_id, (true_j, _) in truth.items()
        if run_id in found
    ]
    print(f"\n{200 - len(missed)} of 200 covered; median half-width {median(widths):.1%}")  # noqa: T201
    assert all(part.low <= part.mid <= part.high for part in found.values())
    assert len(missed) <= 10, missed
    assert median(widths) < 0.08


def test_a_minute_costs_the_accuracy_and_one_update_at_each_edge(home: Path) -> None:
    """60 s at 200 W = 12 000 J. A GPU counter 100 ms old at the start may say 0.1 s × 700 W = 70 J of before, at the
    end it may lack as much; ±1 % of the reading beside that."""
    part, *_ = alone(home, gpu(Steady(200), accuracy=0.01), Job(10, 70))
    assert part.mid == pytest.approx(12_000, abs=1e-6)
    assert part.low == pytest.approx((12_000 - 70) / 1.01, abs=1e-6)
    assert part.high == pytest.approx((12_000 + 70) / 0.99, abs=1e-6)


def test_a_reading_within_20_percent_of_the_truth_leaves_a_quarter_above(home: Path) -> None:
    """A counter that shows 80 of 100 J is within 20 %: 80 J / (1 - 0.2) = 100 J, though 80 J × 1.2 = 96 J is less."""
    part, *_ = alone(home, package(Steady(100), gain=-0.1999, accuracy=0.2), Job(10, 70))
    assert part.mid == pytest.approx(0.8001 * 6000)
    assert part.high == pytest.approx((0.8001 * 6000 + 0.001 * 400) / 0.8)


def test_a_late_first_value_may_be_of_before_the_run(home: Path) -> None:
    """100 W; sensors answer 40 ms after the start, with a value of the start, 200 J before the end. It is up to 100 ms
    old: 60 ms of what it counted may be of before the run, 0.06 s × 700 W = 42 J less. Or it is new: then the first
    40 ms are missing, at up to 700 W, and at the end as much as 100 ms, 28 and 70 J more."""
    part, *_ = alone(home, gpu(Steady(100)), Job(10, 12), late_s=0.04)
    assert (part.low, part.high) == pytest.approx((200 - 42, 200 + 28 + 70), abs=1e-6)
    assert part.mid == pytest.approx(200 + 0.04 * 200 / 1.96)  # as in the time that was seen


# Counters that begin again ---------------------------------------------------------------------------------------

RAPL_W = Wave(40, 160, 1.3)


def test_a_counter_that_wraps_every_ten_seconds(home: Path) -> None:
    """100 W on average and a range of 1 kJ: six times in a minute. No joule is lost, none counted twice."""
    part, ran, ledger = alone(home, package(RAPL_W, wraps_at=1e9, begins_at=950e6, quantum=61), Job(10, 70))
    true_j = RAPL_W.energy_j(ran.from_s, ran.to_s)
    assert part.mid == pytest.approx(true_j, rel=0.005)
    assert part.low <= true_j <= part.high
    assert (part.high - part.low) / 2 < 0.005 * true_j
    assert odd_of(ledger, ran) == {}


def test_an_outage_of_three_seconds_costs_nothing(home: Path) -> None:
    """The counter went on counting: 20 s, of which 3 s were not to be read."""
    part, ran, ledger = alone(home, package(RAPL_W, wraps_at=262_143_328_850, outages=((18.5, 21.5),)), Job(10, 30))
    assert part.mid == pytest.approx(RAPL_W.energy_j(ran.from_s, ran.to_s), rel=0.001)
    assert ledger.rows("select count(*) as n from node_reading where status = 'EIO'") == [{"n": 3}]


def test_silence_that_is_long_enough_to_go_round_is_told_and_covered(home: Path) -> None:
    """1 kJ of range, 100 W, 25 s without a value: 2.5 kJ went by, of which the counter shows 500 J. At up to 400 W it
    may be 500 J to 9.5 kJ; as it went before it is 2.5 kJ."""
    device = package(Steady(100), wraps_at=1e9, outages=((29.5, 54.5),))
    part, ran, ledger = alone(home, device, Job(10, 70))
    assert odd_of(ledger, ran) == {"ambiguous": 1}
    assert part.mid == pytest.approx(6000, abs=1e-6)
    assert part.low == pytest.approx(6000 - 2000, abs=1)
    # 26 s (29 to 55) at 400 W are 10.4 kJ: of 600 J and whole kJ, 9.6 kJ fits still, 9 kJ more than is shown
    assert part.high == pytest.approx(6000 - 2000 + 9000, abs=1)


def test_after_a_reset_the_range_says_what_may_be_lost(home: Path) -> None:
    """100 W, reset at 40.3 s between values at 40 and 41 s: it shows 70 J, 30 J are gone. Up to 400 J may be."""
    part, ran, ledger = alone(home, package(Steady(100), begins_at=9e12, reset_s=40.3), Job(10, 70))
    assert odd_of(ledger, ran) == {"reset": 1}
    assert part.low == pytest.approx(6000 - 30 - 0.4, abs=0.5)
    assert part.mid == pytest.approx(6000, abs=1)
    assert part.high == pytest.approx(6000 + 300 + 0.4, abs=0.5)


def test_a_counter_that_goes_back_a_little_was_not_reset(home: Path) -> None:
    """9 MJ, then 5 MJ: nothing that began at zero shows 5 MJ a second later. The step is 0 to 400 J, not 5 MJ."""
    device = package(Steady(100), begins_at=9e12, glitches=((40.5, 100, 5e12),))
    part, ran, ledger = alone(home, device, Job(10, 45))
    assert odd_of(ledger, ran) == {"reset": 1}
    assert part.low == pytest.approx(3000, abs=1)  # 10 to 40 s; afterwards it stands still
    assert part.mid == pytest.approx(3000 + 100, abs=1)
    assert part.high == pytest.approx(3000 + 400, abs=1)


def test_one_zero_in_between_is_two_strange_steps_and_no_more(home: Path) -> None:
    """A driver that shows 0 once: the seconds before and after it are unknown, the rest of the minute is not."""
    device = package(Steady(100), begins_at=9e12, glitches=((40.5, 41.5, 0.0),))
    part, ran, ledger = alone(home, device, Job(10, 70))
    assert odd_of(ledger, ran) == {"reset": 1, "jump": 1}
    assert part.mid == pytest.approx(6000, abs=1)
    assert part.low == pytest.approx(5800, abs=1)


def test_values_that_come_late_never_look_like_a_wrap(home: Path) -> None:
    """On each of six nodes two processes stamp what they read up to 50 ms late, so values stand in another order than
    they were read. One false wrap would add 1 kJ, one false reset what the counter shows; there are six true wraps a
    minute."""
    found: list[Ran] = []
    for seed in range(6):
        node = Node(home, [package(RAPL_W, wraps_at=1e9, quantum=61)], seed=seed)
        node.delay_s = 0.05
        jobs = tuple(Job(10 + 0.2 * number, 10.1 + 0.2 * number) for number in range(300))
        ((first,), *_) = node.write([Process((Job(10, 71),)), Process(jobs, phase_s=0.3)])
        found.append(first)
    part = stored(told(home))
    for ran in found:
        true_j = RAPL_W.energy_j(ran.from_s, ran.to_s)
        assert part[ran.run_id].mid == pytest.approx(true_j, abs=2 * 0.05 * 160)  # what 50 ms at each end may hold


def test_where_nobody_says_the_limit_it_is_three_times_what_was_seen(home: Path) -> None:
    """100 W, values up to 0.1 s old: 0.1 s × 300 W at each edge, nearly (a step of 1 s may have counted 1.1 s)."""
    part, *_ = alone(home, gpu(Steady(100), max_w=None), Job(10, 70))
    assert (part.mid, part.low, part.high) == pytest.approx((6000, 6000 - 30, 6000 + 30), abs=4)


# Gauges ----------------------------------------------------------------------------------------------------------


def gauge(power: Power, **fields: Any) -> Device:
    sensor = Sensor("nvml:GPU-1", "gpu:GPU-1", "mW", "integrated", "nvml", max_w=700.0, share_by="reservation")
    return Device(sensor._replace(**fields), power)


def test_a_gauge_that_looks_a_quarter_of_the_time_says_so(home: Path) -> None:
    """100/500 W at 10 Hz in step with a sensor that is the mean of the last 25 ms of every 100 ms: it only ever sees
    100 W. True are 300 W: mid is 66.7 % too small, but 75 % of the time is unseen, at up to 700 W: 25 to 550 W."""
    load = Wave(100, 500, 0.1, 0.5, 0.0)
    device = gauge(load, update_s=0.1, window_s=0.025)
    part, ran, ledger = alone(home, device, Job(10, 30), interval_s=0.1)
    true_j = load.energy_j(ran.from_s, ran.to_s)
    assert true_j == pytest.approx(6000, rel=1e-3)
    assert part.mid / true_j - 1 == pytest.approx(-2 / 3, abs=0.01)
    assert part.low <= true_j <= part.high
    edge_j = 0.125 * 700
    assert part.low == pytest.approx(0.25 * 100 * 20 - edge_j, rel=0.02)
    assert part.high == pytest.approx(0.25 * 100 * 20 + 0.75 * 700 * 20 + edge_j, rel=0.02)
    assert odd_of(ledger, ran)["unseen"] == pytest.approx(200, abs=2)


def test_a_gauge_of_the_mean_of_a_second_is_right_at_one_hertz(home: Path) -> None:
    """1 s means once a second see all of a load of 100/500 W; a minute of it within 2 %."""
    load = Wave(100, 500, 1.7)
    part, ran, ledger = alone(home, gauge(load, update_s=0.1, window_s=1.0), Job(10, 70))
    true_j = load.energy_j(ran.from_s, ran.to_s)
    assert part.mid == pytest.approx(true_j, rel=0.02)
    assert part.low <= true_j <= part.high
    assert (part.high - part.low) / 2 == pytest.approx(1.1 * 700, rel=0.05)  # window and update, once per edge
    assert odd_of(ledger, ran) == {}


def test_an_instantaneous_gauge_proves_nothing_between_its_values(home: Path) -> None:
    """No window at all: anything from 0 to 700 W may have been drawn in 20 s; the guess is what it showed."""
    part, *_ = alone(home, gauge(Steady(300)), Job(10, 30))
    assert (part.mid, part.low, part.high) == pytest.approx((6000, 0, 14_000), rel=1e-6)


def test_gigabytes_are_held_not_drawn(home: Path) -> None:
    """64 GB for 60 s, read at 10 s and every 1 s after the edges were skipped: 3840 GB·s, and no range but ±3 %."""
    sensor = Sensor("memory", "dram:model", "GB", "modelled", "meminfo", accuracy=0.03, share_by="reservation")
    part, *_ = alone(home, Device(sensor, Steady(64)), Job(10, 70), rest_s=0.5, late_s=0.2)
    assert part.mid == pytest.approx(64 * 60, rel=1e-9)
    assert (part.low, part.high) == pytest.approx((3840 / 1.03, 3840 / 0.97), rel=1e-9)


# One node, many processes ----------------------------------------------------------------------------------------


def eight(home: Path, others: Power, *, seed: int = 0) -> tuple[list[Ran], Ledger, float]:
    """Eight processes of half a CPU each, staggered, on 8 CPUs at 100 W; until the last one ended."""
    processes = [Process((Job(10 + 3 * n, 100 + 2 * n),), cpu=Steady(0.5), phase_s=0.1 * n) for n in range(8)]
    devices = [package(Steady(100)), node_cpu(processes, others)]
    node = Node(home, devices, seed=seed)
    found = [ran for (ran,) in node.write(processes)]
    return found, told(home), max(ran.to_s for ran in found) - min(ran.from_s for ran in found)


def test_eight_processes_are_one_node(home: Path) -> None:
    """100 W for 104 s: 10 400 J, each of them seen by those who were there, and all of them given away once."""
    found, ledger, seconds = eight(home, Steady(0))
    assert seconds == pytest.approx(104)
    part = stored(ledger)
    for ran in found:
        assert part[ran.run_id].mid == pytest.approx(100 * (ran.to_s - ran.from_s), rel=1e-9)
        assert part[ran.run_id].active == pytest.approx(100 / 8 * 0.5 * (ran.to_s - ran.from_s), rel=1e-9)
    active = math.fsum(one.active for one in part.values())
    assert active + math.fsum(one.idle_reservation for one in part.values()) == pytest.approx(10_400, rel=1e-9)
    assert active + math.fsum(one.idle_equal for one in part.values()) == pytest.approx(10_400, rel=1e-9)
    assert violations(ledger) == []


def test_what_others_use_is_nobody_s_of_ours(home: Path) -> None:
    """Two of the eight CPUs are busy with what nobody records: 2/8 of 10 400 J belong to no run."""
    _, ledger, _ = eight(home, Steady(2))
    part = stored(ledger)
    given = math.fsum(one.active + one.idle_reservation for one in part.values())
    assert given == pytest.approx(10_400 * 6 / 8, rel=1e-9)


def test_idle_energy_goes_where_the_site_says(home: Path) -> None:
    """6000 J, 2 of 8 CPUs busy: 750 J for the CPU of each; 4500 J idle, 5/6 and 1/6 as they reserve them, or halves."""
    processes = [
        Process((Job(10, 70),), cpu=Steady(1), reserved={PACKAGE: 5 / 6}, reserved_as="a"),
        Process((Job(10, 70),), cpu=Steady(1), reserved={PACKAGE: 1 / 6}, reserved_as="b", phase_s=0.5),
    ]
    runs = Node(home, [package(Steady(100)), node_cpu(processes)]).write(processes)
    ledger = told(home)
    for policy, wanted in {"reservation": (4500, 1500), "equal": (3000, 3000), "none": (750, 750)}.items():
        (home / "site.toml").write_text(f'idle_energy = "{policy}"\n')
        for (ran,), wanted_j in zip(runs, wanted, strict=True):
            row = device_of(ledger, ran)
            assert row["energy_j"].mid == pytest.approx(wanted_j, rel=1e-9)
            assert row["active_energy_j"].mid == pytest.approx(750, rel=1e-9)
            assert row["idle_energy_j"].mid == pytest.approx(wanted_j - 750, rel=1e-9, abs=1e-9)
            assert row["idle_policy"] == policy


def device_of(ledger: Ledger, ran: Ran, sensor: str = PACKAGE) -> dict[str, Any]:
    """The row of a sensor in the devices of a run."""
    (devices,) = (part for part in views.run(ledger, ran.run_id).parts if part.key == "devices")
    (row,) = (row for row in devices.rows if row["sensor"] == sensor)
    return dict(row)


def test_a_second_rank_changes_nothing_but_the_shares(home: Path, tmp_path: Path) -> None:
    """One rank of two CPUs, or two of one: the node used 6000 J, and they have all of it."""
    for ranks in (1, 2):
        where = tmp_path / str(ranks)
        processes = [Process((Job(10, 70),), cpu=Steady(2 / ranks), phase_s=0.3 * rank) for rank in range(ranks)]
        runs = Node(where, [package(RAPL_W), node_cpu(processes)]).write(processes)
        part = stored(told(where))
        true_j = RAPL_W.energy_j(10, 70)
        assert [part[ran.run_id].mid for (ran,) in runs] == pytest.approx([true_j] * ranks, abs=0.4)
        given = math.fsum(one.active + one.idle_reservation for one in part.values())
        assert given == pytest.approx(part[runs[0][0].run_id].mid, rel=1e-9)


def changing_load(home: Path, seed: int) -> tuple[list[Ran], Power]:
    """A node with eight square-wave loads, counted in ticks of 10 ms, under a power that follows them."""
    random = Random(seed)  # noqa: S311
    processes = [
        Process(
            (Job(start_s := random.uniform(10, 30), start_s + random.uniform(30, 60)),),
            cpu=Wave(0, 1, random.uniform(0.3, 5), 0.5, random.uniform(0, 9)),
            phase_s=random.uniform(0, 0.9),
        )
        for _ in range(8)
    ]
    power = Sum((Steady(40), Scaled(cpu_of(processes), 25)))
    node = Node(home, [package(power), node_cpu(processes, quantum=0.01)], seed=seed)
    node.jitter_s, node.delay_s = 0.02, 0.001
    return [ran for (ran,) in node.write(processes)], power


def test_parts_add_up_whatever_the_load_does(home: Path) -> None:
    """On each of four nodes nobody has too much, and all together have 99.5 % or more of what the node used while
    somebody was there."""
    loads = [changing_load(home, seed) for seed in range(4)]
    ledger = told(home)
    assert violations(ledger) == []
    part = stored(ledger)
    for runs, power in loads:
        given = math.fsum(part[ran.run_id].active + part[ran.run_id].idle_reservation for ran in runs)
        true_j = power.energy_j(min(ran.from_s for ran in runs), max(ran.to_s for ran in runs))
        assert 0.995 * true_j < given < 1.002 * true_j


def test_who_is_killed_hands_the_lease_over(home: Path) -> None:
    """The holder dies at 40.5 s: its last tick was at 40 s, and to there its energy is known. The other, which has not
    read since its start, reads from its next tick on: it loses nothing."""
    processes = [
        Process((Job(10, 100),), cpu=Steady(1), killed_s=40.5),
        Process((Job(12.2, 72.2),), cpu=Steady(1)),
    ]
    node = Node(home, [package(RAPL_W), node_cpu(processes)])
    (killed,), (other,) = node.write(processes)
    assert (killed.to_s, len(node.journals[1].lines)) == (40, 3 + 2 + 59 + 32)  # it sensed at 32 of its 59 ticks
    ledger = told(home)
    part = stored(ledger)
    assert part[killed.run_id].mid == pytest.approx(RAPL_W.energy_j(10, 40), abs=0.2)
    assert part[other.run_id].mid == pytest.approx(RAPL_W.energy_j(12.2, 72.2), abs=0.2)
    states = {row["id"]: row["state"] for row in ledger.rows("select span_id::varchar as id, state from work")}
    assert states == {killed.run_id: "lost", other.run_id: "ended"}


# A GPU -----------------------------------------------------------------------------------------------------------


def shared_gpu(home: Path, device: Device, *processes: Process) -> list[Part]:
    runs = Node(home, [device]).write(processes)
    part = stored(told(home), device.sensor.sensor)
    return [part[ran.run_id] for found in runs for ran in found]


def test_slices_of_a_gpu_are_parts_of_it(home: Path) -> None:
    """3/7 and 4/7 of 200 W for 60 s: 12 000 J, 5143 J and 6857 J."""
    three, four = shared_gpu(
        home,
        gpu(Steady(200)),
        Process((Job(10, 70),), reserved={GPU: 3 / 7}, reserved_as="MIG-a"),
        Process((Job(10, 70),), reserved={GPU: 4 / 7}, reserved_as="MIG-b"),
    )
    assert (three.active, four.active) == pytest.approx((12_000 * 3 / 7, 12_000 * 4 / 7), rel=1e-9)
    assert three.idle_reservation == four.idle_reservation == 0


def test_ranks_in_one_slice_share_it(home: Path) -> None:
    """Two ranks have 3/7 of the GPU between them, the second for the last 30 of 60 s: 3/4 and 1/4 of 12 000 J × 3/7."""
    first, second = shared_gpu(
        home,
        gpu(Steady(200)),
        Process((Job(10, 70),), reserved={GPU: 3 / 7}, reserved_as="MIG-a"),
        Process((Job(40, 70),), reserved={GPU: 3 / 7}, reserved_as="MIG-a", phase_s=0.5),
    )
    of_slice = 12_000 * 3 / 7
    assert (first.active, second.active) == pytest.approx((of_slice * 3 / 4, of_slice * 1 / 4), rel=1e-9)


def test_a_gpu_is_shared_by_how_long_each_kept_it_busy(home: Path) -> None:
    """Busy 0.3 and 0.5 of the time: 3/8 and 5/8 of what it used."""
    device = gpu(Steady(200), share_by="busy")
    first, second = shared_gpu(
        home,
        device,
        Process((Job(10, 70),), busy={"gpu:GPU-1": Steady(0.3)}),
        Process((Job(10, 70),), busy={"gpu:GPU-1": Steady(0.5)}, phase_s=0.4),
    )
    assert (first.active, second.active) == pytest.approx((4500, 7500), rel=1e-9)
    assert first.idle_reservation == first.idle_equal == 0


def test_who_has_no_run_open_has_no_part(home: Path) -> None:
    """One process works in two runs with 40 s between them. While it has none the other has all: 20 s × 200 W × 5/8
    and 40 s × 200 W."""
    first, second, other = shared_gpu(
        home,
        gpu(Steady(200), share_by="busy"),
        Process((Job(10, 20), Job(60, 70)), busy={"gpu:GPU-1": Wave(0, 0.3, 50, 0.2, 10)}),
        Process((Job(10, 70),), busy={"gpu:GPU-1": Steady(0.5)}),
    )
    assert (first.active, second.active) == pytest.approx((750, 750), rel=1e-9)
    assert other.active == pytest.approx(2500 + 8000, rel=1e-9)


def test_two_runs_of_one_process_have_one_part_of_a_gpu(home: Path) -> None:
    """They were busy together: each has half of what the process has."""
    first, second = shared_gpu(
        home,
        gpu(Steady(200), share_by="busy"),
        Process((Job(10, 70), Job(10, 70.0001)), busy={"gpu:GPU-1": Steady(0.4)}),
    )
    assert (first.active, second.active) == pytest.approx((6000, 6000), rel=1e-4)


def test_while_nobody_keeps_a_gpu_busy_it_is_idle(home: Path) -> None:
    """One process works for the first 30 s of 60, the other never: 6000 J are the first one's; of the idle 6000 J each
    has half."""
    device = gpu(Steady(200), share_by="busy")
    working = Wave(0, 0.9, 60, 0.5, 10)
    first, second = shared_gpu(
        home,
        device,
        Process((Job(10, 70),), busy={"gpu:GPU-1": working}),
        Process((Job(10, 70),), busy={"gpu:GPU-1": Steady(0)}),
    )
    assert (first.active, second.active) == pytest.approx((6000, 0), rel=1e-9)
    assert (first.idle_equal, second.idle_equal) == pytest.approx((3000, 3000), rel=1e-9)
    assert (first.idle_reservation, second.idle_reservation) == pytest.approx((3000, 3000), rel=1e-9)


def test_without_busy_time_a_gpu_is_shared_in_equal_parts(home: Path) -> None:
    """Three runs, the third for the first half only: 12 000 J × (1/3 + 1/2)/2 = 5000 J, twice, and 2000 J."""
    found = shared_gpu(home, gpu(Steady(200)), *(Process((Job(10, end_s),)) for end_s in (70, 70, 40)))
    assert [one.active for one in found] == pytest.approx([5000, 5000, 2000], rel=1e-9)


# It does not matter when what was ingested -----------------------------------------------------------------------


def busy_node(home: Path) -> Node:
    """What may depend on who came first: late sensors, edges without values, a killed holder, a reset, neighbours."""
    processes = [
        Process((Job(10, 95), Job(20, 50)), cpu=Wave(0, 2, 1.1), late_s=0.3),
        Process((Job(10.2, 10.25), Job(11, 70)), cpu=Wave(0, 1, 0.7), phase_s=0.2, busy={"gpu:GPU-1": Wave(0, 1, 2)}),
        Process((Job(30, 200),), cpu=Wave(0, 1, 3), killed_s=100.4, phase_s=0.6),
        Process((Job(96, 130), Job(131, 131.4)), cpu=Steady(1), late_s=0.2, busy={"gpu:GPU-1": Wave(0, 1, 3)}),
        Process((Job(4000, 4100),), cpu=Steady(1)),
        Process((Job(150, 170),), cpu=Steady(1), sensors=False),
    ]
    power = Sum((Steady(40), Scaled(cpu_of(processes), 25)))
    gpu_power = Sum((Steady(60), Scaled(busy_of(processes, "gpu:GPU-1"), 100)))
    devices = [
        package(power, wraps_at=3e9, begins_at=2e9, reset_s=63.2, quantum=61, outages=((88, 91),)),
        node_cpu(processes, Steady(0.3), quantum=0.01),
        gpu(gpu_power, share_by="busy", max_w=None),
        gauge(gpu_power, update_s=0.1, window_s=0.025)._replace(
            sensor=Sensor(
                "nvml-instant:GPU-1",
                "gpu:GPU-1",
                "mW",
                "integrated",
                "nvml",
                window_s=0.025,
                update_s=0.1,
                share_by="busy",
                counted=False,
            )
        ),
    ]
    node = Node(home, devices, seed=4)
    node.jitter_s, node.delay_s, node.rest_s = 0.03, 0.02, 0.35
    node.write(processes)
    return node


def rows_of(home: Path) -> dict[tuple[Any, ...], tuple[float, ...]]:
    """Every row of the share tables, by what it is of."""
    found: dict[tuple[Any, ...], tuple[float, ...]] = {}
    for table, time in (("share_minute", "minute_utc"), ("share_hour", "hour_utc")):
        for row in open_ledger(home).rows(f"select * from {table}"):
            key = (table, str(row["run_id"]), row["sensor"], row[time])
            found[key] = tuple(row[name] for name in ("node_low", "node_mid", "node_high", *Part._fields[3:]))
    return found


def assert_same(home: Path, wanted: dict[tuple[Any, ...], tuple[float, ...]]) -> None:
    found = rows_of(home)
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        assert found[key] == pytest.approx(values, rel=1e-9, abs=1e-9), key


def in_pieces(home: Path, node: Node, cuts: list[list[int]]) -> None:
    """Lets the journals grow beside each other and ingests after every piece; their writers live to the end."""
    (home / "journal").mkdir(parents=True)
    files = [(home / "journal" / journal.path.name).open("wb", buffering=0) for journal in node.journals]
    for file in files:
        fcntl.flock(file, fcntl.LOCK_EX)
    for number in range(len(cuts[0]) - 1):
        for file, journal, cut in zip(files, node.journals, cuts, strict=True):
            file.write(b"".join(journal.lines[cut[number] : cut[number + 1]]))
            ingest(home)
    for file in files:
        file.close()
        ingest(home)


def test_the_order_of_ingest_does_not_matter(home: Path, tmp_path: Path) -> None:
    node = busy_node(home)
    told(home)
    wanted = rows_of(home)
    assert len({key[1] for key in wanted}) == 8  # all runs but the one whose process knew no sensor
    rebuild(home)
    assert_same(home, wanted)
    other = tmp_path / "one by one"
    (other / "journal").mkdir(parents=True)
    for journal in reversed(node.journals):
        (other / "journal" / journal.path.name).write_bytes(b"".join(journal.lines))
        ingest(other)
    assert_same(other, wanted)


def test_journals_that_grow_come_to_the_same(home: Path, tmp_path: Path) -> None:
    """Each in two pieces, cut anywhere, an ingest after every piece and one after each writer is gone."""
    node = busy_node(home)
    told(home)
    random = Random(1)  # noqa: S311
    cuts = [[0, random.randrange(1, len(journal.lines)), len(journal.lines)] for journal in node.journals]
    in_pieces(tmp_path / "pieces", node, cuts)
    assert_same(tmp_path / "pieces", rows_of(home))
    assert violations(open_ledger(tmp_path / "pieces")) == []


def long_node(home: Path, *, set_back_s: float = 0.0, **fields: Any) -> Node:
    """A run of four hours, read every ten seconds, and another beside it for five minutes of its third hour."""
    processes = [
        Process((Job(10, 14_000),), cpu=Wave(0, 2, 731)),
        Process((Job(9000, 9300),), cpu=Steady(1), phase_s=3),
    ]
    power = Sum((Steady(40), Scaled(cpu_of(processes), 25)))
    memory = Sensor("memory", "dram:0", "GB", "modelled", "meminfo", share_by="reservation")
    devices = [
        package(power, wraps_at=3e9, reset_s=12_000.5, **fields),
        node_cpu(processes, Steady(0.3), quantum=0.01),
        Device(memory, Steady(64)),
    ]
    node = Node(home, devices, seed=4)
    node.interval_s, node.jitter_s, node.delay_s, node.rest_s = 10, 0.3, 0.02, 3.5
    node.write(processes)
    if set_back_s:  # the wall clock, in the middle
        for journal in node.journals:
            journal.lines = [_set_back(line, 7000, set_back_s) for line in journal.lines]
            journal.write()
    return node


def _set_back(line: bytes, at_s: float, by_s: float) -> bytes:
    event = json.loads(line)
    if event["mono_ns"] < (1000 + at_s) * 1e9:
        return line
    return json.dumps(event | {"at_ns": event["at_ns"] - round(by_s * 1e9)}).encode() + b"\n"


def by_time(node: Node, every_s: float, end_s: float) -> list[list[int]]:
    """Where to cut each journal, so that all stand at the same time after each piece."""
    times = [[json.loads(line)["mono_ns"] / 1e9 - 1000 for line in journal.lines] for journal in node.journals]
    bounds = [every_s * n for n in range(1, math.ceil(end_s / every_s))]
    return [[0, *(sum(at_s < bound for at_s in each) for bound in bounds), len(each)] for each in times]


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"set_back_s": 3000.0},
        {"outages": ((0, 8000),)},
        {"outages": ((5000, 20_000),)},
        {"outages": ((5000, 5300), (7000, 7090))},
    ],
    ids=["as a rule", "clock set back", "a late sensor", "a sensor that falls silent", "a sensor that is away"],
)
def test_a_long_run_that_grows_comes_to_the_same(home: Path, tmp_path: Path, strange: dict[str, Any]) -> None:
    node = long_node(home, **strange)
    told(home)
    in_pieces(tmp_path / "pieces", node, by_time(node, 3100, 14_000))
    assert_same(tmp_path / "pieces", rows_of(home))


def test_of_a_long_run_only_its_last_part_is_worked_anew(home: Path, tmp_path: Path) -> None:
    """What stands of its first hour is not touched: not even where somebody has changed it."""
    node = long_node(tmp_path / "whole")
    (home / "journal").mkdir(parents=True)
    (first, *_), cuts = node.journals, by_time(node, 7000, 14_000)[0]
    with (home / "journal" / first.path.name).open("wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for number, (begin, end) in enumerate(pairwise(cuts)):
            file.write(b"".join(first.lines[begin:end]))
            ledger = told(home)
            early = ledger.rows("select distinct active from share_minute where minute_utc < '2026-01-01 00:05'")
            if number == 0:
                assert {"active": -1.0} not in early
                with ledger.writing() as con:
                    con.execute("update share_minute set active = -1 where minute_utc < '2026-01-01 00:05'")
    assert early == [{"active": -1.0}]


def test_runs_that_go_on_have_their_parts_so_far(home: Path, tmp_path: Path) -> None:
    """Two runs from 10 s on, 200 W of GPU between them; their journals stand at 60 and 60.5 s: 5000 and 5050 J."""
    node = Node(tmp_path, [gpu(Steady(200))])
    runs = node.write([Process((Job(10, 110),)), Process((Job(10, 110),), phase_s=0.5)])
    (home / "journal").mkdir(parents=True)
    with contextlib.ExitStack() as writers:
        for journal in node.journals:
            file = writers.enter_context((home / "journal" / journal.path.name).open("wb", buffering=0))
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b"".join(line for line in journal.lines if json.loads(line)["mono_ns"] <= 1060.6e9))
        part = stored(told(home), GPU)
        states = open_ledger(home).rows("select distinct state from work")
    assert states == [{"state": "running"}]
    first, second = (part[ran.run_id] for (ran,) in runs)
    assert (first.mid, second.mid) == pytest.approx((10_000, 10_100), rel=1e-9)
    assert (first.active, second.active) == pytest.approx((5000, 5050), rel=1e-9)


def test_a_value_after_the_end_changes_a_run_that_is_over(home: Path) -> None:
    """100 W. A run of 10 s whose sensors were not read at its end: its last value is of 9 s. Another process reads at
    11 s: 200 J since then, so the last second lies between 0 and 200 J and is 100 J, whoever was ingested first."""
    sensor = package(Steady(100)).sensor._replace(update_s=0.0)
    first = HandmadeJournal(home, begun_s=0, version=2, boot_id="one")
    first.sensor()
    first.node_sensor(sensor)
    run = first.start(0, counters={"cpu_time": 0.0}, node={PACKAGE: 0.0})
    first.tick(9, cpu_time=9.0, node={PACKAGE: 900e6})
    first.end(10, run, counters={"cpu_time": 10.0})
    first.write()
    alone_ = stored(told(home))[run]
    assert alone_[:3] == pytest.approx((900, 1000, 1300))  # 1 s at 0 to 400 W beyond the last value, at 100 W probably
    assert alone_.covered_s == pytest.approx(9)
    second = HandmadeJournal(home, begun_s=11, version=2, boot_id="one")
    second.sensor()
    second.node_sensor(sensor)
    second.end(12, second.start(11, counters={"cpu_time": 0.0}, node={PACKAGE: 1100e6}), counters={"cpu_time": 1.0})
    second.write()
    both = stored(told(home))[run]
    assert both[:3] == pytest.approx((900, 1000, 1100))
    assert both.covered_s == pytest.approx(10)


def test_a_clock_that_is_set_back_moves_no_joule(home: Path) -> None:
    """60 s at 100 W; after 40 s the wall clock is an hour behind. The monotonic one counts."""
    journal = HandmadeJournal(home, version=2)
    journal.sensor()
    journal.node_sensor(GOOD)
    run = journal.start(3700, counters={"cpu_time": 0.0}, node={PACKAGE: 0.0})
    for second in range(1, 60):
        set_back_s = 3600 if second > 40 else 0
        values = [
            {"sensor": PACKAGE, "value": 100e6 * second},
            {"sensor": "cpu-time", "value": second, "shared": second},
        ]
        journal.event(
            "reading", 3700 + second, counters=values, at_ns=round(START_NS + (3700 + second - set_back_s) * 1e9)
        )
    ends = {"at_ns": round(START_NS + 160 * 1e9), "counters": {"cpu_time": 60.0}, "node": {PACKAGE: 6000e6}}
    journal.end(3760, run, **ends)
    journal.write()
    ledger = told(home)
    assert stored(ledger)[run] == pytest.approx(Part(5999.6, 6000, 6000.4, 750, 5250, 5250, 60), rel=1e-6)
    assert stored(ledger, table="share_minute")[run] == pytest.approx(stored(ledger)[run], rel=1e-12)
    hours = ledger.rows("select node_mid from share_hour order by hour_utc")
    assert [row["node_mid"] for row in hours] == pytest.approx([1900, 4100])


# What must hold for all ------------------------------------------------------------------------------------------


def mids(ledger: Ledger, span_ids: list[str]) -> list[float]:
    first = ledger.rows("select min(started_at_utc) as first, max(started_at_utc) as last from span")[0]
    assess = views.common.assess_period(
        ledger, period_of(views.common.aware(first["first"]), views.common.aware(first["last"]))
    )
    found = span_energies(assess, span_ids)
    return [found[span_id].mid or 0.0 for span_id in span_ids]


def in_spans(home: Path, cuts: tuple[float, ...]) -> Ran:
    """A run from 10 to 70 s in child spans from end to end, under a load that changes all the time, beside another."""
    bounds = (10.0, *cuts, 70.0)
    processes = [
        Process((Job(10, 70, tuple(pairwise(bounds))),), cpu=Wave(0, 2, 1.3)),
        Process((Job(25, 55),), cpu=Wave(0, 3, 0.9), phase_s=0.4),
    ]
    power = Sum((Steady(40), Scaled(cpu_of(processes), 25)))
    node = Node(home, [package(power), node_cpu(processes, Steady(0.4))])
    node.rest_s = 0.5
    (ran,), _ = node.write(processes)
    return ran


def test_pieces_of_a_run_add_up_to_it(home: Path) -> None:
    """Of two, of four and of 91 pieces."""
    cuts = ((20.0,), (12.5, 13.0, 40.25), tuple(10.3 + 0.61 * n for n in range(90)))
    runs = [in_spans(home, some) for some in cuts]
    ledger = told(home)
    for ran in runs:
        whole, *pieces = mids(ledger, [ran.run_id, *ran.pieces])
        assert math.fsum(pieces) == pytest.approx(whole, rel=1e-9)


def test_minutes_are_hours_are_what_the_page_says(home: Path) -> None:
    """share_minute, share_hour and the devices of the View are one sum."""
    (ran,), _ = _two_loads(home)
    ledger = told(home)
    minutes, hours = (stored(ledger, table=table)[ran.run_id] for table in ("share_minute", "share_hour"))
    assert minutes == pytest.approx(hours, rel=1e-12)
    row = device_of(ledger, ran)
    assert row["node_energy_j"].mid == pytest.approx(hours.mid, rel=1e-12)
    assert row["energy_j"].mid == pytest.approx(hours.active + hours.idle_reservation, rel=1e-12)
    assert (row["node_energy_j"].low, row["node_energy_j"].high) == pytest.approx((hours.low, hours.high), rel=1e-12)


def _two_loads(home: Path, *, name: str = PACKAGE, slower: float = 1.0) -> list[list[Ran]]:
    """Two runs beside each other, 10 s to 150 s; `slower`: everything takes so many times as long."""
    processes = [
        Process((Job(10, 10 + 140 * slower),), cpu=Wave(0, 2, 1.3 * slower, 0.5, 10)),
        Process((Job(10 + 25 * slower, 10 + 75 * slower),), cpu=Wave(0, 3, 0.9 * slower, 0.5, 10)),
    ]
    power = Sum((Steady(40), Scaled(cpu_of(processes), 25)))
    device = Device(Sensor(name, "cpu:0", "uJ", "measured", "x", max_w=400.0), power)
    node = Node(home, [device, node_cpu(processes)])
    node.interval_s = slower
    return node.write(processes)


def test_a_sensor_by_another_name_says_the_same(home: Path, tmp_path: Path) -> None:
    found: list[list[Part]] = []
    for name in (PACKAGE, "a sensor \"with\" 'quotes'"):
        runs = _two_loads(where := tmp_path / str(len(found)), name=name)
        part = stored(told(where), name)
        found.append([part[ran.run_id] for (ran,) in runs])
    assert found[0] == [pytest.approx(part, rel=1e-12) for part in found[1]]


def test_twice_the_time_at_the_same_power_is_twice_the_energy(home: Path, tmp_path: Path) -> None:
    found: list[list[Part]] = []
    for slower in (1.0, 2.0):
        runs = _two_loads(where := tmp_path / str(slower), slower=slower)
        part = stored(told(where))
        found.append([part[ran.run_id] for (ran,) in runs])
    for once, twice in zip(*found, strict=True):
        assert twice == pytest.approx(tuple(2 * value for value in once), rel=1e-6)


# Long runs, old journals -----------------------------------------------------------------------------------------


def test_a_run_across_midnight_and_four_journals(home: Path) -> None:
    """23:50 to 01:20 at 100 W, its journal rotated every 25 minutes: 540 kJ in one run, in hours of 60, 360 and 120 kJ.

    Its past days are sealed at once, beside a journal of version 1; the ledger made anew from Parquet is the same.
    """
    start_s = 86_400 - 600
    process = Process((Job(start_s, start_s + 5400),), cpu=Steady(2))
    node = Node(home, [package(Steady(100), wraps_at=262_143_328_850), node_cpu([process])])
    node.interval_s, node.rotate_s = 10.0, 1500.0
    node.write([process])
    assert len(node.journals) == 4
    old = HandmadeJournal(home)
    old.sensor()
    old.end(20, old.start(10, counters={"cpu_time": 0.0}), counters={"cpu_time": 5.0})
    old.write()
    ledger = told(home)
    hours = ledger.rows("select hour_utc, node_mid from share_hour where sensor = ? order by hour_utc", (PACKAGE,))
    assert [(row["hour_utc"].day, row["hour_utc"].hour) for row in hours] == [(1, 23), (2, 0), (2, 1)]
    assert [row["node_mid"] for row in hours] == pytest.approx([60_000, 360_000, 120_000], rel=1e-9)
    assert len(stored(ledger, table="share_minute")) == 1
    assert not list((home / "journal").glob("*.jsonl"))
    before = rows_of(home)
    readings = ledger.rows("select * from node_reading order by all"), ledger.rows("select * from sensor order by all")
    assert len(readings[0]) == 2 * (2 + 539)
    assert {row["scope"] for row in readings[1]} == {None, "node"}
    rebuild(home)
    assert rows_of(home) == before
    assert readings == (
        ledger.rows("select * from node_reading order by all"),
        ledger.rows("select * from sensor order by all"),
    )


def test_two_nodes_do_not_mix(home: Path) -> None:
    """The same sensor on two boots of one host, at the same time of their clocks, at 100 and 200 W."""
    runs = [Node(home, [package(Steady(watt))]).write([Process((Job(10, 70),))])[0][0] for watt in (100, 200)]
    part = stored(told(home))
    assert [part[ran.run_id].mid for ran in runs] == pytest.approx([6000, 12_000], rel=1e-9)


# Bad values ------------------------------------------------------------------------------------------------------


NO_SENSORS: list[tuple[dict[str, Any], str]] = [
    ({"scope": "rack"}, "the scope is not node"),
    ({"unit": "kWh"}, "a sensor must tell J, mJ, uJ, W, mW, uW, s, GB"),
    ({"reserved": 2}, "reserved is not between 0 and 1"),
    ({"reserved": -0.1}, "reserved is not between 0 and 1"),
    ({"max_w": -400}, "max_w is negative"),
    ({"accuracy": -0.1}, "accuracy is negative"),
    ({"update_s": "fast"}, "wrong type: update_s is not a number"),
    ({"share_by": "strength"}, "unknown share_by"),
    ({"counted": "yes"}, "wrong type: counted is not true or false"),
    ({"method": "guessed"}, "unknown method"),
    ({"scope": None}, "a counter must count J or s"),
]


def test_a_sensor_that_cannot_be_is_refused(home: Path) -> None:
    """Each of the lines is kept aside with its own reason; the good one beside them counts."""
    journal = HandmadeJournal(home, version=2)
    for fields, _ in NO_SENSORS:
        journal.node_sensor(GOOD, **fields)
    journal.node_sensor(GOOD, sensor="good")
    journal.write()
    ingest(home)
    refused = open_ledger(home).rows("select reason from quarantine order by at_byte")
    assert [row["reason"] for row in refused] == [reason for _, reason in NO_SENSORS]
    assert [row["sensor"] for row in open_ledger(home).rows("select sensor from node_sensor")] == ["good"]


NO_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"sensor": PACKAGE, "value": "much"}, "wrong type: counters is not a list of counters"),
    ({"sensor": PACKAGE, "value": "12"}, "wrong type: counters is not a list of counters"),
    ({"sensor": PACKAGE}, "wrong type: counters"),
    ({"value": 5}, "wrong type: counters"),
    ({"sensor": PACKAGE, "status": "EIO", "shared": 1}, "wrong type: counters"),
    ({"sensor": PACKAGE, "value": 5, "shared": -1}, "wrong type: counters"),
]


def test_a_value_that_is_none_is_refused(home: Path) -> None:
    """On a node each: the line with it is kept aside; the lines around it count: 10 s at 100 W."""
    wanted: dict[str, str] = {}
    for number, (entry, reason) in enumerate(NO_VALUES):
        journal = HandmadeJournal(home, version=2, boot_id=str(number))
        journal.sensor()
        journal.node_sensor(GOOD)
        run = journal.start(10, counters={"cpu_time": 0.0}, node={PACKAGE: 0})
        journal.event("reading", 15, counters=[entry])
        journal.end(20, run, counters={"cpu_time": 1.0}, node={PACKAGE: 1000e6})
        journal.write()
        wanted[run] = reason
    ingest(home)
    ledger = open_ledger(home)
    refused = ledger.rows(
        "select span_id::varchar as run, reason from quarantine q join span s on s.journal_id = q.journal_id"
    )
    assert {row["run"]: row["reason"] for row in refused} == wanted
    assert len(refused) == len(wanted)
    assert {run: part.mid for run, part in stored(ledger).items()} == pytest.approx(dict.fromkeys(wanted, 1000))


def test_a_status_without_a_value_is_a_fact(home: Path) -> None:
    """Not read at 15 s: the counter says at 20 s what was used. A sensor that never showed anything has no energy."""
    journal = HandmadeJournal(home, version=2)
    journal.sensor()
    journal.node_sensor(GOOD)
    journal.node_sensor(GOOD, sensor="dead", device="cpu:1")
    run = journal.start(10, counters={"cpu_time": 0.0}, node={PACKAGE: 0, "dead": "EACCES"})
    journal.tick(15, cpu_time=0.5, node={PACKAGE: "EIO", "dead": "EACCES"})
    journal.end(20, run, counters={"cpu_time": 1.0}, node={PACKAGE: 1000e6, "dead": "EACCES"})
    journal.write()
    ledger = told(home)
    assert stored(ledger)[run].mid == pytest.approx(1000)
    assert stored(ledger, "dead") == {}
    status = ledger.rows("select sensor, status from node_reading where value is null order by mono_ns, sensor")
    assert [tuple(row.values()) for row in status] == [
        ("dead", "EACCES"), ("dead", "EACCES"), (PACKAGE, "EIO"), ("dead", "EACCES"),
    ]  # fmt: skip


def test_one_value_alone_is_no_energy(home: Path) -> None:
    """A difference needs two values: unknown, not zero; the model from CPU time stands instead."""
    journal = HandmadeJournal(home, version=2)
    journal.sensor()
    journal.node_sensor(GOOD)
    run = journal.start(10, counters={"cpu_time": 0.0}, node={PACKAGE: 5e6})
    journal.end(20, run, counters={"cpu_time": 4.0}, node={PACKAGE: "EIO"})
    journal.write()
    ledger = told(home)
    assert stored(ledger) == {}
    (row,) = json.loads(as_json.text(as_json.run(views.run(ledger, run))))["devices"]
    assert (row["sensor"], row["tier"]) == ("cpu-time", "modelled")
