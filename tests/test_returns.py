"""Return on Environment: the formulas by hand, claims and their journal, classes by rule, and returns of ledgers made
by hand.

The site declares one value for all it can, so that a draw has no choice: one watt-hour (900 CPU-seconds × 4 W = 3600 J)
is, at PUE 1.5 and 200 g/kWh, 0.001 × 1.5 × 200 = 0.3 g. The use case of the worked sums causes 12 parts of 0.025 g.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import HandmadeJournal
from hypothesis import given
from hypothesis import strategies as st

from joulebook.accounting.column import Column
from joulebook.accounting.errors import InputError, LedgerError, NotFound
from joulebook.accounting.factors import load
from joulebook.accounting.ledger import ingest, open_ledger, rebuild
from joulebook.accounting.lines import Scope as Window
from joulebook.accounting.records import uuid7
from joulebook.accounting.returns import claims, money, record
from joulebook.accounting.returns.balance import Balance, verdict_over
from joulebook.accounting.returns.benefit import attributed_benefit
from joulebook.accounting.returns.break_even import break_even_intensity_g_per_kwh, payback_years
from joulebook.accounting.returns.causes import Calls
from joulebook.accounting.returns.claims import TEMPLATE, parse
from joulebook.accounting.returns.classes import missing_for_supported, tier
from joulebook.accounting.returns.companions import break_even, payback
from joulebook.accounting.returns.definition import TEXT
from joulebook.accounting.returns.portfolio import WITH_PLAUSIBLE, Draw, Portfolio, portfolio
from joulebook.accounting.returns.ratio import benefit_caused_ratio, net_benefit, return_on_environment
from joulebook.accounting.returns.recorded import Scope
from joulebook.accounting.returns.valued import lines, prices
from joulebook.accounting.site import Site, write_site
from joulebook.accounting.uncertainty import quantiles
from joulebook.accounting.verify import verify
from joulebook.cli import main
from joulebook.models.footprint.recorded import recorded as recorded_calls
from joulebook.reports import views
from joulebook.reports.views import period_of
from joulebook.reports.views.common import assess_period, naive
from joulebook.reports.views.return_on_environment import weigh
from joulebook.reports.views.roe_parts import alerts

HERE = Site(
    "FR", pue=(1.5,) * 3, wue_l_per_kwh=(0.5,) * 3, price_usd_per_kwh=(0.2,) * 3,
    carbon_intensity_g_per_kwh=(200.0,) * 3, cpu_power_w=(4.0,) * 3, it_overhead=(1.1,) * 3,
)  # fmt: skip
IMPORTED = Path(__file__).parent / "fixtures" / "imports" / "litellm.csv"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0
PART_G = 0.025  # what 75 CPU-seconds cause: 75 × 4 W × 1.5 ÷ 3.6e6 × 200 g
INVENTORIES = (("summary",), ("impact", "last"), ("sci", "last", "--per", "runs"), ("scopes",))
CALL = {
    "source": "http", "host": "api.openai.com", "path": "/v1/chat/completions", "request_model": "gpt-4o",
    "status": 200, "outcome": "ok", "project": "p",
    "usage_json": '{"usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}}',
}  # fmt: skip
SIGNED = {"reviewer": "B. Reader", "date": "2026-01-15"}


def job(home: Path, parts: float, at_s: float = 0.0, **fields: Any) -> str:
    """A run of a minute that causes so many parts of `PART_G`; its id. `usage`: what it records, by kind."""
    recorded = fields.pop("usage", {})
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(at_s, "job", counters={"cpu_time": 1.0}, **fields)
    for kind, amount in recorded.items():
        journal.event("usage", at_s + 1, span_id=run, run_id=run, kind=kind, amount=amount, unit="1", method="measured")
    journal.end(at_s + 60, run, counters={"cpu_time": 1.0 + 75 * parts})
    journal.write()
    return run


def told(**changes: Any) -> dict[str, Any]:
    """A claim of the worked sums: B is 60 parts, rebound 0.2, share 0.5, of one day. Keys `a__b` are of table a."""
    plain: dict[str, Any] = {
        "id": "worked", "use_case": "search", "function": "a question is answered", "unit": "question",
        "from": "2026-01-01", "until": "2026-01-02", "author": "A. Writer",
        "reference": {"scenario": "by hand", "why": "so it was", "data_vintage": "2025"},
        "benefit": {"units": 60, "gwp_g": PART_G},
        "rebound": {"fraction": 0.2, "source": "a survey"}, "attribution": {"share": 0.5, "key": "by cost"},
        "persistence": {"share": 1.0, "why": "nothing else was planned"},
        "evidence": {"method": "ab", "documents": ["file 17"]},
    }  # fmt: skip
    for key, value in changes.items():
        table, _, name = key.rpartition("__")
        target = plain.setdefault(table, {}) if table else plain
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value
    return plain


def signed(**changes: Any) -> dict[str, Any]:
    plain = told(**changes)
    return plain | {"review": SIGNED | {"of": parse(plain).content_hash}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, str]:
    """The runs of `book` that have a name here, and its home."""
    home = tmp_path_factory.mktemp("returns") / "home"
    job(home, 12, project="search", usage={"questions": 45.0})
    job(home, 0.1, 3 * DAY_S, project="search", usage={"questions": 15.0})
    for project, tags in (("whole", ([], [])), ("apart", ([["use_case", "4"]], [["use_case", "8"]]))):
        for parts, tag in zip((4, 8), tags, strict=True):
            job(home, parts, project=project, tags=tag)
    job(home, 40, project="trained", tags=[["phase", "training"]])
    job(home, 12, project="trained")
    job(home, 6, project="answers", usage={"answers": 30.0})
    job(home, 1, project="one")
    for project, parts in (("east", 2), ("west", 3)):
        job(home, parts, project=project, tags=[["use_case", "spread"]], usage={"questions": 10.0 * parts})
    dark = HandmadeJournal(home)
    dark.end(60, dark.start(0.0, "job", project="dark"))
    dark.write()
    found = {"home": str(home), "solved": job(home, 8, project="solved", usage={"answers": 10.0})}
    for name, parts in {"before": 40, "after": 8, "3": 3, "4": 4, "5": 5, "least": 1e-6}.items():
        found[name] = job(home, parts, project="lab", usage={"answers": 10.0})
    write_site(home, HERE)
    ingest(home)
    return found


def pair_of(runs: dict[str, str], reference: list[str], solution: str, **more: str) -> dict[str, Any]:
    """What a claim on a pair of runs says, all of it ours and without rebound."""
    pair = {"reference": [runs[name] for name in reference], "solution": [runs[solution]], **more}
    return {"benefit": None, "pair": pair, "attribution__share": 1.0, "rebound__fraction": 0.0}


@pytest.fixture
def weighed(runs):
    """Weighs one project of `book` with claims, over the first days of 2026, at a site."""

    def weigh_it(*plain: dict[str, Any], project: str = "search", n: int = 64, days: int = 1, **more: Any) -> Portfolio:
        elsewhere = more.pop("elsewhere", {})
        period = period_of(FIRST, FIRST + timedelta(days=days))
        assess = replace(assess_period(open_ledger(Path(runs["home"])), period), site=replace(HERE, **more))
        scope = Scope(naive(period.start), naive(period.end), project)
        recorded = [record.Version(1, FIRST, "", each, parse(each)) for each in plain]
        return portfolio(assess, scope, recorded, Draw(n), elsewhere)

    return weigh_it


def on_record(home: Path, *plain: dict[str, Any]) -> Portfolio:
    """The portfolio of a home of its own, on the first day of 2026."""
    write_site(home, HERE)
    ingest(home)
    for each in plain:
        record.add(home, each)
    return weigh(open_ledger(home), period_of(FIRST, FIRST + timedelta(days=1)), None, Draw(64))


def p50(sample: Any) -> float:
    return quantiles(sample)[1]


# The formulas, by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caused", "gross", "rebound", "share", "expected"),
    [
        (12, 60, 0.2, 0.5, (24, 12, 1.0)),
        (5, 0, 0.0, 1.0, (0, -5, -1.0)),
        (10, 8, 0.3, 1.0, (5.6, -4.4, -0.44)),
        (10, 8, 1.3, 1.0, (-2.4, -12.4, -1.24)),  # backfire
    ],
)
def test_worked_sums(caused, gross, rebound, share, expected):
    benefit, net, roe = expected
    found = attributed_benefit(gross, rebound=rebound, attribution=share, persistence=1.0)
    assert found == pytest.approx(benefit, rel=1e-12)
    assert net_benefit(found, caused=caused) == pytest.approx(net, rel=1e-12)
    assert return_on_environment(found, caused=caused) == pytest.approx(roe, rel=1e-12)
    assert benefit_caused_ratio(found, caused=caused) == pytest.approx(roe + 1, rel=1e-12)


def test_a_portfolio_is_the_ratio_of_sums():
    # (24 − 12 + 0 − 5) ÷ (12 + 5) = 7 ÷ 17; the mean of 1 and −1 would say 0
    assert return_on_environment(24 + 0, caused=12 + 5) == pytest.approx(7 / 17, rel=1e-12)
    assert round(7 / 17, 4) == 0.4118


def test_worked_money():
    # 7 t × 230 = 1610; (100,000 − 60,000 − 3,910 + 5,520) ÷ 60,000 = 0.69350
    assert money.climate_value_usd(7e6, social_cost_usd_per_t=230) == pytest.approx(1610)
    roi = money.carbon_adjusted_roi(value_usd=1e5, cost_usd=6e4, net_g=24e6 - 17e6, carbon_price_usd_per_t=230)
    assert roi == pytest.approx(0.6935, abs=5e-5)
    assert roi == pytest.approx((100_000 - 60_000 - 230 * 17 + 230 * 24) / 60_000, rel=1e-12)
    # 1610 a year later at 2 %: ÷ 1.02
    later = money.climate_value_usd(7e6, social_cost_usd_per_t=230, discount_rate=0.02, years=1)
    assert later == pytest.approx(1578.43, rel=1e-5)
    assert money.carbon_productivity_usd_per_kg(100.0, caused_g=17_000) == pytest.approx(5.88235, rel=1e-5)
    assert money.carbon_per_value_g_per_usd(17_000, value_usd=100.0) == pytest.approx(170)
    assert money.abatement_cost_usd_per_t(cost_usd=60, other_value_usd=100, net_g=2e6) == pytest.approx(-20)


def test_payback_and_break_even_by_hand():
    # 30 up front, a year gives 12 and causes 2: 30 ÷ 10 = 3 years
    assert payback_years(30.0, annual_benefit=12.0, annual_caused=2.0) == pytest.approx(3)
    # 1000 g of fuel avoided, 200 g of manufacture, 4 kWh caused, none avoided: (1000 − 200) ÷ 4 = 200 g/kWh
    at = break_even_intensity_g_per_kwh(fixed_benefit_g=1000.0, fixed_caused_g=200.0, benefit_kwh=0.0, caused_kwh=4.0)
    assert at == pytest.approx(200)
    assert 1000 - 200 - 4 * at == pytest.approx(0)


def test_one_formula_on_numbers_on_arrays_and_in_sql():
    columns = {"rebound": Column("r"), "attribution": Column("a"), "persistence": Column("p")}
    text = str(return_on_environment(attributed_benefit(Column("b"), **columns), caused=Column("c")))
    rows = np.array([[60.0, 12, 0.2, 0.5, 1.0], [8, 10, 1.3, 1, 1], [0, 5, 0, 1, 0.5]])
    b, c, r, a, p = rows.T
    arrays = return_on_environment(attributed_benefit(b, rebound=r, attribution=a, persistence=p), caused=c)
    assert arrays == pytest.approx([1.0, -1.24, -1.0])
    values = ", ".join(str(tuple(row)) for row in rows.tolist())
    found = open_ledger(Path("/nowhere")).rows(f"select {text} as roe from (values {values}) t(b, c, r, a, p)")
    assert [row["roe"] for row in found] == pytest.approx(arrays.tolist())


amounts = st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0, 1e6)), min_size=1, max_size=6)


@given(amounts, st.floats(0.01, 0.99))
def test_splitting_a_use_case_leaves_the_portfolio_as_it_is(cases, part):
    caused, benefit = (sum(case[side] for case in cases) for side in (0, 1))
    split = [(c * share, b * share) for c, b in cases for share in (part, 1 - part)]
    again = return_on_environment(sum(b for _, b in split), caused=sum(c for c, _ in split))
    assert again == pytest.approx(return_on_environment(benefit, caused=caused), rel=1e-9, abs=1e-9)


@given(amounts, st.floats(1, 1e6))
def test_one_more_use_case_without_benefit_lowers_it(cases, more):
    caused, benefit = (sum(case[side] for case in cases) for side in (0, 1))
    before, after = (return_on_environment(benefit, caused=c) for c in (caused, caused + more))
    assert after < before if benefit > 1e-3 else after <= before


def test_verdicts():
    def balance(*ratios: float) -> Balance:
        return Balance(np.ones(len(ratios)), np.array(ratios))

    gain, loss, even, unclear = balance(2, 3, 4), balance(0, 0, 0.5), balance(1.0, 1.01, 0.99), balance(0, 1, 5)
    assert [each.verdict for each in (gain, loss, even, unclear)] == ["net gain", "net loss", "break-even", "unclear"]
    assert verdict_over([gain, even]) == "break-even"
    assert verdict_over([gain, None]) == "unknown"  # one in which nobody knows what was caused
    assert verdict_over([None, gain, loss]) == "net loss"  # never netted
    assert (balance(0, 1, 5).p_net_above_0, gain.p_net_above_0) == (pytest.approx(1 / 3), 1)


# A claim ----------------------------------------------------------------------------------------------------------


def test_the_template_is_a_claim(tmp_path):
    path = tmp_path / "claim.toml"
    path.write_text(TEMPLATE)
    claim = parse(claims.read(path))
    assert (claim.id, claim.benefit.units, claim.end) == ("support-2026", (12_000.0,) * 3, date(2027, 1, 1))
    assert claim.benefit.electricity_kwh == (0.004, 0.006, 0.009)
    assert claim.co_contributors == {"new ticket system": 0.2}
    commented = [line.lstrip("# ") for line in TEMPLATE.splitlines() if line.startswith("# ") and "=" in line]
    assert len(tomllib.loads("\n".join(commented[1:2]))) == 1  # what is commented out is TOML, too


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "a b"}, "id must be letters"),
        ({"use_case": None}, "use_case is missing"),
        ({"until": "2026-01-01"}, "from 2026-01-01 is not before until 2026-01-01"),
        ({"from": "soon"}, "from must be a day such as 2026-01-01, not 'soon'"),
        ({"benefit__gwp": 3}, r"\[benefit\]: unknown key 'gwp', did you mean 'gwp_g'"),
        ({"benefit__gwp_g": None}, r"\[benefit\] names no amount"),
        ({"benefit__units": None}, r"\[benefit\] needs either units"),
        ({"benefit__units": 10**400}, r"\[benefit\] units must be a number"),
        ({"benefit__units": -1}, r"\[benefit\] units must be 0 or more, not -1"),
        ({"benefit__gwp_g": [3, 2, 1]}, r"\[benefit\] gwp_g: low ≤ mid ≤ high does not hold"),
        ({"benefit__gwp_g": float("nan")}, r"\[benefit\] gwp_g must be a number"),
        ({"benefit__factors": "best"}, r"\[benefit\] factors must be one of average, marginal, not 'best'"),
        ({"attribution__share": 1.2}, r"\[attribution\] share must be from 0 to 1, not 1.2"),
        ({"attribution__share": None}, r"\[attribution\] share is missing"),
        ({"rebound__fraction": -0.1}, r"\[rebound\] fraction must be 0 or more"),
        ({"persistence__by_year": {"next": 1}}, "names a year as 2026, not 'next'"),
        ({"evidence__method": "faith"}, r"\[evidence\] method must be one of ab, before-after, model"),
        ({"evidence__documents": "file 17"}, r"\[evidence\] documents must be a list"),
        ({"reference": "by hand"}, r"\[reference\] must be a table"),
        ({"pair__reference": ["x"]}, r"\[pair\] needs the ids of runs on both sides"),
        ({"review": {"reviewer": "B"}}, r"\[review\] of is missing"),
    ],
)
def test_a_wrong_field_is_named(changes, says):
    with pytest.raises(InputError, match=says):
        parse(told(**changes))


def test_the_hash_is_of_all_but_the_review():
    plain = told()
    assert parse(plain).content_hash == parse(signed()).content_hash
    assert parse(plain).content_hash != parse(told(rebound__fraction=0.19)).content_hash


def test_an_effect_is_never_counted_twice(home):
    with pytest.raises(InputError, match=r"come to 1\.1, more than all of it"):
        parse(told(attribution__co_contributors={"another": 0.6}))
    record.add(home, told(attribution__share=0.7))
    for same in (told(id="other", attribution__share=0.4), told(id="other", use_case="vision", effect="search")):
        with pytest.raises(InputError, match=r"come to 1\.[12], more than all of it .*worked 0.7"):
            record.add(home, same)
    record.add(home, told(id="other", attribution__share=0.3))  # together 1
    record.add(home, told(id="another-effect", effect="paper", attribution__share=1.0))
    record.add(home, told(id="later", attribution__share=1.0, until="2026-01-03", **{"from": "2026-01-02"}))
    assert len(record.standing(record.versions(home))) == 4
    # 0.5 all the time, beside 0.5 of one and then of another: never more than 1
    in_turn = {"long": ("2026-02-01", "2026-02-03"), "first": ("2026-02-01", "2026-02-02"),
               "second": ("2026-02-02", "2026-02-03")}  # fmt: skip
    for name, (start, end) in in_turn.items():
        record.add(home, told(id=name, effect="in turn", until=end, **{"from": start}))
    with pytest.raises(InputError, match=r"come to 1\.5, more than all of it .*long 0\.5, second 0\.5, third 0\.5"):
        record.add(home, told(id="third", effect="in turn", until="2026-02-03", **{"from": "2026-02-02"}))


# The claims journal -----------------------------------------------------------------------------------------------


def test_versions_are_added_and_never_edited(home):
    first = record.add(home, told())
    again = record.add(home, told())
    second = record.add(home, told(rebound__fraction=0.3))
    assert (first.number, again.number, second.number) == (1, 1, 2)  # the same words are no new version
    recorded = record.versions(home)
    assert [each.told for each in recorded] == [told(), told(rebound__fraction=0.3)]
    assert [each.claim.rebound.value[1] for each in record.standing(recorded)] == [0.3]
    before = record.path_of(home).read_bytes()
    record.add(home, told(withdrawn="it was measured wrongly"))
    assert record.path_of(home).read_bytes().startswith(before)
    assert record.standing(record.versions(home)) == []
    assert len(record.history(record.versions(home), "worked")) == 3
    with pytest.raises(NotFound, match="no claim 'nobody'"):
        record.history(recorded, "nobody")


def test_a_line_that_was_changed_breaks_the_chain(home):
    record.add(home, told())
    record.add(home, told(rebound__fraction=0.3))
    ingest(home)
    assert all(check.ok for check in verify(open_ledger(home)))
    path = record.path_of(home)
    first, second = path.read_bytes().splitlines(keepends=True)
    for broken, says in (
        (first.replace(b'"fraction":0.2', b'"fraction":0.0') + second, "line 2: a line before it was changed"),
        (second, "line 1: a line before it was changed or removed"),
        (first + second[:40], "line 2: this is no whole line"),
        (first + b"{}\n", "line 2: a line before it"),
    ):
        path.write_bytes(broken)
        with pytest.raises(LedgerError, match=says):
            record.versions(home)
    (check,) = [check for check in verify(open_ledger(home)) if check.name == "claims"]
    assert not check.ok


def test_a_rebuild_keeps_claims_and_another_project_lowers_the_return(home):
    """12 parts caused and 24 avoided; then 5 more caused by a use case without a claim: 1.0, and 7 ÷ 17."""
    job(home, 12, project="search")
    before = on_record(home, signed()).whole.balance("gwp_g")
    job(home, 5, project="vision")
    rebuild(home)
    found = on_record(home)
    after = found.whole.balance("gwp_g")
    assert (p50(before.roe), p50(after.roe)) == (pytest.approx(1.0), pytest.approx(7 / 17))
    assert (after.roe < before.roe).all()
    assert [p50(each.balance("gwp_g").roe) for each in found.use_cases] == [pytest.approx(1.0), -1]
    assert [each.claim.id for each in found.whole.claims] == ["worked"]


def test_a_review_lies_not_ahead(home):
    with pytest.raises(InputError, match="has not come yet"):
        record.add(home, told() | {"review": SIGNED | {"date": "2999-01-01", "of": "x"}})


# Classes by rule --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, []),
        ({"evidence__method": "model"}, ["tier 1 or 2 (it has 3)"]),
        ({"evidence__documents": None}, ["tier 1 or 2 (it has 3)"]),
        ({"reference__why": None}, ["[reference] why"]),
        ({"rebound": None}, ["[rebound]"]),
        ({"rebound__source": None}, ["[rebound]"]),
        ({"persistence": None}, ["[persistence]"]),
        ({"attribution__key": None}, ["[attribution] key"]),
        ({"author": "B. Reader"}, ["a reviewer who is not its author"]),
        ({"author": "b.  reader"}, ["a reviewer who is not its author"]),
        ({"evidence": None}, ["[evidence] method", "tier 1 or 2"]),
    ],
)
def test_what_is_missing_is_named(changes, missing):
    claim = parse(signed(**changes))
    found = missing_for_supported(claim, tier(claim, None))
    assert len(found) == len(missing)
    assert all(part in text for part, text in zip(missing, found, strict=True))


def test_a_review_is_of_what_the_claim_says_now():
    stale = told(rebound__fraction=0.1) | {"review": signed()["review"]}
    assert any("a review of what it says now" in text for text in missing_for_supported(parse(stale), 2))
    assert missing_for_supported(parse(told()), 2) == (
        f'a signed review: [review] reviewer, date, of = "{parse(told()).content_hash}"',
    )


def test_tiers():
    pair = {"pair__reference": ["a"], "pair__solution": ["b"]}
    only_pair = parse(told(benefit=None, **pair))
    assert [tier(only_pair, method) for method in ("measured", "attributed", "modelled", "default", None)] == [
        1, 1, 2, 3, 3,
    ]  # fmt: skip
    both = parse(told(evidence__method="model", **pair))
    assert tier(both, "measured") == 3  # the weakest of all that it rests on


def test_classes_follow_from_the_numbers(weighed):
    """C is 12 parts. A is 24; 14 ± more; 2.8: above C for sure, by half, never."""
    for units, state in ((60, "supported"), ([25, 35, 80], "plausible"), ([6, 7, 8], "unsupported")):
        (judged,) = weighed(signed(benefit__units=units)).whole.claims
        assert judged.state == state, judged.missing
        assert bool(judged.missing) == (state != "supported")
    assert judged.missing == ("P50 of N above 0: it is -0.23 g",)  # (0.4 × 7 − 12) × 0.025


def test_a_plausible_claim_counts_for_internal_use_only(weighed):
    whole = weighed(told()).whole
    (judged,) = whole.claims
    assert judged.state == "plausible"
    assert p50(whole.balance("gwp_g").roe) == -1
    assert p50(whole.balance("gwp_g", WITH_PLAUSIBLE).roe) == pytest.approx(1.0)


def test_harm_counts_in_any_class(weighed):
    """B 9.6 with rebound 1.3: A is −2.88 against 12, whoever says so: −1.24."""
    harm = told(benefit__units=9.6, rebound__fraction=1.3, attribution__share=1.0, evidence=None)
    whole = weighed(harm).whole
    assert p50(whole.balance("gwp_g").roe) == pytest.approx(-1.24)
    assert p50(whole.balance("gwp_g").net) == pytest.approx(-14.88 * PART_G)
    assert whole.claims[0].state == "unsupported"
    assert "by its own numbers it harms" in whole.claims[0].missing[0]


def test_what_nobody_assessed_is_anything_from_none_to_all(weighed):
    """B 60, share 0.5; the rebound is anything from 0 to 1, so A is 15 ± 15 parts: its P5 1.5, P50 15, P95 28.5."""
    (judged,) = weighed(told(rebound=None), n=1024).whole.claims
    found = quantiles(judged.effect.total["gwp_g"])
    assert found == pytest.approx((1.5 * PART_G, 15 * PART_G, 28.5 * PART_G), rel=0.03)


# Returns of a ledger ----------------------------------------------------------------------------------------------


def test_the_worked_use_case_from_a_ledger(weighed):
    whole = weighed(signed()).whole
    balance = whole.balance("gwp_g")
    assert [p50(each) for each in (balance.caused, balance.benefit, balance.net)] == pytest.approx(
        [12 * PART_G, 24 * PART_G, 12 * PART_G], rel=1e-12
    )
    assert (p50(balance.roe), p50(balance.ratio), balance.p_net_above_0) == (pytest.approx(1), pytest.approx(2), 1)
    # water: nothing is claimed, and 900 s × 4 W cause (0.5 L on site + 1.5 × off site) a kWh
    offsite = load().select("water_intensity", "FR", date(2026, 1, 1)).factor.value
    assert p50(whole.caused["water_l"]) == pytest.approx(0.001 * (0.5 + 1.5 * offsite), rel=0.05)
    assert whole.verdict() == "net loss"  # for that reason: criteria are never netted


def test_calls_of_model_apis_are_caused_too(weighed):
    """12 parts of runs and 6 of calls against 24 avoided: 1 ÷ 3. A use case of calls only, 4 parts."""
    first, part = date(2026, 1, 1), (6 * PART_G,) * 3
    calls = Calls(2026, first, first, 10, {"gwp_g": part}, {"water_l": "calls to m: no engine knows m"})
    only = Calls(2026, first, first, 1, {"gwp_g": (4 * PART_G,) * 3}, {})
    found = weighed(signed(), told(id="talk", use_case="talk"), elsewhere={"search": [calls], "talk": [only]})
    search, talk = found.use_cases
    assert (search.api_calls, talk.api_calls, talk.runs) == (10, 1, 0)
    assert p50(search.balance("gwp_g").roe) == pytest.approx(24 / 18 - 1)
    assert search.balance("water_l") is None
    assert search.unknown["water_l"] == "calls to m: no engine knows m"
    assert p50(talk.balance("gwp_g").roe) == -1
    assert p50(talk.balance("gwp_g", WITH_PLAUSIBLE).roe) == pytest.approx(5)  # 24 parts over 4
    assert break_even(talk, WITH_PLAUSIBLE).intensity.reason == "N does not depend on the ledger's own grid"


def test_recorded_calls_are_those_of_the_footprint(home, capsys):
    """What the engines say of all calls of a project, as scope 3 has it; one that tells no tokens is counted apart.

    One that was refused, in what is imported, is none.
    """
    write_site(home, HERE)
    assert typed(capsys, "import", "litellm", str(IMPORTED), "--project", "chat")[0] == 0
    journal = HandmadeJournal(home, version=3)
    journal.event("call", 1, **{**CALL, "call_id": uuid7(), "usage_json": None, "project": "chat"})
    journal.write()
    ingest(home)
    ledger = open_ledger(home)
    whole = weigh(ledger, period_of(), None, Draw(64)).whole
    said = [each.of("gwp_g") for each in recorded_calls(ledger, Window(), HERE) if each.untold < each.calls]
    assert (whole.runs, whole.api_calls, whole.calls_without_tokens) == (0, len(said), 1)
    assert p50(whole.caused["gwp_g"]) == pytest.approx(sum(each.mid for each in said), rel=0.05)


def test_calls_are_of_the_use_case_that_they_or_their_run_name(home):
    """Three equal calls of one project: of the tag of their run, of their own tag, of the project; one is training."""
    journal = HandmadeJournal(home, version=3)
    journal.sensor()
    run = journal.start(0.0, "job", project="p", tags=[["use_case", "of-run"]], counters={"cpu_time": 1.0})
    for at_s, about in enumerate(({"span_id": run, "run_id": run}, {"tags": [["use_case", "own"]]},
                                  {"tags": [["phase", "training"]]}), start=1):  # fmt: skip
        journal.event("call", at_s, **{**CALL, "call_id": uuid7(), **about})
    journal.end(60, run, counters={"cpu_time": 76.0})
    journal.write()
    found = on_record(home)
    assert {each.name: (each.runs, each.api_calls) for each in found.use_cases} == {
        "of-run": (1, 1), "own": (0, 1), "p": (0, 1),
    }  # fmt: skip
    by_name = {each.name: each for each in found.use_cases}
    one = by_name["own"].caused["gwp_g"]
    assert by_name["of-run"].caused["gwp_g"] == pytest.approx(one + PART_G)
    assert by_name["p"].upfront["gwp_g"] == pytest.approx(one)
    assert "gwp_g" not in by_name["own"].upfront
    day = period_of(FIRST, FIRST + timedelta(days=1))
    assert weigh(open_ledger(home), day, "p", Draw(64)).whole.api_calls == 3
    assert weigh(open_ledger(home), day, "own", Draw(64)).use_cases == ()  # that is no project


def test_a_project_is_asked_for_with_its_whole_use_cases(weighed):
    """2 parts in one project and 3 in another are one use case, and the claim on it is weighed against all 5."""
    claim = signed(use_case="spread", benefit__units=None, benefit__units_counted="questions")
    (spread,) = weighed(claim, project="east").use_cases
    assert (spread.name, spread.runs) == ("spread", 2)
    assert p50(spread.caused["gwp_g"]) == pytest.approx(5 * PART_G)
    assert p50(spread.balance("gwp_g").ratio) == pytest.approx(0.4 * 50 / 5)


def test_days_to_come_avoid_nothing(home):
    """A claim until 2998 and a question that reaches as far: what counts ends today."""
    job(home, 12, project="search")
    write_site(home, HERE)
    ingest(home)
    record.add(home, signed(until="2998-01-01"))
    days = (datetime.now(UTC).date() - date(2026, 1, 1)).days + 1
    found = weigh(open_ledger(home), period_of(FIRST, datetime(2998, 1, 1, tzinfo=UTC)), None, Draw(2))
    plan = found.whole.claims[0].effect.plan
    assert plan.days in (days, days + 1)  # midnight may have passed
    assert plan.days_after == plan.days - 1  # the only run was on the first day
    assert any(text.startswith("The claim worked counts") for text in alerts(found))


def test_what_was_caused_up_front_before_is_said(runs):
    said = "What trained caused up front before this time is not counted in it."
    for late_s, is_said in ((0, False), (30, True)):
        period = period_of(FIRST + timedelta(seconds=late_s), FIRST + timedelta(days=1))
        found = weigh(open_ledger(Path(runs["home"])), period, "trained", Draw(2))
        assert (said in list(alerts(found))) is is_said


def test_both_accounts_of_electricity(home, capsys):
    """12 and 5 parts are 2.125 Wh at the meter, half of it under a contract of 20 g/kWh at the stack, else by the grid
    of 200, of which a share u arises before the stack: per kWh 0.5 × 20 + 0.5 × 200 × (1 − u) + 200 × u."""
    for project, parts in (("search", 12), ("vision", 5)):
        job(home, parts, project=project)
    same = on_record(home)
    assert same.whole.market_g == pytest.approx(same.whole.caused["gwp_g"])
    assert same.market.rests_on == "location-based"
    half_mwh = 17 * 75 * 4 * 1.5 / 3.6e9 / 2
    (home / "contracts.toml").write_text(f"""[[contract]]
        name = "wind"\ninstrument = "ppa"\nregion = "FR"\nfrom = 2026-01-01\nuntil = 2026-01-02\nmwh = {half_mwh!r}
        intensity_g_per_kwh = 20\nevidence = "registry"\nvintage = 2026\nemission_rate_conveyed = true
        only_claim = true\nretired_for_us = true\nresidual_mix_disclosed = true\n""")
    found = on_record(home, signed())
    before = load().select("upstream_share", "FR", date(2026, 1, 1)).factor.value
    part_kwh = 75 * 4 * 1.5 / 3.6e6
    per_kwh = 0.5 * 20 + 0.5 * 200 * (1 - before) + 200 * before
    shares = [p50(each.market_g) / part_kwh for each in (found.whole, *found.use_cases)]
    assert shares == pytest.approx([17 * per_kwh, 12 * per_kwh, 5 * per_kwh], rel=0.02)
    assert found.market.rests_on == "contracts + location-based"
    assert p50(found.whole.balance("gwp_g").roe) == pytest.approx(7 / 17)  # contracts change no return
    _, out, _ = typed(capsys, "roe", "--since", "2026-01-01", "--until", "2026-01-02", "--json")
    told_g = json.loads(out)["portfolio"]["caused_market_based_g"]
    assert (told_g["unit"], told_g["rests_on"]) == ("g", "contracts + location-based")
    assert told_g["p50"] == pytest.approx(17 * part_kwh * per_kwh, rel=0.02)


def test_splitting_a_project_by_a_tag_changes_nothing(weighed):
    ranges = {"cpu_power_w": (2.0, 4.0, 8.0), "carbon_intensity_g_per_kwh": (100.0, 200.0, 400.0)}
    one = weighed(told(use_case="whole"), project="whole", n=256, **ranges)
    two = weighed(told(use_case="4"), project="apart", n=256, **ranges)
    assert [each.name for each in (*one.use_cases, *two.use_cases)] == ["whole", "4", "8"]
    balances = [each.whole.balance("gwp_g", WITH_PLAUSIBLE) for each in (one, two)]
    assert balances[0].caused == pytest.approx(balances[1].caused, rel=1e-9)  # draw by draw
    assert balances[0].roe == pytest.approx(balances[1].roe, rel=1e-9)
    assert quantiles(balances[0].caused)[2] > 1.5 * 12 * PART_G


def test_a_shared_grid_is_drawn_once(weighed):
    """12 parts of electricity caused, 24 avoided on the same grid of any intensity: A ÷ C is 2 in every draw."""
    grid = {"carbon_intensity_g_per_kwh": (50.0, 200.0, 800.0)}
    kwh = 75 * 4 * 1.5 / 3.6e6  # at the meter, of one part
    same = weighed(signed(benefit__gwp_g=None, benefit__electricity_kwh=kwh), n=1024, **grid).whole
    low, _, high = quantiles(same.caused["gwp_g"])
    assert high / low == pytest.approx(16, rel=0.05)
    assert quantiles(same.balance("gwp_g").ratio) == pytest.approx((2, 2, 2), rel=1e-9)
    # in grams, the ratio moves with what is below it alone: 2 × 200 ÷ 800 to 2 × 200 ÷ 50
    fixed = weighed(signed(), n=1024, **grid).whole.balance("gwp_g", WITH_PLAUSIBLE).ratio
    assert quantiles(fixed) == pytest.approx((0.5, 2, 8), rel=0.05)


def test_a_marginal_grid_is_the_claim_s_own(weighed):
    """24 parts of electricity at 400 g/kWh at the margin, against 12 at 200 on average: A ÷ C = 4."""
    kwh = 75 * 4 * 1.5 / 3.6e6
    margin = {"benefit__marginal_intensity_g_per_kwh": 400, "benefit__factor_source": "the operator of the grid"}
    claim = signed(benefit__gwp_g=None, benefit__electricity_kwh=kwh, benefit__factors="marginal", **margin)
    search = weighed(claim).use_cases[0]
    assert p50(search.balance("gwp_g").ratio) == pytest.approx(4)
    assert break_even(search).intensity.mid == pytest.approx(800)  # 48 parts avoided anyway: 1.2 g ÷ 0.0015 kWh


def test_units_are_prorated_or_counted(weighed):
    counted = told(benefit__units=None, benefit__units_counted="questions", until="2026-01-11")
    assert [weighed(counted, days=days).whole.claims[0].effect.total["gwp_g"][0] for days in (1, 4)] == [
        pytest.approx(0.4 * 45 * PART_G), pytest.approx(0.4 * 60 * PART_G),
    ]  # fmt: skip
    # 60 in ten days are 6 a day; before the first run and after the last day nothing counts
    declared = told(until="2026-01-06", **{"from": "2025-12-27"})
    (judged,) = weighed(declared, days=4).whole.claims
    assert judged.effect.plan.days == 4
    assert judged.effect.total["gwp_g"][0] == pytest.approx(0.4 * 24 * PART_G)


def test_persistence_by_year(weighed):
    """730 units over two years: 365 × 1.0 and 365 × 0.6, × 0.4 × PART_G."""
    years = told(until="2028-01-01", benefit__units=730, persistence__share=None,
                 persistence__by_year={"2026": 1.0, "2027": 0.6})  # fmt: skip
    (judged,) = weighed(years, days=730).whole.claims
    found = {year: amounts["gwp_g"][0] for year, amounts in judged.effect.by_year.items()}
    assert found == pytest.approx({2026: 365 * 0.4 * PART_G, 2027: 365 * 0.6 * 0.4 * PART_G})


def test_a_pair_of_runs(weighed, runs):
    """Ten answers took 40 parts before and 8 with what the AI proposed: 3.2 parts saved an answer, 30 of them done."""
    claim = signed(use_case="answers", **pair_of(runs, ["before"], "after", per="answers"))
    whole = weighed(claim, project="answers").whole
    (judged,) = whole.claims
    assert judged.tier == 2  # the energy is modelled from CPU time
    assert judged.effect.total["gwp_g"] == pytest.approx(np.full(64, 30 * 3.2 * PART_G))
    assert p50(whole.balance("gwp_g").roe) == pytest.approx(96 / 6 - 1)
    assert judged.state == "supported"


def test_a_pair_whose_solution_is_the_use_case_itself_counts_the_reference(weighed, runs):
    """The solution's 8 parts are caused already: what the reference takes, 4 parts an answer, is what is avoided."""
    claim = signed(use_case="solved", **pair_of(runs, ["before"], "solved", per="answers"))
    assert p50(weighed(claim, project="solved").whole.balance("gwp_g").roe) == pytest.approx((40 - 8) / 8)


