"""A user's own prices: what was agreed stands above the lists, on its days, in its currency, for its calls."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger.quote import Question, quote
from joulebook.accounting.prices.contract import Called, parse

GPT_5 = {"input_tokens": 1e6, "cache_read_tokens": 2e5, "output_tokens": 1e5}  # by the list 1.25, 0.125, 10 a million
BY_LIST = 0.8 * 1.25 + 0.2 * 0.125 + 0.1 * 10


def cost(home: Path, toml: str, model: str = "gpt-5", day: str = "2026-11-01", **told: Any) -> dict[str, Any]:
    home.mkdir(exist_ok=True)
    (home / "prices.toml").write_text(toml)
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    asked = {"provider": "openai", "amounts": GPT_5, "context": {}} | told
    return quote(home, Question(asked["provider"], model, asked["amounts"], at, asked["context"]))


def test_an_own_price_stands_above_the_list_and_leaves_the_rest_as_it_is(home: Path) -> None:
    found = cost(home, '[[price]]\nprovider = "openai"\nmodel = "gpt-5*"\nper_million = {input_tokens = 1.00}')
    assert found["cost_usd"] == pytest.approx(0.8 * 1.00 + 0.2 * 0.125 + 0.1 * 10)
    assert found["basis"] == "contract"
    lines = {line["unit"]: (line["basis"], line["usd_per_unit"], line["list_usd_per_unit"]) for line in found["lines"]}
    assert lines == {
        "input_tokens": ("contract", pytest.approx(1.00e-6), 1.25e-6),
        "cache_read_tokens": ("list", 0.125e-6, 0.125e-6),
        "output_tokens": ("list", 10e-6, 10e-6),
    }


def test_a_discount_is_off_the_list_and_never_off_own_prices(home: Path) -> None:
    half = '[[discount]]\nprovider = "openai"\npercent = 50\n'
    assert cost(home, half)["cost_usd"] == pytest.approx(BY_LIST / 2)
    own = '[[price]]\nmodel = "gpt-5"\nper_million = {output_tokens = 9}\n'
    assert cost(home, half + own)["cost_usd"] == pytest.approx((0.8 * 1.25 + 0.2 * 0.125) / 2 + 0.1 * 9)


def test_of_two_entries_that_fit_the_later_one_counts(home: Path) -> None:
    two = '[[discount]]\nprovider = "*"\npercent = 50\n[[discount]]\nmodel = "gpt-5"\npercent = 10\n'
    assert cost(home, two)["cost_usd"] == pytest.approx(BY_LIST * 0.9)
    assert cost(home, two, model="gpt-4o")["cost_usd"] == pytest.approx((0.8 * 2.5 + 0.2 * 1.25 + 0.1 * 10) * 0.5)


@pytest.mark.parametrize(("day", "usd_per_million"), [
    ("2025-12-31", 1.25),  # the list
    ("2026-01-01", 2 * 1.08), ("2026-06-30T23:59:59", 2 * 1.08), ("2026-07-01", 2 * 1.12),
    ("2027-01-01", 1.25),
])  # fmt: skip
def test_an_own_price_holds_on_its_days_in_its_currency_of_the_day(
    home: Path, day: str, usd_per_million: float
) -> None:
    toml = """
        [exchange]
        EUR = [{usd = 1.08}, {from = 2026-07-01, usd = 1.12}]
        [[price]]
        provider = "openai"
        currency = "EUR"
        per_million = {input_tokens = 2}
        from = 2026-01-01
        until = 2027-01-01
    """
    assert cost(home, toml, day=day, amounts={"input_tokens": 1e6})["cost_usd"] == pytest.approx(usd_per_million)


def test_an_entry_with_a_context_is_about_calls_with_it_only(home: Path) -> None:
    toml = '[[discount]]\nprovider = "openai"\npercent = 20\ncontext = {tenant = "search"}'
    assert cost(home, toml)["cost_usd"] == pytest.approx(BY_LIST)
    assert cost(home, toml, context={"tenant": "search"})["cost_usd"] == pytest.approx(BY_LIST * 0.8)
    with pytest.raises(InputError, match="no price depends on 'tennant': did you mean tenant"):
        cost(home, toml, context={"tennant": "search"})


def test_a_server_of_ones_own_has_the_price_that_one_gives_it(home: Path) -> None:
    toml = """
        [[price]]
        provider = "my-vllm"
        per_unit = {requests = 0.001}
        per_million = {input_tokens = 1, output_tokens = 2}
    """
    told = {"provider": "my-vllm", "amounts": {"input_tokens": 1e6, "output_tokens": 5e5}}
    found = cost(home, toml, model="llama-70b", **told)
    assert (found["cost_usd"], found["basis"]) == (pytest.approx(1 + 1 + 0.001), "contract")
    assert [line["list_usd_per_unit"] for line in found["lines"]] == [None, None, None]


def test_a_discount_on_an_undated_price_leaves_it_undated(home: Path) -> None:
    toml = '[[discount]]\nprovider = "openai"\npercent = 10'
    found = cost(home, toml, model="ft:gpt-4.1-mini-2025-04-14:acme::id", amounts={"input_tokens": 1e6})
    assert (found["cost_usd"], found["basis"]) == (pytest.approx(0.8 * 0.9), "fallback")


def test_what_an_own_price_does_not_name_of_an_unlisted_model_makes_its_cost_unknown(home: Path) -> None:
    toml = '[[price]]\nmodel = "gpt-9"\nper_million = {input_tokens = 1}'
    found = cost(home, toml, model="gpt-9", amounts={"input_tokens": 10, "output_tokens": 1})
    assert found["cost_usd"] is None
    assert found["reason"] == "no price of output_tokens of openai gpt-9"


def test_names_fit_in_any_case_and_the_host_names_the_provider_too() -> None:
    (own,) = parse('[[price]]\nprovider = "*.acme.com"\nmodel = "LLAMA-?"\nper_unit = {requests = 1}').prices
    assert own.scope.fits(Called(("llm.acme.com",), ("Llama-3",), {}))
    assert not own.scope.fits(Called(("llm.acme.org",), ("Llama-3",), {}))
    assert not own.scope.fits(Called((), ("Llama-3",), {}))
    assert own.scope.holds(date.min)


PRICE = '[[price]]\nmodel = "m"\n'


@pytest.mark.parametrize(("toml", "says"), [
    ("[[price]]\nmodel = gpt", "this is no TOML: .*line 2"),
    ("[[prices]]", "the file: unknown key 'prices', did you mean 'price'?"),
    ("[price]", r"price must be written as \[\[price\]\]"),
    (PRICE, r"\[\[price\]\] 1: has no price"),
    ("[[price]]\nper_unit = {requests = 1}", r"\[\[price\]\] 1: names neither a provider nor a model"),
    (PRICE + "per_million = {input_token = 1}", "unknown unit 'input_token', did you mean 'input_tokens'?"),
    (PRICE + "per_million = {input_tokens = -1}", "per_million.input_tokens must be a number from 0 up, not -1"),
    (PRICE + "per_million = {input_tokens = nan}", "must be a number from 0 up, not nan"),
    (PRICE + "per_million = {input_tokens = inf}", "must be a number from 0 up, not inf"),
    (PRICE + 'per_million = {input_tokens = "1"}', "must be a number from 0 up, not '1'"),
    (PRICE + "per_million = 1", r"\[\[price\]\] 1: per_million must be a table"),
    (PRICE + "per_million = {cache_read_tokens = 1, input_audio_tokens = 2}",
     "cache_read_tokens and input_audio_tokens overlap: give cache_audio_read_tokens a price, too"),
    (PRICE + 'currency = "EUR"\nper_unit = {requests = 1}', "no exchange rate of currency 'EUR'"),
    ("[exchange]\nEUR = [{from = 2026-01-01, usd = 1}]\n" + PRICE + 'currency = "EUR"\nper_unit = {requests = 1}',
     "begins before the first exchange rate of EUR, which is from 2026-01-01"),
    ("[exchange]\nEUR = 1.08", r"exchange.EUR must be a list such as"),
    ("[exchange]\nEUR = [{usd = 0.9, form = 2026-01-01}]", "exchange.EUR, rate 1: unknown key 'form'"),
    (PRICE + 'from = "2026-01-01"\nper_unit = {requests = 1}', "from must be a day such as 2026-01-01, without quotes"),
    (PRICE + "from = 2026-02-01\nuntil = 2026-02-01\nper_unit = {requests = 1}", "from 2026-02-01 is not before until"),
    (PRICE + "context = {processing = 1}\nper_unit = {requests = 1}", "context.processing must be a text, not 1"),
    ('[[discount]]\nmodel = "m"', r"\[\[discount\]\] 1: has no percent"),
    ('[[discount]]\nmodel = "m"\npercent = 101', "percent must be a number from 0 to 100, not 101"),
    ('[[discount]]\nmodel = ""\npercent = 1', 'model must be a text such as "openai"'),
])  # fmt: skip
def test_what_cannot_be_used_is_named(toml: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse(toml)


def test_the_guide_shows_a_contract_that_can_be_used() -> None:
    guide = (Path(__file__).parents[1] / "docs/prices.md").read_text("utf-8")
    agreed = parse("[exchange]" + guide.split("```toml\n[exchange]")[1].split("```")[0])
    assert len(agreed.prices) == len(agreed.discounts) == 1
    assert agreed.prices[0].per_unit["input_tokens"] == pytest.approx(1.10e-6)
    assert agreed.usd_of("EUR", date(2026, 7, 1)) == 1.12
