"""The FOCUS export: one row a day, meter and price; every sum is the ledger's; whole or not at all."""

from __future__ import annotations

import csv
import json
import ssl
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fake_server import API_KEY, PROMPT, FakeServer
from handmade import START_NS, HandmadeJournal
from hypothesis import given
from hypothesis import strategies as st

import joulebook
from joulebook import track
from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import Ledger, ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.accounting.when import parse_when
from joulebook.cli import main
from joulebook.reports import focus, views
from joulebook.reports.views import period_of

DAY_S = 86_400
PERIOD = period_of(parse_when("2026-01-01"), parse_when("2026-02-01"))
CHAT = {
    "prompt_tokens": 1200,
    "completion_tokens": 300,
    "prompt_tokens_details": {"cached_tokens": 1024},
    "completion_tokens_details": {"reasoning_tokens": 128},
}
CLAUDE = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 2000,
    "cache_read_input_tokens": 8000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500},
    "output_tokens": 120,
}
HOSTILE = "=cmd|'/c calc'!A1"
Rows = list[dict[str, str]]


def call(at_s: float, usage: Mapping[str, Any] | None = CHAT, **fields: Any) -> tuple[float, dict[str, Any]]:
    """A call of gpt-5 (1.25, cached 0.125, out 10 USD per million) that many seconds after 1 January 2026."""
    about = {"call_id": uuid7(), "source": "http", "provider": "openai", "request_model": "gpt-5", "outcome": "ok"}
    used = {} if usage is None else {"usage_json": json.dumps({"usage": usage})}
    return at_s, {**about, "status": 200, **used, **fields}


def units(**amounts: float) -> dict[str, Any]:
    return {"usage": None, "units": [[unit, str(amount)] for unit, amount in amounts.items()]}


def ledger_of(home: Path, calls: Iterable[tuple[float, dict[str, Any]]], prices: str = "") -> Ledger:
    home.mkdir(parents=True, exist_ok=True)
    (home / "prices.toml").write_text(prices)
    journal = HandmadeJournal(home, version=3)
    run = journal.start(0, "answers", project="search", tags=[["team", "ranking"], ["shift", "=late"]])
    for at_s, fields in calls:
        journal.event("call", at_s, run_id=run, span_id=run, **fields)
    journal.end(40 * DAY_S, run)
    journal.write()
    ingest(home)
    return open_ledger(home)


CALLS = (
    call(DAY_S - 1),
    call(DAY_S - 0.5),  # the same half a second later
    call(DAY_S),  # the next day
    call(DAY_S + 6, account=HOSTILE, project=HOSTILE, tags=[["team", "ranking"], ["note", HOSTILE]]),
    call(2 * DAY_S, CLAUDE, provider="anthropic", request_model="claude-sonnet-4-5"),
    call(3 * DAY_S, provider="google", request_model="gemini-2.5-pro", **units(input_tokens=100_000, output_tokens=1)),
    call(3 * DAY_S, provider="google", request_model="gemini-2.5-pro", **units(input_tokens=300_000, output_tokens=1)),
    call(4 * DAY_S, provider="groq", request_model="whisper-large-v3", **units(input_audio_seconds=4)),
    call(5 * DAY_S, None, outcome="aborted", sent_chars=402, received_chars=90),
    call(6 * DAY_S, None, outcome="error", status=429),
    call(6 * DAY_S, provider="nobody", request_model="unheard-of", **units(input_tokens=30, output_tokens=10)),
    call(35 * DAY_S, project="february"),
    call(305 * DAY_S, project="autumn"),  # the list has prices of tiers from October on
    call(305 * DAY_S, project="autumn", context=[["service_tier", "flex"]]),
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """CALLS, at list prices."""
    return ledger_of(tmp_path_factory.mktemp("focus"), CALLS)


@pytest.fixture
def rows(ledger: Ledger, tmp_path: Path) -> Rows:
    """What the CSV file says of January."""
    focus.export(ledger, tmp_path / "calls.csv", PERIOD)
    return read(tmp_path / "calls.csv")


def read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of(rows: Rows, **wanted: str) -> Rows:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def day(number: int) -> str:
    return f"2026-01-{number:02d}T00:00:00Z"


def add_up(rows: Rows) -> None:
    """What FOCUS demands of prices, quantities and costs, to the last figure. The validator does not look at it."""
    for row in rows:
        price, listed = Decimal(row["ContractedUnitPrice"]), Decimal(row["ListUnitPrice"])
        quantity = Decimal(row["PricingQuantity"])
        assert Decimal(row["ContractedCost"]) == price * quantity
        assert Decimal(row["ListCost"]) == listed * quantity
        assert row["BilledCost"] == row["EffectiveCost"] == row["ContractedCost"]


def cost(rows: Rows, column: str = "BilledCost") -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal())