def test_a_pair_carries_its_range(weighed, runs):
    """Modelled energy is 2 – 4 – 8 W a CPU on both sides and in the use case at once: A ÷ C stays 32."""
    claim = signed(use_case="one", **pair_of(runs, ["before"], "after"))
    balance = weighed(claim, project="one", n=1024, cpu_power_w=(2.0, 4.0, 8.0)).whole.balance("gwp_g")
    assert quantiles(balance.ratio) == pytest.approx((32, 32, 32), rel=1e-9)
    assert quantiles(balance.benefit) == pytest.approx((16 * PART_G, 32 * PART_G, 64 * PART_G), rel=0.05)


def test_groups_of_runs_carry_how_far_the_runs_are_apart(weighed, runs):
    """3, 4 and 5 parts: mean 4, standard error 1 ÷ √3; Student's t of two degrees at P95 is 2.920."""
    claim = signed(use_case="one", **pair_of(runs, ["3", "4", "5"], "least"))
    (judged,) = weighed(claim, project="one", n=1024).whole.claims
    found = quantiles(judged.effect.total["gwp_g"] / PART_G)
    assert found == pytest.approx((4 - 2.92 / 3**0.5, 4, 4 + 2.92 / 3**0.5), rel=0.05)


def test_a_pair_that_is_not_on_record_is_said(weighed, runs):
    """Such a claim counts nothing, and hinders no other; it is not taken in the first place."""
    for claim, says in (
        (told(**pair_of(runs | {"gone": "ffffffff"}, ["gone"], "after")), "no run 'ffffffff' on record"),
        (told(**pair_of(runs, ["before"], "after", per="questions")), "1 of the 1 runs of a pair recorded no 'questio"),
        (told(benefit__region="FX"), "the region 'FX' is not known"),
    ):
        whole = weighed(claim, signed(id="good", effect="another")).whole
        states = {judged.claim.id: judged.state for judged in whole.claims}
        assert states == {"worked": "unsupported", "good": "supported"}
        (missing,) = [judged.missing[0] for judged in whole.claims if judged.claim.id == "worked"]
        assert says in missing


