"""The pytest plugin, in a pytest of its own: what each test uses is what it adds to a dial."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys

import pytest
from recording import python

from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.ledger import open_ledger
from joulebook.collectors.integrations import pytest_plugin
from joulebook.collectors.integrations.energy import SpanEnergy, in_words, joules, summed
from joulebook.collectors.integrations.pytest_summary import why_untold

MODULE = pytest_plugin.__name__
CONFTEST = """
import joulebook, pytest
from joulebook.accounting.records import Reading

class Dial:
    name, joules = "dial", 0.0
    def read(self):
        return [Reading("dial", self.joules, "J", "measured", "gpu", "BOUNDARY")]

dial = Dial()
joulebook.configure(meters=[dial])

def spend(joules):
    dial.joules += joules

@pytest.fixture
def use():
    return spend
"""
TESTS = """
import pytest

def test_small(use):
    use(2)

@pytest.mark.joulebook(budget_j=100)
def test_large(use):
    use(70)

def test_nothing():
    pass

def test_skipped():
    pytest.skip("not today")

@pytest.fixture
def warm(use):
    use(1000)

def test_warm(warm, use):
    use(5)
"""


def is_registered() -> bool:
    found = importlib.metadata.entry_points(group="pytest11")
    return any(point.value == MODULE for point in found)


@pytest.fixture
def suite(tmp_path, home):
    """Runs pytest over some tests in a folder of their own, with no other plugin: to load them all takes longer than
    the tests. `loads_all`: with every plugin that is installed, as users have it."""

    def run(*options: str, tests: str = TESTS, boundary: str = "it", conftest: str = CONFTEST, loads_all: bool = False):
        folder = tmp_path / "suite"
        folder.mkdir(exist_ok=True)
        (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
        (folder / "conftest.py").write_text(conftest.replace("BOUNDARY", boundary))
        (folder / "test_it.py").write_text(tests)
        plugin = [] if loads_all and is_registered() else ["-p", MODULE]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugin, *options]
        alone = {} if loads_all else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment = {**os.environ, **alone, "TMPDIR": str(tmp_path)}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


PARSING = """
import ast, threading
import pytest

pytest.register_assert_rewrite("joulebook")  # as it is where a wheel was installed
parse, threads = ast.parse, set()

def noted(*given, **named):
    threads.add(threading.current_thread().name)
    return parse(*given, **named)

ast.parse = noted
"""


def test_only_the_thread_of_the_job_parses_our_modules(suite):
    """Pytest rewrites what it imports of a package with a plugin, and some Pythons cannot parse on two threads."""
    tests = """
from conftest import threads
import joulebook, time

def test_one():
    with joulebook.track("job"):
        time.sleep(1.2)
    assert threads == {"MainThread"}
"""
    done = suite("-W", "ignore::pytest.PytestAssertRewriteWarning", tests=tests, conftest=PARSING)
    assert done.returncode == 0, done.stdout + done.stderr


def table(output: str) -> dict[str, str]:
    """Test -> its line, in the order of the table."""
    lines = output.partition(" energy of tests ")[2].partition("the whole session")[0].splitlines()
    return {line.split("::")[1].split()[0]: " ".join(line.split()) for line in lines if "::" in line}


def test_the_energy_of_each_test_stands_in_a_table_the_largest_first(suite, tmp_path):
    done = suite("--joulebook", loads_all=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = table(done.stdout)
    assert list(found) == ["test_large", "test_warm", "test_small", "test_nothing"]
    assert [found[name].split(" ms")[0].rpartition(" ")[0] for name in list(found)[:3]] == [
        "70 J 70–70 J measured",
        "5 J 5–5 J measured",
        "2 J 2–2 J measured",
    ]
    assert found["test_nothing"].startswith("– ")
    assert found["test_nothing"].endswith("(no counter moved meanwhile)")
    # 2 + 70 + 5 J, and the fixture's 1000 J
    assert "the whole session, with its fixtures: 1.08 kJ (measured)" in done.stdout
    assert list(tmp_path.glob("joulebook-*")) == []


def test_without_an_option_nothing_happens_and_nothing_is_loaded(suite, home):
    conftest = """
def pytest_sessionfinish():
    import sys
    heavy = ("joulebook.collectors.track", "joulebook.collectors.sampler", "duckdb", "pyarrow")
    print("loaded:", [name for name in heavy if name in sys.modules])
