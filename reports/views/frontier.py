"""Quality against what it takes: which models nobody beats, which ones are dominated, and by whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from joulebook.accounting.ledger import Ledger
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.common import Period, listed, naive
from joulebook.reports.views.normalised import row_of, short_names, unequal, usual_basis

if TYPE_CHECKING:
    from joulebook.models.runtime.compare import Basis, Compared

FILE = "quality.csv"
EMPTY = (
    "No quality of a model is known: record it with run.quality(metric, value) in a run that calls one model, or "
    f"write a table model,metric,value to {FILE} in the home."
)
Role = Literal["frontier", "dominated"]
Quality = tuple[str, str, float]  # model, metric, value
# what it takes -> (its name, unit)
TAKES = {"runtime_s": ("Idealized runtime", "s"), "energy_j": ("Energy", "J"), "cost_usd": ("Cost", "USD")}


def frontier(
    ledger: Ledger,
    period: Period,
    metric: str | None = None,
    qualities: Sequence[Quality] = (),
    basis: Basis | None = None,
) -> View:
    """Models of known quality, each by one metric, against the idealized runtime, energy and cost of the same request.

    Quality is what runs recorded (of runs that called one model only) and what tables of the user have: the home's
    `quality.csv`, and `qualities`, which stand above it.
    """
    from joulebook.models.runtime.compare import compared

    told = basis or usual_basis(ledger)
    known = [*known_qualities(ledger, period), *qualities]
    metrics = sorted({each[1] for each in known})
    chosen = metric or (metrics[0] if metrics else "")
    by_model = {model: value for model, name, value in known if name == chosen}
    found = [compared(model, None, told) for model in by_model]
    is_by_text = all(each.of_text for each in found if each.of_mix)
    rows = tuple(_row(each, by_model[each.model], is_by_text) for each in found)
    parts = tuple(part for name in TAKES if (part := _part(name, chosen, rows)).rows)
    return View(
        "frontier", f"Quality ({chosen}) against what it takes" if chosen else "Quality against what it takes",
        _sentence(parts, rows), period.label, columns=_columns(chosen), rows=rows, parts=parts,
        notes=tuple(_notes(found, metrics, chosen, is_by_text)) if found else (),
        empty=f"No quality {chosen!r} of a model is known; there are: {', '.join(metrics)}." if metrics else EMPTY,
    )  # fmt: skip


def known_qualities(ledger: Ledger, period: Period) -> list[Quality]:
    """The mean quality of the runs of a period that called one model only, and what the home's table has."""
    from joulebook.models.runtime.tables import qualities

    rows = ledger.rows(_SQL, (naive(period.start), naive(period.end)))
    path = ledger.home / FILE
    recorded = [(row["model"], row["metric"], row["value"]) for row in rows]
    return [*recorded, *(qualities(path) if path.exists() else ())]


def _columns(metric: str) -> tuple[Column, ...]:
    takes = (Column(name, label, "estimate", unit) for name, (label, unit) in TAKES.items())
    return (Column("model", "Model"), Column("quality", metric or "Quality", "number"), *takes)


def _row(one: Compared, quality: float, is_by_text: bool) -> dict[str, Any]:
    """A model, by the same text where that is known of all, else by the same number of tokens."""
    told, prefix = row_of(one), "text" if is_by_text else "mix"
    amounts = {name: told[f"{prefix}_{name}"] for name in TAKES}
    return {"model": one.model, "quality": quality, **amounts, "hardware": told["hardware"],
            "why": one.why_no_idealized or None}  # fmt: skip


def _part(name: str, metric: str, rows: Sequence[Mapping[str, Any]]) -> View:
    """One frontier: who is on it, and who is beaten by whom."""
    from joulebook.models.runtime.frontier import System, frontier

    label, unit = TAKES[name]
    known = {row["model"]: row for row in rows if row[name].known}
    beaten = frontier(System(model, row["quality"], row[name].mid) for model, row in known.items())
    told = tuple(
        {"model": model, "quality": known[model]["quality"], name: known[model][name], "is_on_frontier": not who,
         "dominated_by": ", ".join(who), "dominators": list(who)} for model, who in beaten.items()
    )  # fmt: skip
    columns = (Column("model", "Model"), Column("quality", metric, "number"), Column(name, label, "estimate", unit),
               Column("dominated_by", "Dominated by"))  # fmt: skip
    ordered = tuple(sorted(told, key=lambda row: (bool(row["dominated_by"]), row[name].mid)))
    return View(f"frontier_{name}", f"{metric} against {label.lower()}", _beaten(beaten), columns=columns, rows=ordered,
                figure=_figure(name, metric, ordered) if ordered else None)  # fmt: skip


def _beaten(beaten: Mapping[str, Sequence[str]]) -> str:
    best = [model for model, who in beaten.items() if not who]
    worse = [f"{model} (by {who[0]})" for model, who in beaten.items() if who]
    if not best:
        return ""
    return f"On the frontier: {listed(best)}. " + (f"Dominated: {listed(worse)}." if worse else "None is dominated.")


def _figure(name: str, metric: str, rows: Sequence[Mapping[str, Any]]) -> Figure:
    label, unit = TAKES[name]
    on, off = ([row for row in rows if row["is_on_frontier"] is is_on] for is_on in (True, False))
    kinds: tuple[tuple[str, list[Mapping[str, Any]], Role], ...] = (
        ("On the frontier", on, "frontier"), ("Dominated", off, "dominated"),
    )  # fmt: skip
    series = tuple(
        Series(
            title, tuple(row[name].mid for row in some), tuple(row["quality"] for row in some),
            names=short_names([row["model"] for row in some]), x_low=tuple(row[name].low for row in some),
            x_high=tuple(row[name].high for row in some), role=role,
        )
        for title, some, role in kinds if some
    )  # fmt: skip
    alt = f"{listed([row['model'] for row in on])} on the frontier, {len(off)} dominated."
    return Figure("scatter", f"{metric} against {label.lower()}", "1", series, alt, y_label=metric, x_label=label,
                  x_unit=unit, is_log_x=True)  # fmt: skip


def _sentence(parts: Sequence[View], rows: Sequence[Mapping[str, Any]]) -> str:
    if parts:
        return parts[0].sentence
    return "None of these models has an idealized runtime." if rows else ""


def _notes(found: Sequence[Compared], metrics: Sequence[str], chosen: str, is_by_text: bool) -> list[str]:
    others = [name for name in metrics if name != chosen]
    notes = [f"Other metrics: {listed(others)}."] if others else []
    if found and not is_by_text:
        notes.append(
            "By the same number of tokens, for nobody measured the characters per token of all of them: models with "
            "coarser tokens look slower than they are."
        )
    notes += [f"{each.model} is left out: {each.why_no_idealized}." for each in found if each.why_no_idealized]
    return [*notes, *unequal(each.of_mix for each in found)]


_SQL = """
    with one_model as (
        select run_id, min(coalesce(provider || '/', '') || model) as model
        from api_call where run_id is not null and model is not null
        group by run_id having count(distinct (provider, model)) = 1
    )
    select m.model, q.metric, avg(q.value) as value
    from quality q join one_model m using (run_id)
    where q.at_utc >= ? and q.at_utc < ?
    group by 1, 2 order by 1, 2
"""
