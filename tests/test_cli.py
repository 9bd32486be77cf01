"""The command line: what can be typed, what comes out, in JSON and on screen, and how it ends."""

from __future__ import annotations

import argparse
import fcntl
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import category

import duckdb
import pytest
from handmade import HandmadeJournal

import joulebook
from joulebook.accounting.ledger import ingestion
from joulebook.accounting.site import Site, load_site, write_site
from joulebook.cli import main
from joulebook.cli.arguments import parse, parser

HOSTILE = '"><script>alert(1)</script> $(rm -rf) =cmd|\'/C calc\'! #import "x"'
CONTROLS = "\x1b[31mred\x07\r\n\x9b1m\u202eturned\x7f"
COMMANDS = next(action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
QUALITY = {"tier", "data_quality"}
RUN_KEYS = {"run_id", "name", "project", "host", "started_at", "duration_s", "ok", "energy_j", "carbon_g", "water_l",
            "cost_usd", "gaps", "ended_at", "state", "error", *QUALITY}  # fmt: skip
HERE = Site("FR", pue=(1, 1.5, 2), wue_l_per_kwh=(0, 0.5, 1), price_usd_per_kwh=(0.1, 0.2, 0.4),
            carbon_intensity_g_per_kwh=(100, 200, 400), cpu_power_w=(2, 4, 8))  # fmt: skip


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        assert self.err == ""
        return json.loads(self.out)


Typed = Callable[..., Done]


@pytest.fixture
def typed(capfd: pytest.CaptureFixture[str]) -> Typed:
    """Runs a command in this process."""

    def run(*words: str) -> Done:
        try:
            code = main(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


def job(home: Path, at_s: float = 0, cpu_s: float = 900, name: str = "job", **fields: Any) -> str:
    """A minute of a run with a watt-hour (900 CPU-seconds × 4 W = 3600 J) at `HERE`; its id."""
    write_site(home, HERE)
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(at_s, name, counters={"cpu_time": 1.0}, **fields)
    journal.end(at_s + 60, run, counters={"cpu_time": 1.0 + cpu_s})
    journal.write()
    return run


def process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "joulebook", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


# What can be typed ------------------------------------------------------------------------------------------------


def test_help_lists_every_command(typed: Typed) -> None:
    done = typed("--help")
    listed = {line.split()[0] for line in done.out.splitlines() if line.startswith("    ") and line.strip()}
    assert (done.code, done.err) == (0, "")
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_that_can_be_typed(typed: Typed, command: str) -> None:
    done = typed(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert "--home DIR" in done.out
    assert "--json" in done.out
    for line in done.out.split("Example:\n")[1].strip().splitlines():
        example = shlex.split(line)
        assert example[:2] == ["joulebook", command]
        assert parse(example[1:]).command == command


def test_the_version_is_printed_where_a_script_finds_it(typed: Typed) -> None:
    assert typed("--version") == (0, f"joulebook {joulebook.__version__}\n", "")


def test_without_a_command_the_help_is_shown_and_it_is_no_success(typed: Typed) -> None:
    done = typed()
    assert done.code == 2
    assert done.out.startswith("usage: joulebook")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["run", "--", "git", "log", "--", "file"], ["git", "log", "--", "file"]),
        (["run", "git", "log", "--", "file"], ["git", "log", "--", "file"]),
        (["run", "--name", "x", "--", "ls", "--json"], ["ls", "--json"]),
        (["run", "ls", "--home", "x"], ["ls", "--home", "x"]),
    ],
)
def test_a_wrapped_command_is_passed_on_word_for_word(words: list[str], command: list[str]) -> None:
    args = parse(words)
    assert (args.argv, args.json, args.home) == (command, False, None)


