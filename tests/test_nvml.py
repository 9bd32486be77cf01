"""NVML on the twin: the real nvidia-ml-py talks to a fake driver whose true energy is known."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from twin.gpu import (
    AMPERE,
    DRIVER_NOT_LOADED,
    FUNCTION_NOT_FOUND,
    GPU_IS_LOST,
    MISMATCH,
    NO_PERMISSION,
    PASCAL,
    UNKNOWN,
    UNKNOWN_ERROR,
    VOLTA,
    Gpu,
    Mig,
    Node,
    Process,
    loaded,
    uuid,
)
from twin.wave import Wave

from joulebook.collectors import cpu_time
from joulebook.collectors.sensors import Where, nvml, nvml_gpus, still

STEP_S = 0.1
SOON_S = 0.5  # long enough to open a meter before something happens, also on a busy machine
HOST_PIDS = "pid:[4026531836]"
A100 = Gpu(name="NVIDIA A100-SXM4-80GB", architecture=AMPERE, capability=(8, 0), average_s=0, usage_s=0.025)
V100 = Gpu(name="Tesla V100-SXM2-32GB", architecture=VOLTA, capability=(7, 0))
SLICES = (Mig("MIG-c6d4f1ef", 1, 0, 3, 3), Mig("MIG-cba663e8", 2, 0, 2, 2), Mig("MIG-a00a2d41", 3, 0, 1, 1))


@pytest.fixture(autouse=True)
def no_selection(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def where(tmp_path) -> Where:
    """A machine whose process ids are those that NVML tells."""
    folder = tmp_path / "proc/self/ns"
    folder.mkdir(parents=True)
    (folder / "pid").symlink_to(HOST_PIDS)
    return Where(proc=tmp_path / "proc")


@pytest.fixture
def twin(tmp_path, where):
    """`twin(Gpu(), …)`: a machine with these GPUs, in this process, until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda *gpus, **node: stack.enter_context(loaded(Node(gpus or (Gpu(),), **node), tmp_path / "nvml"))


def opened(where) -> nvml.NvmlMeter:
    meter = nvml.open_meter(where)
    assert meter is not None
    return meter


def names(meter) -> list[str]:
    return [sensor.sensor for sensor in meter.sensors()]


def picked(where) -> list[int]:
    """The places of the GPUs that are read, in the order of the selection."""
    meter = nvml.open_meter(where)
    devices = [] if meter is None else [sensor.device for sensor in meter.sensors()]
    places = {f"gpu:{uuid(place)}": place for place in range(32)}
    return [places[device] for device in devices]


def values(meter) -> list[float | None]:
    return [sample.value for sample in meter.read(names(meter))]


def read_within_a_step(meter) -> tuple[float, list[float | None]]:
    """Values that all belong to one step of the counters, and an instant of that step."""
    for _ in range(100):
        before_s = time.monotonic()
        found = values(meter)
        if before_s // STEP_S == time.monotonic() // STEP_S:
            return before_s, found
    raise AssertionError("this machine takes longer than a step of the counters to read them")


def wait_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))


class Clock:
    """Stands in for the module `time` in one of ours."""

    time_ns = staticmethod(time.time_ns)

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def monotonic(self) -> float:
        return self.now_s


