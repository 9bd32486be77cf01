"""The class of a claim, by rule and never by hand.

supported     P5(N) > 0, evidence of tier 1 or 2, everything written down, reviewed by somebody else
plausible     P50(N) > 0, with a reference and evidence of any tier: for internal use only
unsupported   otherwise: it counts as 0, unless it harms

tier 1   a pair of runs in the ledger whose energy was measured
tier 2   such a pair whose energy is modelled from counters; or a documented comparison (`ab`, `before-after`)
tier 3   a model, or nothing that could be looked at
"""

from __future__ import annotations

from collections.abc import Iterator

from joulebook.accounting.records import METHODS
from joulebook.accounting.returns.claims import Claim

SUPPORTED, PLAUSIBLE, UNSUPPORTED = ("supported", "plausible", "unsupported")
MEASURED = ("measured", "integrated", "attributed")


def tier(claim: Claim, pair_method: str | None) -> int:
    """1, 2 or 3: of all that the benefit rests on, the weakest. `pair_method`: how the pair's energy is known."""
    tiers: list[int] = []
    if claim.pair:
        tiers.append(_tier_of_pair(pair_method))
    if claim.benefit.per_unit or claim.benefit.electricity_kwh:
        tiers.append(2 if claim.method in ("ab", "before-after") and claim.documents else 3)
    return max(tiers)


def _tier_of_pair(method: str | None) -> int:
    if method in MEASURED:
        return 1
    return 2 if method is not None and METHODS.index(method) <= METHODS.index("modelled") else 3


def missing_for_plausible(claim: Claim) -> tuple[str, ...]:
    """What the record lacks before its numbers are looked at."""
    return tuple(
        what
        for what, is_there in (
            ("a reference scenario: [reference] scenario", claim.scenario),
            ("evidence: [evidence] method, or a [pair] of runs", claim.pair or claim.method),
        )
        if not is_there
    )


def missing_for_supported(claim: Claim, evidence_tier: int) -> tuple[str, ...]:
    """What the record lacks besides, whatever its numbers say."""
    return (*missing_for_plausible(claim), *_lacking(claim, evidence_tier))


def _lacking(claim: Claim, evidence_tier: int) -> Iterator[str]:
    if evidence_tier > 2:
        yield f"evidence of tier 1 or 2 (it has {evidence_tier}): a pair of runs, or a documented ab or before-after"
    for what, is_there in (
        ("why that is the reference: [reference] why", claim.why),
        ("the vintage of the reference's data: [reference] data_vintage", claim.data_vintage),
        ("an assessed rebound with its source: [rebound]", _is_assessed(claim.rebound.value, claim.rebound.why)),
        ("an assessed persistence with its reason: [persistence]",
         _is_assessed(claim.persistence.value or claim.persistence.by_year, claim.persistence.why)),
        ("how the share was found: [attribution] key", claim.attribution_key),
    ):  # fmt: skip
        if not is_there:
            yield what
    yield from _lacking_review(claim)


def _is_assessed(value: object, why: str) -> bool:
    return bool(value) and bool(why)


def _lacking_review(claim: Claim) -> Iterator[str]:
    review = claim.review
    if not claim.author:
        yield "an author, who is not the reviewer"
    if review is None:
        yield f'a signed review: [review] reviewer, date, of = "{claim.content_hash}"'
    elif review.of != claim.content_hash:
        yield f'a review of what it says now: of = "{claim.content_hash}", not "{review.of}"'
    elif review.reviewer.casefold().split() == claim.author.casefold().split():
        yield "a reviewer who is not its author"