# Wrong input: one sentence, nothing on stdout, and the right code -------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nonsense"], 2, "invalid choice: 'nonsense'"),
        (["runs", "--nonsense"], 2, "unrecognized arguments: --nonsense"),
        (["runs", "--since", "yesteryear"], 2, "'yesteryear' is not a time: write 2026-11-01"),
        (["runs", "--until", "9999-12-31"], 2, "'9999-12-31' is not a time"),
        (["runs", "--since", "2026-02-01", "--until", "2026-01-01"], 2,
         "--since 2026-02-01 00:00 is not before --until"),
        (["runs", "--limit", "0"], 2, "--limit must be 1 or more, not 0"),
        (["runs", "--limit", "many"], 2, "invalid int value: 'many'"),
        (["runs", "--project", "\udcff"], 2, "an argument is not text in UTF-8"),
        (["summary", "--by", "moon"], 2, "invalid choice: 'moon'"),
        (["factors", "--kind", "magic"], 2, "no factors of kind 'magic': there are carbon_intensity"),
        (["show"], 2, "the following arguments are required: RUN"),
        (["show", "ffffffff"], 3, "no run 'ffffffff' in "),
        (["show", "last"], 3, "joulebook runs lists them"),
        (["report", "--run", "ffffffff"], 3, "no run 'ffffffff'"),
        (["run"], 2, "run needs a command, e.g. joulebook run -- python train.py"),
        (["run", "--"], 2, "run needs a command"),
        (["run", "--tag", "nlp", "--", "true"], 2, "'nlp' is not key=value"),
        (["init", "--pue", "low"], 2, "'low' is neither a number nor LOW,MID,HIGH"),
        (["init", "--pue", "1.1,1.2"], 2, "'1.1,1.2' is neither a number nor LOW,MID,HIGH"),
        (["init", "--pue", "0.9"], 2, "pue must be a number or [low, mid, high] from 1 up"),
        (["init", "--region", "Atlantis"], 2, "--region: the region 'Atlantis' is not known"),
        (["init", "--region", ""], 2, "region must be a text such as 'FR', not ''"),
        (["init", "--provider", "awz"], 2, "--provider 'awz' is not known; near it: aws"),
        (["init", "--home", "/dev/null/x"], 1, "/dev/null/x: Not a directory"),
        (["ingest", "--home", "/dev/null/x"], 1, "/dev/null/x: the ledger cannot be written here (Not a directory)"),
    ],
)  # fmt: skip
def test_wrong_input_is_answered_in_one_sentence(
    typed: Typed, home: Path, words: list[str], code: int, says: str
) -> None:
    done = typed(*words)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("joulebook: ")
    assert done.err.count("\n") == 1
    assert says in done.err
    assert not (home / "site.toml").exists()


def test_a_site_that_cannot_be_understood_is_wrong_input(typed: Typed, home: Path) -> None:
    job(home)
    (home / "site.toml").write_text("regoin = 'FR'")
    done = typed("runs")
    assert (done.code, done.out) == (2, "")
    assert f"{home / 'site.toml'}: unknown key 'regoin'" in done.err


def test_a_broken_ledger_is_a_failure(typed: Typed, home: Path) -> None:
    home.mkdir()
    (home / "ledger.duckdb").write_bytes(b"not a database" * 1000)
    done = typed("runs", "--no-ingest")
    assert (done.code, done.out) == (1, "")
    assert "`joulebook rebuild` makes it anew" in done.err


