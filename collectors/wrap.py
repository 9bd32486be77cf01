"""`joulebook run -- command`: a run around any program, in any language, that notices nothing of it.

    span_start ─> posix_spawn ─> wait: the child's end, signals to pass on ─> span_end ─> the child's exit code

The child has our terminal, our open files and our signal mask as they were; nothing of its output passes through us and
we write nothing to stdout. Descendants that lose their parent become ours while it runs, so their CPU time stays in the
tree that `cpu-time` adds up; our own does not count.

Signals that come while the child runs are its own. One that somebody sent to us is passed on. One that the kernel sent
(Ctrl-C, Ctrl-\\, a terminal that hangs up) went to the whole foreground group: the child has it already.

Linux only: elsewhere nobody tells a signal's sender.
"""

from __future__ import annotations

import errno
import os
import resource
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import NoReturn

from joulebook.collectors.sampler import PARENT, attempt, parent_text, recorder
from joulebook.collectors.track import Span

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
# Python ignores these for itself; the child gets them back as any shell would start it.
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
NOT_FOUND, NOT_EXECUTABLE = 127, 126
LOOK_AGAIN_S = 1.0  # a thread of the caller may take SIGCHLD away from us
PR_SET_CHILD_SUBREAPER = 36


class Killed(int):
    """The exit code 128 + N of a command that signal N killed, apart from a command that exits with that code."""


def run_command(
    command: Sequence[str],
    *,
    name: str | None = None,
    project: str | None = None,
    tags: Mapping[str, str] | None = None,
    beside: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> int:
    """Runs a command as one run, and returns its exit code when it has ended. `beside`: what is done meanwhile.

    A command that a signal killed gives `Killed(128 + N)`; one that is not found 127, one that cannot be executed 126,
    each with one sentence on stderr. To be called from the main thread.
    """
    with _signals_held() as mask, _adopting_orphans():
        span = Span(name or os.path.basename(command[0]))  # noqa: PTH119 - a command is no path
        span.start(project, tags, attempt("recorder", None, recorder, outside=True), command=shlex.join(command))
        with beside():
            try:
                child = _spawn(command, span, mask)
            except OSError as error:
                return _not_started(command[0], span, error)
            code = _wait(child)
        return _record_end(span, code)


def die_like(code: int) -> NoReturn:
    """Ends this process the way the command ended, killed by the same signal if it was."""
    if isinstance(code, Killed):
        number = code - 128
        sys.stdout.flush()
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the core that matters is the command's
        with suppress(OSError):
            signal.signal(number, signal.SIG_DFL)  # SIGKILL cannot be set, and needs not
        os.kill(os.getpid(), number)
    sys.exit(int(code))


def _spawn(command: Sequence[str], span: Span, mask: set[int]) -> int:
    environment = {**os.environ, PARENT: parent_text(span)}
    return os.posix_spawnp(command[0], list(command), environment, setsigmask=mask, setsigdef=IGNORED_BY_PYTHON)


def _wait(child: int) -> int:
    """Waits for the child and passes signals on meanwhile. Returns its code as in `subprocess`: -N after signal N."""
    while True:
        caught = signal.sigtimedwait((*PASSED_ON, signal.SIGCHLD), LOOK_AGAIN_S)
        if caught is not None and caught.si_signo != signal.SIGCHLD and caught.si_code <= 0:  # above: from the kernel
            with suppress(PermissionError):  # it has become another user
                os.kill(child, caught.si_signo)
        for pid, status in _ended():
            if pid == child:
                return os.waitstatus_to_exitcode(status)


def _ended() -> Iterator[tuple[int, int]]:
    """Every child that has ended: the command's and the orphans that became ours."""
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            yield pid, status


def _record_end(span: Span, code: int) -> int:
    if code < 0:
        span.end(ok=False, error=f"killed by {_signal_name(-code)}", exit_code=code)
        return Killed(128 - code)
    span.end(ok=code == 0, error=None if code == 0 else f"exit code {code}", exit_code=code)
    return code


def _not_started(program: str, span: Span, error: OSError) -> int:
    code = NOT_FOUND if error.errno in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE
    why = "no such command" if code == NOT_FOUND else f"cannot be executed: {error.strerror}"
    sys.stderr.write(f"joulebook: {program}: {why}\n")
    span.end(ok=False, error=why, exit_code=code)
    return code


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextmanager
def _signals_held() -> Iterator[set[int]]:
    """Holds back the signals that are to be passed on, so that none is lost; gives the mask that was."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, signal.SIGCHLD))
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, children would vanish without a word
    try:
        yield mask
    finally:
        while signal.sigtimedwait(PASSED_ON, 0):  # they were for the command, and it has ended
            pass
        signal.signal(signal.SIGCHLD, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    import ctypes  # not on the recording path of other jobs

    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