"""
    marked = "import pytest\n\n@pytest.mark.joulebook(budget_j=5)\ndef test_it():\n    pass\n"
    done = suite("-s", tests=marked, conftest=conftest, loads_all=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loaded: []" in done.stdout
    assert "energy of tests" not in done.stdout
    assert not home.exists()


def test_a_test_above_its_budget_has_failed_and_nothing_is_counted_twice(suite, tmp_path):
    done = suite("--joulebook-budget-j", "4", "--junitxml", "report.xml", "-rA")
    assert done.returncode == 1
    assert "used 5 J (measured), above its budget of 4 J" in done.stdout
    assert "FAILED test_it.py::test_warm" in done.stdout
    assert "PASSED test_it.py::test_warm" not in done.stdout
    assert "1 failed, 3 passed, 1 skipped" in done.stdout  # test_large has a budget of its own, of 100 J
    assert "test_it.py::test_nothing: its budget could not be checked: no counter moved meanwhile" in done.stdout
    report = (tmp_path / "suite" / "report.xml").read_text("utf-8")
    assert re.findall(r' name="(\w+)"[^>]*><failure', report) == ["test_warm"]


def test_a_budget_is_broken_only_when_all_of_the_range_is_above_it(suite, home):
    home.mkdir()
    (home / "site.toml").write_text("it_overhead = [1.0, 1.5, 2.0]\n")  # of the user: it holds for the tests too
    tests = """
import pytest

@pytest.mark.joulebook(budget_j=9)
def test_surely(use):
    use(10)  # 10–20 J

@pytest.mark.joulebook(budget_j=12)
def test_perhaps(use):
    use(10)

@pytest.mark.joulebook(budget_j=20)
def test_not(use):
    use(10)
"""
    done = suite("--joulebook", tests=tests, boundary="device")
    assert done.returncode == 1
    assert "used 15 J (10–20 J, measured), above its budget of 9 J" in done.stdout
    assert "test_it.py::test_perhaps: used 15 J (10–20 J, measured), perhaps above its budget of 12 J" in done.stdout
    assert "1 failed, 2 passed" in done.stdout
    assert "test_not: " not in done.stdout


def test_a_test_that_fails_anyway_fails_once(suite):
    done = suite("--joulebook-budget-j", "1", tests="def test_it(use):\n    use(5)\n    assert False\n")
    assert done.returncode == 1
    assert "1 failed in" in done.stdout


def test_workers_of_xdist_record_and_one_summary_tells(suite, tmp_path):
    done = suite("--joulebook-budget-j", "4", "-p", "xdist", "-n", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert list(table(done.stdout))[:3] == ["test_large", "test_warm", "test_small"]
    assert "used 5 J (measured), above its budget of 4 J" in done.stdout
    assert "1 failed, 3 passed, 1 skipped" in done.stdout
    assert "the whole session, with its fixtures: 1.08 kJ (measured)" in done.stdout  # of both workers
    assert list(tmp_path.glob("joulebook-*")) == []


def test_what_is_kept_is_a_run_with_a_span_for_each_test(suite, tmp_path):
    tests = """
import joulebook, pytest

@joulebook.track("train")
def train(use):
    use(3)

def test_it(use):
    train(use)

def test_failing():
    assert 1 == 2

def test_skipping():
    pytest.skip("not today")

@pytest.mark.xfail
def test_xfailing(use):
    use(4)
    pytest.xfail("known")