def test_break_even_on_the_ledger(weighed):
    """Caused: 900 s × 4 W × 1.5 = 0.0015 kWh. Avoided, a fuel: 24 parts = 0.6 g. 0.6 ÷ 0.0015 = 400 g/kWh."""
    even = break_even(weighed(signed()).use_cases[0])
    assert (even.intensity.mid, even.cleaner) == (pytest.approx(400), True)
    # avoided on the same grid, twice as much as caused: on every grid
    kwh = 75 * 4 * 1.5 / 3.6e6
    search = weighed(signed(benefit__gwp_g=None, benefit__electricity_kwh=kwh)).use_cases[0]
    assert break_even(search).intensity.reason == "N is above 0 on every grid"
    assert "no benefit counts" in (break_even(weighed().whole).intensity.reason or "")


def test_payback_on_the_ledger(weighed):
    """Trained for 40 parts; a day causes 12 and avoids 80: 40 ÷ 68 of a day."""
    found = weighed(signed(use_case="trained", benefit__units=200), project="trained")
    years = payback(found.whole, "gwp_g", found.days)
    assert years.mid * 365.25 == pytest.approx(40 / 68)
    assert "phase=training" in (payback(weighed().whole, "gwp_g", 1).reason or "")
    assert "never" in (payback(weighed(project="trained").whole, "gwp_g", 1).reason or "")


