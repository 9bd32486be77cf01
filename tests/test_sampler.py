"""The recorder: what a run used of a counter, settings, and that nothing disturbs the job."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import importlib
import math
import os
import signal
import threading
import time
import warnings
from unittest.mock import Mock

import pytest
from recording import (
    DialMeter,
    Mute,
    amount,
    events,
    fresh_settings,
    names_and_parents,
    of,
    python,
    span,
    wait_until,
)

from joulebook import configure, track
from joulebook.accounting import journal as journal_module
from joulebook.accounting.errors import InputError
from joulebook.accounting.home import journal_dir
from joulebook.collectors import sampler


@pytest.fixture(autouse=True)
def settings():
    """Each test begins and ends with no settings of its own, and closes what it opens."""
    with fresh_settings():
        yield


@pytest.fixture
def dial():
    """A meter that the test turns, instead of those of the machine; and no tick in between."""
    meter = DialMeter(gpu0=100.0)
    configure(meters=[meter], interval_s=3600)
    return meter


def test_runs_that_overlap_in_one_process_share_what_was_counted(home, dial):
    a, b = track("a"), track("b")
    ready, done = threading.Event(), threading.Event()

    def second():
        with b:
            ready.set()
            done.wait()

    async def first():  # two roots: the main thread joins nobody, and the thread opens first
        thread = threading.Thread(target=second)
        thread.start()
        ready.wait()
        dial.values["gpu0"] = 160.0
        with a:
            dial.values["gpu0"] = 260.0
            with track("inside a"):
                dial.values["gpu0"] = 300.0
            done.set()
            thread.join()  # b ends at 300
            dial.values["gpu0"] = 310.0

    asyncio.run(first())
    found = events(home)
    # b alone 100 → 160, both 160 → 300, a alone 300 → 310
    assert amount(found, "b", "gpu0") == 60 + 140 / 2
    assert amount(found, "a", "gpu0") == 140 / 2 + 10
    assert amount(found, "inside a", "gpu0") == 40 / 2
    assert amount(found, "a", "gpu0") + amount(found, "b", "gpu0") == 310 - 100
    assert [event["counters"][0]["value"] for event in found if "counters" in event] == [100, 160, 260, 300, 300, 310]
    assert [event["open"] for event in found if "open" in event] == [1, 2, 2, 2, 1, 0]
    (sensor,) = of(found, "sensor")
    assert [sensor[key] for key in ("sensor", "unit", "method", "device", "boundary")] == [
        "gpu0", "J", "measured", "gpu", "device",
    ]  # fmt: skip


def test_a_counter_that_goes_back_counts_on_from_there(home, dial):
    with track("run"):
        dial.values["gpu0"] = 130.0
        with track("before"):
            dial.values["gpu0"] = 20.0  # a driver was loaded anew
        dial.values["gpu0"] = 25.0
    found = events(home)
    assert amount(found, "run", "gpu0") == (130 - 100) + (25 - 20)
    assert amount(found, "before", "gpu0") == 0
    assert [(gap["reason"], gap["sensor"]) for gap in of(found, "gap")] == [("counter went back", "gpu0")]


def test_a_meter_that_fails_is_missing_told_once_and_tried_again(home, caplog):
    meter = DialMeter(gpu0=100.0)
    configure(meters=[meter], interval_s=0.02)
    with track("run"):
        meter.values["gpu0"] = OSError("the driver is busy")
        with track("without"), track("still without"):
            pass
        meter.values["gpu0"] = 150.0
        wait_until(lambda: [e for e in of(events(home), "reading") if e["counters"]])
    found = events(home)
    assert [span(found, name)[edge]["counters"] for name in ("without", "still without") for edge in (0, 1)] == [[]] * 4
    assert amount(found, "run", "gpu0") == 50
    assert [gap["reason"] for gap in of(found, "gap")] == ["meter dial: OSError: the driver is busy"]
    assert [record.message for record in caplog.records] == ["meter dial: OSError: the driver is busy"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "meter dial: gpu0 is not a finite number"),
        (None, "meter dial: TypeError: must be real number, not NoneType"),
    ],
)
def test_a_reading_that_is_no_number_is_a_failure(home, dial, value, reason):
    dial.values["gpu0"] = value
    with track("run"):
        pass
    found = events(home)
    assert [event["counters"] for event in span(found, "run")] == [[], []]
    assert [gap["reason"] for gap in of(found, "gap")] == [reason]


def test_of_two_meters_for_one_counter_the_first_counts(home):
    configure(meters=[DialMeter(gpu0=1.0), DialMeter(gpu0=500.0)], interval_s=3600)
    with track("run"):
        pass
    found = events(home)
    assert [len(event["counters"]) for event in span(found, "run")] == [1, 1]
    assert span(found, "run")[0]["counters"][0]["value"] == 1.0
    assert [gap["reason"] for gap in of(found, "gap")] == ["meter dial: another meter reports gpu0 too"]


def test_readings_are_taken_while_a_run_is_open_and_only_then(home):
    meter = DialMeter(gpu0=0.0)
    configure(meters=[meter], interval_s=0.02)
    with track("run"):
        meter.values["gpu0"] = 7.0
        wait_until(lambda: len(of(events(home), "reading")) >= 3)
    count = len(of(events(home), "reading"))
    with track("again"):
        wait_until(lambda: len(of(events(home), "reading")) > count)
    found = events(home)
    assert all(reading["open"] == 1 for reading in of(found, "reading"))
    assert of(found, "reading")[0]["counters"] == [{"sensor": "gpu0", "value": 7.0, "shared": 7.0}]
    ends = [event for event in found if event["event"] in ("span_start", "span_end")]
    between = [e for e in of(found, "reading") if ends[1]["seq"] < e["seq"] < ends[2]["seq"]]
    assert between == []


def test_what_a_meter_looks_for_it_does_at_the_edges_of_a_run_and_now_and_then(home):
    meter = DialMeter(gpu0=0.0)
    meter.refresh = Mock()
    configure(meters=[meter], interval_s=0.02)
    with track("run"):
        with track("step"):
            wait_until(lambda: len(of(events(home), "reading")) >= 5)
        assert meter.refresh.call_count == 2  # at its start and at the first tick


def test_ticks_that_could_not_be_kept_are_a_gap(home):
    meter = DialMeter(gpu0=0.0)
    configure(meters=[meter], interval_s=0.05)
    stuck = threading.Event()

    class Slow(dict):
        def items(self):
            if threading.current_thread().name == sampler.THREAD_NAME and not stuck.is_set():
                stuck.set()
                time.sleep(0.4)  # eight ticks
            return super().items()

    meter.values = Slow(gpu0=0.0)
    with track("run"):
        gaps = wait_until(lambda: of(events(home), "gap"))
    # Expected 0.05 s after the slow tick was due, taken at the first due time after it: 0.35 s late, or more.
    assert gaps[0]["reason"] == "sampler late"
    assert gaps[0]["to_ns"] - gaps[0]["from_ns"] > 0.3e9
    assert gaps[0]["to_ns"] <= gaps[0]["at_ns"]


PLUGIN = """
import threading
from recording import DialMeter
opened = []

