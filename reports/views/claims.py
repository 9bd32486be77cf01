"""Claims: all of them with their class, and one with what it says, what it comes to and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from joulebook.accounting.ledger import Ledger
from joulebook.accounting.returns.claims import UNITS, Claim
from joulebook.accounting.returns.classes import UNSUPPORTED, missing_for_supported, tier
from joulebook.accounting.returns.judging import Judged
from joulebook.accounting.returns.portfolio import Portfolio
from joulebook.accounting.returns.record import Version, history, versions
from joulebook.accounting.site import Range
from joulebook.accounting.uncertainty import quantiles
from joulebook.reports.format import number
from joulebook.reports.view import Column, View
from joulebook.reports.views.common import period_of, plural
from joulebook.reports.views.return_on_environment import weigh
from joulebook.reports.views.roe_parts import LABELS, drawn

CLAIMS = (
    Column("claim_id", "Claim"),
    Column("version", "Version", "number"),
    Column("use_case", "Use case"),
    Column("effect", "Effect"),
    Column("from", "From"),
    Column("until", "Until"),
    Column("class", "Class", "state"),
    Column("tier", "Tier", "number"),
    Column("reviewer", "Reviewer"),
    Column("added_at", "Added, UTC", "time"),
)
BY_CRITERION = (
    Column("criterion", "Criterion"),
    Column("class", "Class", "state"),
    Column("benefit", "Attributed benefit", "estimate"),
    Column("net", "Net of the use case with it", "estimate"),
)
SAYS = (Column("what", ""), Column("says", ""))
VERSIONS = (Column("version", "Version", "number"), Column("added_at", "Added, UTC", "time"),
            Column("content_hash", "Content"), Column("line_hash", "Line"))  # fmt: skip


def claims(ledger: Ledger) -> View:
    """The last version of every claim, with the class that it has today."""
    recorded = versions(ledger.home)
    judged = {each.claim.id: each for each in weigh(ledger, period_of()).whole.claims} if recorded else {}
    last = {version.claim.id: version for version in recorded}
    rows = tuple(_row(last[name], judged.get(name)) for name in sorted(last))
    supported = sum(row["class"] == "supported" for row in rows)
    return View(
        "claims", "Claims", f"{plural(len(rows), 'claim')} on record, {supported} supported." if rows else "",
        columns=CLAIMS, rows=rows,
        empty="No claim is on record. Begin with: joulebook claim template > claim.toml",
    )  # fmt: skip


def _row(version: Version, judged: Judged | None) -> Mapping[str, Any]:
    claim = version.claim
    state = "withdrawn" if claim.withdrawn else judged.state if judged else UNSUPPORTED
    return {
        "claim_id": claim.id, "version": version.number, "use_case": claim.use_case, "effect": claim.effect,
        "from": claim.start.isoformat(), "until": claim.end.isoformat(), "class": state,
        "tier": judged.tier if judged else tier(claim, None),
        "reviewer": claim.review.reviewer if claim.review else None, "added_at": version.added_at,
    }  # fmt: skip


def claim(ledger: Ledger, claim_id: str, weighed: Portfolio | None = None) -> View:
    """One claim; `weighed`: all use cases of all time, if known already. Raises NotFound when it is not on record."""
    known = history(versions(ledger.home), claim_id)
    last = known[-1]
    weighed = weighed or weigh(ledger, period_of())
    judged = next((each for each in weighed.whole.claims if each.claim.id == claim_id), None)
    missing = tuple(missing_of(last, judged))
    row = {**_row(last, judged), "content_hash": last.claim.content_hash, "missing": missing,
           "classes": dict(judged.classes) if judged else {}}  # fmt: skip
    return View(
        "claim", f"Claim {claim_id}", _sentence(row), f"version {last.number} · {last.claim.function}",
        columns=CLAIMS, rows=(row,), parts=tuple(part for part in (
            _by_criterion(weighed, judged), _missing(missing), _says(last.claim), _pair(judged), _versions(known),
        ) if part.rows),
    )  # fmt: skip


def missing_of(version: Version, judged: Judged | None) -> Iterator[str]:
    """What the claim needs for the next class."""
    if version.claim.withdrawn:
        yield f"it was withdrawn: {version.claim.withdrawn}"
    elif judged:
        yield from judged.missing
    else:
        yield f"a run of the use case {version.claim.use_case!r} on record: without one nobody knows what it caused"
        yield from missing_for_supported(version.claim, tier(version.claim, None))


def _sentence(row: Mapping[str, Any]) -> str:
    left = f" For the next class: {plural(len(row['missing']), 'thing')} missing." if row["missing"] else ""
    return f"This claim is {row['class']}, evidence of tier {row['tier']}.{left}"


def _by_criterion(weighed: Portfolio, judged: Judged | None) -> View:
    rows = tuple(_criterion_rows(weighed, judged)) if judged else ()
    return View("by_criterion", "By criterion", columns=BY_CRITERION, rows=rows)


def _criterion_rows(weighed: Portfolio, judged: Judged) -> Iterator[Mapping[str, Any]]:
    caused = next(each.caused for each in weighed.use_cases if each.name == judged.claim.use_case)
    for criterion, state in judged.classes.items():
        benefit = judged.effect.total[criterion]
        net = drawn(criterion, quantiles(benefit - caused[criterion])) if criterion in caused else None
        yield {
            "criterion": LABELS[criterion],
            "class": state,
            "benefit": drawn(criterion, quantiles(benefit)),
            "net": net,
        }


def _missing(missing: tuple[str, ...]) -> View:
    rows = tuple({"what": text} for text in missing)
    return View("missing", "Missing for the next class", columns=(Column("what", ""),), rows=rows)


def _says(claim: Claim) -> View:
    counted = claim.benefit.counted or (claim.pair.per if claim.pair else "")
    units = (
        f"{_range(claim.benefit.units)} {claim.unit}" if claim.benefit.units else f"counted in the ledger: {counted}"
    )
    facts = {
        "Function": claim.function, "Unit": claim.unit, "Units": units,
        "Reference": claim.scenario, "Why that one": claim.why, "Vintage of its data": claim.data_vintage,
        **{f"{LABELS[name]} a unit, {UNITS[name]}": _range(values) for name, values in claim.benefit.per_unit.items()},
        "Electricity a unit, kWh": _range(claim.benefit.electricity_kwh),
        "Factors": f"{claim.benefit.factors}; {claim.benefit.factor_source}".rstrip("; "),
        "Rebound": f"{_range(claim.rebound.value) or 'not assessed: 0 to 1'}; {claim.rebound.why}".rstrip("; "),
        "Share": f"{_range(claim.attribution)}; {claim.attribution_key}".rstrip("; "),
        "Co-contributors": ", ".join(f"{name} {part:g}" for name, part in claim.co_contributors.items()),
        "Persistence": f"{_persistence(claim)}; {claim.persistence.why}".rstrip("; "),
        "Evidence": "; ".join(filter(None, (claim.method, *claim.documents))),
        "Author": claim.author,
        "Review": f"{claim.review.reviewer}, {claim.review.day}, of {claim.review.of}" if claim.review else "none",
    }  # fmt: skip
    rows = tuple({"what": what, "says": says} for what, says in facts.items() if says)
    return View("says", "What it says", columns=SAYS, rows=rows)


def _persistence(claim: Claim) -> str:
    years = ", ".join(f"{year}: {_range(values)}" for year, values in sorted(claim.persistence.by_year.items()))
    return ", ".join(filter(None, (_range(claim.persistence.value), years))) or "not assessed: 0 to 1"


def _range(values: Range | None) -> str:
    if values is None:
        return ""
    low, mid, high = (number(value) for value in values)
    return mid if low == high else f"{mid} ({low} to {high})"


def _pair(judged: Judged | None) -> View:
    """What a unit took on both sides, where the claim rests on runs of the ledger."""
    columns = (Column("side", "Side"), Column("runs", "Runs", "number"),
               Column("it_energy_j", "IT energy a unit", "estimate", "J"))  # fmt: skip
    plan = judged.effect.plan if judged else None
    sides = {"reference": plan.reference, "solution": plan.solution} if plan else {}
    rows = tuple({"side": side, "runs": of.runs, "it_energy_j": of.estimate} for side, of in sides.items() if of)
    return View("pair", "The measured pair", columns=columns, rows=rows)


def _versions(known: list[Version]) -> View:
    rows = tuple(
        {"version": each.number, "added_at": each.added_at, "content_hash": each.claim.content_hash,
         "line_hash": each.line_hash[:16]} for each in known
    )  # fmt: skip
    return View("versions", "Versions", columns=VERSIONS, rows=rows)
