"""How long calls of model APIs took: to the first token, between tokens, end to end; by provider and model.

Only attempts that were answered whole count. A quantile needs at least one call beyond it: two for the median, 20 for
p95, 100 for p99; where there are fewer it is None, and `missing` says so. Keys are for other programs, in SI units:

    first_token_s_…      from the request to the first piece of the answer, of streams
    per_token_s_…        (duration − first token) ÷ (output tokens − 1), of streams
    gap_s_p50, …         the time between two pieces: the median over calls of each call's own p50 and p95, the longest
    duration_s_…         from the request to the last byte
    output_tokens_per_s  of the whole duration, as far as the provider reported the tokens
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from joulebook.accounting.ledger import Ledger
from joulebook.reports.view import Column, View
from joulebook.reports.views.api_sums import in_period
from joulebook.reports.views.common import Period, capital, of_project, plural

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# quantity -> its value for one attempt
_VALUES = {
    "first_token_s": "first_token_s",
    "per_token_s": """case when is_stream and is_reported and output_tokens > 1 and duration_s >= first_token_s
                           then (duration_s - first_token_s) / (output_tokens - 1) end""",
    "duration_s": "duration_s",
    "output_tokens_per_s": "case when is_reported and duration_s > 0 then output_tokens / duration_s end",
}


def _quantiles(quantity: str, label: str, names: tuple[str, ...] = tuple(QUANTILES)) -> tuple[Column, ...]:
    return tuple(Column(f"{quantity}_{name}", f"{label}, {name}", "duration", "s") for name in names)


_STREAMS = (
    Column("model", "Model"),
    Column("first_token_s_n", "Streams", "number"),
    *_quantiles("first_token_s", "First token"),
    *_quantiles("per_token_s", "Per token"),
)
_GAPS = (
    Column("model", "Model"),
    Column("gap_s_n", "Streams", "number"),
    *_quantiles("gap_s", "Gap", ("p50", "p95", "max")),
)
_END_TO_END = (
    Column("model", "Model"),
    Column("answer", "Answer"),
    Column("duration_s_n", "Calls", "number"),
    *_quantiles("duration_s", "Duration"),
    Column("output_tokens_per_s_p50", "Output tokens/s, p50", "number"),
)
# A table: its key, title, what its numbers mean, its columns. A row without the first count is not in it.
_TABLES = (
    ("latency_streams", "Latency of streams",
     "First token: since the request. Per token: (duration − first token) ÷ (output tokens − 1).", _STREAMS),
    ("latency_gaps", "Time between two pieces of a stream",
     "Each call has a p50 and a p95 of its own; here are their medians over calls, and the longest of all.", _GAPS),
    ("latency_end_to_end", "Latency end to end", "From the request to the last byte of the answer.", _END_TO_END),
)  # fmt: skip


def least_calls(quantile: float) -> int:
    """How many values a quantile needs, so that at least one lies beyond it."""
    return round(1 / (1 - quantile))


def latency(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """How long the calls of a period took, by provider, model, and whether they were streams."""
    asked = in_period(period, project)
    found = ledger.rows(_SQL.replace("$asked", asked.condition), asked.params)
    rows = tuple(map(_row, found))
    return View(
        key="latency",
        title="Latency of API calls",
        subtitle=capital(period.label),
        sentence=f"{plural(sum(row['calls'] for row in rows), 'call')} answered whole." if rows else "",
        rows=rows,
        parts=tuple(part for table in _TABLES if (part := _table(rows, *table)).rows),
        empty=f"No call of a model API{of_project(project)} with its times is on record for {period.label}.",
    )


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {key: found[key] for key in ("provider", "model", "is_stream", "calls")}
    missing: dict[str, str] = {}
    for quantity in _VALUES:
        count = row[f"{quantity}_n"] = found[f"{quantity}_n"]
        for place, (name, quantile) in enumerate(QUANTILES.items()):
            enough = count >= least_calls(quantile)
            row[f"{quantity}_{name}"] = found[quantity][place] if enough else None
            if not enough:
                missing[f"{quantity}_{name}"] = f"needs {least_calls(quantile)} calls, there are {count}"
    gaps = {key: found[key] for key in ("gap_s_n", "gap_s_p50", "gap_s_p95", "gap_s_max")}
    return {**row, **gaps, "missing": missing}


def _table(rows: Sequence[dict[str, Any]], key: str, title: str, meaning: str, columns: tuple[Column, ...]) -> View:
    counted = next(column.key for column in columns if column.key.endswith("_n"))
    shown = tuple(row | {"answer": "stream" if row["is_stream"] else "whole"} for row in rows if row[counted])
    return View(key, title, meaning, columns=columns, rows=shown, notes=_few(shown, columns))


def _few(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> tuple[str, ...]:
    is_missing = any(column.key in row["missing"] for row in rows for column in columns)
    return (f"– where there are too few calls: {_needs()}.",) if is_missing else ()


def _needs() -> str:
    return ", ".join(f"{name} needs {least_calls(quantile)}" for name, quantile in QUANTILES.items())


_QUANTILES_SQL = ", ".join(
    f"""quantile_cont({value}, [{", ".join(map(str, QUANTILES.values()))}]) as {name},
        count({value}) as {name}_n"""
    for name, value in _VALUES.items()
)
_SQL = f"""
    select provider, model, coalesce(is_stream, false) as is_stream, count(*) as calls, {_QUANTILES_SQL},
           count(gap_p50_s) as gap_s_n, quantile_cont(gap_p50_s, 0.5) as gap_s_p50,
           quantile_cont(gap_p95_s, 0.5) as gap_s_p95, max(gap_max_s) as gap_s_max
    from (select c.*, c.usage_method in ('measured', 'declared') as is_reported from api_call c
          where $asked and coalesce(c.outcome, 'ok') = 'ok' and c.duration_s is not null)
    group by 1, 2, 3 order by calls desc, 1, 2, 3
"""