def gpu():
    opened.append(threading.current_thread().name)
    return DialMeter(gpu0=3.0)

def absent():
    return None

def broken():
    raise OSError("no such device")
"""
ENTRY_POINTS = """
[console_scripts]
other = other_meters:gpu

[joulebook.meters]
cpu-time = nowhere:this_one_is_built_in
gpu = other_meters:gpu
absent = other_meters:absent
broken = other_meters:broken
"""


def test_meters_of_other_packages_are_found_on_a_thread_of_ours(home, tmp_path, monkeypatch):
    (tmp_path / "other_meters.py").write_text(PLUGIN)
    (tmp_path / "other-1.0.dist-info").mkdir()
    (tmp_path / "other-1.0.dist-info/METADATA").write_text("Name: other\nVersion: 1.0\n")
    (tmp_path / "other-1.0.dist-info/entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("JOULEBOOK_SENSORS", "none")
    configure(interval_s=3600)
    with track("run"):
        reading = wait_until(lambda: of(events(home), "reading"))[0]  # taken at once, so that a short run has them
    found = events(home)
    assert importlib.import_module("other_meters").opened == [sampler.SENSOR_THREAD_NAME]
    assert [counter["sensor"] for counter in span(found, "run")[0]["counters"]] == ["cpu-time"]
    assert [counter["sensor"] for counter in reading["counters"]] == ["cpu-time", "gpu0"]
    assert [counter["sensor"] for counter in span(found, "run")[1]["counters"]] == ["cpu-time", "gpu0"]
    assert [gap["reason"] for gap in of(found, "gap")] == ["meter broken: OSError: no such device"]


def test_where_no_other_package_has_meters_importlib_is_not_asked(home):
    code = """