def test_a_call_is_one_row_for_each_meter_and_they_add_up_to_its_cost(rows: Rows) -> None:
    # two calls of 176 + 1024 cached in, 172 + 128 of reasoning out, at 1.25, 0.125, 10 and 10 USD per million
    found = {row["SkuMeter"]: (row["PricingQuantity"], row["BilledCost"]) for row in of(rows, ChargePeriodStart=day(1))}
    assert found == {
        "Input": ("352.0", "0.00044"),
        "Cached Input": ("2048.0", "0.000256"),
        "Output": ("344.0", "0.00344"),
        "Reasoning Output": ("256.0", "0.00256"),
    }
    assert {row["x_CallCount"] for row in of(rows, ChargePeriodStart=day(1))} == {"2"}


def test_a_row_says_all_that_focus_asks_for(rows: Rows) -> None:
    (row,) = of(rows, ChargePeriodStart=day(1), SkuMeter="Cached Input")
    told = {key: value for key, value in row.items() if value and "Cost" not in key and "Quantity" not in key}
    version = told.pop("x_PriceVersion")
    assert len(version) == 12
    assert told == {
        "BillingAccountId": "openai", "BillingAccountName": "OpenAI", "BillingAccountType": "Account",
        "BillingCurrency": "USD", "BillingPeriodStart": day(1), "BillingPeriodEnd": "2026-02-01T00:00:00Z",
        "ChargePeriodStart": day(1), "ChargePeriodEnd": day(2), "ChargeCategory": "Usage",
        "ChargeDescription": "gpt-5, Cached Input, standard", "ChargeFrequency": "Usage-Based",
        "ConsumedUnit": "Tokens", "ContractedUnitPrice": "0.000000125", "HostProviderName": "OpenAI",
        "InvoiceIssuerName": "OpenAI", "ListUnitPrice": "0.000000125", "PricingCategory": "Standard",
        "PricingCurrency": "USD", "PricingCurrencyContractedUnitPrice": "0.000000125",
        "PricingCurrencyListUnitPrice": "0.000000125", "PricingUnit": "Tokens", "ProviderName": "OpenAI",
        "PublisherName": "OpenAI", "ServiceCategory": "AI and Machine Learning", "ServiceName": "OpenAI API",
        "ServiceProviderName": "OpenAI", "ServiceSubcategory": "Generative AI",
        "SkuId": "openai:gpt-5:cache_read_tokens", "SkuMeter": "Cached Input",
        "SkuPriceDetails": '{"x_Model": "gpt-5", "x_Unit": "cache_read_tokens"}',
        "SkuPriceId": "openai:gpt-5:cache_read_tokens:standard:0.000000125", "SubAccountId": "search",
        "SubAccountName": "search", "SubAccountType": "Project", "Tags": '{"shift": "=late", "team": "ranking"}',
        "x_CallCount": "2", "x_Model": "gpt-5", "x_Unit": "cache_read_tokens", "x_UsageMethod": "measured",
        "x_PriceBasis": "list",
    }  # fmt: skip


def test_prices_times_quantities_are_costs_and_costs_sum_to_those_of_the_ledger(ledger: Ledger, rows: Rows) -> None:
    add_up(rows)
    whole = ledger.rows("select sum(cost_usd) as usd from api_call where started_at_utc < '2026-02-01'")[0]["usd"]
    assert float(cost(rows)) == pytest.approx(whole, rel=1e-12)


def test_a_wrong_list_cost_is_caught(rows: Rows) -> None:
    # ten cents more on one row: FOCUS's validator lets it pass, these sums do not
    wrong = [dict(row) for row in rows]
    wrong[3]["ListCost"] = str(Decimal(wrong[3]["ListCost"]) + Decimal("0.1"))
    with pytest.raises(AssertionError):
        add_up(wrong)


