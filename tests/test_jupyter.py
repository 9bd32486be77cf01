"""The magics, in a real IPython shell: cells run as they would without them, and are recorded."""

from __future__ import annotations

import re

import pytest
from recording import DialMeter, amount, events, fresh_settings, names_and_parents, of, python, span

from joulebook import configure, track

EXTENSION = "joulebook.collectors.integrations.jupyter"

pytestmark = pytest.mark.filterwarnings("ignore")  # of the library


@pytest.fixture
def dial():
    meter = DialMeter(gpu=0.0)
    with fresh_settings():
        configure(meters=[meter])
        yield meter


@pytest.fixture
def shell(dial, tmp_path, monkeypatch):
    pytest.importorskip("IPython", reason="IPython is not installed: pip install 'joulebook[jupyter]'")
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}), colors="nocolor")
    shell.run_line_magic("load_ext", EXTENSION)
    shell.push({"dial": dial})
    yield shell
    InteractiveShell.clear_instance()


def told(capsys) -> str:
    """What the magic said, but how long it took and which run it was."""
    (line,) = re.findall("^joulebook: .*$", capsys.readouterr().out, re.MULTILINE)
    return re.sub(r"took [\d.e-]+ s", "took … s", re.sub(r"[0-9a-f]{8}$", "…", line))


def test_a_cell_is_a_run_whose_variables_and_last_value_are_the_users(shell, home, capsys):
    done = shell.run_cell("%%joulebook warm start --project search\ndial.values['gpu'] += 20\nx = 41\nx + 1")
    assert (done.success, done.result, shell.user_ns["x"]) == (True, 42, 41)
    found = events(home)
    start, end = span(found, "warm start")
    assert (start["project"], "parent_id" in start, end["ok"]) == ("search", False, True)
    assert amount(found, "warm start", "gpu") == 20


def test_one_line_tells_the_energy_with_its_range_and_method(shell, home, capsys):
    home.mkdir()
    (home / "site.toml").write_text("it_overhead = [1.0, 1.5, 2.0]\n")
    shell.run_cell("%%joulebook\ndial.values['gpu'] += 20")
    assert told(capsys) == "joulebook: cell took … s, 30 J (20–40 J, measured), run …"
    shell.run_cell("%%joulebook 'a b'\ndial.values['gpu'] += 2")
    assert told(capsys) == "joulebook: a b took … s, 3 J (2–4 J, measured), run …"


def test_the_run_can_be_shown_by_what_the_line_says(shell, home, capsys):
    shell.run_cell("%%joulebook\npass")
    run = re.findall("run ([0-9a-f]{8})$", capsys.readouterr().out, re.MULTILINE)
    assert [start["run_id"][-8:] for start in of(events(home), "span_start")] == run


def test_a_line_is_a_run_and_has_the_value_of_its_statement(shell, home, capsys):
    shell.run_cell("total = %joulebook --project search sum( range(5) )")
    shell.run_cell("%joulebook text = 'a  b'")
    assert (shell.user_ns["total"], shell.user_ns["text"]) == (10, "a  b")
    starts = of(events(home), "span_start")
    assert [(start["name"], start.get("project")) for start in starts] == [
        ("sum( range(5) )", "search"),
        ("text = 'a  b'", None),
    ]


def test_an_exception_is_shown_and_the_run_has_failed(shell, home, capsys):
    done = shell.run_cell("%%joulebook\nx = 1\n\nx / 0")
    assert isinstance(done.error_in_exec, ZeroDivisionError)
    shown = capsys.readouterr().out
    assert "----> 4 x / 0" in shown  # its fourth line, as the cell stands in the notebook
    assert "joulebook: cell took" in shown
    assert "jupyter.py" not in shown
    end = span(events(home), "cell")[1]
    assert (end["ok"], end["error"], shell.user_ns["x"]) == (False, "ZeroDivisionError: division by zero", 1)


def test_what_cannot_be_compiled_is_no_run(shell, home, capsys):
    assert isinstance(shell.run_cell("%%joulebook\n1 +").error_in_exec, SyntaxError)
    assert "UsageError: nothing to run: write %joulebook STATEMENT" in run_and_read(shell, "%joulebook", capsys)
    assert "UsageError: unrecognized arguments: --nope" in run_and_read(shell, "%%joulebook --nope\n1", capsys)
    assert events(home) == []


def run_and_read(shell, cell: str, capsys) -> str:
    shell.run_cell(cell)
    shown = capsys.readouterr()
    return shown.out + shown.err


def test_magics_of_others_work_inside_and_a_semicolon_silences(shell, capsys):
    assert shell.run_cell("%%joulebook\nfound = %who_ls int\nfound").result == []
    assert shell.run_cell("%%joulebook\n1 + 1;").result is None


def test_a_run_that_is_open_already_is_the_parent(shell, home):
    with track("notebook"):
        shell.run_cell("%%joulebook\nfrom joulebook import track\nwith track('inner'):\n    pass")
    assert names_and_parents(home) == {"notebook": None, "cell": "notebook", "inner": "cell"}


def test_without_the_ledger_the_line_names_the_run(shell, home, capsys, monkeypatch):
    from joulebook.accounting.errors import MissingExtra
    from joulebook.collectors.integrations import jupyter

    class Absent:
        def __getattr__(self, name):
            raise MissingExtra("the ledger", "ledger")

    monkeypatch.setitem(jupyter.sys.modules, "joulebook.collectors.integrations.energy", Absent())
    shell.run_cell("%%joulebook\npass")
    assert told(capsys) == "joulebook: cell took … s, recorded as run …"


def test_a_ledger_that_cannot_answer_is_told(shell, home, capsys):
    home.mkdir()
    (home / "site.toml").write_text("it_overhead = 0.5\n")
    shell.run_cell("%%joulebook\npass")
    assert told(capsys).startswith("joulebook: cell took … s, energy unknown: ")


def test_without_the_library_one_sentence_says_what_to_install():
    code = f"""
import sys
sys.modules["IPython"] = None
from joulebook.accounting.errors import MissingExtra
try:
    import {EXTENSION}
except MissingExtra as error:
    print(error)
"""
    wanted = "the Jupyter magic needs packages that are not installed: pip install 'joulebook[jupyter]'\n"
    assert python(code).stdout == wanted
