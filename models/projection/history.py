"""The portfolio of the ledger itself: what was asked and run in the last year, by project, model and kind of use.

    calls of APIs ──▶ a use case for each project, provider and model: requests, tokens, price
    runs          ──▶ a use case for each project and name: J per run, or per call where the run is a server

What is on record is taken for as long as it covers (a day at least) and carried to a year of 365 days. Calls that were
refused are no requests. Tokens are the mean of the calls that told them; where none did, they are the study's. The kind
of use is that of the tag `workload`; without one calls are `chat` and runs `job`. What is only assumed is a default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from joulebook.accounting.assess import ENDS, assessor, estimate_of
from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.site import Site, load_site
from joulebook.models.footprint import place_for
from joulebook.models.projection.portfolio import KINDS, Portfolio, Price, UseCase, defaults_of

DAYS = 365
LOOKED_BACK = timedelta(days=DAYS)
NAME = "the ledger"
TOKENS = ("input_tokens", "output_tokens")

_WORKLOAD = "json_extract_string({tags}, '$.workload')"
_OF_CALL = _WORKLOAD.format(tags="coalesce(c.tags, s.tags)")
_CALLS_SQL = f"""
    with line as (
        select call_no, sum(amount * usd_per_unit) filter (not contains(unit, 'output')) as input_usd,
               sum(amount * usd_per_unit) filter (contains(unit, 'output')) as output_usd
        from call_line group by call_no
    )
    select c.of_project as project, c.provider, c.model, {_OF_CALL} as workload,
           count(distinct c.call_id) as requests, min(c.started_at_utc) as first_at,
           avg(c.input_tokens) as input_tokens, avg(c.output_tokens) as output_tokens,
           bool_and(c.cost_usd is not null) as is_priced,
           sum(coalesce(l.input_usd, 0)) as input_usd, sum(coalesce(l.output_usd, 0)) as output_usd
    from api_call c left join span s on s.span_id = c.span_id left join line l on l.call_no = c.call_no
    where c.counted and c.source <> 'server' and c.started_at_utc >= ? and c.model is not null
          and c.basis is distinct from 'not billed'
    group by all order by requests desc, 1, 2, 3, 4
"""
_ENERGY = ", ".join(f"sum(it_energy_j_{end}) as it_energy_j_{end}" for end in ENDS)
_RUNS_SQL = f"""
    , served as (
        select run_id, count(distinct call_id) as calls, sum(input_tokens) as input_tokens,
               sum(output_tokens) as output_tokens, count(input_tokens) as told_input,
               count(output_tokens) as told_output
        from api_call where counted and source = 'server' group by run_id
    ), used as (
        select run_id, max(method_rank) as method_rank, {_ENERGY}, min(at_utc) as first_at
        from assessed where at_utc >= ? group by run_id
    )
    select coalesce(w.project, '(no project)') as project, w.name, {_WORKLOAD.format(tags="w.tags")} as workload,
           coalesce(sum(v.calls), 0) as calls, count(*) as runs, min(u.first_at) as first_at,
           sum(v.input_tokens) / nullif(sum(v.told_input), 0) as input_tokens,
           sum(v.output_tokens) / nullif(sum(v.told_output), 0) as output_tokens,
           max(u.method_rank) as method_rank, {_ENERGY}
    from used u join work w on w.span_id = u.run_id left join served v on v.run_id = u.run_id
    group by all order by it_energy_j_mid desc nulls last, 1, 2
"""


def has_history(ledger: Ledger) -> bool:
    return bool(ledger.rows("select 1 as one from api_call union all select 1 from work limit 1"))


def of_the_ledger(ledger: Ledger, now: datetime | None = None) -> Portfolio:
    """What the last year has on record, as use cases of this year. Raises InputError where it has nothing."""
    until, site = now or datetime.now(UTC), load_site(ledger.home)
    since = until - LOOKED_BACK
    calls = ledger.rows(_CALLS_SQL, (since.replace(tzinfo=None),))
    runs = assessor(ledger, since, until).rows(_RUNS_SQL, (since.replace(tzinfo=None),))
    first = min((row["first_at"] for row in (*calls, *runs)), default=None)
    if first is None:
        raise InputError(
            "the ledger has no call and no energy of the last year: record some, or give --portfolio FILE, or "
            "--portfolio paper for the use cases of the study"
        )
    days = max(1.0, (until.replace(tzinfo=None) - first) / timedelta(days=1))
    use_cases = (*_of_calls(calls, days, site), *_of_runs(runs, days, site))
    note = f"{days:,.1f} days on record are carried to {DAYS}: as much is taken to go on all year."
    return Portfolio(NAME, tuple(use_cases), until.year, (note,))


def _of_calls(rows: list[dict[str, Any]], days: float, site: Site) -> Iterator[UseCase]:
    for row in rows:
        region, marks = _region(row["provider"], site)
        kind, guessed = _kind(row, "chat")
        tokens, assumed = _tokens(row, kind)
        name = " · ".join(filter(None, (row["project"], row["provider"], row["model"])))
        yield UseCase(
            name, kind, 1.0, 1.0, row["requests"] / days, DAYS, {}, {region: 1.0}, *tokens, provider=row["provider"],
            model=row["model"], price=_price(row), defaults=(*guessed, *assumed, *marks),
        )  # fmt: skip


def _of_runs(rows: list[dict[str, Any]], days: float, site: Site) -> Iterator[UseCase]:
    for row in rows:
        served = int(row["calls"])
        count = served or row["runs"]
        kind, guessed = _kind(row, "chat" if served else "job")
        tokens, assumed = _tokens(row, kind)
        energy = estimate_of(row, "it_energy_j").scaled(1 / count, "J")
        yield UseCase(
            f"{row['project']} · {row['name']}", kind, 1.0, 1.0, count / days, DAYS, {}, {site.region: 1.0},
            *tokens, energy_j=energy, defaults=(*guessed, *assumed),
        )  # fmt: skip


def _kind(row: Mapping[str, Any], otherwise: str) -> tuple[str, tuple[str, ...]]:
    told = (row["workload"] or "").lower()
    return (told, ()) if told in KINDS else (otherwise, ("kind",))


def _tokens(row: Mapping[str, Any], kind: str) -> tuple[tuple[float, float], tuple[str, ...]]:
    """Of a request, in and out; those of the study, marked, where no call told them."""
    typical = defaults_of(kind)
    into, out = (typical[name] if row[name] is None else row[name] for name in TOKENS)
    return (into, out), tuple(name for name in TOKENS if row[name] is None and typical[name])


def _price(row: Mapping[str, Any]) -> Price | None:
    if not row["is_priced"]:
        return None
    return Price(row["input_usd"] / row["requests"], row["output_usd"] / row["requests"], "prices at ingest")


def _region(provider: str | None, site: Site) -> tuple[str, tuple[str, ...]]:
    """Where a provider is believed to be; else this site, else the world, marked."""
    try:
        return place_for(provider, None, site).region, ()
    except InputError:
        return site.region, ("regions",)
