"""What the numbers say: one measure cut in any way, two of a kind side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import streamlit as st

from joulebook.reports import format as fmt
from joulebook.reports.screens.page import BAR, Asked, choose, chosen, drop, period_of, show
from joulebook.reports.view import View

MOST_RUNS = 300  # to choose from
KINDS = {"periods": "Two times", "runs": "Two runs", "models": "Two models"}
AGAINST = {"before": "The time before", "year": "52 weeks earlier"}


# Explore.


def explore_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import Cut, explore
    from joulebook.reports.views.explore_cut import GRAINS, MEASURES, SPLITS, splits_of

    measure = chosen("measure", MEASURES)
    splits = {name: SPLITS[name] for name in splits_of(measure)}
    cut = Cut(measure, chosen("split", splits), chosen("grain", GRAINS), _day(), st.query_params.get("of"))

    def controls() -> None:
        with st.container(key="choices", horizontal=True, vertical_alignment="bottom"):
            choose("Measure", "measure", MEASURES)
            choose("Split by", "split", splits)
            choose("Per", "grain", GRAINS)
            if cut.chosen:
                st.button("All bars", on_click=drop, args=BAR, key="all bars", icon=":material/close:")

    view = explore(ledger, period_of(what), what.project, cut)
    show(view, what, ledger, {"explore": _pick, "explore_parts": _pick}, controls)


def _day() -> datetime | None:
    """The day of the chosen bar, if the address has one."""
    try:
        return datetime.fromisoformat(st.query_params.get("at", "")).replace(tzinfo=UTC)
    except ValueError:
        return None


def _pick(name: str, day: date | None) -> None:
    """Keep the chosen bar in the address: its day, and its part unless nothing is split."""
    if st.query_params.get("split") != "none":
        st.query_params["of"] = name
    if day is not None:
        st.query_params["at"] = day.isoformat()
    st.rerun()


# Compare.


class Choice(NamedTuple):
    """What is chosen of one side: its name in the address, the words and their labels, the default."""

    label: str
    name: str
    words: Mapping[str, str]
    default: str

    @property
    def word(self) -> str:
        return chosen(self.name, self.words, self.default)


def compare_page(ledger: Any, what: Asked) -> None:
    kind = chosen("two", KINDS)
    choices = _choices(ledger, what, kind)

    def controls() -> None:
        with st.container(key="choices", horizontal=True, vertical_alignment="bottom"):
            choose("Compare", "two", KINDS)
            for choice in choices:
                choose(choice.label, choice.name, choice.words, choice.default)

    show(_compared(ledger, what, kind, [choice.word for choice in choices]), what, ledger, controls=controls)


def _choices(ledger: Any, what: Asked, kind: str) -> list[Choice]:
    """What can be chosen of both sides; nothing where there are no two of a kind."""
    from joulebook.reports.views import called_models, newest_runs

    if kind == "periods":
        return [Choice("Against", "against", AGAINST, "before")]
    if kind == "runs":
        found = newest_runs(ledger, period_of(what), what.project, MOST_RUNS)
        words = {row["run_id"]: f"{row['name']} · {fmt.moment(row['started_at'])}" for row in found}
        sides = list(words)[1::-1]  # the newest against the one before
    else:
        words = {name: name for name in called_models(ledger, period_of(what), what.project)}
        sides = list(words)[:2]
    if len(sides) < 2:
        return []
    return [Choice("From", "from", words, sides[0]), Choice("To", "to", words, sides[1])]


def _compared(ledger: Any, what: Asked, kind: str, words: Sequence[str]) -> View:
    from joulebook.reports import views

    period = period_of(what)
    if not words:
        return View("compare", "Compare", subtitle=what.label, empty=f"There are no two {kind} in this period.")
    if kind == "runs":
        return views.compare_runs(ledger, words[0], words[1])
    if kind == "models":
        return views.compare_models(ledger, period, (words[0], words[1]), what.project)
    other = views.before(period) if words[0] == "before" else views.a_year_before(period)
    return views.compare_periods(ledger, period, other, what.project)