"""
    kept = tmp_path / "kept"
    done = suite("--joulebook-home", str(kept), tests=tests)
    assert list(table(done.stdout)) == ["test_xfailing", "test_it", "test_failing"]
    found = {
        row["name"].removeprefix("test_it.py::"): (row["parent"], row["state"])
        for row in open_ledger(kept).rows(
            "select w.name, p.name as parent, w.state from work w left join work p on p.span_id = w.parent_id"
        )
    }
    assert found == {
        "pytest": (None, "ended"),
        "test_it": ("pytest", "ended"),
        "train": ("test_it.py::test_it", "ended"),
        "test_failing": ("pytest", "failed"),
        "test_skipping": ("pytest", "ended"),
        "test_xfailing": ("pytest", "ended"),
    }


def test_a_long_table_is_cut_unless_everything_is_wanted(suite):
    tests = "import pytest\n\n@pytest.mark.parametrize('j', range(1, 24))\ndef test_it(use, j):\n    use(j)\n"
    done = suite("--joulebook", tests=tests)
    assert list(table(done.stdout)) == [f"test_it[{j}]" for j in range(23, 3, -1)]
    assert "… and 3 more: -v shows all" in done.stdout
    assert "the whole session, with its fixtures: 276 J (measured)" in done.stdout  # 23 × 24 ÷ 2
    assert len(table(suite("--joulebook", "-v", tests=tests).stdout)) == 23


def test_a_budget_that_is_none_is_refused_in_one_sentence(suite):
    done = suite("--joulebook-budget-j", "much")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --joulebook-budget-j is not a positive number of joules: 'much'" in done.stderr
    numbers = [pytest_plugin._positive(given) for given in ("0", "-1", "inf", "nan", None, "2.5")]
    assert numbers == [None, None, None, None, None, 2.5]


def test_a_marker_that_says_no_budget_is_an_error_of_that_test(suite):
    said = ("5", "budget_j='much'", "budget_j=None", "joules=5", "budget_j=5, joules=5", "")
    tests = "\n".join(f"@pytest.mark.joulebook({one})\ndef test_{n}():\n    pass" for n, one in enumerate(said))
    done = suite("--joulebook", tests=f"import pytest\n{tests}\n")
    sentence = "the budget is no positive number: write @pytest.mark.joulebook(budget_j=5)"
    assert done.stdout.count(f"\n{sentence}") == len(said)
    assert f"{len(said)} errors in" in done.stdout


def test_without_the_ledger_one_sentence_says_what_to_install(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = [*([] if is_registered() else ["-p", MODULE]), "-c", str(tmp_path / "pytest.ini"), "--joulebook"]
    code = "import sys, pytest; sys.modules['duckdb'] = None; sys.exit(pytest.main(sys.argv[1:]))"
    done = python(code, *options, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--joulebook needs packages that are not installed: pip install 'joulebook[ledger]'" in done.stderr


def test_a_ledger_that_cannot_answer_is_told_and_no_budget_passes_unchecked(suite, home):
    home.mkdir()
    (home / "site.toml").write_text("it_overhead = 0.5\n")
    done = suite("--joulebook", tests="def test_it(use):\n    use(5)\n")
    assert done.returncode == 0
    assert "no energy, and no budget checked: " in done.stdout
    assert "it_overhead" in done.stdout
    assert suite("--joulebook-budget-j", "50", tests="def test_it(use):\n    use(5)\n").returncode == 1


@pytest.mark.parametrize(
    ("energy", "took_s", "note"),
    [
        (Estimate(1.0, 2.0, 3.0, "J", "measured"), 0.2, ""),
        (Estimate(0.0, 0.5, 9.0, "J", "measured"), 0.05,
         "shorter than the 0.1 s in which its slowest sensor renews its value"),
        (Estimate(0.0, 0.0, 0.0, "J", "measured"), 0.2, "no counter moved meanwhile"),
        (unknown("J", "no counter was read in this span"), 0.2, "no counter was read in this span"),
    ],
)  # fmt: skip
def test_what_no_sensor_could_resolve_is_told_and_not_0(energy, took_s, note):
    assert why_untold(SpanEnergy(energy, took_s, 0.1)) == note


def test_energy_is_written_with_three_figures_in_the_unit_that_fits():
    assert [joules(j) for j in (0.0004567, 0.9996, 12.345, 5_040_000.0, 0.0)] == [
        "0.457 mJ", "1 J", "12.3 J", "5.04 MJ", "0 mJ",
    ]  # fmt: skip
    assert in_words(Estimate(8.214, 12.34, 20.52, "J", "modelled")) == "12.3 J (8.21–20.5 J, modelled)"
    assert in_words(Estimate(113.0, 404.4, 1634.0, "J", "modelled")) == "404 J (113–1,630 J, modelled)"
    assert in_words(unknown("J", "no counter was read")) == "energy unknown: no counter was read"


def test_a_sum_carries_the_weakest_method_and_leaves_out_what_is_unknown():
    some = [Estimate(1.0, 2.0, 3.0, "J", "measured"), Estimate(4.0, 5.0, 6.0, "J", "modelled"), unknown("J", "lost")]
    assert summed(some) == Estimate(5.0, 7.0, 9.0, "J", "modelled")
    assert summed([unknown("J", "lost")]) == unknown("J", "no counter was read")
