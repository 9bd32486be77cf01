"""What priced calls used of the energy of a server of one's own, where its sensors were read.

runs of `joulebook serve-meter` ─> energy of each call (accounting/served.py), carbon by the run's factors ─> a row
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pyarrow as pa

from joulebook.accounting.ledger import Ledger
from joulebook.accounting.ledger.nodes import parts
from joulebook.accounting.records import METHODS
from joulebook.accounting.served import Ends, Open, Piece, shared
from joulebook.accounting.spans import energy_pieces
from joulebook.reports.views.common import assess_period, aware, period_of
from joulebook.reports.views.runs import RUNS_SQL

MEASURED = METHODS.index("attributed")  # what is weaker is a model of an energy, and no column of a bill
J_PER_KWH = 3.6e6
_RUNS_SQL = """
    select distinct w.span_id::varchar as run_id, w.started_at_utc, w.seen_until_utc
    from api_call c join work w on w.span_id = c.run_id
    where c.source = 'server' and c.counted and c.cost_usd is not null and {asked} order by run_id
"""
_CALLS_SQL = """
    select c.call_no, coalesce(c.input_tokens, 0) + coalesce(c.output_tokens, 0) as tokens, c.duration_s,
           epoch_us(c.started_at_utc - w.started_at_utc) / 1e6 as from_s
    from api_call c join work w on w.span_id = c.run_id
    where c.source = 'server' and c.run_id = ?::uuid and c.duration_s is not null order by c.call_no
"""
_SCHEMA = pa.schema([("call_no", pa.int64()), ("energy_kwh", pa.float64()), ("gco2e", pa.float64())])


def energies(ledger: Ledger, asked: str, params: Sequence[Any]) -> pa.Table:
    """`call_no, energy_kwh, gco2e` of calls that meet a condition on `api_call c`; only of those that were measured."""
    runs = ledger.rows(_RUNS_SQL.format(asked=asked), params)
    return pa.Table.from_pylist([row for run in runs for row in _of_run(ledger, run)], _SCHEMA)


def _of_run(ledger: Ledger, run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    run_id, end = run["run_id"], run["seen_until_utc"] + timedelta(seconds=1)
    assess = assess_period(ledger, period_of(aware(run["started_at_utc"]), aware(end)))
    (facts,) = assess.rows(f"{RUNS_SQL} and w.span_id = ?::uuid", (run_id,))
    if facts["method_rank"] is None or facts["method_rank"] > MEASURED or not facts["it_energy_j_mid"]:
        return
    g_per_j = facts["carbon_g_mid"] / facts["it_energy_j_mid"]
    found = energy_pieces(assess, run_id, parts(ledger, [run_id]).used)
    pieces = [Piece(one["from_s"], one["to_s"], Ends(one["low"], one["mid"], one["high"])) for one in found]
    calls = ledger.rows(_CALLS_SQL, (run_id,))
    opened = [Open(call["from_s"], call["from_s"] + call["duration_s"], call["tokens"] or None) for call in calls]
    for call, energy_j in zip(calls, shared(pieces, opened).calls, strict=True):
        if call["tokens"]:
            yield {"call_no": call["call_no"], "energy_kwh": energy_j.mid / J_PER_KWH, "gco2e": energy_j.mid * g_per_j}
