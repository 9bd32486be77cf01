"""The replay meter: a trace read as if its hardware were here."""

from __future__ import annotations

import json

import pytest
from recording import DialMeter, amount, events, fresh_settings, of, span

from joulebook import configure, track
from joulebook.accounting.errors import InputError
from joulebook.accounting.home import journal_dir
from joulebook.accounting.records import Reading
from joulebook.collectors.replay import ReplayMeter, TraceRow, open_meter, read_trace


@pytest.fixture(autouse=True)
def settings():
    with fresh_settings():
        yield


class Clock:
    """Shows the seconds that a test sets."""

    def __init__(self, now_s=0.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


# 0 J at 0 s, 300 J at 1 s, 500 J at 3 s: 300 W, then 100 W
TRACE = [(0, "gpu0", 0.0), (1, "gpu0", 300.0), (3, "gpu0", 500.0)]


@pytest.mark.parametrize(
    ("elapsed_s", "value"), [(0, 0), (0.25, 75), (1, 300), (2, 400), (2.5, 450), (3, 500), (1000, 500)]
)
def test_values_between_two_rows_lie_on_the_line(elapsed_s, value):
    clock = Clock(5000.0)
    meter = ReplayMeter(TRACE, clock=clock)
    assert meter.read() == [Reading("gpu0", 0.0, "J", "measured", "gpu", "device")]  # its clock starts here
    clock.now_s += elapsed_s
    assert meter.read()[0].value == pytest.approx(value)


def test_speed_is_seconds_of_the_trace_in_one_of_the_clock():
    clock = Clock()
    meter = ReplayMeter(TRACE, speed=4.0, clock=clock)
    meter.read()
    clock.now_s = 0.5
    assert meter.read()[0].value == pytest.approx(400.0)  # at 2 s of the trace


def test_before_its_first_row_a_counter_stands_still_and_a_jump_is_a_jump():
    clock = Clock()
    meter = ReplayMeter([(0, "a", 1.0), (2, "b", 7.0), (3, "b", 9.0), (3, "b", 0.0)], clock=clock)
    assert [(r.sensor, r.value) for r in meter.read()] == [("a", 1.0), ("b", 7.0)]
    clock.now_s = 2.5
    assert [(r.sensor, r.value) for r in meter.read()] == [("a", 1.0), ("b", 8.0)]
    clock.now_s = 3.0
    assert meter.read()[1].value == 0.0


def test_a_run_on_a_trace_uses_what_the_trace_used(home):
    clock = Clock()
    configure(meters=[ReplayMeter(TRACE, clock=clock)], interval_s=3600)
    with track("run"):
        clock.now_s = 1.0
        with track("second"):
            clock.now_s = 2.0
    assert amount(events(home), "run", "gpu0") == 400
    assert amount(events(home), "second", "gpu0") == 100


def test_a_table_may_leave_out_what_is_usual(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("elapsed_s,sensor,value,unit,method\n0,gpu0,1\n1.5,gpu0,2.5,,\n0,cpu,3,s,modelled\n")
    assert read_trace(path) == [
        TraceRow(0.0, "gpu0", 1.0, "J", "measured", "gpu", "device"),
        TraceRow(1.5, "gpu0", 2.5, "J", "measured", "gpu", "device"),
        TraceRow(0.0, "cpu", 3.0, "s", "modelled", "gpu", "device"),
    ]


def test_a_journal_is_a_trace(home):
    meter = DialMeter(gpu0=100.0, gpu1=5.0)
    configure(meters=[meter], interval_s=3600)
    with track("run"):
        meter.values["gpu0"] = 160.0
    (path,) = journal_dir(home).iterdir()
    start, end = span(events(home), "run")
    seconds = (end["mono_ns"] - start["mono_ns"]) / 1e9
    with path.open("ab") as file:
        file.write(b'{"event":"reading","coun')  # torn: the job was killed here
    assert read_trace(path) == [
        TraceRow(0.0, "gpu0", 100.0, "J", "measured", "gpu", "device"),
        TraceRow(0.0, "gpu1", 5.0, "J", "measured", "gpu", "device"),
        TraceRow(seconds, "gpu0", 160.0, "J", "measured", "gpu", "device"),
        TraceRow(seconds, "gpu1", 5.0, "J", "measured", "gpu", "device"),
    ]
    assert of(events_of_replay(path, home), "gap") == []


def events_of_replay(path, home):
    configure(home=home / "again", meters=[ReplayMeter(read_trace(path))], interval_s=3600)
    with track("again"):
        pass
    return events(home / "again")


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("t.csv", "", "its first line does not name elapsed_s, sensor, value"),
        ("t.csv", "elapsed_s,value\n0,1\n", "its first line does not name sensor"),
        ("t.csv", "elapsed_s,sensor,value\n", "it holds no counter values"),
        ("t.csv", "elapsed_s,sensor,value\n0,gpu0,1\n1,gpu0,lots\n", "line 3: 'lots' is not a number"),
        ("t.csv", "elapsed_s,sensor,value\n0,gpu0,nan\n", "line 2: 'nan' is not a number"),
        ("t.csv", "elapsed_s,sensor,value\n0,gpu0\n", "line 2 has no value"),
        ("t.csv", "elapsed_s,sensor,value,unit\n0,gpu0,1,kWh\n", "line 2: the unit 'kWh' is neither J nor s"),
        ("t.csv", "elapsed_s,sensor,value,method\n0,gpu0,1,felt\n", "line 2: the method 'felt' is none of measured,"),
        ("t.jsonl", "no journal\n", "it holds no counter values"),
        (
            "t.jsonl",
            '{"mono_ns": 1, "counters": [{"sensor": "x", "value": 1}]}\n',
            "no line says what the counter x is",
        ),
    ],
)
def test_a_bad_trace_is_one_clear_sentence(tmp_path, name, text, wrong):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_trace(path)
    assert str(error.value).startswith(f"cannot use the trace {path}: {wrong}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_trace_that_is_no_text_cannot_be_read(tmp_path, content):
    path = tmp_path / "trace.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot read the trace"):
        read_trace(path)


