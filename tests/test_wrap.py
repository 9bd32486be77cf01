"""`joulebook run`: a command runs as it would without it, and what its whole process tree used is recorded."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from recording import amount, events, of, span, wait_until

from joulebook.accounting.home import journal_dir
from joulebook.collectors.wrap import Killed, die_like

WRAP = """
import json, sys
from joulebook.collectors.wrap import die_like, run_command
die_like(run_command(sys.argv[2:], **json.loads(sys.argv[1])))
"""


def wrapper(*command, **options):
    """The command line of a process that runs the command and ends like it."""
    return [sys.executable, "-c", WRAP, json.dumps(options), *command]


def wrapped(*command, options=None, **settings):
    line = wrapper(*command, **(options or {}))
    return subprocess.run(line, check=False, capture_output=True, text=True, timeout=60, **settings)


def program(code, *arguments):
    return [sys.executable, "-c", code, *arguments]


def the_run(home):
    found = events(home)
    (start,) = [start for start in of(found, "span_start") if "command" in start]
    return start, span(found, start["name"])[1]


def test_the_output_and_the_exit_code_are_the_commands(home):
    command = ["sh", "-c", "read line; echo out $line; echo err >&2; exit 3"]
    done = wrapped(*command, input="in\n")
    assert (done.stdout, done.stderr, done.returncode) == ("out in\n", "err\n", 3)
    start, end = the_run(home)
    assert (start["name"], start["command"]) == ("sh", "sh -c 'read line; echo out $line; echo err >&2; exit 3'")
    assert (end["ok"], end["error"], end["exit_code"]) == (False, "exit code 3", 3)


def test_a_run_says_whose_it_is(home):
    options = {"name": "nightly", "project": "search", "tags": {"team": "nlp"}}
    assert wrapped("true", options=options).returncode == 0
    start, end = the_run(home)
    assert (start["name"], start["project"], start["tags"]) == ("nightly", "search", [["team", "nlp"]])
    assert (end["ok"], "error" in end, end["exit_code"]) == (True, False, 0)
    assert [event["open"] for event in (start, end)] == [1, 0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_command_that_a_signal_kills_is_seen_to_die_of_it(home, number):
    done = wrapped("sh", "-c", f"kill -{int(number)} $$")
    assert done.returncode == -number
    end = the_run(home)[1]
    assert (end["ok"], end["error"], end["exit_code"]) == (False, f"killed by {number.name}", -number)


def test_a_command_that_exits_with_143_was_not_killed(home):
    assert wrapped("sh", "-c", "exit 143").returncode == 143
    assert the_run(home)[1]["exit_code"] == 143


def test_the_code_of_a_killed_command_is_that_of_a_shell():
    assert Killed(128 + 15) == 143
    with pytest.raises(SystemExit) as left:
        die_like(143)
    assert left.value.code == 143


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("no-such-command-here", 127, "joulebook: no-such-command-here: no such command\n"),
        ("/etc/passwd/x", 127, "joulebook: /etc/passwd/x: no such command\n"),
        ("/etc/passwd", 126, "joulebook: /etc/passwd: cannot be executed: Permission denied\n"),
        ("./not-a-program", 126, f"joulebook: ./not-a-program: cannot be executed: {os.strerror(errno.ENOEXEC)}\n"),
    ],
)
def test_a_command_that_cannot_be_started(home, tmp_path, command, code, sentence):
    (tmp_path / "not-a-program").write_text("neither a program nor a script")
    (tmp_path / "not-a-program").chmod(0o755)
    done = wrapped(command, cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("", sentence, code)
    end = the_run(home)[1]
    assert (end["ok"], end["exit_code"]) == (False, code)
    assert sentence == f"joulebook: {command}: {end['error']}\n"


# Says each signal that comes, and ends when it reads a line. It asks for them: a handler may sleep over one.
LISTENER = """
import os, select, signal
asked = [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM]
signal.pthread_sigmask(signal.SIG_BLOCK, asked)
os.write(1, b"ready\\n")
while not select.select([0], [], [], 0)[0]:
    caught = signal.sigtimedwait(asked, 0.02)
    if caught:
        os.write(1, f"{signal.Signals(caught.si_signo).name}\\n".encode())
