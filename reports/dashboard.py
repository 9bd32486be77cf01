"""The dashboard: pages that ask one question each and draw its View.

    main
    ├── ingest      fold what jobs have written since; milliseconds when nothing is new
    ├── filters     period and project, the same on each page, kept in the address
    └── page        Overview, Runs, API usage or Reconcile; with `?run=<id>` in the address one run covers it, with
                    `?call=<id>` one call covers that

No connection is kept: the ledger handle opens the file for one question and closes it. Nothing is cached, so what is
on the page is what the ledger says. Streamlit runs `main` again on each click: `streamlit run` of this file, or of
`app.py` in a checkout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from joulebook.accounting.errors import JoulebookError, LedgerBusy, NotFound
from joulebook.accounting.home import home_dir
from joulebook.reports import format as fmt
from joulebook.reports.draw import Shown, draw, is_empty, say
from joulebook.reports.markup import STYLE
from joulebook.reports.view import View

THEME = Path(__file__).with_name("theme.toml")
# What the reader may choose, as it stands in the address: never rename these, links hold them.
PERIOD_DAYS: dict[str, int | None] = {"7d": 7, "30d": 30, "90d": 90, "year": 365, "all": None}
DEFAULT_PERIOD = "30d"
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
COVERS = ("run", "call")  # what may stand in the address and cover the page
RETRY_S = 2
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
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#00664F"/>'
    '<path d="M9 24v-7M16 24V8M23 24V13" stroke="#fff" stroke-width="4" stroke-linecap="round"/></svg>'
)


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


Body = Callable[[Any, Asked], None]


def streamlit_flags() -> list[str]:
    """The options `streamlit run` needs when there is no `.streamlit/config.toml`, e.g. for an installed package."""
    return [
        f"--theme.base={THEME}",
        "--global.disableWidgetStateDuplicationWarning=true",
        "--client.disableDataExport=true",
        "--client.showErrorDetails=type",
        "--client.showErrorLinks=false",
        "--client.toolbarMode=viewer",
        "--browser.gatherUsageStats=false",
        "--server.address=127.0.0.1",
        "--server.fileWatcherType=none",
        "--server.showEmailPrompt=false",
    ]


def main() -> None:
    """Draw the page that the address asks for; what goes wrong on purpose is said in plain words."""
    st.set_page_config(page_title="joulebook", page_icon=ICON, layout="wide")
    st.logo(ICON, size="large")
    st.html(STYLE)
    pages = _pages(lambda body: lambda: body(ledger, what))
    chosen = st.navigation(pages, position="hidden")
    _menu(pages, chosen)
    try:
        ledger = _ledger()
        what = _filters(ledger)
        _covering(ledger, chosen)
    except LedgerBusy:
        _busy()
    except JoulebookError as problem:
        _sorry("This cannot be shown", str(problem))


def _covering(ledger: Any, chosen: Any) -> None:
    """The page, or what covers it."""
    if "call" in st.query_params:
        call_page(ledger, "run" if "run" in st.query_params else chosen.title)
    elif "run" in st.query_params:
        run_page(ledger, chosen.title)
    else:
        chosen.run()


def _pages(asking: Callable[[Body], Callable[[], None]]) -> list[Any]:
    return [
        st.Page(
            asking(overview_page), title="Overview", url_path="overview", icon=":material/bar_chart:", default=True
        ),
        st.Page(asking(runs_page), title="Runs", url_path="runs", icon=":material/table_rows:"),
        st.Page(asking(api_page), title="API usage", url_path="api", icon=":material/api:"),
        st.Page(asking(reconcile_page), title="Reconcile", url_path="reconcile", icon=":material/balance:"),
    ]


def _menu(pages: Sequence[Any], chosen: Any) -> None:
    """Links to the pages. While something covers a page, a link to that same page would do nothing: so a button."""
    with st.sidebar:
        for page in pages:
            if page is chosen and any(name in st.query_params for name in COVERS):
                st.button(page.title, icon=page.icon, key="uncover", type="tertiary", on_click=_uncover)
            else:
                st.page_link(page)
        st.divider()


def _ledger() -> Any:
    """A handle on the ledger, after folding in what is new."""
    from joulebook.accounting.ledger import ingest, open_ledger

    home = home_dir()
    if not os.environ.get("JOULEBOOK_NO_INGEST"):
        with suppress(LedgerBusy):  # then somebody else is folding in the same events
            ingest(home)
    return open_ledger(home)


# Filters.


def _filters(ledger: Any) -> Asked:
    from joulebook.reports.views import freshness, projects

    names = projects(ledger)
    st.session_state.update(st.session_state.pop("kept", {}))
    with st.sidebar:
        slug = st.segmented_control(
            "Period",
            list(PERIOD_DAYS),
            default=DEFAULT_PERIOD,
            required=True,
            key="period",
            bind="query-params",
            on_change=_uncover,
            width="stretch",
            wrap=False,
        )
        project = st.selectbox(
            "Project",
            names,
            index=None,
            placeholder="All projects",
            key="project",
            bind="query-params",
            on_change=_uncover,
        )
        st.button("Reset", on_click=_reset, icon=":material/restart_alt:", help="Last 30 days, all projects")
        say(f'<p class="soft">{escape(freshness(ledger))}</p>')
    return asked(slug or DEFAULT_PERIOD, project, datetime.now(UTC))


def asked(slug: str, project: str | None, now: datetime) -> Asked:
    """The chosen period in whole UTC days; today is its last day."""
    end = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    days = PERIOD_DAYS[slug]
    return Asked(slug, BEGINNING if days is None else end - timedelta(days=days), end, project)


def _uncover(*names: str) -> None:
    """Leave what covers the page, all of it or what is named; a filter does so too, because it asks about many."""
    for name in names or COVERS:
        st.query_params.pop(name, None)


def _reset() -> None:
    st.session_state["period"] = DEFAULT_PERIOD
    st.session_state["project"] = None
    _uncover()


def _everything() -> None:
    st.session_state["period"] = "all"
    st.session_state["project"] = None


# Pages.


def overview_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import Period, overview

    view = overview(ledger, Period(what.start, what.end, what.label), what.project)
    _show(view, what, ledger)


def runs_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import Period, runs

    _show(runs(ledger, Period(what.start, what.end, what.label), what.project), what, ledger)


def api_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import Period, api_page

    _show(api_page(ledger, Period(what.start, what.end, what.label), what.project), what, ledger)


def reconcile_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import Period, reconciled

    _show(reconciled(ledger, Period(what.start, what.end, what.label)), what, ledger)


def run_page(ledger: Any, below: str) -> None:
    """One run, over the page `below`, to which Back leads."""
    from joulebook.reports.views import run

    _cover("run", run, ledger, below)


def call_page(ledger: Any, below: str) -> None:
    """One call, over the run or page `below`, to which Back leads."""
    from joulebook.reports.views import call

    _cover("call", call, ledger, below)


def _cover(name: str, question: Callable[[Any, str], View], ledger: Any, below: str) -> None:
    """What the address names of a kind, over what is below it."""
    asked_id = st.query_params[name]
    back = partial(_back, name, below)
    try:
        view = question(ledger, asked_id)
    except NotFound:
        where = "in this ledger. It may have been written on another machine."
        _sorry(f"No such {name}", f"There is no {name} {asked_id} {where}")
        back()
        return
    draw(view, Shown(f"{name}-{asked_id}", _about(ledger), {"call_id": _open_call}, back))


def _show(view: View, what: Asked, ledger: Any) -> None:
    about = (("period", what.label), ("project", what.project or "all"), *_about(ledger))
    name = "-".join(text for text in (view.key, what.slug, what.project) if text)
    draw(view, Shown(name, about, {"run_id": _open_run, "call_id": _open_call}))
    if is_empty(view):
        _how_to_begin(what, BEGINNINGS.get(view.key, BEGIN_A_RUN))


def _about(ledger: Any) -> tuple[tuple[str, str], ...]:
    from joulebook.reports.views import freshness

    return (("ledger", freshness(ledger)), ("written", f"{fmt.moment(datetime.now(UTC))} UTC"))


def _open_run(run_id: str) -> None:
    st.query_params["run"] = run_id
    st.rerun()


def _open_call(call_id: str) -> None:
    st.query_params["call"] = call_id
    st.rerun()


def _back(name: str, below: str) -> None:
    label = below if below[:2].isupper() else below.lower()
    st.button(f"Back to {label}", on_click=_uncover, args=(name,), icon=":material/arrow_back:")


def _how_to_begin(what: Asked, begin: tuple[str, str, str]) -> None:
    if what.narrowed:
        st.button("Show everything", on_click=_everything, icon=":material/filter_alt_off:")
    told, code, language = begin
    say(f'<p class="soft">{told}:</p>')
    st.code(code, language=language)


# When it does not go well.


def _sorry(title: str, text: str) -> None:
    say(f'<h1>{escape(title)}</h1><p class="sentence">{escape(text)}</p>')


def _busy() -> None:
    # Filters that are not on the page would be lost, and their part of the address with them.
    st.session_state["kept"] = {key: st.session_state[key] for key in ("period", "project") if key in st.session_state}
    _sorry("The ledger is being written", "Another process is writing it. This page refreshes itself in a moment.")
    st.fragment(_retry, run_every=RETRY_S)()


def _retry() -> None:
    """The first time with the page, then by itself: the second time runs the whole page again."""
    if st.session_state.pop("waited", False):
        st.rerun()
    st.session_state["waited"] = True


if __name__ == "__main__":
    main()
