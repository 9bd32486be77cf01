"""EcoLogits and ecocost run beside our engines: the same numbers, but where theirs is corrected."""

from __future__ import annotations

import math

import pytest

from joulebook.accounting.site import Site
from joulebook.models.footprint import Call, ecocost, ecologits, footprints, mixes, place_for
from joulebook.models.footprint.answer import amounts_at, embodied_of
from joulebook.models.footprint.packages import lacking

without = [absent.reason for peer in (ecologits, ecocost) if (absent := lacking(peer.NAME, peer.VERSION))]
pytestmark = pytest.mark.skipif(bool(without), reason="; ".join(without))

# Sizes known and sizes as ranges, dense and not, with a speed of their own and without, of all six providers.
MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("mistral", "mistral-large-latest"),
    ("mistral", "ministral-8b-latest"),
    ("google", "gemini-2.5-flash"),
    ("google", "gemini-2.5-pro"),
    ("cohere", "command-a-03-2025"),
    ("huggingface", "meta-llama/Meta-Llama-3.1-70B-Instruct"),
)
ZONES = {"FR": "FRA", "US": "USA", "WORLD": "WOR"}
CATEGORIES = {"gwp_g": ("gwp", 1e3), "adpe_kgsb": ("adpe", 1.0), "primary_energy_j": ("pe", 1e6)}


def ends(value) -> list[float]:
    return [getattr(value, "min", value), getattr(value, "max", value)]


@pytest.mark.parametrize("region", ZONES)
@pytest.mark.parametrize(("provider", "model"), MODELS)
def test_ecologits_formula_is_the_packages(provider, model, region):
    from ecologits.tracers.utils import llm_impacts

    theirs = llm_impacts(ecologits.PROVIDERS.get(provider, provider), model, 300, math.inf, ZONES[region])
    call, rates = Call(provider, model, 800, 300), ecologits.rates(provider, model)
    grid = mixes.published_factors(region)
    ours = [amounts_at(call.usage, rates, grid, end) for end in (0, 2)]
    assert [each["energy_wh"] for each in ours] == pytest.approx(
        [kwh * 1e3 for kwh in ends(theirs.energy.value)], rel=1e-6
    )
    assert [each["water_l"] for each in ours] == pytest.approx(ends(theirs.wcf.value), rel=1e-6)
    for category, (name, scale) in CATEGORIES.items():
        running = [value * scale for value in ends(getattr(theirs.usage, name).value)]
        making = [value * scale for value in ends(getattr(theirs.embodied, name).value)]
        assert [each[category] for each in ours] == pytest.approx(running, rel=1e-6), category
        embodied = embodied_of(call, rates)[category]
        assert [embodied.low, embodied.high] == pytest.approx(making, rel=1e-6), category


def test_the_published_numbers_of_gpt_4o():
    # 300 tokens in France: printed as 0.4361 to 0.7247 Wh, 0.0302 to 0.0422 g, 1.809 to 3.006 mL, 0.01215 g embodied
    call = Call("openai", "gpt-4o", 800, 300)
    engine = footprints(call, place_for("openai", "FR", Site())).engines[0]
    printed = engine.as_published
    assert [printed["energy_wh"].low, printed["energy_wh"].high] == pytest.approx([0.4361, 0.7247], rel=2e-4)
    assert [printed["gwp_g"].low, printed["gwp_g"].high] == pytest.approx([0.0302, 0.0422], rel=2e-3)
    assert [printed["water_l"].low, printed["water_l"].high] == pytest.approx([1.809e-3, 3.006e-3], rel=3e-4)
    assert engine.embodied["gwp_g"].mid == pytest.approx(0.01215, rel=1e-3)


def test_water_is_per_kwh_of_it_energy():
    """To 0.10.0 EcoLogits took the facility's energy: PUE 1.2 once too often. Both numbers stand there, and why."""
    call = Call("openai", "gpt-4o", 800, 300)
    correction, *more = footprints(call, place_for("openai", "FR", Site())).engines[0].corrections
    assert not more
    assert correction.printed.mid == pytest.approx(1.2 * correction.ours.mid)
    # 0.5804 Wh ÷ 1.2 of IT energy × (0.569 + 1.2 × 3.6737) L/kWh = 2.407 mL
    assert correction.ours.mid == pytest.approx(0.58038e-3 / 1.2 * (0.569 + 1.2 * 3.6737), rel=1e-4)
    assert "PUE counted once too often" in correction.reason