def test_the_environment_names_the_trace(tmp_path, monkeypatch):
    assert open_meter() is None
    path = tmp_path / "trace.csv"
    path.write_text("elapsed_s,sensor,value\n0,gpu0,42\n")
    monkeypatch.setenv("JOULEBOOK_REPLAY", str(path))
    assert open_meter().read()[0].value == 42


def test_a_journal_with_sensors_of_the_node_is_played_in_joules(tmp_path):
    """A counter of 1000 uJ goes round: 900 to 100 are 200 uJ. A gauge: 10 W then 30 W for a second are 20 J."""
    counter = {"sensor": "powercap:package-0", "device": "cpu:0", "unit": "uJ", "method": "measured", "source": "x",
               "wraps_at": 1000, "max_w": 400, "boundary": "device"}  # fmt: skip
    gauge = counter | {"sensor": "nvml:a", "device": "gpu:a", "unit": "W", "method": "integrated"}
    unused = gauge | {"sensor": "nvml:a:instant", "counted": False}
    lines = [{"event": "sensor", "scope": "node", **sensor} for sensor in (counter, gauge, unused)]
    failed = [{"sensor": "nvml:a", "status": "EIO"}]
    for second, package, watts in ((1, 900, 10), (2, 100, 30)):
        read = [{"sensor": "powercap:package-0", "value": package}, {"sensor": "nvml:a", "value": watts},
                {"sensor": "nvml:a:instant", "value": 1}]  # fmt: skip
        lines += [{"event": "reading", "mono_ns": second * 10**9, "counters": read}]
        lines += [{"event": "reading", "mono_ns": second * 10**9 + 1, "counters": failed}]
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = read_trace(path)
    assert [(row.sensor, row.unit) for row in rows] == [("powercap:package-0", "J"), ("nvml:a", "J")] * 2
    assert [row.value for row in rows] == pytest.approx([0, 0, 200e-6, 20])