os.write(1, os.read(0, 100))
raise SystemExit(5)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_to_the_wrapper_reaches_the_command_once(home, name):
    line = wrapper(*program(LISTENER))
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.Signals[name])
        assert process.stdout.readline() == f"{name}\n"
        assert process.communicate("end\n")[0] == "end\n"  # and it came once
    assert process.returncode == 5
    assert the_run(home)[1]["exit_code"] == 5


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_a_key_at_the_terminal_reaches_the_command_once(home, key, name):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, wrapper(*program(LISTENER)))  # noqa: S606
    heard = read_until(terminal, b"ready")
    for _ in range(10):  # two of a kind may look like one if they come at the same moment
        os.write(terminal, key)
        heard += read_until(terminal, name.encode())
    os.write(terminal, b"end\n")
    heard += read_until(terminal, None)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert heard.count(name.encode()) == 10
    os.close(terminal)


def read_until(terminal, what):
    """What came from the terminal up to some bytes; up to its end if None."""
    heard = b""
    while what is None or what not in heard:
        try:
            part = os.read(terminal, 1000)
        except OSError:  # the other side has closed it
            part = b""
        if not part:
            assert what is None, heard
            return heard
        heard += part
    return heard


def test_the_command_starts_with_signals_as_we_found_them(home):
    ignored_and_blocked = ["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"]
    bare = subprocess.run(ignored_and_blocked, check=True, capture_output=True, text=True).stdout
    under = wrapped(*ignored_and_blocked).stdout
    # Of signals 32 and 33, which the C library keeps for itself, posix_spawn leaves its own mark.
    masks = [[int(line.split()[1], 16) & 0x7FFFFFFF for line in text.splitlines()] for text in (bare, under)]
    assert len(masks[0]) == 2
    assert masks[0] == masks[1]


def test_the_command_has_our_open_files(home):
    reading, writing = os.pipe()
    wrapped(*program(f"import os; os.write({writing}, b'through')"), pass_fds=[writing])
    os.close(writing)
    assert os.read(reading, 100) == b"through"
    os.close(reading)


def test_a_tracked_program_inside_is_part_of_the_run(home):
    code = "from joulebook import track\nwith track('inside') as span: span.step()"
    assert wrapped(*program(code), options={"name": "outside", "project": "p"}).returncode == 0
    start, _ = the_run(home)
    inside, _ = span(events(home), "inside")
    assert (inside["parent_id"], inside["run_id"], inside["project"]) == (start["span_id"], start["run_id"], "p")
    assert len(list(journal_dir(home).iterdir())) == 2


def test_a_run_inside_a_run_is_its_child(home):
    code = "from joulebook import track\nwith track('inside'): pass"
    assert wrapped(*wrapper(*program(code), name="inner"), options={"name": "outer"}).returncode == 0
    found = events(home)
    outer, inner, inside = (span(found, name)[0] for name in ("outer", "inner", "inside"))
    assert (inner["parent_id"], inside["parent_id"]) == (outer["span_id"], inner["span_id"])


BURN = """
import os, subprocess, sys, time
while time.process_time() < 0.5: pass
print(time.process_time())
"""


def test_the_cpu_time_is_that_of_the_command_and_not_ours(home):
    done = wrapped(*program(BURN))
    assert amount(events(home), the_run(home)[0]["name"], "cpu-time") == pytest.approx(float(done.stdout), abs=0.1)


def test_orphans_stay_in_the_tree(home, tmp_path):
    """A shell starts a program and ends; the program burns 0.5 s as nobody's child, then lets the command end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = BURN.replace("print(time.process_time())", f"open({str(fifo)!r}, 'w').write(str(time.process_time()))")
    done = wrapped("sh", "-c", f'("$0" -c "$1" &); cat {fifo}; sleep 0.3', sys.executable, code)
    assert done.returncode == 0
    assert amount(events(home), "sh", "cpu-time") == pytest.approx(float(done.stdout), abs=0.1)


def test_a_command_that_is_killed_with_its_wrapper_leaves_what_was_read(home):
    code = "import time\nwhile True: pass"
    line = wrapper(*program(code))
    with subprocess.Popen(line, env={**os.environ, "JOULEBOOK_INTERVAL_S": "0.05"}) as process:
        readings = wait_until(lambda: home.exists() and len(of(events(home), "reading")) >= 5)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], check=True, capture_output=True, text=True)
        process.kill()
        os.kill(int(children.stdout), signal.SIGKILL)
    assert readings
    found = events(home)
    assert of(found, "span_end") == []
    values = [reading["counters"][0]["shared"] for reading in of(found, "reading")]
    assert values == sorted(values)
