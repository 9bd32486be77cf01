"""A claim: what a use of AI avoids elsewhere, against a written reference, and what that rests on.

    FILE.toml ──read──▶ plain table ──parse──▶ Claim        the same parse for what the claims journal holds

A claim says the facts only. Its class is worked out by rule (`classes`), its size from the ledger and today's factors
(`assessed`), both again each time somebody asks. `TEMPLATE` explains every field.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

from joulebook.accounting import given
from joulebook.accounting.errors import InputError
from joulebook.accounting.returns import fields
from joulebook.accounting.returns.fields import ANY, SHARE, Table
from joulebook.accounting.site import Range

UNITS = {"gwp_g": "g", "primary_energy_j": "J", "adpe_kgsb": "kgSb", "water_l": "L"}
CRITERIA = tuple(UNITS)
METHODS = ("ab", "before-after", "model")
FACTORS = ("average", "marginal")
RUN = "run"  # what a pair, or a count of units, is per where it is per run

_KEYS = {
    "": ("id", "use_case", "effect", "function", "unit", "from", "until", "author", "withdrawn", "reference", "benefit",
         "pair", "rebound", "attribution", "persistence", "evidence", "money", "review"),
    "reference": ("scenario", "why", "data_vintage"),
    "benefit": ("units", "units_counted", *CRITERIA, "electricity_kwh", "region", "factors", "factor_source",
                "marginal_intensity_g_per_kwh"),
    "pair": ("reference", "solution", "per"),
    "rebound": ("fraction", "source"),
    "attribution": ("share", "key", "co_contributors"),
    "persistence": ("share", "by_year", "why"),
    "evidence": ("method", "documents"),
    "money": ("value_usd", "cost_usd", "source"),
    "review": ("reviewer", "date", "of"),
}  # fmt: skip
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Benefit:
    """The gross second-order effect of one unit: reference minus solution, without the AI. May be negative."""

    units: Range | None  # in the whole timeframe
    counted: str  # else: which usage of the use case's runs counts them
    per_unit: Mapping[str, Range]  # by criterion, already in g, J, kgSb, L
    electricity_kwh: Range | None  # at the meter, assessed on the grid of `region`
    region: str  # empty: the site's
    factors: str
    factor_source: str
    marginal_g_per_kwh: Range | None


@dataclass(frozen=True)
class Pair:
    """Runs of the ledger that did the same with and without."""

    reference: tuple[str, ...]
    solution: tuple[str, ...]
    per: str  # a kind of usage that both recorded, or `run`


@dataclass(frozen=True)
class Share:
    """A fraction with what it rests on; None where nobody assessed it."""

    value: Range | None
    why: str
    by_year: Mapping[int, Range]

    def of(self, year: int) -> Range | None:
        """That of a year: of the last year before it that is told, else the one for all years."""
        told = [self.by_year[known] for known in sorted(self.by_year) if known <= year]
        return told[-1] if told else self.value


@dataclass(frozen=True)
class Review:
    """Who looked at it, when, and at which content."""

    reviewer: str
    day: date
    of: str


@dataclass(frozen=True)
class Money:
    """What it was worth and what it cost in the whole timeframe."""

    value_usd: float | None
    cost_usd: float | None
    source: str


@dataclass(frozen=True)
class Claim:
    """One version of a claim."""

    id: str
    use_case: str
    effect: str
    function: str
    unit: str
    start: date
    end: date
    author: str
    withdrawn: str
    scenario: str
    why: str
    data_vintage: str
    benefit: Benefit
    pair: Pair | None
    rebound: Share
    attribution: Range
    attribution_key: str
    co_contributors: Mapping[str, float]
    persistence: Share
    method: str
    documents: tuple[str, ...]
    money: Money
    review: Review | None
    content_hash: str


def read(path: Path) -> Table:
    """A claim's file as a plain table. Raises InputError naming the file and what is wrong with it."""
    text = given.read(path)
    try:
        plain: Table = _plain(given.toml(text))
        parse(plain)
    except InputError as error:
        raise InputError(f"{path}: {error}; nothing was added") from error
    return plain


