"""The dashboard: pages that ask one question each and draw its View.

    main
    ├── ingest      fold what jobs have written since; milliseconds when nothing is new
    ├── filters     period and project, the same on each page, kept in the address
    └── page        one of `screens.menu`, in groups; with `?run=<id>` in the address one run covers it, with
                    `?call=<id>` one call covers that

No connection is kept: the ledger handle opens the file for one question and closes it. Nothing is cached, so what is
on the page is what the ledger says. Streamlit runs `main` again on each click: `streamlit run` of this file, or of
`app.py` in a checkout.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from joulebook.accounting.errors import JoulebookError, LedgerBusy, NotFound
from joulebook.accounting.home import home_dir
from joulebook.reports.draw import Shown, draw, say
from joulebook.reports.markup import STYLE
from joulebook.reports.screens.menu import GROUPS
from joulebook.reports.screens.page import (
    COVERS,
    DEFAULT_PERIOD,
    PERIOD_DAYS,
    Asked,
    Body,
    about_ledger,
    asked,
    open_call,
    sorry,
    uncover,
)
from joulebook.reports.view import View

THEME = Path(__file__).with_name("theme.toml")
RETRY_S = 2
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#00664F"/>'
    '<path d="M9 24v-7M16 24V8M23 24V13" stroke="#fff" stroke-width="4" stroke-linecap="round"/></svg>'
)


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
        sorry("This cannot be shown", str(problem))


def _covering(ledger: Any, chosen: Any) -> None:
    """The page, or what covers it."""
    asked = st.query_params.get
    if asked("call"):
        call_page(ledger, "run" if asked("run") else chosen.title)
    elif asked("run"):
        run_page(ledger, chosen.title)
    else:
        chosen.run()


def _pages(asking: Callable[[Body], Callable[[], None]]) -> dict[str, list[Any]]:
    """The pages of each group; the first of all is where the app opens."""
    first = next(iter(GROUPS.values()))[0]
    return {
        group: [
            st.Page(asking(s.body), title=s.title, url_path=s.path, icon=s.icon, default=s is first) for s in screens
        ]
        for group, screens in GROUPS.items()
    }


def _menu(pages: dict[str, list[Any]], chosen: Any) -> None:
    """Links to the pages. While something covers a page, a link to that same page would do nothing: so a button."""
    covered = any(st.query_params.get(name) for name in COVERS)
    with st.sidebar, st.container(key="menu", gap=None):
        for group, some in pages.items():
            say(f'<p class="jb-group">{escape(group)}</p>')
            for page in some:
                if page is chosen and covered:
                    st.button(page.title, icon=page.icon, key="uncover", type="tertiary", on_click=uncover)
                else:
                    st.page_link(page)


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
            on_change=uncover,
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
            on_change=uncover,
        )
        st.button("Reset", on_click=_reset, icon=":material/restart_alt:", help="Last 30 days, all projects")
        say(f'<p class="soft">{escape(freshness(ledger))}</p>')
    return asked(slug or DEFAULT_PERIOD, project, datetime.now(UTC))


def _reset() -> None:
    st.session_state["period"] = DEFAULT_PERIOD
    st.session_state["project"] = None
    uncover()


# What covers a page.


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
        sorry(f"No such {name}", f"There is no {name} {asked_id} {where}")
        back()
        return
    draw(view, Shown(f"{name}-{asked_id}", about_ledger(ledger), {"call_id": open_call}, back))


def _back(name: str, below: str) -> None:
    label = below if below[:2].isupper() else below.lower()
    st.button(f"Back to {label}", on_click=uncover, args=(name,), icon=":material/arrow_back:")


# When it does not go well.


def _busy() -> None:
    # Filters that are not on the page would be lost, and their part of the address with them.
    st.session_state["kept"] = {key: st.session_state[key] for key in ("period", "project") if key in st.session_state}
    sorry("The ledger is being written", "Another process is writing it. This page refreshes itself in a moment.")
    st.fragment(_retry, run_every=RETRY_S)()


def _retry() -> None:
    """The first time with the page, then by itself: the second time runs the whole page again."""
    if st.session_state.pop("waited", False):
        st.rerun()
    st.session_state["waited"] = True


if __name__ == "__main__":
    main()