import sys, threading, time
from joulebook import track
with track("run"):
    while any(thread.name == "joulebook-sensors" for thread in threading.enumerate()):
        time.sleep(0.01)
print("importlib.metadata" in sys.modules)
"""
    assert python(code, JOULEBOOK_SENSORS="none").stdout == "False\n"


BAD_CALLS = [
    lambda run: run.record("token", math.nan, "token"),
    lambda run: run.record("token", math.inf, "token"),
    lambda run: run.record("token", -1, "token"),
    lambda run: run.record("token", True, "token"),
    lambda run: run.record("token", "3", "token"),
    lambda run: run.record("", 3, "token"),
    lambda run: run.record(None, 3, "token"),
    lambda run: run.record("token", 3, ""),
    lambda run: run.record("token", 3, "token", method="guessed"),
    lambda run: run.record("token"),
    lambda run: run.record(what=1, work=2),
    lambda run: run.step(-1),
    lambda run: run.quality("loss", math.nan),
    lambda run: run.quality(3, 3),
    lambda run: run.note(Mute()),
    lambda run: run.note(),
]


@pytest.mark.parametrize("call", BAD_CALLS)
def test_a_bad_argument_is_told_once_and_nothing_of_it_is_written(home, caplog, call):
    with track("run") as run:
        call(run)
        call(run)
    found = events(home)
    assert [event["event"] for event in found if event["event"] not in ("journal", "sensor")] == [
        "span_start", "gap", "span_end",
    ]  # fmt: skip
    (gap,) = of(found, "gap")
    assert gap["run_id"] == run.run_id
    assert [record.message for record in caplog.records] == [gap["reason"]]


def test_strict_raises_it(home):
    configure(strict=True)
    with track("run") as run, pytest.raises(InputError, match="the amount is not finite"):
        run.record("token", math.nan, "token")
    configure(strict=True, meters=[DialMeter(gpu0=OSError("gone"))])
    with pytest.raises(OSError, match="gone"), track("run"):
        pytest.fail("it has begun")


def test_strict_may_come_from_the_environment(home, monkeypatch):
    monkeypatch.setenv("JOULEBOOK_STRICT", "1")
    with track("run") as run, pytest.raises(InputError):
        run.step(-1)


@pytest.mark.parametrize("name", ["", "two\nlines", "half \ud83e a duck", b"bytes", 3, None, "x" * 10_000, Mute()])
def test_any_name_project_and_tag_will_do(home, name):
    with track(name, project=name, tags={name: name}):
        pass
    start = of(events(home), "span_start")[0]
    if isinstance(name, Mute):
        assert start["name"] == "unnamed"
    elif isinstance(name, str) and name:
        kept = name.replace("\ud83e", "\\ud83e")
        assert (start["name"], start["project"], start["tags"]) == (kept, kept, [[kept, kept]])
    else:
        text = str(name)
        assert (start["name"], start["tags"]) == (text if name else "unnamed", [[text, text]])


@pytest.mark.parametrize("tags", [5, "abc", [1, 2]])
def test_tags_that_are_none_are_left_out(home, tags):
    with track("run", tags=tags):
        pass
    found = events(home)
    assert "tags" not in span(found, "run")[0]
    assert of(found, "gap")[0]["reason"].startswith("tags: ")


def test_nothing_is_printed_and_the_log_is_silent_unless_asked(home):
    code = """