def _plain(value: Any) -> Any:
    """What JSON can keep: days as text."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(part) for part in cast("list[Any]", value)]
    return value.isoformat() if isinstance(value, date | datetime) else value


def content_hash(plain: Table) -> str:
    """What a reviewer signs: a hash of all that a claim says, but for the review itself."""
    said = {key: value for key, value in plain.items() if key != "review"}
    written = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def parse(plain: Table) -> Claim:
    """A claim from its table. Raises InputError naming the field that is wrong."""
    given.only("a claim", plain, _KEYS[""])
    parts = {name: fields.table(plain, name, known) for name, known in _KEYS.items() if name}
    texts = {key: fields.needed(key, plain.get(key)) for key in ("id", "use_case", "function", "unit")}
    if not _ID.fullmatch(texts["id"]):
        raise InputError(f"id must be letters, digits, dots and hyphens, at most 80, not {texts['id']!r}")
    start, end = (fields.day(key, plain.get(key)) for key in ("from", "until"))
    if start >= end:
        raise InputError(f"from {start} is not before until {end}")
    attribution, evidence, reference = parts["attribution"], parts["evidence"], parts["reference"]
    claim = Claim(
        **texts, effect=fields.text("effect", plain.get("effect")) or texts["use_case"], start=start, end=end,
        author=fields.text("author", plain.get("author")), withdrawn=fields.text("withdrawn", plain.get("withdrawn")),
        scenario=fields.text("[reference] scenario", reference.get("scenario")),
        why=fields.text("[reference] why", reference.get("why")),
        data_vintage=fields.text("[reference] data_vintage", reference.get("data_vintage")),
        benefit=_benefit(parts["benefit"], has_pair="pair" in plain), pair=_pair(parts["pair"]),
        rebound=_share("[rebound] fraction", parts["rebound"], "fraction", "source", fields.FROM_0),
        attribution=_attribution(attribution), attribution_key=fields.text("[attribution] key", attribution.get("key")),
        co_contributors=_co_contributors(attribution),
        persistence=_share("[persistence] share", parts["persistence"], "share", "why", SHARE),
        method=fields.choice("[evidence] method", evidence.get("method"), ("", *METHODS)),
        documents=fields.texts("[evidence] documents", evidence.get("documents")),
        money=_money(parts["money"]), review=_review(parts["review"]), content_hash=content_hash(plain),
    )  # fmt: skip
    check_shares([claim])
    return claim


def _benefit(told: Table, *, has_pair: bool) -> Benefit:
    per_unit = {name: span for name in CRITERIA if (span := fields.span(f"[benefit] {name}", told.get(name), ANY))}
    electricity = fields.span("[benefit] electricity_kwh", told.get("electricity_kwh"), ANY)
    units = fields.span("[benefit] units", told.get("units"))
    counted = fields.text("[benefit] units_counted", told.get("units_counted"))
    if not has_pair and not per_unit and electricity is None:
        raise InputError(f"[benefit] names no amount: give one of {', '.join(CRITERIA)}, electricity_kwh, or a [pair]")
    if bool(units) == bool(counted) and not (has_pair and not units):
        raise InputError(
            "[benefit] needs either units, how many in the timeframe, or units_counted, what runs recorded"
        )
    factors = fields.choice("[benefit] factors", told.get("factors", "average"), FACTORS)
    marginal = fields.span("[benefit] marginal_intensity_g_per_kwh", told.get("marginal_intensity_g_per_kwh"))
    if (factors == "marginal") != (marginal is not None) and (electricity or has_pair):
        raise InputError('[benefit] factors = "marginal" and marginal_intensity_g_per_kwh go together')
    source = fields.text("[benefit] factor_source", told.get("factor_source"))
    if marginal and not source:
        raise InputError("[benefit] factor_source is missing: who says what the marginal intensity is")
    region = fields.text("[benefit] region", told.get("region"))
    return Benefit(units, counted, per_unit, electricity, region, factors, source, marginal)


def _pair(told: Table) -> Pair | None:
    if not told:
        return None
    reference, solution = (fields.texts(f"[pair] {side}", told.get(side)) for side in ("reference", "solution"))
    if not reference or not solution:
        raise InputError('[pair] needs the ids of runs on both sides: reference = ["…"], solution = ["…"]')
    return Pair(reference, solution, fields.text("[pair] per", told.get("per")) or RUN)


def _share(where: str, told: Table, key: str, why: str, bounds: tuple[float, float]) -> Share:
    years = fields.table(told, "by_year")
    by_year: dict[int, Range] = {}
    for year, value in years.items():
        if not re.fullmatch(r"\d{4}", year):
            raise InputError(f"{where}: by_year names a year as 2026, not {year!r}")
        by_year[int(year)] = fields.span(f"{where} of {year}", value, bounds) or (0.0, 0.0, 0.0)
    return Share(fields.span(where, told.get(key), bounds), fields.text(f"{where}: {why}", told.get(why)), by_year)


def _attribution(told: Table) -> Range:
    share = fields.span("[attribution] share", told.get("share"), SHARE)
    if share is None:
        raise InputError("[attribution] share is missing: your part of the effect, from 0 to 1")
    return share


def _co_contributors(told: Table) -> dict[str, float]:
    others = fields.table(told, "co_contributors")
    return {name: fields.number(f"[attribution] co_contributors.{name}", part, SHARE) for name, part in others.items()}


def _money(told: Table) -> Money:
    value, cost = (
        fields.number(f"[money] {key}", told[key]) if key in told else None for key in ("value_usd", "cost_usd")
    )
    return Money(value, cost, fields.text("[money] source", told.get("source")))


def _review(told: Table) -> Review | None:
    if not told:
        return None
    reviewer, of = (fields.needed(f"[review] {key}", told.get(key)) for key in ("reviewer", "of"))
    return Review(reviewer, fields.day("[review] date", told.get("date")), of)


def check_shares(claims: list[Claim]) -> None:
    """Nobody counts an effect twice: the shares of all who claim it at one time are 1 at the most, in every draw.

    They are the most on the day on which one of them begins. Raises InputError naming the effect and the claims.
    """
    for claim in claims:
        same = [each for each in claims if each.effect == claim.effect and each.start <= claim.start < each.end]
        others: dict[str, float] = {}
        for one in same:
            others |= {name: max(part, others.get(name, 0.0)) for name, part in one.co_contributors.items()}
        total = sum(one.attribution[2] for one in same) + sum(others.values())
        if total > 1 + 1e-9:
            names = ", ".join(f"{one.id} {one.attribution[2]:g}" for one in same)
            rest = "".join(f", {name} {part:g}" for name, part in others.items())
            raise InputError(
                f"the shares of the effect {claim.effect!r} come to {total:g}, more than all of it ({names}{rest}): it "
                "would be counted twice"
            )


TEMPLATE = """\
# A claim: what a use of AI avoids elsewhere. Give it to: joulebook claim add FILE.toml
# A number may be [low, mid, high] wherever it is not known to the digit. The same id again is its next version.
id = "support-2026"
use_case = "support"                  # a project of the ledger, or the tag use_case= of its runs
effect = "support mails read by hand" # what is avoided; all who claim one effect share it (else: the use case)
function = "a support mail is answered"  # what reference and solution both do
unit = "mail"
from = 2026-01-01
until = 2027-01-01                    # the first day on which it is over
author = "A. Writer"