def test_eight_gpus_are_read_once_each_and_their_sum_is_exact(twin, where):
    gpus = [Gpu(Wave(50.0 + 10 * place, 300.0 + 50 * place, period_s=1.1 + place / 10)) for place in range(8)]
    twin(*gpus)
    meter = opened(where)
    assert names(meter) == [f"nvml:{uuid(place)}" for place in range(8)]
    first_s, first = read_within_a_step(meter)
    time.sleep(0.3)
    last_s, last = read_within_a_step(meter)
    assert last == [gpu.counter_mj(last_s) for gpu in gpus]
    true_j = sum(gpu.energy_j(first_s // STEP_S * STEP_S, last_s // STEP_S * STEP_S) for gpu in gpus)
    assert (sum(last) - sum(first)) / 1e3 == pytest.approx(true_j, abs=8e-3)  # a millijoule for each counter


def test_a_sensor_says_what_its_counter_is(twin, where):
    twin(Gpu(name="NVIDIA L40S", architecture=8, capability=(8, 9), limit_w=350))
    sensor = opened(where).sensors()[0]
    assert sensor == nvml.Sensor(
        sensor=f"nvml:{uuid(0)}",
        device=f"gpu:{uuid(0)}",
        unit="mJ",
        method="measured",
        source="nvmlDeviceGetTotalEnergyConsumption",
        model="NVIDIA L40S",
        update_s=0.1,
        accuracy=0.05,
        max_w=pytest.approx(420),  # 1.2 × 350 W
        share_by="busy",
    )


@pytest.mark.parametrize(
    ("gpu", "accuracy"),
    [
        (Gpu(), 0.10),
        (A100, 0.10),
        (V100, 0.05),
        (Gpu(architecture=UNKNOWN), 0.10),
    ],
    ids=["H100", "A100", "V100", "unknown"],
)
def test_where_the_sensor_may_see_a_quarter_of_the_time_the_range_is_wider(twin, where, gpu, accuracy):
    twin(gpu)
    assert opened(where).sensors()[0].accuracy == accuracy


def test_only_the_sensors_named_are_read(twin, where):
    twin(Gpu(), Gpu(), Gpu())
    meter = opened(where)
    assert [sample.sensor for sample in meter.read([names(meter)[1]])] == [f"nvml:{uuid(1)}"]
    assert meter.read([]) == []


# Three GPUs with the UUIDs GPU-5d5ba0d6-…, GPU-5d5ba0d7-…, GPU-5d5ba0d8-…
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", [0]),
        ("2,0", [2, 0]),
        (" 1 , 2 ", [1, 2]),
        ("", []),
        ("-1", []),
        ("0,-1,1", [0]),
        ("0,7,1", [0]),  # what names nothing ends the list
        ("1gpu2,2ampere", [1, 2]),  # read as far as the number goes
        ("+1,-0", [1, 0]),
        ("one,2", []),
        ("NoDevFiles", []),
        ("0,1,0", []),  # twice the same: CUDA sees no device
        (uuid(1), [1]),
        ("GPU-5d5ba0d8,GPU-5d5ba0d6", [2, 0]),
        ("GPU-5d5ba0d", []),  # the beginning of all three
        ("GPU-5d5ba0d7,0", [1]),  # an index is of another kind
        ("0,GPU-5d5ba0d7", [0]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(twin, where, monkeypatch, text, expected):
    twin(Gpu(), Gpu(), Gpu())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
    assert picked(where) == expected


def test_joulebook_gpus_goes_before_cuda_and_counts_a_gpu_once(twin, where, monkeypatch):
    twin(Gpu(), Gpu(), Gpu())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("JOULEBOOK_GPUS", f"1,1,{uuid(2)}")
    assert picked(where) == [1]
    monkeypatch.setenv("JOULEBOOK_GPUS", f"{uuid(2)},GPU-5d5ba0d8")
    assert picked(where) == [2]


def test_the_gpu_named_by_uuid_is_the_one_that_is_read(twin, where, monkeypatch):
    gpus = (Gpu(Wave(10, 20)), Gpu(Wave(300, 700)))
    twin(*gpus)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", uuid(1))
    now_s, found = read_within_a_step(opened(where))
    assert found == [gpus[1].counter_mj(now_s)]


@pytest.mark.parametrize(
    ("text", "reserved"),
    [
        ("MIG-cba663e8", 2 / 7),
        (f"MIG-{uuid(0)}/1/0", 3 / 7),
        ("MIG-cba663e8,MIG-a00a2d41", 3 / 7),  # two devices of one GPU: one sensor, 2 + 1 slices
        ("MIG-c", None),  # two begin so
        ("MIG-nowhere", None),
        ("0", 6 / 7),  # what is there to see of the GPU
    ],
)
def test_a_mig_device_has_its_slices_of_the_energy_of_the_whole_gpu(twin, where, monkeypatch, text, reserved):
    gpu = A100._replace(mig=SLICES)
    twin(gpu, Gpu())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
    meter = nvml.open_meter(where)
    if reserved is None:
        assert meter is None
        return
    now_s, found = read_within_a_step(meter)
    assert [sensor.device for sensor in meter.sensors()] == [f"gpu:{uuid(0)}"]
    assert found == [gpu.counter_mj(now_s)]
    assert meter.sensors()[0].reserved == pytest.approx(reserved)
    assert (meter.sensors()[0].reserved_as is None) == (reserved == 1)
    assert meter.sensors()[0].share_by == "reservation"


def test_compute_instances_that_share_a_gpu_instance_do_not_take_it_twice(twin, where, monkeypatch):
    # A GPU instance of 3 slices, cut into compute instances of 1 and 2.
    twin(A100._replace(mig=(Mig("MIG-one", 1, 0, 3, 1), Mig("MIG-two", 1, 1, 3, 2))))
    parts = []
    for text in ("MIG-one", "MIG-two"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
        parts.append(opened(where).sensors()[0].reserved)
    assert parts == [pytest.approx(1 / 7), pytest.approx(2 / 7)]


def test_a_gpu_of_four_slices_is_divided_by_four(twin, where, monkeypatch):
    twin(A100._replace(name="NVIDIA A30", max_slices=4, mig=(Mig("MIG-half", 1, 0, 2, 2),)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-half")
    assert opened(where).sensors()[0].reserved == 2 / 4


@pytest.mark.parametrize(
    ("gpu", "what", "window_s"),
    [
        (Gpu(counter=False), "average", 1.0),
        (A100._replace(counter=False), "instant", 0.025),
        (Gpu(counter=False, architecture=PASCAL, average_s=0, usage_s=0.025), "instant", 0.025),
        (Gpu(counter=False, architecture=UNKNOWN), "instant", 0.025),  # the worst is assumed
        (Gpu(counter=False, average_s=0, window_s=0, usage_s=1), "usage", 0.025),  # an old driver: no fields
        (Gpu(begin_mj=0, frozen_s=0), "average", 1.0),  # a virtual GPU: its counter says 0 for ever
    ],
    ids=["H100", "A100", "Pascal", "unknown", "no fields", "dead counter"],
)
def test_without_a_counter_the_power_is_read_ten_times_a_second(twin, where, gpu, what, window_s):
    twin(gpu)
    meter = opened(where)
    (sensor,) = meter.sensors()
    told = (sensor.sensor, sensor.unit, sensor.method, sensor.window_s, sensor.counted)
    assert told == (f"nvml:{uuid(0)}:{what}", "mW", "integrated", window_s, True)
    assert meter.interval_s == 0.1
    now_s, found = read_within_a_step(meter)
    true_window_s = {"average": gpu.average_s, "instant": gpu.window_s, "usage": gpu.usage_s}[what]
    assert found == [gpu.gauge_mw(now_s, true_window_s)]


def test_a_counter_needs_no_reading_of_its_own(twin, where):
    twin()
    assert opened(where).interval_s is None


def test_of_grace_hopper_the_module_is_read_only_if_the_gpu_cannot_be(twin, where):
    chip = Gpu(name="NVIDIA GH200 480GB", counter=False, module_w=120)
    twin(chip)
    assert opened(where).sensors()[0].device == f"gpu:{uuid(0)}"


def test_a_module_is_not_taken_for_a_gpu(twin, where):
    chip = Gpu(name="NVIDIA GH200 480GB", counter=False, gpu_scope=False, usage_s=0, module_w=120)
    twin(chip)
    meter = opened(where)
    (sensor,) = meter.sensors()
    assert (sensor.device, sensor.counted, sensor.max_w) == (f"module:{uuid(0)}", True, None)
    now_s, found = read_within_a_step(meter)
    assert found == [chip.gauge_mw(now_s, 1.0) + 120_000]


def test_gauges_can_be_written_beside_the_counter_and_none_is_counted(twin, where, monkeypatch):
    gpu = Gpu(module_w=120)
    twin(gpu)
    monkeypatch.setenv("JOULEBOOK_NVML_FIELDS", "all")
    meter = opened(where)
    assert [(sensor.sensor.removeprefix(f"nvml:{uuid(0)}"), sensor.counted) for sensor in meter.sensors()] == [
        ("", True),
        (":average", False),
        (":instant", False),
        (":module", False),
    ]
    now_s, found = read_within_a_step(meter)
    average_mw, instant_mw = gpu.gauge_mw(now_s, 1.0), gpu.gauge_mw(now_s, 0.025)
    assert found == [gpu.counter_mj(now_s), average_mw, instant_mw, average_mw + 120_000]


def test_a_gpu_that_tells_nothing_makes_no_meter(twin, where):
    twin(Gpu(name="Orin (nvgpu)", counter=False, window_s=0, average_s=0, usage_s=0))
    assert nvml.open_meter(where) is None
    (finding,) = nvml.diagnose(where)
    assert (finding.state, finding.detail) == ("warn", "tells neither energy nor power")


def test_an_error_is_a_status_and_the_counter_goes_on_when_it_has_passed(twin, where):
    ill_s = time.monotonic() + SOON_S
    sick, sound = Gpu(error=UNKNOWN_ERROR, error_from_s=ill_s, error_to_s=ill_s + SOON_S), Gpu()
    twin(sick, sound)
    meter = opened(where)
    wait_until(ill_s + 0.01)
    failed, fine = meter.read(names(meter))
    assert (failed.value, failed.status) == (None, "Unknown")
    assert fine.status == "ok"
    wait_until(ill_s + SOON_S + 0.01)
    now_s, found = read_within_a_step(meter)
    assert found == [sick.counter_mj(now_s), sound.counter_mj(now_s)]


def test_an_error_at_the_beginning_does_not_cost_the_counter(twin, where, monkeypatch):
    gpu = Gpu()
    twin(gpu)
    package = nvml_gpus.opened()
    (found,) = nvml_gpus.gpus(package)

    def fail(handle):
        raise package.NVMLError(UNKNOWN_ERROR)

    monkeypatch.setattr(package, "nvmlDeviceGetTotalEnergyConsumption", fail)
    (outlet,) = nvml._outlets(package, where, found, nvml.Part(1.0, None))
    assert (outlet.sensor.sensor, outlet.sensor.unit) == (f"nvml:{uuid(0)}", "mJ")


def test_a_lost_gpu_comes_back_with_a_new_handle_after_a_second_and_not_before(twin, where, monkeypatch):
    lost_s = time.monotonic() + SOON_S
    gpu = Gpu(error=GPU_IS_LOST, error_from_s=lost_s, error_to_s=lost_s + SOON_S, lost=True)
    library = twin(gpu, Gpu())
    meter = opened(where)
    clock = Clock()
    monkeypatch.setattr(nvml_gpus, "time", clock)
    wait_until(lost_s + 0.01)
    statuses = [sample.status for _ in range(2) for sample in meter.read(names(meter))]
    assert statuses == ["GpuIsLost", "ok", "GpuNotFound", "ok"]  # the second time it was looked for anew
    asked = library.twin_initialisations()
    wait_until(lost_s + SOON_S + 0.01)  # it is back
    clock.now_s += 0.9
    assert [sample.status for sample in meter.read(names(meter))] == ["GpuNotFound", "ok"]
    assert library.twin_initialisations() == asked
    clock.now_s += 0.1
    now_s, found = read_within_a_step(meter)
    assert found[0] == gpu.counter_mj(now_s)
    assert library.twin_initialisations() == asked + 1


def test_a_gpu_that_stays_lost_is_looked_for_ever_more_rarely(twin, where, monkeypatch):
    lost_s = time.monotonic() + SOON_S
    library = twin(Gpu(error=GPU_IS_LOST, error_from_s=lost_s), Gpu())
    meter = opened(where)
    clock = Clock()
    monkeypatch.setattr(nvml_gpus, "time", clock)
    wait_until(lost_s + 0.01)
    values(meter)
    asked = []
    for _ in range(200):
        before = library.twin_initialisations()
        values(meter)
        asked += [clock.now_s - 1000] * (library.twin_initialisations() - before)
        clock.now_s += 1
    assert asked == [0, 1, 3, 7, 15, 31, 63, 123, 183]  # twice the wait each time, a minute at the most


def test_a_counter_that_begins_again_is_told_as_it_is(twin, where):
    gpu = Gpu(reset_s=time.monotonic() + SOON_S)
    twin(gpu)
    meter = opened(where)
    _, (before,) = read_within_a_step(meter)
    wait_until(gpu.reset_s + 0.2)
    now_s, (after,) = read_within_a_step(meter)
    assert before > gpu.begin_mj
    assert after == gpu.counter_mj(now_s)
    assert after <= 500_000 * (now_s - gpu.reset_s)  # mJ at 500 W


def test_a_counter_that_stands_still_while_power_is_drawn_tells_nothing(twin, where, monkeypatch):
    twin(Gpu(frozen_s=time.monotonic()), Gpu(frozen_s=time.monotonic(), wave=Wave(0, 0)))
    meter = opened(where)
    clock = Clock()
    monkeypatch.setattr(still, "time", clock)
    statuses = []
    for after_s in (0.0, 2.9, 0.2):
        clock.now_s += after_s
        statuses.append([sample.status for sample in meter.read(names(meter))])
    assert statuses == [["ok", "ok"], ["ok", "ok"], ["stuck", "ok"]]  # the second draws nothing: it is right
    assert values(meter)[0] is None


def test_a_fork_initialises_for_itself(twin, where):
    gpu = Gpu()
    twin(gpu)
    meter = opened(where)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        now_s, (value,) = read_within_a_step(meter)
        os.write(writing, f"{now_s!r} {value!r}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    now_s, value = map(float, os.read(reading, 1000).split())
    os.close(reading)
    os.close(writing)
    assert value == gpu.counter_mj(now_s)
    assert [sample.status for sample in meter.read(names(meter))] == ["ok"]


OPTIONAL = (
    "nvmlDeviceGetArchitecture",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetName",
    "nvmlDeviceGetProcessUtilization",
)


@pytest.mark.parametrize("missing", [*((name,) for name in OPTIONAL), OPTIONAL], ids=[*OPTIONAL, "all of them"])
def test_a_driver_without_a_function_still_has_its_counter(twin, where, missing):
    gpu = Gpu()
    twin(gpu, missing=missing)
    meter = opened(where)
    now_s, found = read_within_a_step(meter)
    assert found == [gpu.counter_mj(now_s)]
    (sensor,) = meter.sensors()
    assert (sensor.max_w is None) == ("nvmlDeviceGetEnforcedPowerLimit" in missing)
    assert (sensor.share_by == "busy") == ("nvmlDeviceGetProcessUtilization" not in missing)
    assert all(finding.state == "ok" for finding in nvml.diagnose(where))


def test_with_nothing_but_the_power_the_worst_is_assumed(twin, where):
    twin(missing=("nvmlDeviceGetTotalEnergyConsumption", *OPTIONAL))
    (sensor,) = opened(where).sensors()
    assert (sensor.source, sensor.window_s, sensor.accuracy) == ("nvmlDeviceGetPowerUsage", 0.025, 0.10)


# ---- use by process --------------------------------------------------------------------------------------------------


def busy_s(meter) -> dict[str, float]:
    return {reading.sensor.split(":")[0]: reading.value for reading in meter.read()}


@pytest.fixture
def our_pids(monkeypatch) -> set[int]:
    """The processes of the job."""
    pids = {os.getpid()}
    monkeypatch.setattr(cpu_time, "tree_pids", lambda: frozenset(pids))
    return pids


def test_busy_seconds_are_ours_and_everybodys(twin, where, our_pids):
    our_pids.add(70001)
    twin(Gpu(processes=(Process(0, 30), Process(70001, 20), Process(70002, 40)), sample_s=0.1))
    before_s = time.monotonic()
    meter = nvml.open_use(where)
    begun_s = time.monotonic()
    found = {}
    for _ in range(4):
        time.sleep(0.25)
        ending_s = time.monotonic()
        found = busy_s(meter)
    # 30 % + 20 % are ours and 90 % everybody's, of the time to the last sample: up to 0.1 s ago.
    assert 0.5 * (ending_s - begun_s - 0.1) <= found["busy"] <= 0.5 * (time.monotonic() - before_s)
    assert found["busy"] / found["busy-all"] == pytest.approx(5 / 9)


def test_use_is_told_with_its_device(twin, where):
    twin(Gpu(), Gpu(utilisation=False))
    meter = nvml.open_use(where)
    assert meter.read() == [
        nvml.Reading(f"busy:gpu:{uuid(0)}", 0.0, "s", "attributed", f"gpu:{uuid(0)}", "device"),
        nvml.Reading(f"busy-all:gpu:{uuid(0)}", 0.0, "s", "attributed", f"gpu:{uuid(0)}", "device"),
    ]
    assert [sensor.share_by for sensor in opened(where).sensors()] == ["busy", "reservation"]


def test_idle_time_before_a_process_begins_is_hardly_counted_to_it(twin, where, our_pids):
    busy_from_s = time.monotonic() + SOON_S
    twin(Gpu(processes=(Process(0, 100, busy_from_s, busy_from_s + 0.4),), sample_s=0.1))
    meter = nvml.open_use(where)
    read_s, found = [time.monotonic()], {}
    while read_s[-1] < busy_from_s + 0.6:
        time.sleep(0.15)
        found = busy_s(meter)
        read_s.append(time.monotonic())
    longest_s = max(later - earlier for earlier, later in itertools.pairwise(read_s))
    # Busy for 0.4 s. Samples that are 0.2 s late are waited for, and when it began between two readings is not told.
    assert 0.3 <= found["busy"] <= 0.4 + 0.2 + longest_s
    assert found["busy"] == found["busy-all"]


def test_a_process_that_ended_since_the_last_reading_was_ours(twin, where, our_pids):
    our_pids.add(70001)
    twin(Gpu(processes=(Process(70001, 80),), sample_s=0.1))
    meter = nvml.open_use(where)
    found = []
    for _ in range(3):
        time.sleep(0.25)
        found.append(busy_s(meter))
        our_pids.discard(70001)
    first, second, third = found
    assert first["busy"] == first["busy-all"]
    assert second["busy"] == second["busy-all"] > first["busy"]
    assert third["busy"] == second["busy"]  # now it is somebody else's, who got its id
    assert third["busy-all"] > second["busy-all"]


def test_entries_of_nonsense_are_passed_over(twin, where, our_pids):
    twin(Gpu(processes=(Process(0, 50),), sample_s=0.1, garbage=True))
    before_s = time.monotonic()
    meter = nvml.open_use(where)
    begun_s = time.monotonic()
    time.sleep(0.45)
    ending_s = time.monotonic()
    found = busy_s(meter)
    assert 0.5 * (ending_s - begun_s - 0.1) <= found["busy-all"] <= 0.5 * (time.monotonic() - before_s)


def test_what_was_busy_during_an_error_is_counted_when_it_has_passed(twin, where, our_pids):
    ill_s = time.monotonic() + SOON_S
    sick = Gpu(processes=(Process(0, 50),), sample_s=0.1, error=UNKNOWN_ERROR, error_from_s=ill_s,
               error_to_s=ill_s + 1.5)  # fmt: skip
    twin(sick)
    before_s = time.monotonic()
    meter = nvml.open_use(where)
    begun_s = time.monotonic()
    while time.monotonic() < ill_s + 1.55:
        time.sleep(0.3)
        ending_s = time.monotonic()
        found = busy_s(meter)
    assert 0.5 * (ending_s - begun_s - 0.1) <= found["busy"] <= 0.5 * (time.monotonic() - before_s)


def test_edges_of_spans_that_follow_at_once_cost_one_question(twin, where, our_pids, monkeypatch):
    twin()
    clock = Clock()
    monkeypatch.setattr(nvml, "time", clock)
    meter = nvml.open_use(where)
    asked = []
    monkeypatch.setattr(nvml, "_entries", lambda since_us: lambda package, handle: asked.append(clock.now_s) or [])
    for _ in range(250):
        clock.now_s += 0.001
        meter.read()
    assert asked == pytest.approx([1000.1, 1000.2], abs=0.0021)


@pytest.mark.parametrize("gpu", [Gpu(mig=SLICES), Gpu(utilisation=False)], ids=["MIG", "not supported"])
def test_where_nvml_tells_no_use_it_is_by_reservation(twin, where, gpu):
    twin(gpu)
    assert nvml.open_use(where) is None
    assert opened(where).sensors()[0].share_by == "reservation"


def test_process_ids_of_another_namespace_mean_nothing(twin, tmp_path):
    folder = tmp_path / "container/self/ns"
    folder.mkdir(parents=True)
    (folder / "pid").symlink_to("pid:[4026532500]")
    twin()
    for proc in (tmp_path / "container", tmp_path / "nothing"):
        assert nvml.open_use(Where(proc=proc)) is None
        assert opened(Where(proc=proc)).sensors()[0].share_by == "reservation"


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def driver_in(where: Where, version: str = "570.86.15") -> Where:
    folder = where.proc / "driver/nvidia"
    folder.mkdir(parents=True)
    (folder / "version").write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue Jan 14\n")
    return where


@pytest.mark.parametrize(
    ("error", "detail", "fix"),
    [
        (DRIVER_NOT_LOADED, "driver is not loaded", "modprobe nvidia"),
        (MISMATCH, "different versions (the driver is 570.86.15)", "reboot"),
        (NO_PERMISSION, "NVML may not talk to the driver", "chmod 666 /dev/nvidiactl"),
        (FUNCTION_NOT_FOUND, "too old", "driver 410"),
        (UNKNOWN_ERROR, "error 999", "nvidia-smi"),
    ],
)
def test_why_nvml_does_not_start_and_what_to_do(twin, where, error, detail, fix):
    twin(init=error)
    assert nvml.open_meter(where) is None
    assert nvml.open_use(where) is None
    (finding,) = nvml.diagnose(driver_in(where))
    assert (finding.what, finding.state, finding.source) == ("NVML", "fail", "libnvidia-ml.so.1")
    assert detail in finding.detail
    assert fix in finding.fix


def test_no_library(where):
    assert nvml.open_meter(where) is None
    (finding,) = nvml.diagnose(where)
    assert (finding.state, finding.fix) == ("warn", "nothing to do on a machine without an NVIDIA GPU")
    (finding,) = nvml.diagnose(driver_in(where))
    assert (finding.state, finding.detail) == ("fail", "the driver is loaded, but libnvidia-ml.so.1 is not found")
    assert "--gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility" in finding.fix


def test_nvidia_ml_py_is_neither_loaded_nor_needed(twin, where, monkeypatch):
    twin()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pynvml", None)  # to import it fails
        assert len(values(opened(where))) == 1
        assert [finding.state for finding in nvml.diagnose(where)] == ["ok"]


def test_without_the_library_ctypes_is_not_even_imported(where, tmp_path):
    code = """
import sys
from joulebook.collectors.sensors import Where, nvml
print(nvml.open_meter(Where()), nvml.open_use(Where()), "ctypes" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert told.stdout.split() == ["None", "None", "False"]


def findings(where) -> list[tuple[str, str, str]]:
    return [(finding.state, finding.tier, finding.interval) for finding in nvml.diagnose(where)]


def test_what_to_expect_of_each_gpu(twin, where):
    twin(V100, Gpu(counter=False), A100._replace(counter=False), Gpu(mig=SLICES[:1]))
    seen = nvml.diagnose(where)
    assert [(finding.state, finding.tier, finding.interval) for finding in seen] == [
        ("ok", "measured", "±5%"),
        ("ok", "integrated", "±10%"),
        ("ok", "integrated", "wide: 25 ms of every 100 ms are seen"),
        ("ok", "attributed", "wide: ±10% of the whole GPU, of which others use what is not told"),
    ]
    assert "MIG is on" in seen[3].detail
    assert "43% of it is yours by slices" in seen[3].detail  # 3 of 7
    assert all(uuid(place) in finding.what for place, finding in enumerate(seen))


def test_a_selection_that_names_nothing_is_told(twin, where, monkeypatch):
    twin(Gpu(), Gpu())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,5")
    assert nvml.diagnose(where)[0].detail == "CUDA_VISIBLE_DEVICES=0,5 names 5; 1 of 2 GPUs are counted"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,1")
    (finding,) = nvml.diagnose(where)
    assert finding.detail == "CUDA_VISIBLE_DEVICES=1,1 names a device twice; 0 of 2 GPUs are counted"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (finding,) = nvml.diagnose(where)
    assert (finding.state, finding.detail) == ("ok", "CUDA_VISIBLE_DEVICES=-1 selects no GPU")


def test_on_a_mixed_node_an_index_may_mean_another_gpu(twin, where, monkeypatch):
    twin(Gpu(name="NVIDIA T4"), Gpu())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert nvml.diagnose(where)[0].fix == "export CUDA_DEVICE_ORDER=PCI_BUS_ID, or select by UUID"
    for name, text in (("CUDA_DEVICE_ORDER", "PCI_BUS_ID"), ("CUDA_VISIBLE_DEVICES", uuid(1))):
        with monkeypatch.context() as patch:
            patch.setenv(name, text)
            assert [state for state, _, _ in findings(where)] == ["ok"]


def test_gpus_that_cannot_be_opened_are_told(twin, where, monkeypatch):
    twin(Gpu(error=GPU_IS_LOST), Gpu())
    assert picked(where) == [1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # the numbers of the others stay
    assert picked(where) == [1]
    first, second = nvml.diagnose(where)
    assert (first.state, first.detail) == ("fail", "1 of 2 GPUs cannot be opened: lost, or not permitted")
    assert second.state == "ok"


# ---- as a job sees it ------------------------------------------------------------------------------------------------


def test_a_fresh_process_finds_the_library_by_its_name(tmp_path):
    gpus = (Gpu(Wave(100, 500)), Gpu(Wave(30, 300)))
    environment = Node(gpus).install(tmp_path / "nvml")
    code = """
import sys, time
from joulebook.collectors.sensors import Where, nvml
meter = nvml.open_meter(Where())
names = [sensor.sensor for sensor in meter.sensors()]
before_s, values = 0.0, []
while not values or before_s // 0.1 != time.monotonic() // 0.1:
    before_s = time.monotonic()
    values = [sample.value for sample in meter.read(names)]
print(before_s, *values)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    at_s, *counters = map(float, told.stdout.split())
    assert counters == [gpu.counter_mj(at_s) for gpu in gpus]


def test_the_twin_leaves_nothing_behind(tmp_path, where):
    with loaded(Node(), tmp_path / "nvml"):
        assert nvml.open_meter(where) is not None
    assert nvml.open_meter(where) is None
    assert "JOULEBOOK_TWIN_NVML" not in os.environ
    assert Path("/proc/self/maps").read_text().count("libnvidia-ml") == 0
