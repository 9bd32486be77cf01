"""Each invariant is broken behind the ledger's back; the check that watches it fails and names the culprit."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pytest
from handmade import HandmadeJournal

from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.verify import MOST_SHOWN, Check, verify

NAMES = ["spans", "watermarks", "rollups", "children", "totals", "nodes", "calls", "factors", "claims"]


@dataclass(frozen=True)
class Made:
    """A run of 120 CPU-seconds with a child that used 40 of them."""

    home: Path
    journal: Path
    run: str
    child: str

    def write(self, sql: str) -> None:
        """Change the database behind the ledger's back. `$run` and `$child` stand for the ids."""
        with duckdb.connect(str(open_ledger(self.home).path)) as con:
            con.execute(sql.replace("$run", f"'{self.run}'").replace("$child", f"'{self.child}'"))

    def broken(self) -> dict[str, tuple[str, ...]]:
        return {check.name: check.violations for check in self.checks() if not check.ok}

    def checks(self) -> list[Check]:
        return verify(open_ledger(self.home))


def made(home: Path) -> Made:
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(0, "run", counters={"cpu_time": 5.0})
    journal.tick(70, cpu_time=75.0)
    child = journal.start(80, "child", parent=(run, run), counters={"cpu_time": 85.0})
    journal.event("note", 90, span_id=child, run_id=run, text="seed 0")
    journal.end(120, child, run, counters={"cpu_time": 125.0})
    journal.end(160, run, counters={"cpu_time": 125.0})
    return Made(home, journal.write(), run, child)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Both ledgers, made once: each test breaks a copy."""
    homes = {name: tmp_path_factory.mktemp(name) for name in ("sealed", "unsealed")}
    ingest(homes["unsealed"])  # with today's sealing done, a journal that comes later stays
    ledgers = {name: made(home) for name, home in homes.items()}
    for ledger in ledgers.values():
        ingest(ledger.home)
    assert [ledger.journal.exists() for ledger in ledgers.values()] == [False, True]
    return ledgers


def copied(original: Made, home: Path) -> Made:
    shutil.copytree(original.home, home)
    return replace(original, home=home, journal=home / "journal" / original.journal.name)


@pytest.fixture
def sealed(once: dict[str, Made], home: Path) -> Made:
    """Ingested and sealed to Parquet, so that the journal itself is gone."""
    return copied(once["sealed"], home)


@pytest.fixture
def unsealed(once: dict[str, Made], home: Path) -> Made:
    """Ingested, with the journal still there."""
    return copied(once["unsealed"], home)


def test_a_sound_ledger_passes_and_is_not_touched(unsealed: Made) -> None:
    """2 spans, 1 journal, 1 counter of 1 run, 1 child, 7 categories × 3 ends, no call, 1 run with impacts, no claim."""
    path = open_ledger(unsealed.home).path
    before = hashlib.sha256(path.read_bytes()).digest()
    checks = unsealed.checks()
    assert [(check.name, check.ok, check.examined) for check in checks] == list(
        zip(NAMES, [True] * 9, [2, 1, 1, 1, 21, 0, 0, 1, 0], strict=True)
    )
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_an_empty_ledger_passes(home: Path) -> None:
    assert [(check.name, check.ok) for check in verify(open_ledger(home))] == [(name, True) for name in NAMES]


@pytest.mark.parametrize(
    ("sql", "check", "says"),
    [
        ("delete from rollup_minute where run_id = $run", "rollups",
         "run $run, cpu-time: readings 120.0, minutes None, hours 120.0"),
        ("delete from rollup_minute where minute_utc = '2026-01-01 00:01'", "rollups",
         "run $run, cpu-time: readings 120.0, minutes"),
        ("delete from rollup_hour", "rollups", "run $run, cpu-time: readings 120.0, minutes 120.0, hours None"),
        ("update rollup_hour set amount = amount * 1.000001", "rollups", "run $run, cpu-time"),
        ("insert into span select * from span where span_id = $run", "spans", "span $run begins 2 times"),
        ("insert into span_end select * from span_end where span_id = $child", "spans", "span $child ends 2 times"),
        ("delete from span where span_id = $child", "spans", "span $child ends but never began"),
        # 40 CPU-seconds of the child become 140, while its parent had 120
        ("update reading set shared = shared + 100 where span_id = $child and shared = 125", "children",
         "span $child, cpu-time: 140.0, its parent 120.0"),
        # the child's energy once more as if it were a run of its own
        ("insert into rollup_hour select $child::uuid, * exclude (run_id) from rollup_hour", "totals",
         "it_energy_j_mid: by run"),
        # an hour for which no factor can be in force
        ("update rollup_hour set hour_utc = '2999-01-01'", "factors", "1 runs with energy, 0 with impacts"),
    ],
)  # fmt: skip
def test_what_is_broken_is_found_by_its_own_check_alone(sealed: Made, sql: str, check: str, says: str) -> None:
    sealed.write(sql)
    broken = sealed.broken()
    assert list(broken) == [check]
    says = says.replace("$run", sealed.run).replace("$child", sealed.child)
    assert any(violation.startswith(says) for violation in broken[check]), broken


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("delete from note", "1 note lines but 0 rows"),
        ("update journal set events = events - 1", "8 lines before the watermark, 7 events and 0 quarantined"),
        ("update journal set end_byte = end_byte + 1", "than what was read of it"),
    ],
)
def test_what_is_not_what_the_journal_says_is_found(unsealed: Made, sql: str, says: str) -> None:
    unsealed.write(sql)
    broken = unsealed.broken()
    assert list(broken) == ["watermarks"]
    (violation,) = broken["watermarks"]
    assert violation.startswith(f"{unsealed.journal.name}: ")
    assert says in violation


def test_a_span_that_is_doubled_while_its_journal_stands_is_found_twice(unsealed: Made) -> None:
    unsealed.write("insert into span select * from span where span_id = $child")
    name = unsealed.journal.name
    assert unsealed.broken() == {
        "spans": (f"span {unsealed.child} begins 2 times",),
        "watermarks": (f"{name}: 2 span_start lines but 3 rows",),
    }


def test_a_journal_that_was_cut_is_found(unsealed: Made) -> None:
    data = unsealed.journal.read_bytes()
    unsealed.journal.write_bytes(data[:-10])
    assert unsealed.broken() == {
        "watermarks": (
            f"{unsealed.journal.name}: shorter ({len(data) - 10} bytes) than what was read of it ({len(data)})",
        )
    }


def test_a_journal_that_was_edited_is_found(unsealed: Made) -> None:
    """The same length, another kind of event: the ledger holds a note that the journal no longer tells."""
    data = unsealed.journal.read_bytes()
    unsealed.journal.write_bytes(data.replace(b'"event": "note"', b'"event": "nope"'))
    assert unsealed.broken() == {"watermarks": (f"{unsealed.journal.name}: 0 note lines but 1 rows",)}


def test_many_violations_are_counted_and_some_shown(home: Path) -> None:
    journal = HandmadeJournal(home)
    for n in range(MOST_SHOWN + 7):
        journal.end(n + 1, journal.start(n))
    journal.write()
    ingest(home)
    with duckdb.connect(str(open_ledger(home).path)) as con:
        con.execute("insert into span select * from span")
    spans = verify(open_ledger(home))[0]
    assert len(spans.violations) == MOST_SHOWN + 1
    assert spans.violations[-1] == "… and 7 more"
