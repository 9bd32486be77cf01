"""The engines, listed once, and what all of them say of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec

from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate, between, ends_of, unknown
from joulebook.accounting.factors import WORLD, load
from joulebook.accounting.site import Site
from joulebook.models.footprint import disclosed, ecocost, ecologits, epoch, mixes
from joulebook.models.footprint.answer import (
    Amounts,
    Correction,
    Footprint,
    absent,
    amounts_at,
    embodied_of,
    estimates,
    modelled,
    total_of,
)
from joulebook.models.footprint.call import Absent, Call, Rates
from joulebook.models.footprint.own import measured
from joulebook.models.footprint.place import SITE, Place, place_at
from joulebook.models.footprint.spread import Answer, spread_of

ROOFLINE = ("roofline", "1")


@dataclass(frozen=True)
class Engine:
    """A named, versioned way to estimate a call."""

    name: str
    version: str
    estimate: Callable[[Call, Place], Footprint]


def by_ecologits(call: Call, place: Place) -> Footprint:
    """EcoLogits' formula on the shared grid, beside what the package prints on its own."""
    rates = _of_output(ecologits.rates(call.provider, call.model), call)
    if isinstance(rates, Absent):
        return absent(ecologits.NAME, ecologits.VERSION, rates)
    said = modelled((ecologits.NAME, ecologits.VERSION), call, place, rates)
    grid = mixes.published_factors(place.region)
    if grid is None:
        return said
    running = estimates([amounts_at(call.usage, rates, grid, end) for end in range(3)], {}, "modelled")
    printed = total_of(running, embodied_of(call, rates))
    return replace(said, as_published=printed, corrections=tuple(_corrections(place, rates, printed)))


def _of_output(rates: Rates | Absent, call: Call) -> Rates | Absent:
    """Rates that only know output tokens say nothing of a call without any."""
    if isinstance(rates, Rates) and not call.output_tokens:
        return Absent("this engine models output tokens only, and the call has none")
    return rates


def _corrections(place: Place, rates: Rates, printed: Amounts) -> Iterator[Correction]:
    """Where what EcoLogits prints, or printed, is not what we say. On its own grid, so that nothing else differs."""
    water, pue = printed["water_l"], rates.pue
    low, mid, high = (amount * factor for amount, factor in zip(ends_of(water), pue, strict=True))
    yield Correction(
        "water_l", "EcoLogits 0.9.1 to 0.10.0", between((low, mid, high), water.unit, water.method), water,
        "it took energy with the building's overhead for IT energy, so PUE counted once too often: WUE is per kWh of "
        "IT energy, and off-site water per kWh × PUE. EcoLogits 0.11.3 prints what we do.",
    )  # fmt: skip
    if "electricity_primary_energy" in place.missing:
        reason = place.missing["electricity_primary_energy"]
        ours = unknown("J", reason)
        yield Correction(
            "primary_energy_j", f"EcoLogits {ecologits.VERSION}", printed["primary_energy_j"], ours, reason
        )


def by_ecocost(call: Call, place: Place) -> Footprint:
    """ecocost's rates on the shared grid, beside what the package prints on its own."""
    rates = ecocost.rates(call.provider, call.model)
    if isinstance(rates, Absent):
        return absent(ecocost.NAME, ecocost.VERSION, rates)
    said = modelled((ecocost.NAME, ecocost.VERSION), call, place, rates)
    return replace(said, as_published=ecocost.as_published(call, place.region))


def by_epoch(call: Call, place: Place) -> Footprint:
    rates = _of_output(epoch.rates(call.provider, call.model), call)
    if isinstance(rates, Absent):
        return absent(epoch.NAME, epoch.VERSION, rates)
    return modelled((epoch.NAME, epoch.VERSION), call, place, rates)


def by_roofline(call: Call, place: Place) -> Footprint:
    """An open model on the usual hardware. Its arithmetic is NumPy's, which the extra `models` brings."""
    if find_spec("numpy") is None:
        return absent(*ROOFLINE, Absent("the roofline needs NumPy: pip install 'joulebook[models]'"))
    from joulebook.models.footprint import roofline

    rates = roofline.rates(call.model, place, call.usage)
    if isinstance(rates, Absent):
        return absent(*ROOFLINE, rates)
    said = modelled(ROOFLINE, call, place, rates)
    return replace(said, factor_ids=(*said.factor_ids, *(place.matches[kind].factor.factor_id for kind in SITE)))


ENGINES = (
    Engine(ecologits.NAME, ecologits.VERSION, by_ecologits),
    Engine(ecocost.NAME, ecocost.VERSION, by_ecocost),
    Engine(epoch.NAME, epoch.VERSION, by_epoch),
    Engine("disclosed", "", disclosed.estimate),
    Engine(*ROOFLINE, by_roofline),
)


def footprints(call: Call, place: Place, measured_j_per_token: Estimate | None = None) -> Answer:
    """What every engine says of a call at a place, and their spread.

    `measured_j_per_token`: IT energy per token, in and out alike, of one's own server; None where it is not one's own.
    """
    said = (*(engine.estimate(call, place) for engine in ENGINES), measured(call, place, measured_j_per_token))
    return Answer(call, place, said, spread_of(said))


def place_for(provider: str | None, region: str | None, site: Site) -> Place:
    """Where a call is assessed: the region asked for, else where the provider is, else where the site is.

    Raises InputError when none of them is known: the world is only taken when it is asked for.
    """
    factors, today = load(), datetime.now(UTC).date()
    if region is not None:
        return place_at(region, "asked for", factors, today, site)
    theirs = ecologits.location_of(provider)
    if theirs:
        why = f"where {mixes.SOURCE} believes the servers of {provider} to be"
        return place_at(theirs, why, factors, today, site)
    if site.region != WORLD:
        return place_at(site.region, "where this site is; where the provider is, is not known", factors, today, site)
    raise InputError(
        f"where {provider or 'the provider'} runs its models is not known: give --region, e.g. FR, or {WORLD} for an "
        "average of the world"
    )
