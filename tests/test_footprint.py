"""What a call to a model API used: the formulas by hand, what each engine says, their spread, and the command."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joulebook.accounting.column import Column
from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate
from joulebook.accounting.site import Site
from joulebook.accounting.water import water_l
from joulebook.cli import main
from joulebook.models.footprint import ENGINES, Call, disclosed, ecologits, epoch, footprints, place_for
from joulebook.models.footprint.answer import amounts_at
from joulebook.models.footprint.call import Rate, Rates, Usage, operational, used
from joulebook.models.footprint.ecologits import Served

EXAMPLES = Path(__file__).parents[2] / "shared" / "reference" / "factors" / "worked_examples.json"
FRANCE = place_for("openai", "FR", Site())
LONG = Call("openai", "gpt-4o", 100_000, 300)


def examples() -> dict:
    if not EXAMPLES.exists():
        pytest.skip(f"{EXAMPLES} is not here: the numbers themselves stand in the other tests")
    return json.loads(EXAMPLES.read_text("utf-8"))


def said(call: Call, engine: str, place=FRANCE, **more):
    return next(each for each in footprints(call, place, **more).engines if each.engine == engine)


# The formulas, by hand --------------------------------------------------------------------------------------------


def test_tokens_count_each_at_their_own_rate():
    # 1000 in, of which 400 cached, and 50 out: 7 + 600 × 2 + 400 × 0.2 + 50 × 10 = 1787
    assert used(Usage(1000, 400, 50), Rate(7.0, 2.0, 0.2, 10.0)) == pytest.approx(1787)


def test_a_kwh_of_it_energy_on_a_grid():
    # 1 kWh × 1.2 = 1.2 kWh: × 50 g; water 0.5 + 1.2 × 3 = 4.1 L; × 10 MJ; × 1e-7 kgSb
    grid = {"pue": 1.2, "wue": 0.5, "carbon_intensity": 50, "water_intensity": 3, "electricity_adpe": 1e-7,
            "electricity_primary_energy": 10e6}  # fmt: skip
    amounts = operational(3.6e6, grid)
    expected = {"energy_j": 4.32e6, "gwp_g": 60, "water_l": 4.1, "adpe_kgsb": 1.2e-7, "primary_energy_j": 12e6}
    assert amounts == pytest.approx(expected)


def test_ecologits_formula_by_hand():
    # 8 B parameters of 2 bytes × 1.2 = 19.2 GB: one GPU of 80 GB, an eighth of a server, shared by 64.
    # GPU: 1.1665e-6 × e^(−0.0112 × 64) × 8 + 4.0529e-5 = 4.5084e-5 Wh a token
    # latency: 6.7851e-4 × 8 + 3.1193e-4 × 64 + 0.019474 = 0.044866 s; server: × 1200 / 8 / 64 = 0.105154 J
    # 4.5084e-5 × 3600 + 0.105154 = 0.267458 J; × 1000 tokens × PUE 1.2 / 3.6e6 = 8.91526e-5 kWh
    rate = ecologits.it_energy_rate(Served(8, 8))
    assert rate.per_output_token == pytest.approx(0.267458, rel=1e-5)
    assert rate.per_output_token * 1000 * 1.2 / 3.6e6 == pytest.approx(8.915258e-5, rel=1e-6)
    assert (rate.per_call, rate.per_input_token, rate.per_cached_token) == (0, 0, 0)


@pytest.mark.parametrize(
    ("served", "tokens", "grid", "kwh", "grams"),
    [
        (Served(8, 8), 1000, (1.2, 400), 8.915258e-5, 4.296334e-2),
        (Served(405, 405), 300, (1.15, 596.12), 2.625979e-3, 1.810894),
        (Served(37, 671), 500, (1.1, 300), 1.823663e-3, 0.7151773),
    ],
)
def test_ecologits_worked_examples(served, tokens, grid, kwh, grams):
    pue, mix_g = grid
    energy_kwh = used(Usage(0, 0, tokens), ecologits.it_energy_rate(served)) * pue / 3.6e6
    embodied_g = used(Usage(0, 0, tokens), ecologits.embodied_rate(served, "gwp_g"))
    assert energy_kwh == pytest.approx(kwh, rel=1e-6)
    assert energy_kwh * mix_g + embodied_g == pytest.approx(grams, rel=1e-6)


def test_gpus_come_in_powers_of_two():
    # 2.4 GB a billion parameters, 80 GB a GPU: 33 B fit one, 34 B need two, 405 B (972 GB, 13 of them) sixteen
    assert [Served(1, total).gpus for total in (8, 33, 34, 405)] == [1, 1, 2, 16]


def test_epoch_by_hand():
    # 2 × 100e9 FLOP ÷ (0.1 × 9.89e14) = 2.0222 ms a token; × 1275 W × 0.7 = 1.80485 J; 500 tokens × 1.2 = 0.3008 Wh
    assert epoch.it_j_per_token(epoch.Query(100)) == pytest.approx(1.80485, rel=1e-5)
    told = said(Call("openai", "gpt-4o", 100, 500), "epoch").total["energy_wh"]
    assert told.mid == pytest.approx(0.30081, rel=1e-4)
    assert told.high == pytest.approx(1.304, rel=1e-3)  # its pessimistic case: 200 B at 5 %, PUE 1.3
    long = said(Call("openai", "gpt-4o", 100, 1500), "epoch").total["energy_wh"]
    assert (long.mid, long.high) == pytest.approx((0.902, 3.911), rel=1e-3)
    mini = said(Call("openai", "gpt-4o-mini", 100, 500), "epoch").total["energy_wh"]
    assert mini.mid == pytest.approx(0.0602, rel=1e-3)


# What providers say -----------------------------------------------------------------------------------------------


def test_google_said_what_a_median_prompt_uses_and_no_more():
    short, long = (said(Call("google", "gemini-2.5-pro", tokens, 300), "disclosed") for tokens in (100, 100_000))
    assert {category: amount.mid for category, amount in short.total.items() if amount.known} == {
        "energy_wh": 0.24, "gwp_g": 0.03, "water_l": 0.00026,
    }  # fmt: skip
    assert long.total == short.total  # per prompt: its tokens do not count
    assert set(long.apart) == {"energy_wh", "gwp_g", "water_l"}  # and it stands apart from the others for that
    assert "market-based" in long.apart["gwp_g"]
    # 0.24 Wh are 92 % IT energy, and 1.15 L/kWh of it: 0.254 mL, printed as 0.26
    on_site = water_l(0.24 * 0.92 * 3600, wue_l_per_kwh=1.15, pue=1.09, offsite_l_per_kwh=0)
    assert on_site == pytest.approx(2.54e-4, rel=1e-3)


def test_mistral_said_what_400_tokens_use():
    whole, half = (said(Call("mistral", "mistral-large-2407", 50, tokens), "disclosed") for tokens in (400, 200))
    told = {category: amount.mid for category, amount in whole.total.items() if amount.known}
    assert told == pytest.approx({"gwp_g": 1.14, "water_l": 0.045, "adpe_kgsb": 1.6e-7})
    assert half.total["gwp_g"].mid == pytest.approx(0.57)  # 2.85 mg a token
    assert not whole.operational["gwp_g"].known
    assert "one sum" in (whole.embodied["gwp_g"].reason or "")


def test_the_worked_examples_of_epoch_google_and_mistral():
    told = examples()
    base, google, mistral = told["epoch_gpt4o"], told["google_gemini_median"], told["mistral_large2_400tok"]
    wh = epoch.it_j_per_token(epoch.Query(base["active_B"], base["util"], base["pue"])) * base["pue"] / 3600
    assert wh * 500 == pytest.approx(base["expect_Wh"], rel=1e-3)
    assert wh * 1500 == pytest.approx(base["long_1500"], rel=1e-3)
    gemini = said(Call("google", "gemini-2.5-flash", 10, 10), "disclosed").total
    assert [gemini[name].mid for name in ("energy_wh", "gwp_g", "water_l")] == pytest.approx(
        [google["Wh"], google["g"], google["mL"] / 1000]
    )
    large = said(Call("mistral", "mistral-large-2407", 10, 400), "disclosed").total
    assert [large[name].mid for name in ("gwp_g", "water_l", "adpe_kgsb")] == pytest.approx(
        [mistral["g"], mistral["mL"] / 1000, mistral["mgSb"] * 1e-6]
    )


def test_every_disclosure_is_sourced_dated_and_licensed():
    for row in disclosed.disclosures():
        assert all(str(getattr(row, each.name)) for each in fields(row) if each.name != "not_compared"), row
        assert row.per in disclosed.PER
        assert row.url.startswith("https://")
        assert row.value > 0 < row.count


# One's own server -------------------------------------------------------------------------------------------------


def test_ones_own_server_is_measured_in_and_out_alike():
    place = place_for(None, "FR", Site(region="FR", pue=(1.5, 1.5, 1.5), wue_l_per_kwh=(0.0, 0.0, 0.0)))
    # 1100 tokens × 2 J × 1.5 ÷ 3600 = 0.9167 Wh
    own = said(Call(None, "mine", 1000, 100), "measured", place,
               measured_j_per_token=Estimate(1.0, 2.0, 4.0, "J/token", "attributed"))  # fmt: skip
    energy = own.total["energy_wh"]
    assert [energy.low, energy.mid, energy.high] == pytest.approx([1100 * j * 1.5 / 3600 for j in (1, 2, 4)])
    assert energy.method == "attributed"
    assert not own.total["gwp_g"].known  # manufacture is not known, so no total is claimed
    assert own.operational["gwp_g"].mid == pytest.approx(energy.mid / 1000 * FRANCE.range_of("carbon_intensity")[1])


def test_what_is_not_measured_or_closed_says_so():
    assert "serve-meter" in (said(LONG, "measured").reason or "")
    assert "closed model is not known" in (said(LONG, "roofline").reason or "")


# The answer -------------------------------------------------------------------------------------------------------


def test_how_an_answer_came_and_how_long_it_took_do_not_matter():
    asked = {"provider", "model", "input_tokens", "output_tokens", "cached_tokens"}
    assert {each.name for each in fields(Call)} == asked
    streamed, whole = Call("openai", "gpt-4o", 800, 300), Call("openai", "gpt-4o", 800, 300)
    assert footprints(streamed, FRANCE) == footprints(whole, FRANCE)


@pytest.mark.parametrize("call", [LONG, Call("openai", "gpt-9", 10, 10), Call(None, "gemini-2.5-pro", 10, 0)])
def test_every_engine_has_every_amount_or_the_reason_why_not(call):
    answer = footprints(call, FRANCE)
    assert [each.engine for each in answer.engines] == [*(engine.name for engine in ENGINES), "measured"]
    for engine in answer.engines:
        for amount in (*engine.total.values(), *engine.operational.values(), *engine.embodied.values()):
            if amount.known:
                assert 0 < amount.low <= amount.mid <= amount.high, (engine.name, amount)
            else:
                assert amount.reason, (engine.name, amount)


def test_a_call_must_make_sense():
    for tokens in ((-1, 5, 0), (5, 5, 6), (0, 0, 0), (10**13, 5, 0)):
        with pytest.raises(InputError):
            Call("openai", "gpt-4o", *tokens)


def test_a_region_is_never_taken_for_the_world():
    for region in ("FX", "Atlantis", "eu-nowhere-1", ""):
        with pytest.raises(InputError, match="is not known"):
            place_for("openai", region, Site())
    with pytest.raises(InputError, match="give --region"):
        place_for("nobody", None, Site())
    world = place_for("nobody", "world", Site())
    assert (world.region, world.matches["carbon_intensity"].match) == ("WORLD", "world")
    assert place_for("nobody", None, Site(region="SE")).region == "SE"
    assert place_for("nobody", "us-ca", Site()).remarks == ()
    (remark,) = place_for("nobody", "FR-75", Site()).remarks
    assert remark == "carbon_intensity is that of FR, in which FR-75 is taken to be"


# What must hold for all -------------------------------------------------------------------------------------------

tokens = st.integers(0, 10**7)
positive = st.floats(1e-6, 1e6)
sizes = st.floats(0.1, 2000)
GRID = {"carbon_intensity": 50.0, "water_intensity": 3.0, "electricity_adpe": 1e-7, "electricity_primary_energy": 1e7}


def rates_of(served: Served, pue: float = 1.1) -> Rates:
    rate = ecologits.it_energy_rate(served)
    return Rates((rate, rate, rate), (pue, pue, pue), (0.2, 0.2, 0.2), {}, ())


@given(st.tuples(tokens, tokens), st.tuples(tokens, tokens), st.tuples(positive, positive, positive, positive))
def test_usage_is_linear(one, other, rate):
    """Two calls use what one call of all their tokens does, and what a call takes for itself once more."""
    rates = Rate(*rate)
    a, b = Usage(one[0], one[0] // 2, one[1]), Usage(other[0], other[0] // 2, other[1])
    both = Usage(a.input_tokens + b.input_tokens, a.cached_tokens + b.cached_tokens, a.output_tokens + b.output_tokens)
    assert used(a, rates) + used(b, rates) == pytest.approx(used(both, rates) + rates.per_call, rel=1e-9)


@given(sizes, st.floats(0, 1), st.integers(1, 10**6), st.floats(1, 3), st.floats(1.0, 2.0))
def test_more_of_anything_is_never_less(total, part, output, more, pue):
    served = Served(total * part, total)
    base = amounts_at(Usage(0, 0, output), rates_of(served, pue), GRID, 1)
    for other in (
        amounts_at(Usage(0, 0, output * 2), rates_of(served, pue), GRID, 1),
        amounts_at(Usage(0, 0, output), rates_of(served, pue * more), GRID, 1),
        amounts_at(Usage(0, 0, output), rates_of(served, pue), {kind: value * more for kind, value in GRID.items()}, 1),
        amounts_at(Usage(0, 0, output), rates_of(Served(total * part, total * more), pue), GRID, 1),
    ):
        assert all(other[category] >= base[category] * (1 - 1e-12) for category in base)


def test_one_formula_on_numbers_on_arrays_and_in_sql():
    rates, columns = rates_of(Served(44, 440, 74.0, 0.61)), ("input_tokens", "cached_tokens", "output_tokens")
    rows = np.random.default_rng(5).integers(0, 5000, size=(3, 1000))
    rows[1] = np.minimum(rows[0], rows[1])
    arrays = amounts_at(Usage(*rows), rates, GRID, 1)
    texts = amounts_at(Usage(*map(Column, columns)), rates, GRID, 1)
    con = duckdb.connect()
    con.execute("create table call (input_tokens bigint, cached_tokens bigint, output_tokens bigint)")
    con.executemany("insert into call values (?, ?, ?)", rows.T.tolist())
    told = con.execute(f"select {', '.join(map(str, texts.values()))} from call").fetchall()
    for number, (category, column) in enumerate(arrays.items()):
        assert [row[number] for row in told] == pytest.approx(column.tolist(), rel=1e-12), category
    first = amounts_at(Usage(*(int(row[0]) for row in rows)), rates, GRID, 1)
    assert first == pytest.approx({category: float(column[0]) for category, column in arrays.items()})


# The command ------------------------------------------------------------------------------------------------------


def ask(tmp_path, capsys, *words: str) -> tuple[int, str, str]:
    code = main(["--home", str(tmp_path), "footprint", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_the_command_as_json(tmp_path, capsys):
    code, out, _ = ask(tmp_path, capsys, "--provider", "google", "--model", "gemini-2.5-pro", "--input-tokens", "800",
                       "--output-tokens", "300", "--region", "FR", "--json")  # fmt: skip
    told = json.loads(out)
    assert code == 0
    assert told["region"]["used"] == "FR"
    keys = {"engine", "version", "energy_wh", "gwp_g", "water_l", "adpe_kgsb", "primary_energy_j", "operational",
            "embodied", "notes", "sources"}  # fmt: skip
    assert all(keys <= set(engine) for engine in told["engines"])
    by_name = {engine["engine"]: engine for engine in told["engines"]}
    google = by_name["disclosed"]
    assert google["energy_wh"] == {"low": 0.24, "mid": 0.24, "high": 0.24, "unit": "Wh", "method": "declared"}
    assert by_name["roofline"]["energy_wh"]["mid"] is None
    assert {"energy_wh", "gwp_g", "water_l", "adpe_kgsb", "primary_energy_j"} <= set(told["spread"])
    named = {factor["factor_id"] for factor in told["factors"]}
    assert all(set(engine["factor_ids"]) <= named for engine in told["engines"])


def test_a_model_that_no_engine_knows(tmp_path, capsys):
    code, out, _ = ask(tmp_path, capsys, "--model", "gpt-99o", "--output-tokens", "3", "--region", "FR", "--json")
    assert code == 3
    told = json.loads(out)["engines"]
    assert all(engine["energy_wh"]["mid"] is None and engine["reason"] for engine in told)
    assert "gpt-4o" in next(engine for engine in told if engine["engine"] == "epoch")["near_matches"]


def test_wrong_input_is_one_sentence(tmp_path, capsys):
    code, out, err = ask(tmp_path, capsys, "--model", "gpt-4o", "--output-tokens", "3", "--region", "FX")
    assert (code, out) == (2, "")
    assert err.startswith("joulebook: the region 'FX' is not known; did you mean ")
    _, _, err = ask(tmp_path, capsys, "--model", "gpt-4o", "--output-tokens", "3", "--region", "CW")
    assert "did you mean CW" not in err  # a country for which there is no row
    code, _, err = ask(tmp_path, capsys, "--model", "gpt-4o", "--input-tokens", "3", "--cached-tokens", "4")
    assert (code, err.count("\n")) == (2, 1)


def test_the_command_drawn(tmp_path, capsys):
    words = ("--provider", "openai", "--model", "gpt-4o", "--input-tokens", "9", "--output-tokens", "500")
    code, out, _ = ask(tmp_path, capsys, *words, "--region", "WORLD")
    assert code == 0
    assert "A world average stands for the grid" in out
    assert "roofline-1 says nothing" in out
