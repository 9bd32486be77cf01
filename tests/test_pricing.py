"""What calls cost: as the library itself prices them, at ingest and never again, and as of a day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from genai_prices import Usage
from handmade import HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting import usage
from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import costs, ingest, open_ledger, rebuild, schema
from joulebook.accounting.prices import compiled, listed, versions
from joulebook.accounting.prices.nesting import narrowest
from joulebook.accounting.prices.pricing import price_calls
from joulebook.accounting.records import uuid7
from joulebook.accounting.verify import verify

PRICED = "select c.source_id, k.cost_usd, k.basis, k.reason from call_cost k join call c on c.call_no = k.call_no"


def ns(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def journal_of(home: Path, *calls: dict[str, Any]) -> None:
    journal = HandmadeJournal(home, version=3)
    for number, fields in enumerate(calls):
        about = {"call_id": uuid7(), "source": "import", "source_id": str(number), "provider": "openai", "status": 200}
        journal.event("call", number + 1, **(about | fields))
    journal.write()


def units(**amounts: float) -> list[list[str]]:
    return [[unit, repr(amount)] for unit, amount in amounts.items()]


def priced(home: Path, *calls: dict[str, Any]) -> list[tuple[Any, ...]]:
    journal_of(home, *calls)
    ingest(home)
    return costs_of(home)


def costs_of(home: Path) -> list[tuple[Any, ...]]:
    rows = open_ledger(home).rows(f"{PRICED} order by c.source_id::bigint")
    return [tuple(row.values())[1:] for row in rows]


# The library and the ledger -------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """A call drawn by chance: of one model, at one time, with amounts of parts that do not overlap."""

    provider: Any
    model: Any
    name: str
    at: datetime
    context: dict[str, str]
    parts: dict[str, float]

    def amounts(self) -> dict[str, float]:
        """The same as providers report it: each unit with all parts that lie in it."""
        known = usage.units()
        return {
            unit: sum(self.parts[part] for part in self.parts if known[unit].dimensions <= known[part].dimensions)
            for unit in known if unit != "requests"
        }  # fmt: skip

    def by_library(self) -> Decimal:
        reported = Usage(**{unit: self.of_library(amount) for unit, amount in self.amounts().items()})
        told = {"genai_request_timestamp": self.at, "price_context": self.context}
        return self.model.calc_price(reported, self.provider, **told).total_price

    @staticmethod
    def of_library(amount: float) -> int | Decimal:
        return int(amount) if amount == int(amount) else Decimal(repr(amount))

    def event(self) -> dict[str, Any]:
        told = {unit: amount for unit, amount in self.amounts().items() if amount}
        return {
            "provider": self.provider.id, "request_model": self.name, "started_ns": ns(self.at),
            "units": units(**told), "context": sorted(map(list, self.context.items())),
        }  # fmt: skip


def models() -> Iterator[tuple[Any, Any]]:
    """All models with their providers; those with rules come up more often."""
    for provider in listed.snapshot().providers:
        for model in (*provider.models, *listed.borrowed(provider)):
            has_rules = isinstance(model.prices, list) or model.price_variants or "TieredPrices" in repr(model.prices)
            repeat = 40 if "TimeOfDate" in repr(model.prices) else 8 if has_rules else 1
            yield from [(provider, model)] * (repeat * (10 if provider.id == "groq" and "whisper" in model.id else 1))


def drawn(chance: random.Random, choice: list[tuple[Any, Any]]) -> Drawn:
    while True:
        provider, model = chance.choice(choice)
        if provider.find_model(model.id, all_providers=listed.snapshot().providers) is not model:
            continue  # its own name means another one
        context = chance.choice(list(compiled._contexts(model)))
        days, times = compiled._cuts(model)
        day = chance.choice([*days, date(2025, 7, 1) + timedelta(days=chance.randrange(500))])
        at = datetime.combine(day, chance.choice(times), UTC) + timedelta(
            seconds=chance.choice([-1, 0, 1, 0.5, chance.randrange(-90_000, 90_000)])
        )
        of_model = model.get_prices(at, context if listed.is_own(provider, model) else None)
        known = frozenset(unit for unit, *_ in compiled._units(model, of_model))
        fitting = [unit for unit in usage.units() if unit != "requests" and narrowest(unit, known)]
        if fitting:
            some = chance.sample(fitting, min(len(fitting), chance.randrange(1, 5)))
            return Drawn(provider, model, model.id, at, context, {unit: amount_of(chance) for unit in some})


def amount_of(chance: random.Random) -> float:
    return float(chance.choice([1, 9, 200_000, 200_001, 272_000, chance.randrange(1, 400_000), chance.randrange(1, 9)]))


def test_two_thousand_random_calls_cost_what_the_library_says(home: Path) -> None:
    chance = random.Random(20_261_125)  # noqa: S311 - chance, not a secret
    choice = list(models())
    calls = [drawn(chance, choice) for _ in range(2000)]
    found = priced(home, *(call.event() for call in calls))
    assert len(found) == 2000
    wrong = [
        (call.provider.id, call.name, call.at, call.context, call.parts, cost, by_library)
        for call, (cost, basis, _) in zip(calls, found, strict=True)
        if (by_library := call.by_library()) is None
        or basis != "list"
        or abs(Decimal(repr(cost)) - by_library) > Decimal("1e-9")
    ]
    assert wrong == [], "\n".join(map(str, wrong))
    # and what was drawn has all that there is to get wrong
    assert sum(call.context != {} for call in calls) > 200
    assert sum("TimeOfDate" in repr(call.model.prices) for call in calls) > 50
    assert sum(not listed.is_own(call.provider, call.model) for call in calls) > 20
    assert all(check.ok for check in verify(open_ledger(home)))


# One call -------------------------------------------------------------------------------------------------------


def test_each_part_costs_its_own_price(home: Path) -> None:
    """GPT-5 in US dollars a million: input 1.25, cached input 0.125, output 10."""
    told = units(input_tokens=1000, cache_read_tokens=200, output_tokens=50, output_reasoning_tokens=30)
    found = priced(home, {"request_model": "gpt-5", "units": told})
    assert found == [(pytest.approx((800 * 1.25 + 200 * 0.125 + 50 * 10) / 1e6, abs=1e-15), "list", None)]
    rows = open_ledger(home).rows("select unit, amount, usd_per_unit, basis from call_line order by unit")
    assert [tuple(row.values()) for row in rows] == [
        ("cache_read_tokens", 200, 0.125e-6, "list"),
        ("input_tokens", 800, 1.25e-6, "list"),
        ("output_reasoning_tokens", 30, 10e-6, "list"),
        ("output_tokens", 20, 10e-6, "list"),
    ]


def test_a_tier_holds_for_the_whole_of_one_call(home: Path) -> None:
    """Gemini 2.5 Pro costs 1.25 US dollars a million input tokens, and 2.50 in calls of more than 200,000."""
    calls = [
        {"provider": "google", "request_model": "gemini-2.5-pro", "units": units(input_tokens=tokens)}
        for tokens in (200_000, 200_000, 200_001)
    ]
    found = [cost for cost, *_ in priced(home, *calls)]  # two calls of 200,000 are no call of 400,000
    assert found == [pytest.approx(0.25), pytest.approx(0.25), pytest.approx(200_001 * 2.5 / 1e6)]


def test_a_price_of_a_time_of_day_goes_by_the_time_of_the_call(home: Path) -> None:
    """DeepSeek has a peak from 01:00 to 04:00 and from 06:00 to 10:00 UTC; before 17 August 2026 it was cheaper."""
    usd_per_million = {
        "2026-11-02T00:59:59": 0.15, "2026-11-02T01:00:00": 0.3, "2026-11-02T03:59:59": 0.3,
        "2026-11-02T04:00:00": 0.15, "2026-08-17T12:00:00": 0.22, "2026-08-16T23:59:59": 0.14,
    }  # fmt: skip
    call = {"provider": "deepseek", "request_model": "deepseek-v4-flash", "units": units(input_tokens=1e6)}
    started = [datetime.fromisoformat(at).replace(tzinfo=UTC) for at in usd_per_million]
    found = priced(home, *({**call, "started_ns": ns(at)} for at in started))
    assert [cost for cost, *_ in found] == pytest.approx(list(usd_per_million.values()))


def test_groq_bills_a_transcription_as_ten_seconds_at_least(home: Path) -> None:
    call = {"provider": "groq", "request_model": "whisper-large-v3"}
    found = priced(home, *({**call, "units": units(input_audio_seconds=seconds)} for seconds in (3, 30)))
    assert [cost for cost, *_ in found] == pytest.approx([10 * 0.111 / 3600, 30 * 0.111 / 3600])


OWN = "is a customer's own model: no list has its price, the base model's is not it"
REASONS: list[tuple[dict[str, Any], float | None, str, str | None]] = [
    ({"status": 429, "units": units(input_tokens=1000)}, 0.0, "not billed", "answered with status 429"),
    ({"outcome": "timeout", "status": None}, None, "unpriced", "no usage was reported (timeout)"),
    ({"request_model": "gpt-9", "units": units(input_tokens=1000)}, None, "unpriced",
     "no price list knows the model 'gpt-9' of openai"),
    ({"provider": None, "host": "127.0.0.1", "request_model": "gpt-5", "units": units(input_tokens=1)}, None,
     "unpriced", "no price list knows the model 'gpt-5' of 127.0.0.1"),
    ({"request_model": "ft:gpt-5:acme::id", "units": units(input_tokens=1000)}, None, "unpriced",
     f"'ft:gpt-5:acme::id' of openai {OWN}"),
    ({"request_model": "gpt-5", "units": units(input_tokens=1000, input_audio_seconds=2)}, None, "unpriced",
     "no price of input_audio_seconds of openai gpt-5"),
    ({"request_model": "ft:gpt-4o:acme::id", "units": units(input_tokens=1e6)}, 3.75, "list", None),
    ({"request_model": "ft:gpt-4.1-mini-2025-04-14:acme::id", "units": units(input_tokens=1e6)}, 0.8, "fallback",
     "by undated standard prices (litellm-1.106.2)"),
    ({"provider": "openrouter", "request_model": "qwen/qwen3-coder:free", "units": units(input_tokens=9)}, 0.0, "list",
     None),
]  # fmt: skip


def test_a_cost_is_known_or_says_why_not(home: Path) -> None:
    found = priced(home, *(fields for fields, *_ in REASONS))
    assert found == [
        (cost if cost is None else pytest.approx(cost), basis, reason) for _, cost, basis, reason in REASONS
    ]
    known = {row["call_no"] for row in open_ledger(home).rows("select call_no from call_line")}
    assert len(known) == 3  # of a cost that nobody knows, or that is 0 for a refusal, there are no parts


# At ingest, and never again -------------------------------------------------------------------------------------

HALF = '[[discount]]\nprovider = "openai"\npercent = 50\n'
ONE_MILLION = {"request_model": "gpt-5", "units": units(input_tokens=1e6)}  # 1.25 US dollars by the list


def adopted(home: Path) -> list[tuple[str, int]]:
    rows = open_ledger(home).rows("select version_id, len(lists) as lists from price_version order by adopted_at_utc")
    return [tuple(row.values()) for row in rows]


def test_a_cost_at_ingest_stays_when_prices_change(home: Path) -> None:
    priced(home, ONE_MILLION)
    (home / "prices.toml").write_text(HALF)
    ingest(home)  # nothing new but the prices: they are taken note of
    assert [lists for _, lists in adopted(home)] == [2, 3]
    journal_of(home, {**ONE_MILLION, "source_id": "7"})
    ingest(home)
    assert costs_of(home) == [(1.25, "list", None), (0.625, "contract", None)]
    first, second = adopted(home)
    rows = open_ledger(home).rows("select version_id from call_cost order by call_no")
    assert [row["version_id"] for row in rows] == [first[0], second[0]]
    (home / "prices.toml").unlink()  # the lists of the beginning are in force again
    ingest(home)
    assert adopted(home) == [first, second, first]


def test_an_unchanged_home_adopts_nothing(home: Path) -> None:
    priced(home, ONE_MILLION)
    before = adopted(home)
    journal_of(home, {**ONE_MILLION, "source_id": "7"})
    ingest(home)
    assert adopted(home) == before
    assert len(open_ledger(home).rows("select distinct list_id from price")) == 2


def test_rebuild_keeps_costs_at_ingest_and_the_history_of_prices(home: Path) -> None:
    priced(home, ONE_MILLION)
    (home / "prices.toml").write_text(HALF)
    journal_of(home, {**ONE_MILLION, "source_id": "7"})
    ingest(home)
    tables = {"call_cost": "* exclude (call_no)", "call_line": "* exclude (call_no)", "price_version": "*",
              "price_list": "*", "price": "*"}  # fmt: skip
    before = {
        name: sorted(map(str, open_ledger(home).rows(f"select {what} from {name}"))) for name, what in tables.items()
    }
    (home / "prices.toml").unlink()
    rebuild(home)
    after = {
        name: sorted(map(str, open_ledger(home).rows(f"select {what} from {name}"))) for name, what in tables.items()
    }
    changed = [name for name in tables if before[name] != after[name]]
    assert changed == ["price_version"]  # the calls were priced by what is in force, and then had their cost back
    assert [lists for _, lists in adopted(home)] == [2, 3, 2]
    assert costs_of(home) == [(1.25, "list", None), (0.625, "contract", None)]


@pytest.mark.parametrize("damage", ["gone", "broken"])
def test_rebuild_without_the_ledger_before_says_that_it_priced_anew(home: Path, damage: str) -> None:
    priced(home, ONE_MILLION, {"request_model": "gpt-9", "units": units(input_tokens=1)})
    path = open_ledger(home).path
    path.unlink() if damage == "gone" else path.write_bytes(b"no database" * 1000)
    rebuild(home)
    why = "no price list knows the model 'gpt-9' of openai"
    assert costs_of(home) == [(1.25, "list", costs.ANEW), (None, "unpriced", f"{why}; {costs.ANEW}")]


def test_a_broken_contract_stops_the_ingest_and_nothing_is_lost(home: Path) -> None:
    journal_of(home, ONE_MILLION)
    (home / "prices.toml").write_text('[[price]]\nmodle = "gpt-5"\n')
    with pytest.raises(InputError, match=r"prices.toml: \[\[price\]\] 1: unknown key 'modle', did you mean 'model'"):
        ingest(home)
    (home / "prices.toml").write_text(HALF)
    ingest(home)
    assert costs_of(home) == [(0.625, "contract", None)]


# As of a day ----------------------------------------------------------------------------------------------------

DAY_0 = date(2026, 1, 1)
days = st.integers(0, 40).map(lambda number: DAY_0 + timedelta(days=number))
prices_of_days = st.dictionaries(days, st.integers(1, 9), min_size=1, max_size=4)  # from then on, US dollars a token


def store(con: duckdb.DuckDBPyConnection, number: int, adopted_on: date, steps: dict[date, int]) -> None:
    """A version of one list with one model: the first price holds from the beginning of time."""
    starts = sorted(steps)
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        since = None if start == starts[0] else start
        con.execute("insert into price values (?, 'p', 'm', '{}', ?, ?, null, null, 'input_tokens', 0, ?, null, 's')",
                    [f"list-{number}", since, end, steps[start]])  # fmt: skip
    con.execute("insert into price_list values (?, 'list', '', ?, '')", [f"list-{number}", adopted_on])
    con.execute("insert into price_version values (?, ?, ?)", [f"v{number}", adopted_on, [f"list-{number}"]])


@pytest.fixture(scope="module")
def empty() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect(":memory:")
    schema.migrate(con, ":memory:")
    yield con
    con.close()


@contextmanager
def ledger_with(con: duckdb.DuckDBPyConnection, called_on: list[date]) -> Iterator[None]:
    """Calls of one token each, and then as if they had never been."""
    con.execute("begin")
    for number, day in enumerate(called_on):
        con.execute("insert into call (call_no, provider, request_model, started_at_utc) values (?, 'p', 'm', ?)",
                    [number, day])  # fmt: skip
    con.execute("""insert into call_usage (call_no, provider, model, price_context, input_tokens, method)
                   select call_no, 'p', 'm', '{}', 1, 'measured' from call""")
    con.execute("insert into call_bucket select call_no, 'input_tokens', 1 from call")
    yield
    con.execute("rollback")


def as_of(con: duckdb.DuckDBPyConnection, day: date) -> list[float]:
    version = versions.known_on(con, day)
    assert version is not None
    price_calls(con, version, as_of=day)
    return [row[0] for row in con.execute("select cost_usd from priced_call order by call_no").fetchall()]


def by_hand(known: list[tuple[date, dict[date, int]]], called: date, day: date) -> float:
    """The newest list of those known on a day, else the first; and in it what held when the call was made, or then."""
    of_day = [steps for adopted_on, steps in sorted(known, key=lambda one: one[0]) if adopted_on <= day]
    steps = of_day[-1] if of_day else min(known, key=lambda one: one[0])[1]
    begun = [start for start in sorted(steps) if start <= min(called, day)] or [min(steps)]
    return float(steps[begun[-1]])


@settings(max_examples=30, deadline=None)
@given(
    known=st.lists(st.tuples(days, prices_of_days), min_size=1, max_size=4, unique_by=lambda one: one[0]),
    called_on=st.lists(days, min_size=1, max_size=4),
    day=days,
    later=st.lists(st.tuples(st.integers(1, 30), prices_of_days), max_size=3, unique_by=lambda one: one[0]),
)
def test_prices_as_of_a_day_do_not_move_when_newer_ones_are_added(
    empty: duckdb.DuckDBPyConnection,
    known: list[tuple[date, dict[date, int]]],
    called_on: list[date],
    day: date,
    later: list[tuple[int, dict[date, int]]],
) -> None:
    with ledger_with(empty, called_on):
        for number, (adopted_on, steps) in enumerate(known):
            store(empty, number, adopted_on, steps)
        expected = [by_hand(known, called, day) for called in called_on]
        assert as_of(empty, day) == expected
        newest = max([day, *(adopted_on for adopted_on, _ in known)])
        for number, (after, steps) in enumerate(later, start=len(known)):
            store(empty, number, newest + timedelta(days=after), steps)
        assert as_of(empty, day) == expected


def test_a_price_that_changes_after_the_day_is_not_known_on_it(empty: duckdb.DuckDBPyConnection) -> None:
    """The list of 1 January says: 2 US dollars a token, and 5 from the 20th on."""
    with ledger_with(empty, [date(2026, 1, 10), date(2026, 1, 25)]):
        store(empty, 0, DAY_0, {DAY_0: 2, date(2026, 1, 20): 5})
        assert as_of(empty, date(2026, 1, 15)) == [2, 2]
        assert as_of(empty, date(2026, 1, 20)) == [2, 5]
