"""What all pages share: what the reader asked for, a View drawn with what surrounds it, choices kept in the address.

Asked    period and project, the same on each page
show     a View with its files' names, with rows that open a run or a call, and how to begin where it is empty
choose   a choice of one page alone: a select box whose value stands in the address; so do those of sliders
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, NamedTuple

import streamlit as st

from joulebook.reports import format as fmt
from joulebook.reports.draw import Picks, Shown, draw, is_empty, say
from joulebook.reports.view import View

# What the reader may choose, as it stands in the address: never rename these, links hold them.
PERIOD_DAYS: dict[str, int | None] = {"7d": 7, "30d": 30, "90d": 90, "year": 365, "all": None}
DEFAULT_PERIOD = "30d"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
COVERS = ("run", "call")  # what may stand in the address and cover the page
BAR = ("at", "of")  # the bar of a figure that was chosen: its day and its name
FIRST_RUN = """from joulebook import track

with track("finetune", project="search"):
    ...  # your work"""
FIRST_CALL = """import joulebook
import openai

client = openai.OpenAI(http_client=joulebook.http_client())"""
# What an empty page of each View says of how to begin: a title, the code and its language.
BEGIN_A_RUN = ("To record a run", FIRST_RUN, "python")
BEGINNINGS = {
    "api": ("To record calls", FIRST_CALL, "python"),
    "reconcile": ("To import a provider's export", "joulebook import openai usage.csv", "sh"),
}
# Views whose own words say what to do where they are empty.
WITHOUT_RECORDS = ("sources", "method", "budgets", "claims", "kept", "embodied", "frontier", "portfolio", "projection",
                   "profiles")  # fmt: skip
Body = Callable[[Any, "Asked"], None]
Controls = Callable[[], None]


@dataclass(frozen=True)
class Asked:
    """What the reader chose; `start` and `end` in UTC, half-open."""

    slug: str
    start: datetime
    end: datetime
    project: str | None

    @property
    def label(self) -> str:
        if PERIOD_DAYS[self.slug] is None:
            return "All time"
        return f"{fmt.day(self.start)} – {fmt.day(self.end - timedelta(days=1))}"

    @property
    def narrowed(self) -> bool:
        return self.project is not None or PERIOD_DAYS[self.slug] is not None


def asked(slug: str, project: str | None, now: datetime) -> Asked:
    """The chosen period in whole UTC days; today is its last day."""
    end = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    days = PERIOD_DAYS[slug]
    return Asked(slug, BEGINNING if days is None else end - timedelta(days=days), end, project)


def uncover(*names: str) -> None:
    """Leave what covers the page and the bar that was chosen, or what is named; a filter does so too."""
    for name in names or (*COVERS, *BAR):
        st.query_params.pop(name, None)


def show(view: View, what: Asked, ledger: Any, picks: Picks | None = None, controls: Controls | None = None) -> None:
    """A page's View, its rows open; `picks`: what a chosen bar of a figure does, `controls`: choices of the page."""
    about = (("period", what.label), ("project", what.project or "all"), *about_ledger(ledger))
    name = "-".join(text for text in (view.key, what.slug, what.project) if text)
    opens = {"run_id": open_run, "call_id": open_call}
    draw(view, Shown(name, about, opens, controls=controls, picks=picks or {}))
    if is_empty(view) and view.key not in WITHOUT_RECORDS:
        _how_to_begin(what, BEGINNINGS.get(view.key, BEGIN_A_RUN))


def about_ledger(ledger: Any) -> tuple[tuple[str, str], ...]:
    from joulebook.reports.views import freshness

    return (("ledger", freshness(ledger)), ("written", f"{fmt.moment(datetime.now(UTC))} UTC"))


def period_of(what: Asked) -> Any:
    from joulebook.reports.views import Period

    return Period(what.start, what.end, what.label)


def open_run(run_id: str) -> None:
    st.query_params["run"] = run_id
    st.rerun()


