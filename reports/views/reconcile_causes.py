"""What is different between the two sides of a day and a model, and what is most likely behind it.

    cell ─> verdict: matched · missing here · missing there · tokens differ · price differs
         └> the rules that fit, the most telling first: each names a cause and says in words what it goes by

A cause is a guess from sums. It says what to look at first, not what is proved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from joulebook.reports.format import count, money
from joulebook.reports.views.common import listed, plural
from joulebook.reports.views.reconcile_sides import KINDS, Cell, Named

TOLERANCE = 0.001  # of tokens and of money: what is nearer agrees
HALF_A_TOKEN = 0.5
MATCHED, TOKENS_DIFFER, PRICE_DIFFERS = "matched", "tokens differ", "price differs"
MISSING_HERE, MISSING_THERE = "missing here", "missing there"
TIERS = (("batch", {"processing": "batch"}), *((tier, {"service_tier": tier}) for tier in ("flex", "priority", "fast")))

Pricer = Callable[[Named, date, Mapping[str, float], Mapping[str, str]], "float | None"]


class Cause(NamedTuple):
    """What is likely behind a difference, and what that is guessed from."""

    name: str
    because: str


@dataclass(frozen=True)
class About:
    """What the rules need to know beside the cell."""

    last_day: date
    price: Pricer
    tells_reasoning: bool = True
    step_usd: float = 0.0  # the smallest amount that the export's money can tell
    shift_h: Mapping[tuple[Named, date], int] = field(default_factory=dict)  # days that agree if they begin so late


def verdict_of(cell: Cell, about: About) -> str:
    """How the two sides of a cell stand to each other."""
    if not cell.theirs.is_there:
        return MISSING_THERE
    if not (cell.ours.requests or cell.ours.tokens()):
        return MISSING_HERE
    if differing(cell, about):
        return TOKENS_DIFFER
    ours, theirs = cost_here(cell), cell.theirs.cost_usd
    is_near = ours is None or theirs is None or _agree(cell, ours, about)
    return MATCHED if is_near else PRICE_DIFFERS


def causes(cell: Cell, about: About) -> list[Cause]:
    """What is likely behind a difference, the most telling first; nothing where there is none to tell."""
    verdict = verdict_of(cell, about)
    rules = {MATCHED: OF_MATCHES, PRICE_DIFFERS: OF_PRICES}.get(verdict, OF_TOKENS)
    found = [cause for rule in rules for cause in rule(cell, about)]
    if found and found[0].name == "time zone":
        return found[:1]  # it leaves nothing to be explained
    if found or verdict == MATCHED:
        return found
    return [*_contract_price(cell, about)] or [Cause("unknown", f"nothing known here explains {_difference(cell)}")]


def _difference(cell: Cell) -> str:
    """What the provider has more or less."""
    tokens = cell.theirs.tokens() - cell.ours.tokens()
    if cell.theirs.units is not None and abs(tokens) > HALF_A_TOKEN:
        return f"{count(abs(tokens))} {'more' if tokens > 0 else 'fewer'} tokens there"
    usd = (cell.theirs.cost_usd or 0.0) - (cell.ours.cost_usd or 0.0)
    return f"{money(abs(usd))} {'more' if usd > 0 else 'less'} there"


def near(one: float, other: float, slack: float = 0.0) -> bool:
    return abs(one - other) <= TOLERANCE * max(abs(one), abs(other)) + slack


def differing(cell: Cell, about: About) -> dict[str, float]:
    """By kind of token: the provider's less ours, where both tell them and they are not near."""
    if cell.theirs.units is None:
        return {}
    kinds = [kind for kind in KINDS if kind != "reasoning" or about.tells_reasoning]
    pairs = {kind: (cell.theirs.tokens(kind), cell.ours.tokens(kind)) for kind in kinds}
    return {kind: theirs - ours for kind, (theirs, ours) in pairs.items() if not near(theirs, ours, HALF_A_TOKEN)}


def cost_here(cell: Cell) -> float | None:
    """What it costs by our prices; None where a part of it has none."""
    return None if cell.ours.unpriced else cell.ours.cost_usd


def _agree(cell: Cell, cost_usd: float, about: About) -> bool:
    """Whether a cost is the provider's, as far as its rounded statements tell."""
    slack = about.step_usd / 2 * cell.theirs.statements + 1e-9
    return cell.theirs.cost_usd is not None and near(cost_usd, cell.theirs.cost_usd, slack)


def _is_more_there(cell: Cell) -> bool:
    """Whether the provider tells more: of tokens, else of money."""
    if cell.theirs.units is not None:
        return cell.theirs.tokens() > cell.ours.tokens()
    return (cell.theirs.cost_usd or 0.0) > (cell.ours.cost_usd or 0.0)


# Rules: each yields its cause where it fits. -------------------------------------------------------------------------


def _not_in_export(cell: Cell, about: About) -> Iterator[Cause]:
    if cell.theirs.is_there:
        return
    if cell.key.day >= about.last_day:
        why = "it is the last day of the export, which may not be complete"
    else:
        why = "it may be of one project or key only"
    yield Cause("not in the export", f"the export has nothing of it: {why}")


