"""The journal: one event is one line is one write, nothing is lost without being counted."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import stat
import threading
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording import events, events_in, of

from joulebook.accounting import journal as journal_module
from joulebook.accounting.errors import InputError
from joulebook.accounting.home import journal_dir
from joulebook.accounting.journal import Journal, quality, usage

GPU = {"sensor": "gpu0", "unit": "J", "method": "measured", "device": "gpu", "boundary": "device"}


@pytest.fixture
def journal(home):
    made = Journal(journal_dir(home))
    yield made
    made.close()


def paths(home):
    return sorted(journal_dir(home).glob("*.jsonl"))


def is_locked(path):
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_file_says_first_who_writes_it(home, journal):
    assert not home.exists()  # nothing is opened before there is something to say
    journal.write("note", {"text": "first"})
    (path,) = paths(home)
    header, note = events_in(path)
    assert (header["event"], header["seq"], header["version"], header["pid"]) == ("journal", 0, 3, os.getpid())
    assert header["cpus"] == os.cpu_count()
    assert header["host"] == os.uname().nodename
    assert set(header) == {
        "event", "seq", "at_ns", "mono_ns", "version", "journal_id", "host", "pid", "boot_id", "joulebook", "python",
        "cpus", "cpu_model",
    }  # fmt: skip
    assert (note["event"], note["seq"], note["text"]) == ("note", 1, "first")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+-\d+-\d+", path.stem.removesuffix(f"-{header['journal_id']}"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_lock_tells_who_lives(home, journal):
    journal.write("note", {"text": "x"})
    (path,) = paths(home)
    assert is_locked(path)
    journal.close()
    assert not is_locked(path)


def test_one_event_is_one_write(home, journal, monkeypatch):
    written = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(data) or write(fd, data))
    for number in range(3):
        journal.write("note", {"text": f"line {number}"})
    assert len(written) == 4  # the header and three events
    assert all(data.endswith(b"\n") and data.count(b"\n") == 1 for data in written)


def test_a_rotation_keeps_every_line(home):
    journal = Journal(journal_dir(home), max_bytes=2000)
    journal.declare(GPU)
    for number in range(100):
        journal.write("note", {"text": f"{number:0100}"})
    files = [events_in(path) for path in paths(home)]
    assert len(files) > 5  # each holds 2,000 bytes and one line at most
    notes = [int(event["text"]) for file in files for event in of(file, "note")]
    assert notes == list(range(100))
    for file in files:
        assert [event["seq"] for event in file] == list(range(len(file)))
        assert [event["event"] for event in file[:2]] == ["journal", "sensor"]
    ids = [file[0]["journal_id"] for file in files]
    assert [file[0].get("previous_id") for file in files] == [None, *ids[:-1]]
    journal.sync()
    assert [is_locked(path) for path in paths(home)] == [False] * (len(files) - 1) + [True]
    journal.close()


def test_an_old_file_is_rotated_too(home):
    journal = Journal(journal_dir(home), max_age_s=0)
    for number in range(3):
        journal.write("note", {"text": str(number)})
    assert [of(events_in(path), "note")[0]["text"] for path in paths(home)] == ["0", "1", "2"]
    journal.close()


def test_while_no_new_file_can_be_opened_the_old_one_goes_on(home, monkeypatch):
    journal = Journal(journal_dir(home), max_bytes=1000)
    journal.write("note", {"text": "x" * 1000})
    monkeypatch.setattr(journal, "_create", lambda previous_id: (_ for _ in ()).throw(OSError(errno.EMFILE, "many")))
    journal.write("note", {"text": "here too"})
    (path,) = paths(home)
    assert [event["text"] for event in of(events_in(path), "note")] == ["x" * 1000, "here too"]
    assert journal.lost == 0
    journal.close()


def test_a_short_write_tears_one_line_only(home, journal, monkeypatch):
    journal.write("note", {"text": "before"})
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    journal.write("note", {"text": "torn"})
    monkeypatch.setattr(os, "write", write)
    journal.write("note", {"text": "after"})
    (path,) = paths(home)
    lines = path.read_bytes().split(b"\n")
    assert lines[2] == b'{"event":"'  # ten bytes of the third line
    whole = [json.loads(line) for number, line in enumerate(lines[:-1]) if number != 2]
    assert [event["event"] for event in whole] == ["journal", "note", "gap", "note"]
    assert [event["seq"] for event in whole] == [0, 1, 3, 4]  # 2 is the torn one
    assert (whole[2]["amount"], whole[3]["text"]) == (1, "after")


def test_a_full_disk_is_counted_and_told(home, journal, monkeypatch):
    journal.declare(GPU)
    journal.write("note", {"text": "before"})
    write = os.write

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for _ in range(7):
        journal.write("note", {"text": "lost"})
    assert journal.lost == 7
    monkeypatch.setattr(os, "write", write)
    journal.write("note", {"text": "after"})
    (path,) = paths(home)
    found = events_in(path)
    assert [event["event"] for event in found] == ["journal", "sensor", "note", "gap", "sensor", "note"]
    gap = found[3]
    assert gap["amount"] == 7
    assert gap["reason"] == "events lost, the journal could not be written: No space left on device"
    assert found[2]["at_ns"] <= gap["from_ns"] <= gap["to_ns"] <= gap["at_ns"]
    # journal 0, sensor 1, note 2, then one note and six tries to tell the gap first took 3 to 9
    assert [event["seq"] for event in found] == [0, 1, 2, 10, 11, 12]


def test_a_home_that_cannot_be_made_is_tried_again(home, monkeypatch):
    told = []
    journal = Journal(journal_dir(home), told.append)
    home.write_text("a file where the folder should be")
    for _ in range(3):
        journal.write("note", {"text": "lost"})
    assert (journal.lost, [error.errno for error in told]) == (3, [errno.ENOTDIR] * 3)
    home.unlink()
    journal.write("note", {"text": "too soon"})  # opening is tried once a second
    monkeypatch.setattr(journal, "_retry_ns", 0)
    journal.write("note", {"text": "kept"})
    gap, note = events(home)[1:]
    assert (gap["event"], gap["amount"], note["text"]) == ("gap", 4, "kept")
    assert list(journal_dir(home).glob("*.new")) == []
    journal.close()


def test_a_file_that_was_removed_is_made_anew(home, journal):
    journal.write("note", {"text": "gone"})
    paths(home)[0].unlink()
    journal.sync()
    journal.write("note", {"text": "kept"})
    assert [event["event"] for event in events(home)] == ["journal", "gap", "note"]


def test_a_file_that_was_closed_for_us_is_made_anew(home, journal):
    journal.write("note", {"text": "kept"})
    os.close(journal._file.fd)  # what a program does that closes all files to become a daemon
    journal.write("note", {"text": "lost"})
    journal.write("note", {"text": "kept too"})
    assert [event.get("text", event.get("amount")) for event in events(home)] == [None, "kept", None, 1, "kept too"]


def test_eight_threads_lose_nothing_and_keep_their_order(home, journal):
    def work(number):
        for step in range(125):
            journal.write("note", {"text": f"{number} {step}"})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = paths(home)
    found = events_in(path)
    assert [event["seq"] for event in found] == list(range(1001))  # the header and 8 × 125
    assert [event["mono_ns"] for event in found] == sorted(event["mono_ns"] for event in found)
    texts = [event["text"].split() for event in of(found, "note")]
    for number in range(8):
        assert [int(step) for who, step in texts if who == str(number)] == list(range(125))


def test_what_comes_in_the_middle_of_a_write_comes_right_after(home, journal, monkeypatch):
    journal.write("note", {"text": "first"})
    write = os.write

    def interrupted(fd, data):
        monkeypatch.setattr(os, "write", write)
        journal.write("note", {"text": "from a signal handler"})  # on the same thread: it cannot wait
        return write(fd, data)

    monkeypatch.setattr(os, "write", interrupted)
    journal.write("note", {"text": "second"})
    (path,) = paths(home)
    found = events_in(path)
    assert [event["text"] for event in of(found, "note")] == ["first", "second", "from a signal handler"]
    assert [event["seq"] for event in found] == [0, 1, 2, 3]


def test_an_interrupt_in_a_write_does_not_stop_the_next(home, journal, monkeypatch):
    journal.write("note", {"text": "first"})
    write = os.write

    def interrupted(fd, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.write("note", {"text": "interrupted"})
    monkeypatch.setattr(os, "write", write)
    journal.write("note", {"text": "second"})
    assert [event["text"] for event in of(events(home), "note")] == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("two\nlines\r\x00\x1b\x7f", "two\nlines\r\x00\x1b\x7f"),
        ("a line end of another kind: \u2028 \x85", "a line end of another kind: \u2028 \x85"),
        ("naïve 🦆 漢", "naïve 🦆 漢"),
        ("half \ud83e a duck", "half \\ud83e a duck"),  # written out: no reader takes half a character
        (os.fsdecode(b"caf\xe9"), "caf\\udce9"),  # a file name that is not UTF-8
        ("long " * 200_000, "long " * 200_000),
    ],
)
def test_any_text_is_one_line_of_ascii(home, journal, text, kept):
    journal.write("note", {"text": text, "tags": [[text, "x"]]})
    (path,) = paths(home)
    assert path.read_bytes().isascii()
    note = events_in(path)[1]
    assert (note["text"], note["tags"]) == (kept, [[kept, "x"]])


def test_what_is_no_number_is_refused_whole(home, journal):
    journal.write("note", {"text": "before"})
    size = paths(home)[0].stat().st_size
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.write("usage", {"amount": value})
    assert paths(home)[0].stat().st_size == size
    journal.write("note", {"text": "after"})
    assert [event["seq"] for event in events(home)] == [0, 1, 2]


def test_only_what_is_new_is_synced(home, journal, monkeypatch):
    synced = []
    monkeypatch.setattr(journal_module, "_fdatasync", synced.append)
    journal.sync()
    assert synced == []
    journal.write("note", {"text": "x"})
    journal.sync()
    journal.sync()
    assert len(synced) == 1


def test_readings_alone_may_wait_to_be_synced(home, journal, monkeypatch):
    synced = []
    monkeypatch.setattr(journal_module, "_fdatasync", lambda fd: synced.append(paths(home)[0].stat().st_size))
    journal.write("note", {"text": "x"})
    journal.sync(with_readings=False)
    journal.write("reading", {"open": 1, "counters": []})
    journal.sync(with_readings=False)
    assert len(synced) == 1
    journal.write("note", {"text": "y"})  # takes the reading before it along
    journal.sync(with_readings=False)
    journal.write("reading", {"open": 1, "counters": []})
    journal.sync()
    size = paths(home)[0].stat().st_size
    assert synced == [*synced[:2], size]
    assert synced[0] < synced[1] < size


def test_a_file_system_without_locks_is_used_all_the_same(home, journal, monkeypatch):
    def unsupported(fd, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    journal.write("note", {"text": "kept"})
    assert [event["event"] for event in events(home)] == ["journal", "note"]


@pytest.mark.parametrize("amount", [0, 3, 2.5, True + 1, Decimal("0.25"), -0.0])
def test_an_amount_is_any_finite_number_from_zero_up(amount):
    assert usage("token", amount, "token") == {
        "kind": "token", "amount": float(amount), "unit": "token", "method": "measured",
    }  # fmt: skip


@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf, -1, True, "3", b"3", None, 1j, [1], 10**400])
def test_anything_else_is_no_amount(amount):
    with pytest.raises(InputError, match="the amount is"):
        usage("token", amount, "token")


@pytest.mark.parametrize(
    ("kind", "unit", "method"),
    [
        ("", "s", "measured"),
        (3, "s", "measured"),
        ("x", "", "measured"),
        ("x", None, "measured"),
        ("x", "s", "guessed"),
        ("x", "s", None),
    ],
)
def test_a_usage_has_a_kind_a_unit_and_a_known_method(kind, unit, method):
    with pytest.raises(InputError):
        usage(kind, 1, unit, method)


def test_a_usage_may_say_how_much_of_the_work_was_counted_and_by_what():
    fields = usage("flop", 3e12, "FLOP", "measured", coverage=1, source="torch")
    assert (fields["coverage"], fields["source"]) == (1.0, "torch")
    assert usage("flop", 3e12, "FLOP", coverage=0.0)["coverage"] == 0.0
    assert "source" not in usage("flop", 3e12, "FLOP", coverage=0.5)


@pytest.mark.parametrize("said", [{"coverage": -0.01}, {"coverage": 1.01}, {"coverage": math.nan}, {"coverage": True},
                                  {"source": ""}, {"source": 3}])  # fmt: skip
def test_a_coverage_is_a_part_and_a_source_a_text(said):
    with pytest.raises(InputError):
        usage("flop", 1, "FLOP", **said)


def test_a_quality_may_be_negative_but_is_a_number():
    assert quality("log-likelihood", -3) == {"kind": "log-likelihood", "amount": -3.0}
    with pytest.raises(InputError, match="the value is not finite"):
        quality("loss", math.nan)


NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
COUNTERS = st.one_of(
    st.fixed_dictionaries({"sensor": st.text(), "value": NUMBERS}, optional={"shared": NUMBERS}),
    st.fixed_dictionaries({"sensor": st.text(), "status": st.text()}),
    st.dictionaries(st.text(), NUMBERS).map(lambda others: {"sensor": "a", "value": 1.5, **others}),
)


@given(st.integers(), st.lists(COUNTERS))
def test_a_reading_is_written_as_json_would_write_it(number, counters):
    fields = {"open": 1, "counters": counters}
    record = {"event": "reading", "seq": number, "at_ns": 5, "mono_ns": 6, **fields}
    written = journal_module._reading(number, 5, 6, fields)
    assert json.dumps(json.loads(written), sort_keys=True) == json.dumps(record, sort_keys=True)
    assert len(written) == len(json.dumps(record, separators=(",", ":")))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reading_that_is_no_number_is_refused_as_elsewhere(value):
    for counter in ({"sensor": "a", "value": value}, {"sensor": "a", "value": 1.0, "shared": value}):
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal_module._reading(1, 5, 6, {"open": 1, "counters": [counter]})


def test_a_reading_that_says_more_than_usual_is_left_to_json():
    assert not journal_module._reading(1, 5, 6, {"open": 1, "counters": [], "run_id": "r"})
    assert not journal_module._reading(1, 5, 6, {"open": True, "counters": []})
    assert not journal_module._reading(1, 5, 6, {"open": 1, "reason": "none"})