from joulebook import track
with track("run") as run:
    run.record("token", float("nan"), "token")
"""
    done = python(code)
    assert (done.stdout, done.stderr) == ("", "")
    assert [gap["reason"] for gap in of(events(home), "gap")] == ["record: the amount is not finite"]


def test_a_home_that_cannot_be_written_is_warned_of_once_and_the_job_goes_on(home, caplog):
    home.write_text("a file where the folder should be")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with track("run") as run:
            for _ in range(10):
                run.step()
        with track("again"):
            pass
    (warning,) = warned
    assert warning.category is RuntimeWarning
    assert str(warning.message).startswith("joulebook cannot write to")
    assert home.read_text() == "a file where the folder should be"
    assert len(caplog.records) == 1


def test_a_warning_that_is_an_error_does_not_reach_the_job(home):
    home.write_text("")
    with track("run"):  # pytest turns warnings into errors here
        pass


def test_strict_raises_when_nothing_can_be_written(home):
    home.write_text("")
    configure(strict=True)
    with pytest.raises(NotADirectoryError), track("run"):
        pass


def test_a_run_says_how_many_of_its_events_are_lost(home, dial, monkeypatch):
    write = os.write

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with track("run") as run:
        monkeypatch.setattr(os, "write", full)
        for _ in range(4):
            run.step()
        monkeypatch.setattr(os, "write", write)
        run.step()
    with track("after"):
        pass
    found = events(home)
    assert (span(found, "run")[1]["lost_events"], "lost_events" in span(found, "after")[1]) == (4, False)
    assert [gap["amount"] for gap in of(found, "gap")] == [4]
    assert len(of(found, "usage")) == 1


def test_a_signal_handler_may_record_in_the_middle_of_anything(home, dial):
    with track("run") as run:
        signal.signal(signal.SIGALRM, lambda *_: run.step())
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for _ in range(2000):
            run.record("token", 1, "token")
        with track("inside"):
            pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    found = events(home)
    assert sum(usage["kind"] == "token" for usage in of(found, "usage")) == 2000
    assert [event["seq"] for event in found] == list(range(len(found)))
    assert of(found, "gap") == []


def test_a_span_that_a_finaliser_ends_in_the_middle_of_a_sample_waits_its_turn(home):
    @track("abandoned")
    def abandoned():
        yield

    class Collecting(DialMeter):
        def read(self):
            self.values["gpu0"] += 1.0
            if left:
                left.pop().close()  # as the garbage collector does, at any moment
            return super().read()

    left = []
    configure(meters=[Collecting(gpu0=0.0)], interval_s=3600)
    with track("run"):
        items = abandoned()
        next(items)
        left.append(items)
        with track("inside"):
            pass
    found = events(home)
    edges = [(event["event"], event["counters"][0]["shared"]) for event in found if "counters" in event]
    # run 1, abandoned 2, inside 3, then the end that came in the middle of that, 4; inside ends 5, run ends 6
    assert edges == [
        ("span_start", 0), ("span_start", 1), ("span_start", 2), ("span_end", 3), ("span_end", 4), ("span_end", 5),
    ]  # fmt: skip
    assert of(found, "gap") == []


@pytest.mark.parametrize("interval_s", [0, -1, math.nan, math.inf, "soon"])
def test_an_interval_is_a_positive_number_of_seconds(interval_s):
    with pytest.raises(InputError, match="not a positive number of seconds"):
        configure(interval_s=interval_s)


def test_settings_hold_from_the_next_run_on(home, tmp_path):
    with track("first"):
        configure(home=tmp_path / "other")
        with track("inside"):
            pass
    with track("second"):
        pass
    assert list(names_and_parents(home)) == ["first", "inside"]
    assert list(names_and_parents(tmp_path / "other")) == ["second"]
    (path,) = journal_dir(home).iterdir()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the first journal is sealed


def test_a_bad_interval_in_the_environment_is_told_and_the_default_holds(home, monkeypatch, caplog):
    monkeypatch.setenv("JOULEBOOK_INTERVAL_S", "soon")
    with track("run"):
        assert sampler.recorder().settings.interval_s == 1.0
    assert [r.message for r in caplog.records] == [
        "JOULEBOOK_INTERVAL_S: the interval is not a positive number of seconds: 'soon'"
    ]
    monkeypatch.setenv("JOULEBOOK_INTERVAL_S", "2.5")
    assert sampler.recorder().settings.interval_s == 2.5


def test_a_trace_may_be_replayed_instead_of_the_machine(home, tmp_path, monkeypatch):
    trace = tmp_path / "trace.csv"
    trace.write_text("elapsed_s,sensor,value\n0,gpu0,500\n0,gpu1,7\n")
    monkeypatch.setenv("JOULEBOOK_REPLAY", str(trace))
    with track("run"):
        pass
    assert [(c["sensor"], c["value"]) for c in span(events(home), "run")[1]["counters"]] == [("gpu0", 500), ("gpu1", 7)]


def test_a_trace_that_cannot_be_read_is_a_gap_and_no_other_meter_steps_in(home, monkeypatch):
    monkeypatch.setenv("JOULEBOOK_REPLAY", "/nowhere.csv")
    with track("run"):
        pass
    found = events(home)
    assert [event["counters"] for event in span(found, "run")] == [[], []]
    assert [gap["reason"] for gap in of(found, "gap")] == [
        "meters: cannot read the trace /nowhere.csv: [Errno 2] No such file or directory: '/nowhere.csv'"
    ]


def test_many_short_runs_are_synced_once_a_second_and_the_last_one_too(home, monkeypatch):
    synced = []
    monkeypatch.setattr(journal_module, "_fdatasync", lambda fd: synced.append(len(of(events(home), "span_end"))))
    configure(meters=[])
    began = time.monotonic()
    for _ in range(200):
        with track("short"):
            pass
    wait_until(lambda: synced and synced[-1] == 200)
    assert len(synced) <= time.monotonic() - began + 1


def test_readings_alone_are_synced_less_often(home, monkeypatch):
    monkeypatch.setattr(sampler, "SYNC_S", 0.05)
    monkeypatch.setattr(sampler, "READINGS_SYNC_S", 0.5)
    synced = []
    monkeypatch.setattr(journal_module, "_fdatasync", lambda fd: synced.append(len(of(events(home), "reading"))))
    configure(meters=[DialMeter(gpu0=0.0)], interval_s=0.05)
    with track("run"):
        began_s = time.monotonic()
        synced.clear()  # the journal of the test before was closed
        wait_until(lambda: len(of(events(home), "reading")) >= 21)
        count = len(synced)
    # 21 readings, but one sync for the start of the run, one for each half second that has passed, and one for each
    # gap that had to be told: on a busy machine a tick comes late.
    gaps = of(events(home), "gap")
    assert 1 <= count <= 1 + (time.monotonic() - began_s) / 0.5 + len(gaps)
    assert {gap["reason"] for gap in gaps} <= {"sampler late"}
    wait_until(lambda: synced[-1] == len(of(events(home), "reading")))


def test_the_interpreter_does_not_end_while_our_thread_imports(home):
    done = python("""
import atexit, threading, time
atexit.register(print, "the end", flush=True)
from joulebook import track
from joulebook.collectors import sampler

begun = threading.Event()
def slow():
    begun.set()
    time.sleep(0.3)
    print("loaded", flush=True)
    return []

sampler._plugins = slow
with track("short"):
    begun.wait()
""")
    assert done.stdout.split("\n")[:2] == ["loaded", "the end"]
