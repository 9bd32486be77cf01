"""One's own server, measured: J/token in and out alike, as `joulebook show` has it for a run of `serve-meter`."""

from __future__ import annotations

from dataclasses import replace

from joulebook.accounting.estimates import Estimate, ends_of
from joulebook.models.footprint.answer import Footprint, absent, modelled
from joulebook.models.footprint.call import Absent, Call, Rate, Rates
from joulebook.models.footprint.place import SITE, Place

NAME = "measured"
NOT_MEASURED = Absent(
    "no energy per token of one's own server was given: `joulebook serve-meter` measures it, a provider's is not ours "
    "to measure"
)
NOTES = (
    "IT energy per token, in and out alike; PUE and WUE are the site's.",
    "The manufacture of one's own server is not known here.",
)


def measured(call: Call, place: Place, j_per_token: Estimate | None) -> Footprint:
    """What a call costs on one's own server, from its measured IT energy per token (J/token)."""
    if j_per_token is None or not j_per_token.known:
        return absent(NAME, "", NOT_MEASURED)
    low, mid, high = (Rate(0.0, each, each, each) for each in ends_of(j_per_token))
    rates = Rates((low, mid, high), place.range_of("pue"), place.range_of("wue"), {}, ("one's own server",), NOTES)
    said = modelled((NAME, ""), call, place, rates, j_per_token.method)
    return replace(said, factor_ids=(*said.factor_ids, *(place.matches[kind].factor.factor_id for kind in SITE)))