def test_a_tier_is_another_price_of_the_same_thing(ledger: Ledger, tmp_path: Path) -> None:
    focus.export(ledger, tmp_path / "calls.csv", period_of(), "autumn")
    tiers = of(read(tmp_path / "calls.csv"), SkuMeter="Output")
    assert {row["SkuPriceId"]: row["BilledCost"] for row in tiers} == {
        "openai:gpt-5:output_tokens:standard:0.00001": "0.00172",  # 172 × 10 / million
        "openai:gpt-5:output_tokens:service_tier=flex:0.000005": "0.00086",  # half of it
    }
    assert {row["SkuId"] for row in tiers} == {"openai:gpt-5:output_tokens"}


def test_so_is_the_size_of_a_call(rows: Rows) -> None:
    sizes = of(rows, ProviderName="Google", SkuMeter="Input")
    assert {row["SkuPriceId"].rpartition(":")[0]: row["BilledCost"] for row in sizes} == {
        "google:gemini-2.5-pro:input_tokens:standard": "0.125",  # 100,000 × 1.25 / million
        "google:gemini-2.5-pro:input_tokens:input_tokens=over 200000": "0.75",  # 300,000 × 2.50 / million
    }


def test_both_kinds_of_cache_writes_are_meters_of_their_own(rows: Rows) -> None:
    found = {row["SkuMeter"]: row["BilledCost"] for row in of(rows, ProviderName="Anthropic")}
    assert found == {
        "Input": "0.00015",  # 50 × 3 / million
        "Cached Input": "0.0024",  # 8,000 × 0.30
        "Cache Write 5m": "0.005625",  # 1,500 × 3.75
        "Cache Write 1h": "0.003",  # 500 × 6
        "Output": "0.0018",  # 120 × 15
    }


def test_where_less_than_the_least_was_used_more_is_billed_than_consumed(rows: Rows) -> None:
    (row,) = of(rows, ProviderName="Groq")
    assert (row["ConsumedQuantity"], row["PricingQuantity"], row["PricingUnit"]) == ("4.0", "10.0", "Seconds")
    assert float(row["BilledCost"]) == pytest.approx(10 * 0.111 / 3600, rel=1e-12)


def test_estimated_usage_is_marked(rows: Rows) -> None:
    # 402 characters are 100.5 tokens in, 90 are 22.5 out
    found = of(rows, ChargePeriodStart=day(6))
    assert {row["SkuMeter"]: row["PricingQuantity"] for row in found} == {"Input": "100.5", "Output": "22.5"}
    assert {row["x_UsageMethod"] for row in found} == {"modelled"}


def test_a_call_without_a_price_is_left_out_and_told_never_written_as_0(ledger: Ledger, tmp_path: Path) -> None:
    done = focus.export(ledger, tmp_path / "calls.csv", PERIOD)
    assert (done.left_out_calls, done.left_out_tokens) == (1, 40)  # what was refused with 429 is no call that costs
    assert of(read(tmp_path / "calls.csv"), ChargePeriodStart=day(7)) == []
    assert done.days == 6
    assert done.cost_usd == pytest.approx(float(cost(read(tmp_path / "calls.csv"))), rel=1e-15)


def test_own_prices_are_contracted_and_the_list_stays_beside_them(tmp_path: Path) -> None:
    prices = '[[discount]]\nprovider = "openai"\npercent = 20\n[[price]]\nprovider = "nobody"\nmodel = "*"\n'
    prices += "per_million = {input_tokens = 2, output_tokens = 4}\n"
    own = ledger_of(tmp_path / "home", [CALLS[0], CALLS[10]], prices)
    done = focus.export(own, tmp_path / "calls.csv", PERIOD)
    rows = read(tmp_path / "calls.csv")
    add_up(rows)
    (agreed,) = of(rows, SkuMeter="Cached Input")
    assert (agreed["ContractedUnitPrice"], agreed["ListUnitPrice"]) == ("0.0000001", "0.000000125")
    assert agreed["SkuPriceId"].endswith("0.000000125")  # the same for every contract
    (unlisted,) = of(rows, SkuId="nobody:unheard-of:input_tokens")  # 30 × 2 / million
    assert (unlisted["BilledCost"], unlisted["ListCost"], unlisted["x_PriceBasis"]) == (
        "0.00006",
        "0.00006",
        "contract",
    )
    assert done.left_out_calls == 0


