"""The devices of a run: which sensor, how sure, what the whole device used, and what of it is the run's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from handmade import HandmadeJournal
from simulated import Device, Job, Node, Process, Ran, Steady, node_cpu

from joulebook.accounting.ledger import Ledger, ingest, open_ledger
from joulebook.accounting.site import Site, write_site
from joulebook.cli import main
from joulebook.collectors.sensors import Sensor
from joulebook.reports import as_json, views
from joulebook.reports.view import View

PACKAGE = Sensor("powercap:package-0", "cpu:0", "uJ", "measured", "energy_uj", max_w=400.0, update_s=0.001)
MEMORY = Sensor("memory", "dram:model", "GB", "modelled", "/proc/meminfo", accuracy=0.03, share_by="reservation")
MINE = Sensor("nvml:GPU-1", "gpu:GPU-1", "mJ", "measured", "nvml", "NVIDIA H100", max_w=700.0, share_by="reservation")
SLICE = MINE._replace(sensor="nvml:GPU-2", device="gpu:GPU-2")
GAUGE = MINE._replace(sensor="nvml-average:GPU-3", device="gpu:GPU-3", unit="mW", method="integrated", window_s=1.0)
INSTANT = GAUGE._replace(sensor="nvml-instant:GPU-1", device="gpu:GPU-1", window_s=0.025, update_s=0.1, counted=False)
FACTORS: dict[str, Any] = {"dram_power_w_per_gb": (0.1, 0.3, 0.5), "it_overhead": (1.0, 1.2, 1.5)}


class Mixed(NamedTuple):
    """A run, its page, and its devices by sensor."""

    ledger: Ledger
    ran: Ran
    view: View
    devices: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    """60 s on a node with all kinds of devices, beside another run that has CPU time and 4/7 of the second GPU."""
    home = tmp_path_factory.mktemp("mixed")
    ours = Process((Job(10, 70),), cpu=Steady(2), reserved={SLICE.sensor: 3 / 7, MEMORY.sensor: 0.25}, reserved_as="a")
    theirs = Process((Job(10, 70),), cpu=Steady(6), reserved={SLICE.sensor: 4 / 7, MEMORY.sensor: 0.5}, reserved_as="b")
    devices = [
        Device(PACKAGE, Steady(100)),
        Device(MEMORY, Steady(64)),
        Device(SLICE, Steady(350)),
        node_cpu([ours, theirs]),
    ]
    alone = [Device(MINE, Steady(200)), Device(GAUGE, Steady(300)), Device(INSTANT, Steady(200))]
    node = Node(home, devices + alone)
    (ran,), _ = node.write([ours, theirs])
    for line_number, line in enumerate(node.journals[1].lines):  # the other process was not shown these three
        node.journals[1].lines[line_number] = _without(line, {device.sensor.sensor for device in alone})
    node.journals[1].write()
    write_site(home, Site(**FACTORS))
    ingest(home)
    ledger = open_ledger(home)
    assert ledger.rows("select reason from quarantine") == []
    view = views.run(ledger, ran.run_id)
    return Mixed(ledger, ran, view, by_sensor(view))


def _without(line: bytes, sensors: set[str]) -> bytes:
    """A line of a journal without some sensors: a note instead of their declaration, and none of their values."""
    event = json.loads(line)
    if event.get("sensor") in sensors:
        event = {"event": "gap", "reason": "left out", **{name: event[name] for name in ("seq", "at_ns", "mono_ns")}}
    if "counters" in event:
        event["counters"] = [entry for entry in event["counters"] if entry["sensor"] not in sensors]
    return json.dumps(event).encode() + b"\n"


def by_sensor(view: View) -> dict[str, dict[str, Any]]:
    """The devices in `joulebook show --json`, by sensor."""
    rows = json.loads(as_json.text(as_json.run(view)))["devices"]
    return {row["sensor"]: row for row in rows}


def test_each_device_says_how_it_is_known(mixed: Mixed) -> None:
    """A counter that is all ours is measured, a part of one attributed, summed power integrated, a factor modelled."""
    found = mixed.devices
    assert {sensor: row["tier"] for sensor, row in found.items()} == {
        MINE.sensor: "measured",
        SLICE.sensor: "attributed",
        PACKAGE.sensor: "attributed",
        GAUGE.sensor: "integrated",
        INSTANT.sensor: "integrated",
        MEMORY.sensor: "modelled",
    }
    keys = {"sensor", "device", "tier", "node_energy_j", "share", "energy_j"}
    assert all(keys <= row.keys() for row in found.values())
    assert [row["device"] for row in (found[PACKAGE.sensor], found[MEMORY.sensor])] == ["cpu:0", "dram:model"]
    assert found[MINE.sensor]["model"] == "NVIDIA H100"


@pytest.mark.parametrize(
    ("sensor", "node_j", "share"),
    [
        (MINE.sensor, 12_000, 1),  # 200 W for 60 s
        (SLICE.sensor, 21_000, 3 / 7),
        (PACKAGE.sensor, 6000, 1 / 4),  # 2 of 8 busy CPUs, and nothing is idle
        (GAUGE.sensor, 18_000, 1),
        (MEMORY.sensor, 64 * 60 * 0.3, 1 / 4),  # GB × s × W/GB
    ],
)
def test_energy_is_the_share_of_the_device(mixed: Mixed, sensor: str, node_j: float, share: float) -> None:
    row = mixed.devices[sensor]
    assert row["node_energy_j"]["mid"] == pytest.approx(node_j, rel=1e-6)
    assert row["share"] == pytest.approx(share, rel=1e-6)
    assert row["energy_j"]["mid"] == pytest.approx(node_j * share, rel=1e-6)
    assert row["energy_j"]["low"] <= row["energy_j"]["mid"] <= row["energy_j"]["high"]


def test_a_run_is_the_sum_of_its_counted_devices_at_the_plug(mixed: Mixed) -> None:
    """(12 000 + 21 000 × 3/7 + 1500 + 18 000 + 288) J × 1.2 at the plug; the second sensor of GPU 1 is not in it."""
    device_j = 12_000 + 9000 + 1500 + 18_000 + 288
    (impacts,) = (part for part in mixed.view.parts if part.key == "impacts")
    amounts = {row["category"]: row["amount"].mid for row in impacts.rows}
    assert amounts["device_energy_j"] == pytest.approx(device_j, rel=1e-6)
    assert amounts["it_energy_j"] == pytest.approx(device_j * 1.2, rel=1e-6)
    assert mixed.devices[INSTANT.sensor]["counted"] is False
    assert mixed.view.rows[0]["energy_j"].mid == pytest.approx(device_j * 1.2, rel=1e-6)


def test_the_factors_of_the_memory_model_are_named(mixed: Mixed) -> None:
    (impacts,) = (part for part in mixed.view.parts if part.key == "impacts")
    energy = next(row for row in impacts.rows if row["category"] == "it_energy_j")
    kinds = [factor_id.split("/")[0] for factor_id in energy["factor_ids"].split(", ")]
    assert kinds == ["dram_power", "it_overhead"]  # and not cpu_power: a sensor saw the CPU


def test_a_part_of_a_device_has_the_range_of_its_share(mixed: Mixed) -> None:
    """A second of CPU time may cost twice another's: 1/4 is 1/7 to 2/5 of 6000 J. A slice may cost four times
    another's: 3/7 is 3/19 to 3/4 of 21 000 J."""
    found = mixed.devices
    package, gpu_slice = found[PACKAGE.sensor], found[SLICE.sensor]
    edge_j = 0.001 * 400
    assert package["energy_j"]["low"] == pytest.approx((6000 - edge_j) / 7, rel=1e-6)
    assert package["energy_j"]["high"] == pytest.approx((6000 + edge_j) * 2 / 5, rel=1e-6)
    assert gpu_slice["energy_j"]["low"] == pytest.approx(21_000 * 3 / 19, rel=1e-6)
    assert gpu_slice["energy_j"]["high"] == pytest.approx(21_000 * 3 / 4, rel=1e-6)