def test_a_busy_ledger_says_try_again(typed: Typed, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job(home)
    monkeypatch.setattr(ingestion, "PATIENCE_S", 0.05)
    with (home / "ingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = typed("runs")
    assert (done.code, done.out) == (4, "")
    assert done.err.rstrip().endswith("; try again")


def test_an_ambiguous_run_is_wrong_input_and_a_missing_one_not_found(typed: Typed, home: Path) -> None:
    first, second = job(home, 0), job(home, 3600)
    done = typed("show", first[:6])
    assert (done.code, done.out) == (2, "")
    assert first in done.err
    assert second in done.err


# Recording from outside -------------------------------------------------------------------------------------------


def test_run_records_a_command_and_ends_as_it_did(typed: Typed, home: Path) -> None:
    code = "import sys; print('hello'); sys.exit(5)"
    words = ["run", "--name", HOSTILE, "--project", "search", "--tag", "team=nlp", "--", sys.executable, "-c", code]
    done = process(*words)
    assert (done.returncode, done.stdout, done.stderr) == (5, "hello\n", "")
    (run,) = typed("runs", "--json").json
    assert (run["name"], run["project"], run["ok"], run["state"]) == (HOSTILE, "search", False, "failed")


def test_run_leaves_stdout_to_the_job_in_json_too(home: Path) -> None:
    done = process("run", "--json", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert json.loads(done.stderr) == {"command": ["echo", "hello"], "exit_code": 0, "home": str(home)}


# JSON: the keys are a promise -------------------------------------------------------------------------------------


def test_runs(typed: Typed, home: Path) -> None:
    """1 Wh: 3600 J; × 1.5 × 200 g/kWh = 0.3 g; × 1.5 × 0.2 USD/kWh = 0.0003 USD; low and high at 2 and 8 W."""
    run = job(home, project="search")
    (row,) = typed("runs", "--json").json
    assert set(row) == RUN_KEYS
    told = {key: row[key] for key in ("run_id", "name", "project", "host", "started_at", "duration_s", "ok", "gaps")}
    assert told == {"run_id": run, "name": "job", "project": "search", "host": "testhost", "duration_s": 60.0,
                    "started_at": "2026-01-01T00:00:00Z", "ok": True, "gaps": []}  # fmt: skip
    assert row["energy_j"] == {"low": 1800.0, "mid": 3600.0, "high": 7200.0, "unit": "J", "method": "modelled"}
    assert (
        set(row["carbon_g"]) == set(row["water_l"]) == set(row["cost_usd"]) == {"low", "mid", "high", "unit", "method"}
    )
    assert (row["carbon_g"]["mid"], row["carbon_g"]["unit"]) == (pytest.approx(0.3), "g")
    assert (row["cost_usd"]["mid"], row["cost_usd"]["unit"]) == (pytest.approx(0.0003), "USD")


def test_what_is_unknown_is_null_with_its_reason(typed: Typed, home: Path) -> None:
    journal = HandmadeJournal(home)
    journal.end(10, journal.start(0))
    journal.write()
    (row,) = typed("runs", "--json").json
    nothing = {"low": None, "mid": None, "high": None, "method": "unknown", "reason": "no energy was recorded"}
    assert (row["energy_j"], row["carbon_g"]) == (nothing | {"unit": "J"}, nothing | {"unit": "g"})


def test_ingest_and_rebuild(typed: Typed, home: Path) -> None:
    """Header, sensor, start, end, and one torn line: 5 lines of which 4 are good; a second time there is nothing."""
    job(home)
    path = next((home / "journal").iterdir())
    path.write_bytes(path.read_bytes() + b"{torn\n")
    first, second = typed("ingest", "--json").json, typed("ingest", "--json").json
    assert set(first) == {"events_read", "events_added", "quarantined", "journals", "seconds"}
    counts = [
        [done[key] for key in ("events_read", "events_added", "quarantined", "journals")] for done in (first, second)
    ]
    assert counts == [[5, 4, 1, 1], [0, 0, 0, 0]]
    anew = typed("rebuild", "--json").json
    assert set(anew) == set(first)
    assert (anew["events_read"], anew["events_added"], anew["quarantined"]) == (5, 4, 1)
    assert typed("ingest").out.startswith("0 of 0 events added from 0 journals in ")


def test_summary(typed: Typed, home: Path) -> None:
    job(home, 0, 900, "train")
    job(home, 86_400, 1800, "train")
    by_name, by_day = typed("summary", "--by", "name", "--json").json, typed("summary", "--by", "day", "--json").json
    assert [set(row) for row in by_name] == [{"name", "runs", "energy_j", "carbon_g", "water_l", "cost_usd", *QUALITY}]
    assert (by_name[0]["name"], by_name[0]["runs"], by_name[0]["energy_j"]["mid"]) == (
        "train",
        2,
        pytest.approx(10_800),
    )
    assert [(row["day"], row["energy_j"]["mid"]) for row in by_day] == [
        ("2026-01-01", pytest.approx(3600)), ("2026-01-02", pytest.approx(7200))]  # fmt: skip


def test_show(typed: Typed, home: Path) -> None:
    run = job(home)
    shown = typed("show", "last", "--json").json
    assert RUN_KEYS - {"gaps"} <= set(shown)
    assert shown["run_id"] == run
    assert {"power", "spans", "impacts", "about", "factors", "remarks"} <= set(shown)
    assert [row["category"] for row in shown["impacts"]] == [
        "device_energy_j", "it_energy_j", "facility_energy_j", "carbon_g", "water_l", "cost_usd",
        "primary_energy_j", "adpe_kgsb"]  # fmt: skip
    assert {"factor_id", "kind", "region", "match", "low", "mid", "high", "unit", "source", "url", "valid"} == set(
        shown["factors"][0]
    )


def test_factors(typed: Typed) -> None:
    rows = typed("factors", "--kind", "carbon_intensity", "--region", "fr", "--json").json
    assert {row["region"] for row in rows} == {"FR"}
    assert {"kind", "region", "value", "low", "high", "unit", "valid_from", "valid_to", "source", "url", "licence",
            "retrieved", "factor_id"} <= set(rows[0])  # fmt: skip


def test_verify(typed: Typed, home: Path) -> None:
    job(home)
    sound = typed("verify", "--json").json
    assert (sound["ok"], len(sound["checks"])) == (True, 9)
    assert set(sound["checks"][0]) == {"name", "says", "examined", "violations", "ok"}
    with duckdb.connect(str(home / "ledger.duckdb")) as con:
        con.execute("delete from rollup_minute")
        con.execute("update reading set sensor = ?", [CONTROLS])
        con.execute("update rollup_hour set sensor = ?", [CONTROLS])
    broken, drawn = typed("verify", "--no-ingest", "--json"), typed("verify", "--no-ingest")
    assert (broken.code, broken.err, drawn.code, drawn.err) == (1, "", 1, "")
    assert json.loads(broken.out)["ok"] is False
    assert "FAIL  rollups: " in drawn.out
    assert unsafe(drawn.out + broken.out) == set()


def test_doctor(typed: Typed, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEBOOK_SENSORS", "none")  # of machines with sensors: test_doctor.py
    found = typed("doctor", "--json").json
    assert found["ok"] is True
    keys = {"what", "state", "detail", "fix", "source", "mode", "tier", "interval"}
    assert {frozenset(check) for check in found["checks"]} == {frozenset(keys)}
    states = {check["what"]: check["state"] for check in found["checks"]}
    assert (states["Python"], states["Home"], states["Site"], states["Ledger"]) == ("ok", "ok", "warn", "ok")
    assert typed("doctor").out.startswith("ok    Python: ")


def test_doctor_sees_what_is_in_the_way(typed: Typed, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOULEBOOK_SENSORS", "none")
    done = typed("doctor", "--home", "/dev/null/x", "--json")
    assert (done.code, done.err) == (1, "")
    assert {check["what"] for check in json.loads(done.out)["checks"] if check["state"] == "fail"} == {"Home", "Site"}
    write_site(home, HERE)
    journal = HandmadeJournal(home)
    journal.raw(b"torn\n")
    journal.write()
    typed("ingest")
    states = {check["what"]: check for check in typed("doctor", "--json").json["checks"]}
    assert (states["Site"]["state"], states["Site"]["detail"]) == ("ok", "region FR, provider none")
    assert (states["Ledger"]["state"], states["Ledger"]["detail"]) == ("warn", "0 runs; 1 journal lines quarantined")


def test_report(typed: Typed, home: Path, tmp_path: Path) -> None:
    job(home)
    path = tmp_path / "folder" / "report.pdf"
    told = typed("report", "--out", str(path), "--json").json
    assert set(told) == {"path", "bytes", "title", "prepared_at"}
    assert (told["path"], told["bytes"]) == (str(path), path.stat().st_size)
    assert path.read_bytes().startswith(b"%PDF-")


# Which ledger, which runs -----------------------------------------------------------------------------------------


def test_the_home_is_named_before_or_after_the_command(typed: Typed, home: Path, tmp_path: Path) -> None:
    """The environment's home has one run, the one that is named has two."""
    job(home)
    other = tmp_path / "other"
    job(other, 0)
    job(other, 3600)
    assert len(typed("runs", "--json").json) == 1
    assert len(typed("--home", str(other), "runs", "--json").json) == 2
    assert len(typed("--json", "runs", "--home", str(other)).json) == 2


def test_no_ingest_leaves_new_journals_alone(typed: Typed, home: Path) -> None:
    job(home)
    assert typed("runs", "--no-ingest", "--json").json == []
    assert len(typed("runs", "--json").json) == 1


def test_which_runs(typed: Typed, home: Path) -> None:
    job(home, 0, name="a", project="search")
    job(home, 86_400, name="b", project="search")
    job(home, 2 * 86_400, name="c")
    expected = {
        "": ["c", "b", "a"],
        "--since 2026-01-02": ["c", "b"],
        "--until 2026-01-02": ["a"],
        "--since 2026-01-02 --until 2026-01-03": ["b"],
        "--project search": ["b", "a"],
        "--project '(no project)'": ["c"],
        "--limit 1": ["c"],
    }
    for words, names in expected.items():
        assert [row["name"] for row in typed("runs", "--json", *shlex.split(words)).json] == names, words


def test_fifty_runs_on_screen_and_all_in_json(typed: Typed, home: Path) -> None:
    journal = HandmadeJournal(home)
    for n in range(51):
        journal.end(n + 1, journal.start(n))
    journal.write()
    assert "51 runs, the newest 50 shown." in typed("runs").out
    assert len(typed("runs", "--json").json) == 51


# Setting up -------------------------------------------------------------------------------------------------------


def test_init_writes_a_site_once(typed: Typed, home: Path) -> None:
    told = typed("init", "--region", "fr", "--provider", "aws", "--pue", "1.1,1.2,1.4", "--wue", "0", "--json").json
    assert set(told) == {"path", "site"}
    site = Site("FR", "aws", None, pue=(1.1, 1.2, 1.4), wue_l_per_kwh=(0.0, 0.0, 0.0))
    assert load_site(home) == site
    again = typed("init", "--region", "DE")
    assert (again.code, again.out) == (2, "")
    assert "there is a site already; edit it, or give --force to replace it" in again.err
    assert load_site(home) == site
    assert typed("init", "--region", "DE", "--force").code == 0
    assert load_site(home) == Site("DE")


# Text from users --------------------------------------------------------------------------------------------------


def unsafe(text: str) -> set[str]:
    """The characters of a text that a terminal may obey, besides the ends of lines."""
    return {c for c in text if category(c)[0] == "C"} - {"\n"}


def test_a_hostile_name_is_printed_literally(typed: Typed, home: Path) -> None:
    job(home, name=HOSTILE, project=HOSTILE)
    for words in ("runs", "show last", "summary --by name", "summary --by project"):
        done = typed(*words.split())
        assert (done.code, done.err) == (0, ""), words
        assert HOSTILE in done.out, words
        assert HOSTILE in json_texts(typed(*words.split(), "--json").json), words


def test_control_characters_never_reach_the_terminal(typed: Typed, home: Path) -> None:
    journal = HandmadeJournal(home, host="host\x1b[31m")
    journal.sensor()
    fields = {"project": CONTROLS, "command": CONTROLS, "tags": [[CONTROLS, CONTROLS]]}
    run = journal.start(0, CONTROLS, counters={"cpu_time": 0}, **fields)
    ids = {"span_id": run, "run_id": run}
    journal.event("note", 1, **ids, text=CONTROLS)
    journal.event("usage", 2, **ids, kind=CONTROLS, amount=1, unit=CONTROLS, method="measured")
    journal.event("quality", 3, **ids, kind=CONTROLS, amount=1)
    journal.event("gap", 4, run_id=run, reason=CONTROLS)
    journal.end(5, run, ok=False, error=CONTROLS, counters={"cpu_time": 1})
    journal.write()
    for words in ("runs", "show last", "summary --by name", "summary --by host"):
        drawn, written = typed(*words.split()), typed(*words.split(), "--json")
        assert (drawn.code, unsafe(drawn.out), unsafe(written.out)) == (0, set(), set()), words
        if not words.endswith("host"):
            assert "\\x1b[31mred\\x07\\r\\n\\x9b1m\\u202eturned\\x7f" in drawn.out
            assert CONTROLS in json_texts(written.json)


def json_texts(value: Any) -> set[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(json_texts, inner))


# Pipes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json"], ["verify"]])
def test_nobody_reading_on_is_no_failure(home: Path, words: list[str]) -> None:
    """As in `joulebook runs | head -1`: the reader is gone before the first line is written."""
    job(home)
    command = [sys.executable, "-m", "joulebook", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as piped:
        assert piped.stdout is not None
        assert piped.stderr is not None
        piped.stdout.close()
        assert piped.stderr.read() == b""
        assert piped.wait(60) == 0