@pytest.mark.parametrize("method", ["measured", "modelled"])
def test_the_measured_energy_of_an_own_server_stands_beside_its_calls(tmp_path: Path, method: str) -> None:
    # 100 J while the one call was open, 60 J idle; of its 100 tokens 20 are of input
    home = tmp_path / "home"
    home.mkdir()
    (home / "prices.toml").write_text(
        '[[price]]\nprovider = "rack"\nmodel = "tiny"\nper_million = {input_tokens = 0, output_tokens = 0.5}\n'
    )
    journal = HandmadeJournal(home, version=3)
    journal.sensor("plug", "J", method=method)
    run = journal.start(0, "server", counters={"plug": 0})
    _, fields = call(10, **units(input_tokens=20, output_tokens=80), provider="rack", request_model="tiny")
    journal.event("call", 10, **fields | {"source": "server", "started_ns": START_NS, "duration_s": 10.0,
                                          "run_id": run, "span_id": run})  # fmt: skip
    journal.tick(10, plug=100)
    journal.end(20, run, counters={"plug": 160})
    journal.write()
    ingest(home)
    focus.export(open_ledger(home), tmp_path / "calls.parquet", PERIOD)
    rows = {row["SkuMeter"]: row for row in pq.read_table(tmp_path / "calls.parquet").to_pylist()}
    assert {name: float(row["BilledCost"]) for name, row in rows.items()} == {"Input": 0.0, "Output": 0.00004}
    kwh = {name: row["x_EnergyKwh"] for name, row in rows.items()}
    if method == "modelled":  # a model of an energy is no column of a bill
        assert kwh == {"Input": None, "Output": None}
        return
    assert kwh == {"Input": pytest.approx(20 / 3.6e6), "Output": pytest.approx(80 / 3.6e6)}
    of_run = views.run(open_ledger(home), run).rows[0]["carbon_g"].mid
    assert sum(row["x_Gco2e"] for row in rows.values()) == pytest.approx(of_run * 100 / 160)


