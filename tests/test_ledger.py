"""The ledger keeps every good line exactly once, says what it could not read, and can be made anew."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from handmade import START_NS, HandmadeJournal

from joulebook.accounting.errors import LedgerBusy, LedgerError, NewerSchema
from joulebook.accounting.ledger import database, ingest, ingestion, open_ledger, rebuild, segments
from joulebook.accounting.verify import verify

HOSTILE = '"><script>alert(1)</script> $(rm -rf) =cmd|\'/C calc\'! #import "x"'
FACTS = ("span", "span_end", "reading", "usage", "quality", "note", "gap", "sensor", "rollup_minute", "rollup_hour")


def count(home: Path, table: str) -> int:
    return int(open_ledger(home).rows(f"select count(*) as n from {table}")[0]["n"])


def one_run(home: Path, *, ticks: int = 3, name: str = "job") -> HandmadeJournal:
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(10, name, counters={"cpu_time": 0.0}, project="search", tags=[["team", "nlp"]])
    for second in range(1, ticks + 1):
        journal.tick(10 + second, cpu_time=0.5 * second)
    journal.end(10 + ticks + 1, run, counters={"cpu_time": 0.5 * (ticks + 1)})
    return journal


def test_a_second_ingest_adds_nothing(home: Path) -> None:
    """Header, sensor, start, 3 ticks, end: 7 lines."""
    one_run(home).write()
    first, second = ingest(home), ingest(home)
    assert (first.events_read, first.events_added, first.quarantined, first.journals) == (7, 7, 0, 1)
    assert (second.events_read, second.events_added, second.journals) == (0, 0, 0)


def test_a_growing_journal_is_read_from_where_it_was(home: Path) -> None:
    journal = one_run(home)
    lines = journal.lines
    journal.lines = lines[:4]
    journal.write()
    with journal.path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # its writer lives
        assert ingest(home).events_added == 4
        file.write(lines[4][:20])
        file.flush()
        assert ingest(home).events_added == 0  # half a line is no line yet
        file.write(lines[4][20:] + b"".join(lines[5:]))
        file.flush()
        assert ingest(home).events_added == 3
    assert count(home, "quarantine") == 0
    assert [row["state"] for row in open_ledger(home).rows("select state from work")] == ["ended"]


def test_minutes_are_split_where_the_clock_turns_and_sums_are_exact(home: Path) -> None:
    """0.5 CPU-seconds a second from second 50 to second 130: 5 s, 30 s and 5 s in three minutes, 40 in the hour."""
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(50, counters={"cpu_time": 7.0})
    for second in range(4, 80, 7):  # readings that never fall on a full minute
        journal.tick(50 + second, cpu_time=7 + second * 0.5)
    journal.end(130, run, counters={"cpu_time": 47.0})
    journal.write()
    ingest(home)
    minutes = open_ledger(home).rows("select minute_utc, amount, covered_s from rollup_minute order by 1")
    assert [row["minute_utc"].minute for row in minutes] == [0, 1, 2]
    assert [row["amount"] for row in minutes] == pytest.approx([5.0, 30.0, 5.0], rel=1e-12)
    assert [row["covered_s"] for row in minutes] == pytest.approx([10.0, 60.0, 10.0], rel=1e-9)
    assert open_ledger(home).rows("select amount from rollup_hour")[0]["amount"] == pytest.approx(40.0, rel=1e-12)


def test_rollups_do_not_depend_on_how_often_the_ingest_came(home: Path, tmp_path: Path) -> None:
    journal = one_run(home, ticks=150)
    lines = journal.lines
    with journal.path.open("wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # its writer lives
        for start, end in pairwise((0, 3, 4, 50, 51, 120, len(lines))):
            file.write(b"".join(lines[start:end]))
            ingest(home)
    other = tmp_path / "other"
    (other / "journal").mkdir(parents=True)
    (other / "journal" / journal.path.name).write_bytes(b"".join(lines))
    ingest(other)
    question = "select minute_utc, amount, covered_s from rollup_minute order by 1"
    pieces, whole = open_ledger(home).rows(question), open_ledger(other).rows(question)
    assert [row["minute_utc"] for row in pieces] == [row["minute_utc"] for row in whole]
    assert [row["amount"] for row in pieces] == pytest.approx([row["amount"] for row in whole], rel=1e-12)


def test_bad_lines_are_quarantined_and_good_ones_kept(home: Path) -> None:
    """9 good lines; 8 bad ones, each with its reason; the torn end is the ninth."""
    journal = one_run(home, name=HOSTILE)
    run = json.loads(journal.lines[2])["span_id"]
    good = len(journal.lines)
    ids = {"span_id": run, "run_id": run}
    journal.raw(b'{"event":"usage","seq":99,"at_ns":1767225\n')
    journal.raw(b"[1, 2]\n")
    journal.raw(b"\xff\xfe not utf-8\n")
    journal.event("usage", 20, **ids, kind="tokens", amount="twelve", unit="token", method="measured")
    journal.event("usage", 20, **ids, kind="tokens", amount=-1.0, unit="token", method="measured")
    journal.event("usage", 20, **ids, kind="tokens", amount=12, unit="token", method="measured")  # good
    journal.event("journal", 20, version=99, journal_id=journal.journal_id)
    journal.raw(
        json.dumps(
            {"event": "note", "seq": 7, "at_ns": time.time_ns() + 10**18, "mono_ns": 1, **ids, "text": "x"}
        ).encode()
        + b"\n"
    )
    journal.event("teleport", 20, **ids)
    journal.event("note", 21, **ids, text="fine")  # good
    journal.raw(b'{"event":"note","seq":')
    journal.write()
    done = ingest(home)
    assert (done.events_added, done.quarantined, done.events_read) == (good + 2, 9, good + 11)
    reasons = {row["reason"] for row in open_ledger(home).rows("select reason from quarantine")}
    assert reasons == {
        "torn: not a JSON object",
        "not a JSON object",
        "wrong type: amount is not a number",
        "the amount is negative",
        "unknown format version; this joulebook reads 1, 2, 3",
        "the time lies in the future",
        "unknown event kind",
        "torn: the line does not end",
    }
    where = open_ledger(home).rows("select at_byte, path from quarantine where reason = 'not a JSON object'")[0]
    assert journal.path.read_bytes()[where["at_byte"] :].startswith(b"[1, 2]\n")
    assert where["path"] == journal.path.name
    assert open_ledger(home).rows("select name from span")[0]["name"] == HOSTILE
    assert ingest(home).quarantined == 0
    assert all(check.ok for check in verify(open_ledger(home)))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b'{"event":"journal","seq":0,"at_ns":1,"mono_ns":1,"version":99,"journal_id":"01a209ae-694b-7962-a1d3-d19e0f138a51"}\n',
         "unknown format version 99"),
        (b'{"event":"note"}\n', "does not begin with a journal header"),
        (b"\x00\x01\x02\n", "does not begin with a journal header"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_counted_line_by_line(home: Path, header: bytes, reason: str) -> None:
    journal = one_run(home)
    journal.lines[0] = header
    journal.write()
    done = ingest(home)
    assert (done.events_added, done.quarantined) == (0, 7)
    assert reason in open_ledger(home).rows("select reason from quarantine")[0]["reason"]
    assert ingest(home).events_read == 0
    assert journal.path.exists()


def test_two_files_with_one_id_do_not_mix(home: Path) -> None:
    journal = one_run(home)
    journal.write()
    ingest(home)
    twin = journal.path.with_name("a-copy.jsonl")
    twin.write_bytes(journal.path.read_bytes() if journal.path.exists() else b"".join(journal.lines))
    segments_before = count(home, "span")
    ingest(home)
    assert count(home, "span") == segments_before == 1


def test_rebuild_gives_the_same_ledger(home: Path) -> None:
    for number in range(3):
        one_run(home, ticks=70 + number).write()
    ingest(home)
    before = {table: sorted(map(str, open_ledger(home).rows(f"select * from {table}"))) for table in FACTS}
    done = rebuild(home)
    after = {table: sorted(map(str, open_ledger(home).rows(f"select * from {table}"))) for table in FACTS}
    assert before == after
    assert done.events_added == sum(5 + 70 + number - 1 for number in range(3))
    assert ingest(home).events_added == 0


def test_past_days_are_sealed_to_parquet_and_read_back_from_there(home: Path) -> None:
    journal = one_run(home, ticks=5)
    journal.write()
    ingest(home)
    ledger = open_ledger(home)
    before = {table: sorted(map(str, ledger.rows(f"select * from {table}"))) for table in FACTS}
    assert not journal.path.exists()  # 1 January 2026 is over
    (tick_file,) = (home / "parquet" / "fact=reading" / "day=2026-01-01").glob("*.parquet")
    assert duckdb.sql(f"select count(*) from '{tick_file}'").fetchall() == [(5,)]
    rebuild(home)
    assert before == {table: sorted(map(str, ledger.rows(f"select * from {table}"))) for table in FACTS}
    ledger.path.unlink()
    assert ingest(home).events_added == 9
    assert before == {table: sorted(map(str, ledger.rows(f"select * from {table}"))) for table in FACTS}


def test_a_segment_counts_only_from_its_manifest_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine stops between the Parquet files and the manifest: the journal still counts, the files do not."""
    journal = one_run(home)
    journal.write()

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(segments, "_write_manifest", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest(home)
    assert journal.path.exists()
    (left,) = (home / "parquet" / "fact=span_end").glob("*/*.parquet")
    rebuild(home)
    assert count(home, "span") == 1
    ingest(home, seal_all=True)
    rebuild(home)
    assert (count(home, "span"), journal.path.exists(), left.exists()) == (1, False, False)


def test_journals_with_bad_lines_are_never_removed(home: Path) -> None:
    journal = one_run(home)
    journal.raw(b"torn\n")
    journal.write()
    ingest(home, seal_all=True)
    assert journal.path.exists()
    rebuild(home)
    assert count(home, "quarantine") == 1


def test_a_newer_schema_is_refused_and_left_alone(home: Path) -> None:
    one_run(home).write()
    ingest(home)
    with duckdb.connect(str(home / "ledger.duckdb")) as con:
        con.execute("insert into schema_version values (99, now()::timestamp)")
    before = (home / "ledger.duckdb").read_bytes()
    with pytest.raises(NewerSchema, match=r"newer joulebook \(schema 99; this one reads up to \d\)"):
        open_ledger(home).rows("select 1")
    one_run(home).write()
    with pytest.raises(NewerSchema, match="nothing was changed"):
        ingest(home)
    assert (home / "ledger.duckdb").read_bytes() == before


def test_a_broken_database_file_says_what_to_do(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "ledger.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError, match="joulebook rebuild"):
        open_ledger(home).rows("select 1")


def test_a_reader_waits_for_a_writer_and_gives_up_with_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_run(home).write()
    ingest(home)
    code = (
        "import duckdb, sys, time; con = duckdb.connect(sys.argv[1]); print('held', flush=True); "
        "sys.stdin.readline(); con.close(); print('freed', flush=True)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(home / "ledger.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    monkeypatch.setattr(database, "PATIENCE_S", 0.2)
    with pytest.raises(LedgerBusy, match="still in use"):
        open_ledger(home).rows("select 1")
    monkeypatch.setattr(database, "PATIENCE_S", 30.0)
    holder.stdin.write("go\n")
    holder.stdin.flush()
    assert open_ledger(home).rows("select 1 as one") == [{"one": 1}]
    holder.communicate()


def test_nothing_new_opens_no_database(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_run(home).write()
    ingest(home)
    monkeypatch.setattr(ingestion.Ledger, "writing", lambda self: pytest.fail("the database was opened"))
    assert ingest(home).events_read == 0


def test_an_empty_home_reads_as_an_empty_ledger(home: Path) -> None:
    assert open_ledger(home).rows("select count(*) as n from work") == [{"n": 0}]
    assert not (home / "ledger.duckdb").exists()


def test_the_parts_of_a_question_share_one_opening_and_no_tables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_run(home).write()
    ingest(home)
    ledger, opened, connect = open_ledger(home), [], database._connect
    monkeypatch.setattr(database, "_connect", lambda path, **mode: opened.append(path) or connect(path, **mode))
    with ledger.reading() as con:
        con.execute("create temp table mine as select 1 as n")
        assert ledger.rows("select count(*) as n from span") == [{"n": 1}]
        with pytest.raises(duckdb.CatalogException):
            ledger.rows("select n from mine")
        assert con.execute("select n from mine").fetchall() == [(1,)]
    assert opened == [ledger.path]
    ledger.rows("select 1")
    assert opened == [ledger.path] * 2  # nobody has kept it open


def test_times_are_utc(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        one_run(home).write()
        ingest(home)
        started = open_ledger(home).rows("select started_at_utc from span")[0]["started_at_utc"]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert started.isoformat() == "2026-01-01T00:00:10"
    assert START_NS // 10**9 == 1767225600


def test_two_batches_are_two_transactions_with_one_result(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion, "BATCH_BYTES", 10_000)
    for _ in range(4):
        one_run(home, ticks=40).write()
    done = ingest(home)
    assert (done.events_added, done.journals) == (4 * 44, 4)
    assert open_ledger(home).rows("select sum(amount) as n from rollup_hour")[0]["n"] == pytest.approx(
        4 * 20.5, rel=1e-12
    )
    assert all(check.ok for check in verify(open_ledger(home)))


def killed_ingests(home: Path, kills: int) -> int:
    """SIGKILL an ingest at growing moments of its life; how many were really killed."""
    code = (
        "import sys; from pathlib import Path; from joulebook.accounting.ledger import ingestion\n"
        "ingestion.BATCH_BYTES = 40_000; print(flush=True); ingestion.ingest(Path(sys.argv[1]))"
    )
    struck = 0
    for attempt in range(kills):
        command = [sys.executable, "-c", code, str(home)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdout is not None
        child.stdout.readline()  # from here on it ingests, however long it took to come here
        child.stdout.close()
        try:
            child.wait(timeout=0.05 + 0.9 * attempt / kills)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            struck += 1
            child.wait()
    return struck


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killing_the_ingest_loses_and_doubles_nothing(home: Path, kills: int) -> None:
    for _ in range(30):
        journal = one_run(home, ticks=100)
        run = json.loads(journal.lines[2])["span_id"]
        for step in range(400):
            journal.event("usage", 15, span_id=run, run_id=run, kind="step", amount=1, unit="step", method="measured")
            assert step < 400
        journal.write()
    assert killed_ingests(home, kills) >= kills // 2
    ingest(home)
    assert (count(home, "span"), count(home, "usage"), count(home, "reading")) == (30, 12_000, 30 * 102)
    assert count(home, "(select distinct journal_id, seq from usage)") == 12_000
    assert all(check.ok for check in verify(open_ledger(home)))


def rotated_run(home: Path) -> list[HandmadeJournal]:
    """One process, three journals: 0.5 CPU-seconds a second for 180 s, a minute in each."""
    journals: list[HandmadeJournal] = []
    for part in range(3):
        previous = {"previous_id": journals[-1].journal_id} if journals else {}
        journals.append(HandmadeJournal(home, f"host-{part}", **previous))
        journals[-1].sensor()
        if part == 0:
            run = journals[0].start(0, counters={"cpu_time": 0.0})
        for second in range(part * 60 + 1, part * 60 + 60, 7):
            journals[-1].tick(second, cpu_time=second * 0.5)
    journals[-1].end(180, run, counters={"cpu_time": 90.0})
    return journals


def test_a_run_goes_on_from_journal_to_journal(home: Path) -> None:
    """When a journal is full its process begins another: 30 CPU-seconds in each of three minutes, 90 in all."""
    journals = rotated_run(home)
    journals[0].write()
    journals[1].write()
    with journals[1].path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the process lives; it has let go of its first journal
        ingest(home)
        assert [row["state"] for row in open_ledger(home).rows("select state from work")] == ["running"]
    journals[2].write()
    for _ in range(2):  # as it came, and made anew from what was sealed
        ingest(home)
        minutes = open_ledger(home).rows("select amount from rollup_minute order by minute_utc")
        assert [row["amount"] for row in minutes] == pytest.approx([30.0, 30.0, 30.0], rel=1e-12)
        assert open_ledger(home).rows("select amount from rollup_hour")[0]["amount"] == pytest.approx(90.0, rel=1e-12)
        assert [row["state"] for row in open_ledger(home).rows("select state from work")] == ["ended"]
        assert [violation for check in verify(open_ledger(home)) for violation in check.violations] == []
        rebuild(home)


def test_a_tag_that_is_there_twice_keeps_its_line_out_and_nothing_else(home: Path) -> None:
    journal = one_run(home, ticks=3)
    journal.start(50, "odd", tags=[["team", "a"], ["team", "b"]])
    journal.start(51, "fine", tags=[["team", "a"], ["room", "a"]])
    journal.write()
    done = ingest(home)
    assert done.quarantined == 1
    assert open_ledger(home).rows("select reason from quarantine") == [{"reason": "a tag is there twice"}]
