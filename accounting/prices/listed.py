"""The price list of the package `genai-prices`: which provider and model a call means, and on what its price depends.

The list is the one that the installed package carries. Nothing is ever fetched: `UpdatePrices` is not used here, and a
newer list that another library has put in its place is not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from joulebook.accounting.errors import MissingExtra

Context = tuple[tuple[str, str], ...]  # sorted pairs, e.g. (("service_tier", "flex"),)


class Named(NamedTuple):
    """How the list names what a call names: None where it knows no such provider or model."""

    provider: str | None
    model: str | None
    price_context: str  # the part of the context on which the price depends, as JSON


@cache
def snapshot() -> Any:
    """The list that the package carries. Raises MissingExtra where it is not installed."""
    try:
        from genai_prices import data, data_snapshot
    except ModuleNotFoundError as error:
        raise MissingExtra("what calls use and cost", "ledger") from error
    return data_snapshot.DataSnapshot(providers=data.providers, from_auto_update=False)


@cache
def provider_of(provider: str | None, host: str | None, path: str | None) -> Any | None:
    """The provider of the list that is meant: by its name, else by the address that was called."""
    for asked in ({"provider_id": provider}, {"provider_api_url": f"https://{host}{path or '/'}" if host else None}):
        if any(asked.values()):
            try:
                return snapshot().find_provider(None, asked.get("provider_id"), asked.get("provider_api_url"))
            except LookupError:
                continue
    return None


@cache
def model_of(provider_id: str, name: str) -> Any | None:
    """The model of a provider of the list that a name means; of a fine-tuned one, the model that it was made of."""
    provider = next(one for one in snapshot().providers if one.id == provider_id)
    return provider.find_model(name, all_providers=snapshot().providers)


@cache
def named(provider: str | None, host: str | None, path: str | None, models: tuple[str, ...], context: Context) -> Named:
    """What the list calls it. `models`: the names to try, the surest first."""
    found = provider_of(provider, host, path)
    if found is None:
        return Named(None, None, "{}")
    model = next((one for name in models if (one := model_of(found.id, name)) is not None), None)
    if model is None:
        return Named(found.id, None, "{}")
    return Named(found.id, model.id, json.dumps(relevant(model, dict(context)), sort_keys=True))


def relevant(model: Any, context: Mapping[str, str]) -> dict[str, str]:
    """The part of a context that changes a price of this model."""
    known = {pair for variant in model.price_variants or () for pair in variant.when.items()}
    return {key: value for key, value in sorted(context.items()) if (key, value) in known}
