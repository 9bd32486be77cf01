"""The portfolio: which one counts, and a questionnaire to fill in, to hand over as a file, and to take away.

What is filled in or handed over is checked as a whole; then it becomes the home's own portfolio, which projections,
reports and the command line go by. Where something in it cannot be, nothing changes, and the sentence that says so
names the row or the line and the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from joulebook.accounting.errors import InputError, NotFound
from joulebook.reports import markup
from joulebook.reports.draw import say
from joulebook.reports.screens.page import Asked, choose, chosen, drop, show
from joulebook.reports.screens.projection import portfolios_of
from joulebook.reports.view import View

LABELS = {
    "name": "Use case", "kind": "Kind", "use_cases": "How many alike", "users": "Users",
    "requests_per_user_day": "Requests a user and day", "days_per_year": "Days a year", "model_sizes": "Size of model",
    "provider": "Provider", "model": "Model", "input_tokens": "Tokens in", "output_tokens": "Tokens out",
    "calls": "Calls a request", "regions": "Regions",
}  # fmt: skip
HELP = {
    "model_sizes": "low, medium or high; or shares, such as low=0.5 high=0.5. A named model goes before it.",
    "regions": "A country such as FR, a state such as US-CA; or shares, such as FR=0.6 US=0.4.",
    "calls": "Of the model, for one request of a user: 1, more for agents.",
}
KEPT = "kept portfolios"  # in the session: how many, for a new table each time
SAID = "said of the questionnaire"  # in the session: what the next page has to say of it


def portfolio_page(ledger: Any, what: Asked) -> None:
    from joulebook.models.projection import ask
    from joulebook.reports.views import portfolio

    portfolios, usual = portfolios_of(ledger), ask.usual(ledger)
    source = chosen("portfolio", portfolios, usual)
    asked = ask.Asked(portfolio=source)

    def controls() -> None:
        with st.container(key="choices", horizontal=True):
            choose("Portfolio", "portfolio", portfolios, usual)

    try:
        show(portfolio(ledger, asked), what, ledger, controls=controls)
        rows = questions(ledger, asked)
    except (InputError, NotFound) as problem:
        show(View("portfolio", "Portfolio", empty=f"{problem}."), what, ledger, controls=controls)
        rows = []
    _questionnaire(ledger, source, rows)


def questions(ledger: Any, asked: Any) -> list[dict[str, str]]:
    """The questionnaire of a portfolio as it is filled in so far."""
    from joulebook.models.projection.ask import portfolio_of
    from joulebook.models.projection.questionnaire import cells

    return cells(portfolio_of(ledger, asked))


# The questionnaire.


def _questionnaire(ledger: Any, source: str, rows: list[dict[str, str]]) -> None:
    with st.container(border=True, key="questionnaire"):
        say(
            "<h2>Questionnaire</h2><p class='soft'>Only use case and kind are needed: what is left empty has the "
            "study's value, a place this site's, and is marked as a default. What you keep is this home's portfolio; "
            "what was measured in the ledger is not part of it.</p>"
        )
        _tell()
        with st.form("form", border=False):
            written = _editor(source, rows)
            if st.form_submit_button("Keep as this home's portfolio", type="primary"):
                _keep(ledger, lambda: from_form(ledger, written.to_dict("records")))
        _files(ledger, rows)


def _tell() -> None:
    """What came of the last try, once."""
    is_kept, sentence = st.session_state.pop(SAID, (True, ""))
    if sentence:
        told = View("questionnaire", "", alerts=() if is_kept else (sentence,))
        say(f'<p class="soft">{markup.literal(sentence)}</p>' if is_kept else markup.alerts(told))


def _editor(source: str, rows: list[dict[str, str]]) -> pd.DataFrame:
    from joulebook.models.projection.portfolio import FIELDS, NUMBERS, SHARES

    frame = pd.DataFrame(rows, columns=list(FIELDS), dtype="object")
    for field in NUMBERS:
        frame[field] = pd.Series(pd.to_numeric(frame[field]), dtype="float64")
    for field in SHARES:
        frame[field] = [text or None for text in frame[field]]
    key = f"use cases {source} {st.session_state.get(KEPT, 0)}"
    return st.data_editor(
        frame, key=key, num_rows="dynamic", hide_index=True, height="content",
        placeholder="default",
        column_config={field: _config(field) for field in FIELDS}, alt="Questionnaire",
    )  # fmt: skip


def _config(field: str) -> Any:
    from joulebook.models.projection.portfolio import KINDS, NUMBERS

    label, told = LABELS[field], HELP.get(field)
    if field == "kind":
        return st.column_config.SelectboxColumn(label, options=list(KINDS), required=True)
    if field in NUMBERS:
        return st.column_config.NumberColumn(label, min_value=0, help=told, format="localized")
    return st.column_config.TextColumn(label, required=field == "name", help=told)


def _files(ledger: Any, rows: list[dict[str, str]]) -> None:
    from joulebook.models.projection import questionnaire

    with st.container(horizontal=True):
        for name, mime, text in (
            ("CSV", "text/csv", questionnaire.as_csv(rows)), ("TOML", "application/toml", questionnaire.as_toml(rows)),
        ):  # fmt: skip
            st.download_button(f"Questionnaire as {name}", text, file_name=f"portfolio.{name.lower()}", mime=mime,
                               icon=":material/download:", on_click="ignore", key=f"questionnaire {name}")  # fmt: skip
    with st.form("file", clear_on_submit=True, border=False):
        given = st.file_uploader("A questionnaire as a file, CSV or TOML", type=["csv", "toml"], max_upload_size=5)
        if st.form_submit_button("Keep the file as this home's portfolio") and given is not None:
            _keep(ledger, lambda: from_file(ledger, given.getvalue(), given.name))


# What is handed over.


def from_form(ledger: Any, rows: Iterable[Mapping[str, Any]]) -> Any:
    """Rows of the table as a portfolio; a row in which nothing is written is none."""
    from joulebook.models.projection.questionnaire import checked_form

    filled = [{field: value for field, value in row.items() if not _is_gap(value)} for row in rows]
    return checked_form([row for row in filled if row], _this_year(), _region(ledger))


def from_file(ledger: Any, content: bytes, name: str) -> Any:
    from joulebook.models.projection.questionnaire import checked_file

    return checked_file(content, name, _this_year(), _region(ledger))


def _keep(ledger: Any, checked: Callable[[], Any]) -> None:
    """Keep a portfolio, or say what is wrong with it; the page is drawn anew from what then counts."""
    from joulebook.models.projection.questionnaire import keep

    try:
        portfolio = checked()
        path = keep(ledger.home, portfolio)
    except InputError as problem:
        st.session_state[SAID] = (False, f"Nothing was kept. {problem}.")
    else:
        st.session_state[SAID] = (True, f"{len(portfolio.use_cases)} use cases are kept in {path}.")
        st.session_state[KEPT] = st.session_state.get(KEPT, 0) + 1
        drop("portfolio")
    st.rerun()


def _is_gap(value: Any) -> bool:
    return value is None or value != value or value == ""  # noqa: PLR0124 - NaN is not itself


def _this_year() -> int:
    return datetime.now(UTC).year


def _region(ledger: Any) -> str:
    from joulebook.accounting.site import load_site

    return load_site(ledger.home).region