def test_a_kwh_takes_no_less_primary_energy_than_it_is():
    """The package's mix of the world has 2.5871 MJ for a kWh of 3.6 MJ: it prints that, we say that nobody knows."""
    engine = footprints(Call("openai", "gpt-4o", 800, 300), place_for("openai", "WORLD", Site())).engines[0]
    assert not engine.operational["primary_energy_j"].known
    assert "3.6 MJ" in (engine.operational["primary_energy_j"].reason or "")
    printed = next(each.printed for each in engine.corrections if each.category == "primary_energy_j")
    kwh = engine.operational["energy_wh"].mid / 1e3
    assert printed.mid == pytest.approx(kwh * 2.5871e6 + engine.embodied["primary_energy_j"].mid, rel=1e-9)


CALLS = (
    Call("openai", "gpt-4o", 800, 300),
    Call("openai", "gpt-4o", 100_000, 300),
    Call("openai", "gpt-5", 50_000, 2_000, 40_000),
    Call("anthropic", "claude-sonnet-4-5", 1_000, 1_000),
    Call("google", "gemini-2.5-pro", 100_000, 300),
    Call("nscale", "gpt-oss-120b", 800, 300),
)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.model} {call.input_tokens}")
def test_ecocost_rates_are_the_packages(call):
    """The package rounds to three digits; its range of PUE is in quadrature with the rest, ours at its ends at once."""
    engine = footprints(call, place_for(call.provider, "US", Site())).engines[1]
    ours, theirs = engine.total["energy_wh"], engine.as_published["energy_wh"]
    assert ours.mid == pytest.approx(theirs.mid, rel=5e-3)
    assert 0.85 * theirs.low < ours.low <= theirs.low * 1.005
    assert theirs.high * 0.995 <= ours.high < 1.2 * theirs.high


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.model} {call.input_tokens}")
def test_ranges_of_mixed_calls_are_the_packages(call):
    """Of manufacture, where nothing of ours comes in: the mid is the package's, and the range within 3 %."""
    rates = ecocost.rates(call.provider, call.model)
    weights, serving, _ = ecocost._records(call.provider, call.model)
    tokens = {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens,
              "cached_input_tokens": call.cached_tokens}  # fmt: skip
    theirs = ecocost._probe(weights, serving, tokens).carbon_embodied_g
    ours = embodied_of(call, rates)["gwp_g"]
    assert ours.mid == pytest.approx(theirs.mid, rel=1e-9)
    assert [ours.low, ours.high] == pytest.approx([theirs.lo, theirs.hi], rel=0.03)


def test_a_long_prompt_shows_how_far_the_engines_are_apart():
    answer = footprints(Call("openai", "gpt-4o", 100_000, 300), place_for("openai", "US", Site()))
    energy = answer.spread[0]
    # EcoLogits 0.580 Wh, whatever the prompt; ecocost 13.3 Wh; Epoch 300 × 1.80485 J × 1.2 ÷ 3600 = 0.1805 Wh
    mids = {engine.engine: engine.total["energy_wh"].mid for engine in answer.engines if engine.known}
    assert mids == pytest.approx({"ecologits": 0.5804, "ecocost": 13.3, "epoch": 0.1805}, rel=1e-3)
    assert (energy.lowest_engine, energy.highest_engine) == ("epoch-2025", "ecocost-0.2.4")
    assert energy.ratio == pytest.approx(13.3007 / 0.180485, rel=1e-4)
    assert set(energy.within) == {"ecologits-0.11.3", "ecocost-0.2.4", "epoch-2025"}
    counting = {engine.engine for engine in answer.engines if engine.counts_input}
    assert counting == {"ecocost"}


def test_cached_tokens_cost_a_tenth_where_they_are_modelled():
    place = place_for("openai", "US", Site())
    fresh, cached = (footprints(Call("openai", "gpt-4o", 10_000, 1, hits), place).engines for hits in (0, 10_000))
    assert cached[1].total["energy_wh"].mid == pytest.approx(0.1 * fresh[1].total["energy_wh"].mid, rel=0.01)
    assert cached[0].total == fresh[0].total


def test_another_version_is_not_this_engine(monkeypatch):
    monkeypatch.setattr("joulebook.models.footprint.packages.version", lambda package: "0.12.0")
    answer = footprints(Call("openai", "gpt-4o", 800, 300), place_for("openai", "FR", Site()))
    assert "0.12.0 is installed and this engine is 0.11.3" in (answer.engines[0].reason or "")
    assert not answer.engines[1].known


def test_what_is_near_is_named():
    answer = footprints(Call("openai", "gpt-4oo", 800, 300), place_for("openai", "FR", Site()))
    assert not answer.known
    assert [("gpt-4o" in engine.near) for engine in answer.engines[:3]] == [True, True, True]
    assert footprints(Call("opena", "gpt-4o", 1, 1), place_for(None, "FR", Site())).engines[0].near[0] == "openai"