def _time_zone(cell: Cell, about: About) -> Iterator[Cause]:
    shift_h = about.shift_h.get((cell.key.named, cell.key.day))
    if shift_h is not None:
        others = sum(named == cell.key.named for named, _ in about.shift_h) - 1
        begins = f"begins at {shift_h % 24:02d}:00 UTC"
        yield Cause("time zone", f"this day and {plural(others, 'other')} agree if the provider's day {begins}")


def _cache_split(cell: Cell, about: About) -> Iterator[Cause]:
    found = differing(cell, about)
    cached = found.get("cache_read") or found.get("cache_write")
    if cached and "input" not in found:
        what = "read from" if "cache_read" in found else "written to"
        told = f"{count(abs(cached))} {'more' if cached > 0 else 'fewer'} of its tokens are {what} the cache there"
        yield Cause("cache split", f"the input agrees, and {told}")


def _reasoning(cell: Cell, _: About) -> Iterator[Cause]:
    more = cell.theirs.tokens("output") - cell.ours.tokens("output")
    for side, whose in ((cell.theirs, "that the provider counts"), (cell.ours, "that were reported here")):
        thought = side.tokens("reasoning")
        if thought and near(abs(more), thought, HALF_A_TOKEN):
            where = "here" if more > 0 else "there"
            yield Cause("reasoning", f"{count(thought)} reasoning tokens {whose} are not in the output {where}")
            return


def _estimated(cell: Cell, _: About) -> Iterator[Cause]:
    guessed = cell.ours.estimated_tokens
    if guessed and abs(cell.theirs.tokens() - cell.ours.tokens()) <= guessed:
        yield Cause("estimated usage", f"{count(guessed)} tokens here are estimated from the length of texts")


def _retries(cell: Cell, _: About) -> Iterator[Cause]:
    unanswered = cell.ours.unanswered
    if unanswered and _is_more_there(cell):
        how = listed([f"{number:,} {outcome}" for outcome, number in sorted(unanswered.items())])
        yield Cause("retries", f"attempts without a usage here, which a provider may bill: {how}")


def _unseen_client(cell: Cell, _: About) -> Iterator[Cause]:
    ours, theirs = cell.ours, cell.theirs
    unseen = None if theirs.requests is None else theirs.requests - (ours.requests or 0) - ours.unanswered.total()
    if not _is_more_there(cell) or (unseen is not None and unseen <= 0) or (unseen is None and ours.unanswered):
        return
    told = "the provider answered what nothing here recorded"
    if unseen is not None:
        told = f"{count(unseen)} more requests there than attempts here"
    whose = f", of {listed(sorted(theirs.whose)[:3])}" if theirs.whose else ""
    yield Cause("unseen client", told + whose)


def _tier(cell: Cell, about: About) -> Iterator[Cause]:
    units = cell.theirs.units or cell.ours.units or {}
    costs = {tier: about.price(cell.key.named, cell.key.day, units, context) for tier, context in TIERS}
    fitting = [tier for tier, cost_usd in costs.items() if cost_usd is not None and _agree(cell, cost_usd, about)]
    if fitting:
        yield Cause("tier", f"the provider's cost is that of the same tokens in tier {' or '.join(fitting)}")


def _list_price(cell: Cell, about: About) -> Iterator[Cause]:
    ours, at_list = cost_here(cell), cell.ours.list_cost_usd
    if ours is not None and at_list is not None and not near(at_list, ours) and _agree(cell, at_list, about):
        yield Cause("list price", f"billed at the list price; by own prices it is {money(ours)}")


def _contract_price(cell: Cell, about: About) -> Iterator[Cause]:
    """What is left when all else has been looked at: the same tokens for less than the list says."""
    ours, at_list, theirs = cost_here(cell), cell.ours.list_cost_usd, cell.theirs.cost_usd
    if ours and at_list and theirs and near(at_list, ours) and theirs < ours and not differing(cell, about):
        told = f"billed at {theirs / ours:.1%} of the list price"
        yield Cause("contract price", f"{told}: a discount that this ledger's prices.toml does not have")


def _unpriced(cell: Cell, _: About) -> Iterator[Cause]:
    if cell.ours.unpriced:
        yield Cause("unpriced", f"{plural(cell.ours.unpriced, 'call')} have no price here: money is not compared")


def _rounding(cell: Cell, _: About) -> Iterator[Cause]:
    ours, theirs = cost_here(cell), cell.theirs.cost_usd
    if ours is not None and theirs is not None and abs(ours - theirs) > 1e-9:
        yield Cause("rounding", f"{money(abs(theirs - ours))} apart, which rounding explains")


Rule = Callable[[Cell, About], Iterator[Cause]]
OF_TOKENS: tuple[Rule, ...] = (
    _not_in_export, _time_zone, _cache_split, _reasoning, _estimated, _retries, _unseen_client,
)  # fmt: skip
OF_PRICES: tuple[Rule, ...] = (_list_price, _tier, _retries, _unseen_client)
OF_MATCHES: tuple[Rule, ...] = (_unpriced, _rounding)