def test_money_on_the_ledger(weighed):
    """V 100, K 60 of a claim all of whose time counts; N is 12 parts = 0.3 g."""
    search = weighed(signed(money__value_usd=100, money__cost_usd=60)).use_cases[0]
    found = {(line.name, line.price): line.amount for line in lines(search, prices(load(), [2026], 1e6))}
    assert found["carbon_adjusted_roi", "none"].mid == pytest.approx(40 / 60)
    assert found["carbon_adjusted_roi", "internal"].mid == pytest.approx((40 + 0.3) / 60)
    assert found["carbon_productivity_usd_per_kg", ""].mid == pytest.approx(100 / 0.0003)
    assert found["carbon_per_value_g_per_usd", ""].mid == pytest.approx(0.003)
    assert found["abatement_cost_usd_per_t", ""].mid == pytest.approx(-40 / 0.3e-6)
    epa = load().select("social_cost_of_carbon", "epa", date(2026, 7, 1)).factor.value
    assert found["climate_value_usd", "epa"].mid == pytest.approx(0.3e-6 * epa)
    untold = {line.name: line.amount.reason for line in lines(weighed(signed()).whole, prices(load(), [2026]))}
    assert untold["abatement_cost_usd_per_t"] == "no claim tells [money] value_usd"
    loss = weighed(told(money__value_usd=100, money__cost_usd=60)).whole
    none = {line.name: line.amount.reason for line in lines(loss, prices(load(), [2026]))}
    assert none["abatement_cost_usd_per_t"] == "no abatement: N is not surely above 0"


