"""Whether newer runs use more energy: every interval is one that can be done by hand, or that SciPy says, too."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import pytest
from handmade import HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from joulebook.accounting.budgets import regression
from joulebook.accounting.budgets.forecast import Ends
from joulebook.accounting.budgets.regression import Compared, Question, Run, compare
from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.estimates import between
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.site import Site, write_site
from joulebook.cli import main

HERE = Site("FR", cpu_power_w=(2, 4, 8), it_overhead=(1, 1.1, 1.2))
HOUR = 3600.0


class Book(HandmadeJournal):
    """Runs of CPU time (2 to 8 W, 4 J a second), or with joules that the job itself counted: they have no range."""

    def __init__(self, home: Path, host: str = "testhost", *, has_cpu: bool = True) -> None:
        super().__init__(home, host)
        self.home, self.has_cpu, self.at_s, self.cpu_s = home, has_cpu, 0.0, 0.0
        if has_cpu:
            self.sensor()
        write_site(home, HERE)

    def run(self, amount: float, name: str = "train", *, steps: int = 0, ok: bool = True, **fields: Any) -> str:
        """A run of so many CPU-seconds, or joules."""
        self.at_s += HOUR
        edge = {"counters": {"cpu_time": self.cpu_s}} if self.has_cpu else {}
        run = self.start(self.at_s, name, **edge, **fields)
        if steps:
            self.event("usage", self.at_s + 1, span_id=run, run_id=run, kind="step", amount=steps, unit="step",
                       method="measured")  # fmt: skip
        if not self.has_cpu:
            self.event("usage", self.at_s + 1, span_id=run, run_id=run, kind="energy", amount=amount, unit="J",
                       method="measured")  # fmt: skip
        self.cpu_s += amount
        self.end(self.at_s + 60, run, ok=ok, **({"counters": {"cpu_time": self.cpu_s}} if self.has_cpu else {}))
        return run

    def asked(self, **question: Any) -> Compared:
        if not self.path.exists():
            self.write()
            ingest(self.home)
        return compare(open_ledger(self.home), Question("train", **question))


@pytest.fixture
def cpu(home: Path) -> Book:
    return Book(home)


@pytest.fixture
def joules(home: Path) -> Book:
    return Book(home, has_cpu=False)


def ends(found: Compared) -> tuple[float | None, ...]:
    return found.ratio.low, found.ratio.mid, found.ratio.high


def about(*numbers: float) -> object:
    return pytest.approx(numbers, rel=1e-9)


# One run on either side -------------------------------------------------------------------------------------------


def test_of_two_runs_whose_ranges_overlap_nobody_can_tell(cpu: Book) -> None:
    """400 J (200 to 800) and 600 J (300 to 1200): 1.5, from 300 ÷ 800 to 1200 ÷ 200."""
    cpu.run(100)
    cpu.run(150)
    found = cpu.asked()
    assert ends(found) == about(0.375, 1.5, 6)
    assert (found.verdict, found.basis, found.shares_factors, found.is_ok) == (
        "cannot tell",
        "measurement",
        False,
        True,
    )


@pytest.mark.parametrize(("amount", "verdict"), [
    (106, "regression"), (104, "no regression"), (96, "no regression"), (94, "improvement"),
])  # fmt: skip
def test_of_two_runs_without_a_range_the_threshold_decides(joules: Book, amount: float, verdict: str) -> None:
    joules.run(100)
    joules.run(amount)
    found = joules.asked()
    assert ends(found) == about(amount / 100, amount / 100, amount / 100)
    assert (found.verdict, found.ratio.method) == (verdict, "measured")


# Several runs -----------------------------------------------------------------------------------------------------


def test_of_several_runs_the_interval_is_welchs(joules: Book) -> None:
    before, after = (100.0, 104, 97, 101), (110.0, 115, 108)
    for amount in before:
        joules.run(amount)
    for amount in after:
        joules.run(amount, tags=[["commit", "b"]])
    found = joules.asked(candidate="commit=b")
    by_scipy = stats.ttest_ind([log(a) for a in after], [log(b) for b in before], equal_var=False)
    low, high = by_scipy.confidence_interval(0.95)
    assert (found.ratio.low, found.ratio.high) == about(exp(low), exp(high))
    assert found.ratio.mid == pytest.approx((110 * 115 * 108) ** (1 / 3) / (100 * 104 * 97 * 101) ** (1 / 4))
    assert (found.verdict, found.basis, found.is_ok) == ("regression", "welch", False)
    assert (found.baseline.energy.mid, len(found.candidate.runs)) == (pytest.approx(402 / 4), 3)


def test_one_newer_run_has_the_spread_of_those_before(joules: Book) -> None:
    """Logarithms −0.1, 0, 0.1: s = 0.1, so t(2 degrees) × 0.1 × √(1 + 1 ÷ 3) around 0.2."""
    for power in (-0.1, 0, 0.1, 0.2):
        joules.run(100 * exp(power))
    found = joules.asked()
    half = stats.t.ppf(0.975, 2) * 0.1 * sqrt(4 / 3)
    assert ends(found) == about(exp(0.2 - half), exp(0.2), exp(0.2 + half))
    assert (found.verdict, found.basis) == ("cannot tell", "the spread of one group")


def test_what_all_share_cancels(cpu: Book) -> None:
    """100 s three times and 120 s three times on one machine: 1.2, whatever its watts per busy CPU are.

    What they used is as unsure as ever: 200 – 400 – 800 J before.
    """
    for amount in (100, 100, 100):
        cpu.run(amount)
    for amount in (120, 120, 120):
        cpu.run(amount, tags=[["v", "2"]])
    found = cpu.asked(candidate="v=2")
    assert ends(found) == about(1.2, 1.2, 1.2)
    assert (found.verdict, found.shares_factors) == ("regression", True)
    energy = found.baseline.energy
    assert (energy.low, energy.mid, energy.high) == about(200, 400, 800)


def test_between_machines_nothing_cancels(cpu: Book) -> None:
    """The ranges, 2 to 8 around 4 on both sides, add in quadrature: a factor of 2 ** √2 to either side of 1.2."""
    other = Book(cpu.home, host="other")
    other.at_s = 100 * HOUR
    for _ in range(3):
        cpu.run(100)
        other.run(120)
    other.write()
    found = cpu.asked(candidate=",".join(run for run in _ids(other)))
    assert ends(found) == about(1.2 / 2 ** sqrt(2), 1.2, 1.2 * 2 ** sqrt(2))
    assert (found.verdict, found.shares_factors) == ("cannot tell", False)


def _ids(book: Book) -> list[str]:
    lines = [json.loads(line) for line in book.lines]
    return [line["span_id"] for line in lines if line["event"] == "span_start"]


def test_energy_a_step(joules: Book) -> None:
    """1000 J in 100 steps, 1100 J in 110: the same for each step, and 10 % more for each run."""
    joules.run(1000, steps=100)
    joules.run(1100, steps=110)
    by_step, by_run = joules.asked(), joules.asked(per="run")
    assert (by_step.per, by_step.ratio.mid, by_step.baseline.energy.mid, by_step.baseline.energy.unit) == (
        "step", pytest.approx(1), pytest.approx(10), "J/step",
    )  # fmt: skip
    assert (by_run.ratio.mid, by_run.verdict) == (pytest.approx(1.1), "regression")
    with pytest.raises(InputError, match=r"--per tokens: run .* has recorded none; it can be compared per run, .*step"):
        joules.asked(per="tokens")


# Which runs -------------------------------------------------------------------------------------------------------


def test_which_runs_are_compared(joules: Book) -> None:
    first = joules.run(100, project="a")
    joules.run(900, ok=False)
    joules.run(900, name="other")
    third = joules.run(200, tags=[["v", "2"]])
    last = joules.run(300)
    assert (joules.asked().ratio.mid, joules.asked().left_out) == (pytest.approx(300 / sqrt(100 * 200)), 1)
    assert joules.asked(baseline=first[-12:]).ratio.mid == pytest.approx(3)
    assert joules.asked(baseline="v=2").ratio.mid == pytest.approx(1.5)
    assert joules.asked(baseline=f"{first}, {third}").baseline.energy.mid == pytest.approx(150)
    assert joules.asked(candidate=third).ratio.mid == pytest.approx(2)
    assert joules.asked(candidate=third, baseline=last).ratio.mid == pytest.approx(2 / 3)
    with pytest.raises(NotFound, match=r"'train' has no finished run with energy before the one to compare"):
        joules.asked(candidate=first)
    with pytest.raises(NotFound, match="--baseline 'v=3': no such finished run"):
        joules.asked(baseline="v=3")
    with pytest.raises(NotFound, match="has no finished run with energy before"):
        joules.asked(project="a")
    with pytest.raises(NotFound, match="no run is called 'nobody': `joulebook runs` lists them"):
        compare(open_ledger(joules.home), Question("nobody"))


# What must hold for all -------------------------------------------------------------------------------------------

energies = st.lists(st.floats(1, 1e6), min_size=1, max_size=6)


def group(amounts: list[float], spread: float) -> list[Run]:
    runs = [Ends(amount / (1 + spread), amount, amount * (1 + spread)) for amount in amounts]
    when = datetime(2026, 1, 1, tzinfo=UTC)
    return [Run(f"{n}", when, ("m",), {}, {}, one, one, "measured") for n, one in enumerate(runs)]


@given(energies, energies, st.floats(0, 1), st.floats(0.01, 100))
@settings(max_examples=60)
def test_intervals_turn_round_and_do_not_depend_on_the_unit(
    before: list[float], after: list[float], spread: float, times: float
) -> None:
    one, other = group(before, spread), group(after, spread)
    found = regression._compare(Question("x"), "run", (one, other), 0).ratio
    low, mid, high = found.low or 0, found.mid or 0, found.high or 0
    assert low <= mid * (1 + 1e-9)
    assert mid <= high * (1 + 1e-9)
    back = regression._compare(Question("x"), "run", (other, one), 0).ratio
    assert (back.low, back.mid, back.high) == pytest.approx((1 / high, 1 / mid, 1 / low), rel=1e-6)
    scaled = regression._compare(
        Question("x"), "run", (one, group([amount * times for amount in after], spread)), 0
    ).ratio
    assert (scaled.low, scaled.mid, scaled.high) == pytest.approx((low * times, mid * times, high * times), rel=1e-6)


@pytest.mark.parametrize(("ratio", "verdict"), [
    ((1.01, 1.06, 1.2), "regression"), ((0.99, 1.06, 1.2), "cannot tell"), ((1.01, 1.04, 1.06), "cannot tell"),
    ((1.01, 1.04, 1.05), "no regression"), ((0.9, 0.94, 0.99), "improvement"), ((0.9, 0.94, 1.0), "no regression"),
])  # fmt: skip
def test_what_an_interval_comes_to(ratio: tuple[float, float, float], verdict: str) -> None:
    assert regression.judge(between(ratio, "1", "measured"), 0.05) == verdict


# The command ------------------------------------------------------------------------------------------------------


def test_the_command(joules: Book, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 99, 100, 100, 101 the logarithms vary by 0.00817: t(3 degrees) × that × √1.25 is 0.0290, around log 1.2."""
    for amount in (100, 101, 100, 99, 120):
        joules.run(amount, steps=10)
    joules.write()
    words = ["--home", str(joules.home), "check", "--regression", "train"]
    assert main(words) == 1
    out = capsys.readouterr().out.replace("\u2009", " ")
    assert "Regression: train uses more energy than before (+20.0 %, +16.6 to +23.5 %, per step)." in out
    assert main([*words, "--threshold", "25%", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["verdict"], told["per"], told["threshold"]) == (True, "no regression", "step", 0.25)
    assert told["ratio"]["mid"] == pytest.approx(120 / (100 * 101 * 100 * 99) ** 0.25)
    assert (told["candidate"]["runs"], told["candidate"]["energy"]["mid"], told["candidate"]["energy"]["unit"]) == (
        1, pytest.approx(12), "J/step",
    )  # fmt: skip
    assert main([*words[:-1], "nobody"]) == 3
    assert main([*words, "--notify"]) == 2
    assert main([*words[:3], "--per", "step"]) == 2
    err = capsys.readouterr().err
    assert "--baseline, --candidate, --per, --threshold and --project go with --regression NAME" in err