def test_the_command_shows_what_the_page_shows(mixed: Mixed, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", mixed.ran.run_id, "--json", "--home", str(mixed.ledger.home)]) == 0
    shown = json.loads(capsys.readouterr().out)["devices"]
    assert {row["sensor"]: row for row in shown} == mixed.devices


def test_cpu_time_is_a_model_where_no_sensor_saw_the_cpu(home: Path) -> None:
    """A GPU is measured, the CPU is not: 120 s of CPU time by the model, beside the GPU's 12 000 J; both count."""
    process = Process((Job(10, 70),), cpu=Steady(2))
    ((ran,),) = Node(home, [Device(MINE, Steady(200))]).write([process])
    ingest(home)
    ledger = open_ledger(home)
    write_site(home, Site(cpu_power_w=(3, 5, 9), it_overhead=(1, 1, 1)))
    view = views.run(ledger, ran.run_id)
    found = by_sensor(view)
    assert (found["cpu-time"]["tier"], found["cpu-time"]["device"]) == ("modelled", "cpu")
    assert [found["cpu-time"]["energy_j"][end] for end in ("low", "mid", "high")] == pytest.approx([360, 600, 1080])
    assert found["cpu-time"]["node_energy_j"]["mid"] is None
    assert found["cpu-time"]["share"] is None
    assert view.rows[0]["energy_j"].mid == pytest.approx(12_600, rel=1e-6)
    assert view.rows[0]["energy_j"].method == "modelled"


def test_a_sensor_of_the_cpu_that_does_not_count_leaves_the_model(home: Path) -> None:
    """psys covers the whole platform and is written for comparison: the CPU's energy is still the model's, once."""
    psys = PACKAGE._replace(sensor="powercap:psys", device="platform:0", counted=False)
    ((ran,),) = Node(home, [Device(psys, Steady(150))]).write([Process((Job(10, 70),), cpu=Steady(2))])
    ingest(home)
    view = views.run(open_ledger(home), ran.run_id)
    found = by_sensor(view)
    assert {sensor: row["counted"] for sensor, row in found.items()} == {"powercap:psys": False, "cpu-time": True}
    assert view.rows[0]["energy_j"].mid == found["cpu-time"]["energy_j"]["mid"]


def test_a_run_that_no_sensor_saw_has_its_counter(home: Path) -> None:
    """As version 1 wrote it."""
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(10, counters={"cpu_time": 0.0})
    journal.end(20, run, counters={"cpu_time": 8.0})
    journal.write()
    ingest(home)
    (row,) = by_sensor(views.run(open_ledger(home), run)).values()
    assert (row["sensor"], row["tier"], row["idle_energy_j"]["mid"]) == ("cpu-time", "modelled", None)


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"begins_at": 9e12, "reset_s": 40.3}, "reset"), ({"glitches": ((40.5, 100, 9e13),)}, "jump")],
)
def test_what_was_strange_is_told(home: Path, fields: dict[str, Any], word: str) -> None:
    ((ran,),) = Node(home, [Device(PACKAGE, Steady(100), **fields)]).write([Process((Job(10, 70),), cpu=Steady(8))])
    ingest(home)
    view = views.run(open_ledger(home), ran.run_id)
    (devices,) = (part for part in view.parts if part.key == "devices")
    assert any(word in note and "widens the range" in note for note in devices.notes + view.notes)