def test_text_of_users_is_no_formula_and_survives(ledger: Ledger, rows: Rows, tmp_path: Path) -> None:
    found = [row for row in rows if HOSTILE in row["SubAccountId"]]
    assert len(found) == 4
    for row in found:
        assert row["SubAccountName"] == row["BillingAccountId"] == f"'{HOSTILE}"
        assert json.loads(row["Tags"]) == {"note": HOSTILE, "team": "ranking"}
    cells = [cell for row in rows for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    focus.export(ledger, tmp_path / "calls.parquet", PERIOD)
    exact = pq.read_table(tmp_path / "calls.parquet").to_pylist()
    assert sum(row["SubAccountId"] == HOSTILE for row in exact) == 4


def test_parquet_has_the_same_rows_with_types(ledger: Ledger, rows: Rows, tmp_path: Path) -> None:
    focus.export(ledger, tmp_path / "calls.parquet", PERIOD)
    table = pq.read_table(tmp_path / "calls.parquet")
    types = {name: str(table.schema.field(name).type) for name in ("BilledCost", "ListUnitPrice", "ChargePeriodStart")}
    assert list(types.values()) == ["decimal128(38, 21)", "decimal128(20, 17)", "timestamp[ms, tz=UTC]"]
    told = [{key: str(focus.cell(value) or "") for key, value in row.items()} for row in table.to_pylist()]
    assert told == rows


def test_a_period_and_a_project_narrow_it(ledger: Ledger, tmp_path: Path) -> None:
    one_day = period_of(parse_when("2026-01-01"), parse_when("2026-01-02"))
    assert focus.export(ledger, tmp_path / "day.csv", one_day).cost_usd == pytest.approx(2 * 0.003348)
    february = focus.export(ledger, tmp_path / "project.csv", period_of(), "february")
    assert (february.days, february.cost_usd) == (1, pytest.approx(0.003348))
    (start,) = {row["BillingPeriodStart"] for row in read(tmp_path / "project.csv")}
    assert start == "2026-02-01T00:00:00Z"


def test_an_empty_period_is_a_file_without_rows(ledger: Ledger, tmp_path: Path) -> None:
    done = focus.export(ledger, tmp_path / "calls.csv", period_of(until=parse_when("2025-01-01")))
    assert (done.rows, done.days, done.cost_usd, done.left_out_calls) == (0, 0, 0.0, 0)
    assert (tmp_path / "calls.csv").read_text().strip() == ",".join(focus.COLUMNS)
    focus.export(ledger, tmp_path / "calls.parquet", period_of(until=parse_when("2025-01-01")))
    assert pq.read_table(tmp_path / "calls.parquet").column_names == list(focus.COLUMNS)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_it_is_written_whole_or_not_at_all(ledger: Ledger, tmp_path: Path, monkeypatch: Any, ending: str) -> None:
    path = tmp_path / f"calls.{ending}"
    path.write_text("before")
    with pytest.raises(InputError, match="there is a file already"):
        focus.export(ledger, path, PERIOD)

    def full(charge: Mapping[str, Any]) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(focus, "row", full)
        with pytest.raises(OSError, match="No space left"):
            focus.export(ledger, path, PERIOD, force=True)
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [(path.name, "before")]
    assert focus.export(ledger, path, PERIOD, force=True).rows == 24
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_another_kind_of_file_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\*\.csv or \*\.parquet, not \.xlsx"):
        focus.export(ledger, tmp_path / "calls.xlsx", PERIOD)
    with pytest.raises(InputError, match="not without an ending"):
        focus.export(ledger, tmp_path / "calls", PERIOD)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_wrote_and_what_it_left_out(ledger: Ledger, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "new" / "calls.parquet"
    asked = ["--home", str(ledger.home), "export", "focus", "--out", str(path), "--until", "2026-02-01"]
    assert main([*asked, "--json"]) == 0
    told = capsys.readouterr()
    answer = json.loads(told.out)
    assert answer == {
        "path": str(path), "rows": pq.read_metadata(path).num_rows, "days": 6, "cost_usd": answer["cost_usd"],
        "left_out_calls": 1, "left_out_tokens": 40.0, "focus_version": "1.2",
    }  # fmt: skip
    assert "left out of the file: 1 call (40 tokens)" in told.err
    assert main(asked) == 2
    assert "give --force to replace it" in capsys.readouterr().err
    assert main([*asked, "--force"]) == 0
    assert f"written to {path}" in capsys.readouterr().out


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=17) | st.floats(-1e15, 1e15))
def test_numbers_are_written_without_exponent_and_with_a_point(value: Decimal | float) -> None:
    written = focus.plain(value)
    assert "E" not in written.upper()
    assert written.count(".") == 1
    assert type(value)(written) == value


def test_every_unit_has_a_meter_of_its_own() -> None:
    from joulebook.accounting.usage import units as known

    meters = [focus.meter(unit) for unit in known()]
    assert len(set(meters)) == len(meters) == 59
    assert focus.meter("cache_audio_write_1h_tokens") == "Audio Cache Write 1h"
    assert focus.meter("rerank_searches") == "Rerank Searches"


def test_nothing_secret_is_exported(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    prices = "per_million = {input_tokens = 1, output_tokens = 1}"
    (home / "prices.toml").write_text(f'[[price]]\nprovider = "*"\nmodel = "*"\n{prices}\n')
    with FakeServer() as server, track("secret", tags={"team": "ranking"}):
        url = f"{server.url}/openai/v1/chat/completions?key={API_KEY}"
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": PROMPT}]}
        with joulebook.http_client(provider="openai", verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as client:
            assert client.post(url, json=body, headers={"authorization": f"Bearer {API_KEY}"}).status_code == 200
    ingest(home)
    for ending in ("csv", "parquet"):
        assert focus.export(open_ledger(home), tmp_path / f"calls.{ending}", period_of()).rows == 4
    texts = [(tmp_path / "calls.csv").read_text(), str(pq.read_table(tmp_path / "calls.parquet").to_pylist())]
    for text in texts:
        assert [secret for secret in ("PLANTED", "giraffe", "walrus", "sk-", API_KEY, PROMPT) if secret in text] == []
        assert "ranking" in text
