"""What is behind a bar of Explore: the runs that used it, the largest first, or the newest of its calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from joulebook.accounting.assess import SUMS_SQL, Assessor, estimate_of
from joulebook.accounting.ledger import Ledger
from joulebook.reports.view import Column, View
from joulebook.reports.views.api_sums import Asked
from joulebook.reports.views.api_usage import NO_NAME
from joulebook.reports.views.call import newest_calls
from joulebook.reports.views.common import Period, aware, naive, plural, project_filter
from joulebook.reports.views.explore_cut import CALL_SPLITS, RUN_MEASURES, RUN_SPLITS, Cut, step_after

MOST_BEHIND = 200


class Parts(NamedTuple):
    """The parts that are meant, or where not `meant` all others."""

    names: tuple[str, ...]
    meant: bool = True

    def condition(self, key: str) -> tuple[str, tuple[Any, ...]]:
        """A condition on an expression of SQL, and its parameters."""
        places = ", ".join("?" for _ in self.names)
        return f"and {key} {'' if self.meant else 'not '}in ({places})", self.names


def runs_behind(assess: Assessor, period: Period, project: str | None, cut: Cut, parts: Parts | None) -> View:
    """The runs of a period that used what was chosen."""
    within = _within(period, cut)
    condition, params = project_filter(project)
    part, part_params = parts.condition(RUN_SPLITS[cut.split]) if parts else ("", ())
    found = assess.rows(
        f"""select a.run_id, any_value(w.name) as name, any_value(w.project) as project, any_value(w.state) as state,
                   any_value(w.started_at_utc) as started_at_utc, max(method_rank) as method_rank, {SUMS_SQL}
            from assessed a join work w on w.span_id = a.run_id
            where a.at_utc >= ? and a.at_utc < ? {condition} {part}
            group by a.run_id order by {RUN_MEASURES[cut.measure][1]}_mid desc nulls last, a.run_id""",
        (naive(within.start), naive(within.end), *params, *part_params),
    )
    amounts = [estimate_of(row, RUN_MEASURES[cut.measure][1]) for row in found]
    whole = sum(cell.mid or 0.0 for cell in amounts)
    rows = tuple(
        {
            **{key: row[key] for key in ("run_id", "name", "project", "state")},
            "started_at": aware(row["started_at_utc"]),
            "amount": cell,
            "share": cell.mid / whole if whole and cell.mid is not None else None,
        }
        for row, cell in zip(found[:MOST_BEHIND], amounts, strict=False)
    )
    columns = (
        Column("name", "Name"), Column("project", "Project"), Column("state", "State", "state"),
        Column("started_at", "Started, UTC", "time"), cut.column, Column("share", "Share", "number", "%"),
        Column("run_id", "Run", "run"),
    )  # fmt: skip
    sentence = _counted(len(found), "run", len(rows))
    empty = "No run is behind this part."
    return View("behind", f"The runs behind {cut.chosen or 'it'}", sentence, columns=columns, rows=rows, empty=empty)


def _counted(count: int, noun: str, shown: int) -> str:
    return f"{plural(count, noun)}, the largest first." + (f" The first {shown} are shown." if shown < count else "")


def _within(period: Period, cut: Cut) -> Period:
    """The chosen step, as far as it is in the period."""
    if cut.at is None:
        return period
    start = max(cut.at, period.start)
    return Period(start, max(start, min(step_after(cut.grain, cut.at), period.end)), "")


def calls_behind(ledger: Ledger, asked: Asked, cut: Cut, parts: Parts | None) -> View:
    """The newest calls of what was chosen."""
    part, params = parts.condition(call_key(cut, "c.of_project", "c.")) if parts else ("", ())
    when, moments = "", ()
    if cut.at is not None:
        when = "and c.started_at_utc >= ? and c.started_at_utc < ?"
        moments = (naive(cut.at), naive(step_after(cut.grain, cut.at)))
    condition = f"{asked.condition} {part} {when}"
    view = newest_calls(ledger, Asked(condition, (*asked.params, *params, *moments)))
    empty = "No call is behind this part."
    return replace(view, key="behind", title=f"The calls behind {cut.chosen or 'it'}", empty=empty)


def call_key(cut: Cut, project: str = "project", table: str = "") -> str:
    """By what calls are split, in SQL: a column of `used`, or with other names one of the calls themselves."""
    if cut.split == "none":
        return CALL_SPLITS["none"]
    return f"coalesce({project if cut.split == 'project' else table + cut.split}, '{NO_NAME}')"