def open_call(call_id: str) -> None:
    st.query_params["call"] = call_id
    st.rerun()


def sorry(title: str, text: str) -> None:
    say(f'<h1>{escape(title)}</h1><p class="sentence">{escape(text[:1].upper() + text[1:])}</p>')


def everything() -> None:
    st.session_state["period"] = "all"
    st.session_state["project"] = None


def _how_to_begin(what: Asked, begin: tuple[str, str, str]) -> None:
    if what.narrowed:
        st.button("Show everything", on_click=everything, icon=":material/filter_alt_off:")
    told, code, language = begin
    say(f'<p class="soft">{told}:</p>')
    st.code(code, language=language)


# Choices of one page.


class Span(NamedTuple):
    """From where to where a number can be chosen, and in what steps."""

    low: float
    high: float
    step: float = 0.01


def chosen(name: str, options: Mapping[str, str], default: str | None = None) -> str:
    """Which of some short words the address has under a name; one that is no option counts as the default."""
    first = default if default is not None and default in options else next(iter(options))
    asked_for = st.query_params.get(name, first)
    return asked_for if asked_for in options else first


def choose(label: str, name: str, options: Mapping[str, str], default: str | None = None) -> None:
    """A box to choose one of some words by their labels; the address holds the word, the default is left out of it.

    What the address holds is what is chosen, so that Back and a link work.
    """
    first = default if default in options else next(iter(options))
    st.session_state[name] = chosen(name, options, default)
    st.selectbox(
        label,
        list(options),
        format_func=lambda word: options.get(word, word),
        key=name,
        on_change=_keep,
        args=(name, first),
    )


def write_words(label: str, name: str, placeholder: str) -> None:
    """A box for words, which the address holds as well."""
    st.session_state[name] = st.query_params.get(name, "")
    st.text_input(label, key=name, placeholder=placeholder, on_change=_keep, args=(name, ""))


def chosen_number(name: str, span: Span, default: float) -> float:
    """The number that the address has under a name; what is none within the span counts as the default."""
    try:
        value = float(st.query_params.get(name, default))
    except ValueError:
        return default
    return value if span.low <= value <= span.high else default


def slide(label: str, name: str, span: Span, default: float, told: str = "") -> None:
    """A slider, whose number the address holds unless it is the default; `told` is what its help says."""
    st.session_state[name] = float(chosen_number(name, span, default))
    ends = (float(span.low), float(span.high), None, float(span.step))
    st.slider(label, *ends, key=name, on_change=_keep, args=(name, default), help=told or None)


def write_number(label: str, name: str, span: Span, default: int) -> None:
    """A box for a whole number, which the address holds as well."""
    st.session_state[name] = int(chosen_number(name, span, default))
    ends = (int(span.low), int(span.high), "min", int(span.step))
    st.number_input(label, *ends, key=name, on_change=_keep, args=(name, default))


def chosen_some(name: str, options: Sequence[str], default: Sequence[str]) -> list[str]:
    """Which of some words the address has under a name, with commas between them; none that is no option."""
    asked_for = st.query_params.get(name)
    some = [word for word in asked_for.split(",") if word in options] if asked_for else []
    return some or list(default)


def choose_some(label: str, name: str, options: Sequence[str], default: Sequence[str], most: int) -> None:
    """A box to choose several words, which the address holds as well."""
    st.session_state[name] = chosen_some(name, options, default)
    st.multiselect(label, options, key=name, max_selections=most, on_change=_keep, args=(name, list(default)))


def _keep(name: str, default: str | float | list[str]) -> None:
    """Bring what was chosen into the address; the bar that was chosen before may not be there any more."""
    drop(*BAR)
    value = st.session_state[name]
    if value in (default, []):
        drop(name)
    else:
        st.query_params[name] = ",".join(value) if isinstance(value, list) else _written(value)


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def drop(*names: str) -> None:
    """Take choices out of the address."""
    for name in names:
        st.query_params.pop(name, None)
