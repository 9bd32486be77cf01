"""What the calls to a local inference server used of its energy. How it is shared: joulebook.accounting.served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from joulebook.accounting.assess import Assessor
from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.served import Ends, Open, Piece, Shares, shared
from joulebook.accounting.spans import energy_pieces
from joulebook.reports.view import Column, View
from joulebook.reports.views.common import aware

if TYPE_CHECKING:
    import pyarrow as pa

MOST_CALLS = 200
NO_TOKENS = "nobody knows its tokens"

_CALLS_SQL = """
    select c.call_id::varchar as call_id, c.started_at_utc, c.model, c.input_tokens, c.output_tokens, c.usage_method,
           c.duration_s, c.first_token_s, epoch_us(c.started_at_utc - w.started_at_utc) / 1e6 as from_s
    from api_call c join work w on w.span_id = c.run_id
    where c.source = 'server' and c.run_id = ?::uuid and c.duration_s is not null order by c.started_at_utc, c.call_no
"""
_SUMS = (
    Column("label", ""),
    Column("calls", "Calls", "number"),
    Column("input_tokens", "Tokens in", "number"),
    Column("output_tokens", "Tokens out", "number"),
    Column("energy_j", "IT energy", "estimate", "J"),
    Column("energy_per_token_j", "Per token, in and out", "estimate", "J/token"),
    Column("method", "Method", "state"),
)
_CALLS = (
    Column("started_at", "Started, UTC", "time"),
    Column("model", "Model"),
    Column("input_tokens", "Tokens in", "number"),
    Column("output_tokens", "Tokens out", "number"),
    Column("duration_s", "Open", "duration", "s"),
    Column("energy_j", "IT energy", "estimate", "J"),
    Column("energy_per_token_j", "Per token, in and out", "estimate", "J/token"),
    Column("method", "Method", "state"),
    Column("call_id", "Call", "id"),
)


def served(assess: Assessor, run_id: str, used: pa.Table, method: str) -> tuple[View, View]:
    """The energy of a run with a meter before it: its sums, and the calls that used most. Both without rows elsewhere.

    `used`: what `nodes.parts` says of the run; `method`: how its energy is known.
    """
    calls = assess.ledger.rows(_CALLS_SQL, (run_id,))
    pieces = energy_pieces(assess, run_id, used) if calls else []
    shares = shared([_piece(row) for row in pieces], [_open(call) for call in calls])
    told = zip(calls, shares.calls, strict=True)
    rows: list[dict[str, Any]] = [{**_call_row(call, ends), "rests_on": method} for call, ends in told]
    largest = sorted(rows, key=lambda row: -(row["energy_j"].mid or 0.0))[:MOST_CALLS]
    return (
        View(
            "served", "Calls that were served", columns=_SUMS,
            rows=_sums(calls, shares, method) if pieces else (), notes=(_note(method),),
        ),
        View(
            "served_calls", _title(calls), columns=_CALLS,
            rows=tuple(largest) if pieces else (), width="full",
        ),
    )  # fmt: skip


def _title(calls: Sequence[Any]) -> str:
    return "Calls, by energy" if len(calls) <= MOST_CALLS else f"The {MOST_CALLS} calls that used most"


def _note(method: str) -> str:
    return (
        f"The energy of this run is {method}. At every instant it belongs to the calls that are open, by their tokens "
        "(in and out alike) per second; a call's range is from what was used while it alone was open to all that was "
        "used while it was."
    )


def _piece(row: Mapping[str, Any]) -> Piece:
    return Piece(row["from_s"], row["to_s"], Ends(row["low"], row["mid"], row["high"]))


def _open(call: Mapping[str, Any]) -> Open:
    return Open(call["from_s"], call["from_s"] + call["duration_s"], _tokens(call))


def _tokens(call: Mapping[str, Any]) -> float | None:
    known = [call[name] for name in ("input_tokens", "output_tokens") if call[name] is not None]
    return sum(known) if known else None


def _sums(calls: Sequence[Mapping[str, Any]], shares: Shares, method: str) -> tuple[dict[str, Any], ...]:
    """What was served, what was idle, and what went into calls of unknown tokens: together the run."""
    told = [call for call in calls if _tokens(call)]
    tokens = {name: sum(call[name] or 0.0 for call in told) for name in ("input_tokens", "output_tokens")}
    energy_j = Estimate(*shares.served, "J", method)
    rows = [
        {"what": "calls", "label": "Calls", "calls": len(told), **tokens, "energy_j": energy_j,
         "energy_per_token_j": _per_token(energy_j, sum(tokens.values()))},
        _other("idle", "Idle", 0, Estimate(*shares.idle, "J", method)),
    ]  # fmt: skip
    if len(told) < len(calls):
        others = Estimate(*shares.untold, "J", method)
        rows.append(_other("unknown", "Calls of unknown tokens alone", len(calls) - len(told), others))
    return tuple(row | {"method": method} for row in rows)


def _other(what: str, label: str, calls: int, energy_j: Estimate) -> dict[str, Any]:
    nothing = unknown("J/token", "no token was served")
    return {"what": what, "label": label, "calls": calls, "input_tokens": None, "output_tokens": None,
            "energy_j": energy_j, "energy_per_token_j": nothing}  # fmt: skip


def _call_row(call: Mapping[str, Any], ends: Ends) -> dict[str, Any]:
    tokens = _tokens(call)
    energy_j = Estimate(*ends, "J", "attributed") if tokens else unknown("J", NO_TOKENS)
    return {
        "call_id": call["call_id"],
        "started_at": aware(call["started_at_utc"]),
        "model": call["model"],
        "input_tokens": call["input_tokens"],
        "output_tokens": call["output_tokens"],
        "usage_method": call["usage_method"],
        "duration_s": call["duration_s"],
        "first_token_s": call["first_token_s"],
        "energy_j": energy_j,
        "energy_per_token_j": _per_token(energy_j, tokens),
        "method": energy_j.method,
    }


def _per_token(energy_j: Estimate, tokens: float | None) -> Estimate:
    return energy_j.scaled(1 / tokens, "J/token") if tokens else unknown("J/token", NO_TOKENS)
