"""pytest: the energy of each test, and a budget for it.

    pytest --joulebook                      a table in the summary
    pytest --joulebook-budget-j 50          a test that used more has failed
    @pytest.mark.joulebook(budget_j=5)      a budget of its own
    pytest --joulebook-home ~/energy        keep what was recorded, in that home; else it is removed at the end

    a test ─> a span, in a run for the session ─> journal ─> at the end: ledger ─> energies ─> table, budgets

A test is what runs between its fixtures; they are in the total of the session. A budget is broken when even the low end
of the energy is above it; where only a part of the range is, a line warns.

With xdist each worker records a run of its own, and whoever prints the summary reads them all. Workers on other
machines write their journals there: their tests are told as not recorded.

Without one of these options the plugin does nothing and loads nothing. With them the spans of the code under test are
pieces of its tests: a suite cannot test its own use of joulebook like this.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from joulebook.collectors.integrations.pytest_summary import Row

HOME = "JOULEBOOK_HOME"
MOST_LINES = 20  # without -v

_span_id = pytest.StashKey[str | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("joulebook", "the energy of tests")
    group.addoption("--joulebook", action="store_true", help="tell the energy of each test")
    group.addoption("--joulebook-budget-j", metavar="J", help="fail each test that used more; implies --joulebook")
    group.addoption("--joulebook-home", metavar="DIR", help="keep what was recorded there; implies --joulebook")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "joulebook(budget_j): the energy that a test may use, with --joulebook")
    given, home = config.option.joulebook_budget_j, config.option.joulebook_home
    if not (config.option.joulebook or given is not None or home):
        return
    if not (find_spec("duckdb") and find_spec("pyarrow")):
        raise pytest.UsageError("--joulebook needs packages that are not installed: pip install 'joulebook[ledger]'")
    budget_j = None if given is None else _positive(given)
    if given is not None and budget_j is None:
        raise pytest.UsageError(f"--joulebook-budget-j is not a positive number of joules: {given!r}")
    recording = Recording(budget_j, keeps=bool(home))
    config.pluginmanager.register(recording, "joulebook-recording")
    if not hasattr(config, "workerinput"):  # a worker of xdist has no summary
        config.pluginmanager.register(Telling(recording, home), "joulebook-telling")


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None


# Where tests run --------------------------------------------------------------------------------------------------


class Recording:
    """A run for what this process runs of the session, and a span for each test."""

    def __init__(self, budget_j: float | None, keeps: bool) -> None:
        self._budget_j = budget_j
        self._keeps = keeps
        self._session: Any = None
        self._run_id: str | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        from joulebook.collectors.track import track

        if self._session is None:
            self._session = track("pytest")
            self._run_id = self._session.__enter__().run_id
        return (yield)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        marker = item.get_closest_marker("joulebook")
        if marker and (marker.args or set(marker.kwargs) != {"budget_j"} or not _positive(marker.kwargs["budget_j"])):
            pytest.fail("the budget is no positive number: write @pytest.mark.joulebook(budget_j=5)", pytrace=False)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        from joulebook.collectors.track import track

        result = left = None
        with track(item.nodeid) as span:
            item.stash[_span_id] = span.span_id
            try:
                result = yield
            except (pytest.skip.Exception, pytest.xfail.Exception) as outcome:
                left = outcome  # no failure of the span
        if left is not None:
            raise left
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "call":
            marker = item.get_closest_marker("joulebook")
            budget_j = float(marker.kwargs["budget_j"]) if marker else self._budget_j
            report.joulebook = (self._run_id, item.stash.get(_span_id, None), budget_j)  # pyright: ignore[reportAttributeAccessIssue]
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self.close()

    def close(self) -> None:
        """Ends the run. What is about to be removed is let go of."""
        if self._session is None:
            return
        from joulebook.collectors.sampler import recorder

        self._session.__exit__(None, None, None)
        self._session = None
        if not self._keeps:
            recorder().close()


# Where the summary is ---------------------------------------------------------------------------------------------


class Telling:
    """Collects the reports, asks the ledger at the end, fails what broke its budget, and prints the table."""

    def __init__(self, recording: Recording, home: str | None) -> None:
        self._recording = recording
        self._reports: list[Any] = []
        self._rows: list[Row] = []
        self._total = self._trouble = ""
        self._before = os.environ.get(HOME)
        self._own = None if home else tempfile.mkdtemp(prefix="joulebook-")
        self._home = Path(home or str(self._own)).expanduser().absolute()
        if self._own:
            _copy_site(self._home)
        os.environ[HOME] = str(self._home)  # the workers of xdist inherit it

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        skipped = report.skipped and not hasattr(report, "wasxfail")
        if hasattr(report, "joulebook") and not skipped:
            self._reports.append(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._recording.close()
        if not self._reports:
            return
        from joulebook.accounting.errors import JoulebookError
        from joulebook.collectors.integrations.pytest_summary import ask, broken

        try:
            self._rows, self._total = ask(self._home, self._reports)
        except JoulebookError as error:
            self._trouble = str(error)
        failed = [(row.report, broken(row)) for row in self._rows if row.report.passed and broken(row)]
        for report, sentence in failed:
            _fail(session, report, sentence)
        unchecked = self._trouble and any(report.joulebook[2] for report in self._reports)
        if (failed or unchecked) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        if not self._reports:
            return
        terminalreporter.section("energy of tests")
        if self._trouble:
            terminalreporter.write_line(f"no energy, and no budget checked: {self._trouble}", red=True)
            return
        from joulebook.collectors.integrations.pytest_summary import table, warning

        shown = self._rows if config.get_verbosity() > 0 else self._rows[:MOST_LINES]
        for line in table(shown):
            terminalreporter.write_line(line)
        if len(shown) < len(self._rows):
            terminalreporter.write_line(f"… and {len(self._rows) - len(shown)} more: -v shows all")
        terminalreporter.write_line(f"the whole session, with its fixtures: {self._total}")
        for row in filter(warning, self._rows):
            terminalreporter.write_line(f"{row.report.nodeid}: {warning(row)}", yellow=True)

    def pytest_unconfigure(self) -> None:
        if self._before is None:
            os.environ.pop(HOME, None)
        else:
            os.environ[HOME] = self._before
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)


def _copy_site(home: Path) -> None:
    """The site of the user's home holds for these tests too: it says what a CPU second draws."""
    from joulebook.accounting.home import home_dir
    from joulebook.accounting.site import site_path

    if site_path(home_dir()).is_file():
        shutil.copy(site_path(home_dir()), site_path(home))


def _fail(session: pytest.Session, report: pytest.TestReport, sentence: str) -> None:
    """The same test again, failed, in place of its having passed."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    passed = terminal.stats.get("passed", []) if terminal else []
    if report in passed:
        passed.remove(report)
    told = pytest.TestReport(report.nodeid, report.location, report.keywords, "failed", sentence, "call")
    session.config.hook.pytest_runtest_logreport(report=told)