[reference]                           # what would be done without the AI, with the same function and boundary
scenario = "Mails are read and sorted by hand on office computers."
why = "That is how it was done until December 2025."
data_vintage = "2025"

[benefit]                             # of one unit: reference minus solution, without the AI; below 0 where it harms
units = 12000                         # in from – until; or units_counted = "mail": what its runs recorded
electricity_kwh = [0.004, 0.006, 0.009]  # at the meter, on the ledger's own grid; region = "DE" for another one
# gwp_g = 3.0                         # or in amounts: gwp_g, water_l, primary_energy_j, adpe_kgsb
factors = "average"                   # or "marginal", with marginal_intensity_g_per_kwh and factor_source

# [pair]                              # or measured: runs of the ledger that did the same without and with
# reference = ["019a…"]
# solution = ["019b…"]
# per = "mail"                        # what both recorded; left out: per run

[rebound]                             # the part that comes back as more activity; nobody assessed it: 0 to 1
fraction = [0.0, 0.1, 0.3]
source = "Time saved was used for 10 % more mails, ticket system 2026"

[attribution]                         # your part of the effect; with co-contributors, and all claims on it, at most 1
share = 0.8
key = "by cost of the measures"
co_contributors = {"new ticket system" = 0.2}

[persistence]                         # the part that would not have happened anyway; nobody assessed it: 0 to 1
share = [0.8, 0.9, 1.0]
why = "No other automation was planned before 2028"
# by_year = {2026 = 1.0, 2027 = 0.7}  # instead of share, or after it

[evidence]
method = "before-after"               # ab (with a control), before-after, model
documents = ["Meter readings of 2025 and 2026, controlling, file 17"]

# [money]                             # for the companions in money only
# value_usd = 100000
# cost_usd = 60000
# source = "Business case of March 2026"

# [review]                            # signs the content: `joulebook claim check` prints its hash
# reviewer = "B. Reader"
# date = 2026-11-20
# of = "0123456789abcdef"
"""
