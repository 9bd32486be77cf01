"""What changes from one basis to another: in total, by what changed, and run by run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isnan
from typing import Any

from joulebook.accounting.assess import CATEGORIES
from joulebook.accounting.assessment import Restatement
from joulebook.accounting.estimates import Estimate, exactly
from joulebook.accounting.factors import Match
from joulebook.accounting.restate import FROM, IDLE, TO, Cause, change_of
from joulebook.reports.format import amount, mid_of, number, words
from joulebook.reports.view import Column, View
from joulebook.reports.views.assessment import LABELS, MOST_RUNS, run_cells, scope_in_words
from joulebook.reports.views.common import of_project, percent, use_of

SIDES = ("From", "To")
TOTALS = (
    Column("label", ""),
    Column("before", "From", "estimate"),
    Column("after", "To", "estimate"),
    Column("change", "Change", "estimate"),
    Column("by", "In percent"),
)
CAUSES = (
    Column("kind", "What changed"),
    Column("before", "From"),
    Column("after", "To"),
    Column("why", "Why"),
    Column("category", "Changes"),
    Column("change", "Adds", "estimate"),
    Column("share", "Of the change"),
)
RUNS = (
    Column("name", "Name"),
    Column("project", "Project"),
    Column("before", "Carbon from", "estimate", "g"),
    Column("after", "To", "estimate", "g"),
    Column("change", "Change", "estimate", "g"),
    Column("mostly", "Mostly by"),
    Column("run_id", "Run", "run"),
)


def restatement(told: Restatement) -> View:
    """Totals under both bases, each cause with what it adds, and the runs that change most."""
    parts = (_causes(told), _runs(told)) if len(told.lines) else ()
    uses = {use.factor_id: use for cause in told.caused.causes() for use in _uses(cause)}
    return View(
        "restatement", "Restatement", _sentence(told), subtitle=f"{scope_in_words(told.scope)} · location-based",
        columns=TOTALS, rows=tuple(_total(told, category) for category in CATEGORIES) if len(told.lines) else (),
        parts=tuple(part for part in parts if part.rows), notes=tuple(_notes(told)), factors=tuple(uses.values()),
        empty=f"No energy of any run{of_project(told.scope.project)} is on record here.",
    )  # fmt: skip


def _uses(cause: Cause) -> list[Any]:
    return [use_of(match) for match in (cause.before, cause.after) if match]


def _sentence(told: Restatement) -> str:
    if not len(told.lines):
        return ""
    before, after = told.before.total("carbon_g"), told.after.total("carbon_g")
    causes = [cause for cause in told.caused.causes() if cause.change["carbon_g"]]
    if not causes:
        others = " in carbon; other amounts do" if told.caused.added else ""
        return f"Nothing changes{others}: {mid_of(before)} of CO₂e under both."
    kind = words(causes[0].kind)
    share = _share(causes[0].change["carbon_g"], change_of(before, after).mid)
    return f"{mid_of(before)} of CO₂e become {mid_of(after)} ({_percent(before, after)}); {kind} makes {share} of that."


def _percent(before: Estimate, after: Estimate) -> str:
    if not before.mid or after.mid is None:
        return "–"
    change = (after.mid / before.mid - 1) * 100
    return f"{'+' if change > 0 else '−' if change < 0 else ''}{number(abs(change))} %"


def _share(part: float, whole: float | None) -> str:
    if not whole or isnan(part):
        return "–"
    share = round(part / whole, 9)  # a cause alone is all of it, whatever the last digits say
    return f"{'−' if share < 0 else ''}{percent(abs(share))}"


def _total(told: Restatement, category: str) -> Mapping[str, Any]:
    before, after = told.before.total(category), told.after.total(category)
    cells = {"before": before, "after": after, "change": change_of(before, after)}
    silent = {key: replace(cell, reason=None) for key, cell in cells.items()}  # the notes have it
    return {"label": LABELS[category], **silent, "by": _percent(before, after)}


def _causes(told: Restatement) -> View:
    rows = tuple(
        {
            "kind": words(cause.kind),
            "before": _value(cause, FROM, told),
            "after": _value(cause, TO, told),
            "why": _why(cause),
            **_adds(cause, told),
        }
        for cause in told.caused.causes()
    )
    return View("causes", "Why", columns=CAUSES, rows=rows)


def _adds(cause: Cause, told: Restatement) -> Mapping[str, Any]:
    """What a cause adds to carbon, or, where it does not touch it, to the first category that it changes."""
    category = next((each for each in ("carbon_g", *CATEGORIES) if cause.change[each]), "carbon_g")
    change = change_of(told.before.total(category), told.after.total(category))
    part = cause.change[category]
    added = replace(change, reason=None) if isnan(part) else exactly(part, change.unit, "modelled")
    return {"category": LABELS[category], "change": added, "share": _share(part, change.mid)}


def _value(cause: Cause, place: int, told: Restatement) -> str:
    match = (cause.before, cause.after)[place]
    if cause.kind == IDLE:
        return told.bases[place].site.idle_energy
    if match is None:
        return "not known"
    where = match.match if match.match == "declared" else match.factor.region
    return f"{amount(match.factor.value, match.factor.unit)}, {where}"


def _why(cause: Cause) -> str:
    """In words: what is another of the two factors."""
    if cause.kind == IDLE:
        return "the site says who bears idle energy"
    before, after = cause.before, cause.after
    if before is None or after is None:
        return "a factor that was not known before" if before is None else "a factor that is not known any more"
    return _difference(before, after)


def _difference(before: Match, after: Match) -> str:
    if before.match != after.match and "declared" in (before.match, after.match):
        return "declared by the site" if after.match == "declared" else "no longer declared by the site"
    if before.match == after.match == "declared":
        return "the site declares another value"
    if before.factor.region != after.factor.region:
        fits = f", {before.match} → {after.match}" if before.match != after.match else ""
        return f"another place{fits}"
    if before.factor.valid_from != after.factor.valid_from:
        return f"the row of {after.factor.valid_from.year}, not of {before.factor.valid_from.year}"
    return f"corrected, known since {after.factor.retrieved}"


def _runs(told: Restatement) -> View:
    """The runs that change most."""
    befores, afters = told.before.runs("carbon_g"), told.after.runs("carbon_g")
    parts = {kind: told.caused.by_run(kind, "carbon_g") for kind in told.caused.added}
    rows = [
        run_cells(run)
        | {"before": before, "after": after, "change": change_of(before, after), "mostly": _mostly(parts, place)}
        for place, (run, before, after) in enumerate(zip(told.lines.runs, befores, afters, strict=True))
    ]
    rows.sort(key=lambda row: (-abs(row["change"].mid or 0), row["run_id"]))
    title = f"Run by run, the {MOST_RUNS} that change most of {len(rows):,}" if len(rows) > MOST_RUNS else "Run by run"
    return View("runs", title, columns=RUNS, rows=tuple(rows[:MOST_RUNS]))


def _mostly(parts: Mapping[str, list[float]], place: int) -> str:
    """The cause that adds most to a run."""
    largest = max(parts, key=lambda kind: abs(parts[kind][place]), default=None)
    return words(largest) if largest and parts[largest][place] else "–"


def _notes(told: Restatement) -> list[str]:
    names = [f"{word}: basis {basis.basis_id}, {basis.because}." for word, basis in
             zip(SIDES, told.bases, strict=True)]  # fmt: skip
    names += [f"{LABELS[category]}: not known under {side}, {total.reason}."
              for side, assessed in zip(SIDES, (told.before, told.after), strict=True) if len(told.lines)
              for category in CATEGORIES if not (total := assessed.total(category)).known]  # fmt: skip
    shared = (
        "What was used is the same under both. Where several factors change at once, what they change together is "
        "shared out evenly (Shapley), so that the parts add up to the change."
    )
    return [*names, shared] if len(told.caused.added) > 1 else names
