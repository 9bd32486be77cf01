"""The price list of the package `genai-prices`: which provider and model a call means, and on what its price depends.

The list is the one that the installed package carries. Nothing is ever fetched: `UpdatePrices` is not used here, and a
newer list that another library has put in its place is not looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from joulebook.accounting.errors import MissingExtra

Context = tuple[tuple[str, str], ...]  # sorted pairs, e.g. (("service_tier", "flex"),)

# What others call a provider, where the list knows no such name or takes it for somebody else's.
ALIASES = {
    "azure.ai.openai": "azure", "az.ai.openai": "azure", "azure.ai.inference": "azure", "az.ai.inference": "azure",
    "azure_openai": "azure", "azure_ai": "azure", "fireworks_ai": "fireworks", "gcp.gen_ai": "google", "x_ai": "x-ai",
}  # fmt: skip
# A model of the customer's own, made of a listed one: the price of that one is not its price.
OWN_MODEL = re.compile(
    r"^ft:|:ft-|\.ft-|(application-inference-profile|custom-model|imported-model|provisioned-model)/"
)
# What stands before the name of a model in a path of Google's.
_MODELS = re.compile(r"^(?:projects/.*/)?(?:publishers/[^/]+/)?models/")


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


@lru_cache(4096)  # paths and names are of any number
def provider_of(provider: str | None, host: str | None, path: str | None) -> Any | None:
    """The provider of the list that is meant: by its name, else by the address that was called."""
    called = ALIASES.get(provider.lower(), provider) if provider else None
    for asked in ({"provider_id": called}, {"provider_api_url": f"https://{host}{path or '/'}" if host else None}):
        if any(asked.values()):
            try:
                return snapshot().find_provider(None, asked.get("provider_id"), asked.get("provider_api_url"))
            except LookupError:
                continue
    return None


@lru_cache(4096)
def model_of(provider_id: str, name: str) -> Any | None:
    """The model of a provider of the list that a name means; of a customer's own one, only what is listed as such."""
    provider = _provider(provider_id)
    for spelled in _spellings(provider_id, name):
        found = provider.find_model(spelled, all_providers=snapshot().providers) or _by_id(provider, spelled)
        if found is not None and (OWN_MODEL.search(found.id) or not OWN_MODEL.search(name)):
            return found
    return None


@lru_cache(4096)  # paths and names are of any number
def named(provider: str | None, host: str | None, path: str | None, models: tuple[str, ...], context: Context) -> Named:
    """What the list calls it. `models`: the names to try, the surest first."""
    found = provider_of(provider, host, path) or _told_by_models(provider, host, models)
    if found is None:
        return Named(None, None, "{}")
    model = next((one for name in models if (one := model_of(found.id, name)) is not None), None)
    if model is None:
        return Named(found.id, None, "{}")
    told = relevant(model, dict(context)) if is_own(found, model) else {}
    return Named(found.id, listed_id(found, model), json.dumps(told, sort_keys=True))


def relevant(model: Any, context: Mapping[str, str]) -> dict[str, str]:
    """The part of a context that changes a price of this model."""
    known = {pair for variant in model.price_variants or () for pair in variant.when.items()}
    return {key: value for key, value in sorted(context.items()) if (key, value) in known}


def is_own(provider: Any, model: Any) -> bool:
    """Whether a provider has a model itself; one that it borrows (Azure, OpenAI's) has standard prices only."""
    return any(one is model for one in provider.models)


def listed_id(provider: Any, model: Any) -> str:
    """The name of a model under a provider: with its owner where the provider has another one of that name."""
    if is_own(provider, model) or _by_id(provider, model.id) is None:
        return str(model.id)
    owner = next(one for one in snapshot().providers if is_own(one, model))
    return f"{owner.id}/{model.id}"


def borrowed(provider: Any) -> Iterator[Any]:
    """The models of others that a provider's prices fall back to."""
    for owner in provider.fallback_model_providers or ():
        yield from _provider(owner).models


def why_unlisted(provider: str | None, told: str | None, models: tuple[str, ...]) -> str:
    """Why no list has the price of a model. `told`: how the call named the provider, or where it went."""
    if not models:
        return "the call names no model"
    if provider is None and told is None:
        return f"no price list knows the model {models[0]!r}, and the call names no provider"
    whose = provider or told
    if any(map(OWN_MODEL.search, models)):
        return f"{models[0]!r} of {whose} is a customer's own model: no list has its price, the base model's is not it"
    return f"no price list knows the model {models[0]!r} of {whose}"


@cache
def contexts() -> dict[str, set[str]]:
    """What prices of the list depend on: `{"service_tier": {"default", "flex", …}, "processing": {"batch"}, …}`."""
    known: dict[str, set[str]] = {}
    for provider in snapshot().providers:
        for variant in (one for model in provider.models for one in model.price_variants or ()):
            for key, value in variant.when.items():
                known.setdefault(key, set()).add(value)
    return known


def plain_name(provider_id: str | None, name: str) -> str:
    """The name of a model without what stands before it: the path of Google's, its provider's own name."""
    name = _MODELS.sub("", name)
    head, slash, tail = name.partition("/")
    before = provider_of(head, None, None) if slash else None
    return tail if before is not None and before.id == provider_id else name


@cache
def _provider(provider_id: str) -> Any:
    return next(one for one in snapshot().providers if one.id == provider_id)


def _by_id(provider: Any, model_id: str) -> Any | None:
    return next((one for one in provider.models if one.id == model_id), None)


def _spellings(provider_id: str, name: str) -> Iterator[str]:
    """A name and what it may be listed as."""
    yield name
    plain = plain_name(provider_id, name)
    if plain != name:
        yield plain
    if plain.startswith("ft:"):
        yield ":".join(plain.split(":")[:2])


def _told_by_models(provider: str | None, host: str | None, models: tuple[str, ...]) -> Any | None:
    """The provider of a call of which nothing but a model is known, or that went through LiteLLM (`vendor/model`)."""
    if host or (provider or "litellm").lower() != "litellm":
        return None
    for name in models:
        vendor = provider_of(name.partition("/")[0], None, None) if "/" in name else None
        try:
            return vendor or snapshot().find_provider(name.lower(), None, None)
        except LookupError:
            continue
    return None