def test_a_use_case_without_energy_has_no_return(weighed):
    whole = weighed(signed(use_case="dark"), project="dark").whole
    assert whole.balance("gwp_g") is None
    assert whole.market_g is None
    assert whole.verdict() == "unknown"
    assert whole.claims[0].state == "unsupported"
    assert "what the use case caused: nobody knows it here" in whole.claims[0].missing
    assert [version.claim.id for version in weighed(told(use_case="elsewhere"), project=None).orphans] == ["worked"]
    assert weighed(told(use_case="elsewhere")).orphans == ()  # of another project than the one asked for


# Views and commands -----------------------------------------------------------------------------------------------


def typed(capsys, *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_commands(home, tmp_path, capsys):
    job(home, 12, project="search")
    write_site(home, HERE)
    path = tmp_path / "claim.toml"
    code, template, _ = typed(capsys, "claim", "template")
    path.write_text(template.replace('use_case = "support"', 'use_case = "search"'))
    code, out, _ = typed(capsys, "claim", "add", str(path), "--json")
    added = json.loads(out)
    assert (code, added["claim_id"], added["version"]) == (0, "support-2026", 1)
    code, out, _ = typed(capsys, "claim", "check", "support-2026", "--json")
    (checked,) = json.loads(out)
    assert (code, checked["class"], checked["tier"]) == (1, "plausible", 2)
    assert any(added["content_hash"] in text for text in checked["missing"])
    # signed, it is the next version, and supported
    review = f'[review]\nreviewer = "B. Reader"\ndate = 2026-02-01\nof = "{added["content_hash"]}"\n'
    path.write_text(path.read_text() + review)
    assert typed(capsys, "claim", "add", str(path))[0] == 0
    code, out, _ = typed(capsys, "claim", "check")
    assert code == 0, out
    assert out.startswith("support-2026: supported, evidence of tier 2")
    code, out, _ = typed(capsys, "claim", "show", "support-2026", "--json")
    shown = json.loads(out)
    assert [each["version"] for each in shown["versions"]] == [1, 2]
    assert shown["claim"]["review"]["reviewer"] == "B. Reader"
    code, out, _ = typed(capsys, "claim", "list", "--json")
    assert [row["class"] for row in json.loads(out)] == ["supported"]


def test_roe_as_json_and_no_claim_changes_an_inventory(home, capsys):
    job(home, 12, project="search")
    job(home, 5, project="vision")
    on_record(home)
    before = [typed(capsys, *words, "--json") for words in INVENTORIES]
    assert [code for code, _, _ in before] == [0] * len(INVENTORIES)
    record.add(home, signed())
    words = ("roe", "--since", "2026-01-01", "--until", "2026-01-02", "--draws", "64", "--json")
    code, out, _ = typed(capsys, *words)
    found = json.loads(out)
    assert code == 0
    assert typed(capsys, *words)[1] == out  # byte for byte
    carbon = found["portfolio"]["criteria"]["gwp_g"]
    assert carbon["caused"] == {**dict.fromkeys(("p5", "p50", "p95"), pytest.approx(0.425)), "unit": "g",
                                "method": "modelled"}  # fmt: skip
    assert carbon["supported"]["roe"]["p50"] == pytest.approx(7 / 17)
    assert carbon["supported"]["p_net_above_0"] == 1
    assert [case["use_case"] for case in found["use_cases"]] == ["search", "vision"]
    assert found["claims"][0]["class"] == "supported"
    assert set(found["portfolio"]["criteria"]) == {"gwp_g", "primary_energy_j", "adpe_kgsb", "water_l"}
    minerals = found["portfolio"]["criteria"]["adpe_kgsb"]["caused"]
    assert minerals["p50"] is None
    assert "hardware" in minerals["reason"]
    assert [typed(capsys, *words, "--json") for words in INVENTORIES] == before


def test_the_definition_is_one_text(capsys):
    code, out, _ = typed(capsys, "roe", "--definition")
    assert (code, out) == (0, TEXT)
    assert (Path(__file__).parents[1] / "RETURN_ON_ENVIRONMENT.md").read_text("utf-8") == TEXT
    assert "joulebook's own" in TEXT


def test_what_is_drawn(home, capsys):
    hostile = "\x1b[31m<script>#import"
    job(home, 12, project=hostile)
    on_record(home, signed(use_case=hostile, reference__scenario=hostile))
    code, out, _ = typed(capsys, "roe", "--draws", "64")
    assert code == 0
    assert "\x1b" not in out
    assert "they reduce no scope 1, 2 or 3 and no SCI" in out
    assert "\x1b" not in typed(capsys, "claim", "show", "worked")[1]
    ledger = open_ledger(home)
    annex = views.annex(ledger, period_of())
    assert annex.sentence.startswith("No part of the inventory.")
    assert [part.key for part in annex.parts] == ["claims", "by_market"]
    assert "annex" in views.report(ledger, period_of()).parts[-1].key


def test_wrong_commands_are_one_sentence(home, tmp_path, capsys):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("id = \n")
    pair = tmp_path / "pair.toml"
    pair.write_text(TEMPLATE.replace("[rebound]", '[pair]\nreference = ["ffff"]\nsolution = ["ffff"]\n\n[rebound]', 1))
    for words, says, code in (
        (("claim", "add"), "claim add needs a FILE", 2),
        (("claim", "add", str(wrong)), "this is no TOML", 2),
        (("claim", "add", str(tmp_path / "none.toml")), "cannot be read", 2),
        (("claim", "add", str(pair)), "no run 'ffff' on record", 3),
        (("claim", "show", "nobody"), "no claim 'nobody'", 3),
        (("claim", "template", "x"), "takes nothing more", 2),
        (("roe", "--draws", "100"), "a power of two", 2),
        (("roe", "--draws", "0"), "a power of two", 2),
    ):
        found = typed(capsys, *words)
        assert found[0] == code, words
        assert says in found[2]
        assert found[2].count("\n") == 1
    assert not record.path_of(home).exists()  # nothing half-written


def test_an_empty_home(home, capsys):
    assert "Record one" in typed(capsys, "roe")[1]
    assert "joulebook claim template" in typed(capsys, "claim", "list")[1]
    assert record.versions(home) == []
