"""Models on one yardstick: alone on equal hardware, calls beside that, quality against what it takes, profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from joulebook.reports.screens.page import (
    Asked,
    Span,
    choose,
    choose_some,
    chosen,
    chosen_number,
    chosen_some,
    period_of,
    show,
    write_number,
)

MODES = {
    "roofline": "Roofline: any open model",
    "default": "Profiles: what was measured",
    "helm": "Profiles, HELM's rule",
}
ANY = {"any": "As it was measured"}
TOKENS = Span(1, 1_000_000, 1)
USUAL_PROMPT, USUAL_OUTPUT = 512, 64
MOST_MODELS = 12
SUGGESTED = 4  # models to begin with


def idealized_page(ledger: Any, what: Asked) -> None:
    from joulebook.models.runtime import store
    from joulebook.models.runtime.compare import Basis, Mix
    from joulebook.reports.views import alone, called_models, normalised

    profiles = store.known(ledger.home)
    usual = "default" if store.local(ledger.home) else "roofline"
    mode = chosen("mode", MODES, usual)
    hardware = _hardware(mode, profiles)
    models = _models(mode, profiles)
    called = called_models(ledger, period_of(what), what.project)
    suggested = _suggested(models, called)
    sizes = [int(chosen_number(name, TOKENS, usual_size))
             for name, usual_size in (("prompt", USUAL_PROMPT), ("output", USUAL_OUTPUT))]  # fmt: skip
    device = chosen("hardware", hardware)
    basis = Basis(profiles, mode, None if device in ANY else device, Mix(*sizes))

    def controls() -> None:
        choose_some("Models", "models", models, suggested, MOST_MODELS)
        with st.container(key="choices", horizontal=True):
            choose("By", "mode", MODES, usual)
            choose("Hardware", "hardware", hardware)
            write_number("Tokens in", "prompt", TOKENS, USUAL_PROMPT)
            write_number("Tokens out", "output", TOKENS, USUAL_OUTPUT)

    view = alone(chosen_some("models", models, suggested), basis)
    calls = replace(normalised(ledger, period_of(what), what.project, basis), subtitle="")
    shown = replace(view, title="Idealized runtime", parts=(*view.parts, calls))
    show(shown, what, ledger, controls=controls)


def _hardware(mode: str, profiles: Sequence[Any]) -> Mapping[str, str]:
    """What can be chosen to run on: by the roofline all devices, else those that somebody measured."""
    if mode == "roofline":
        from joulebook.models.roofline import hardware

        return {name: name for name in sorted(hardware.load(), key=lambda name: ("H100 SXM" not in name, name))}
    return ANY | {name: name for name in sorted({each.hardware.device for each in profiles if each.hardware.device})}


def _models(mode: str, profiles: Sequence[Any]) -> list[str]:
    if mode == "roofline":
        from joulebook.models.roofline import catalogue

        return sorted(catalogue.load(), key=str.casefold)
    return list(dict.fromkeys(each.model for each in profiles if each.kind == "idealized"))


def _suggested(models: Sequence[str], called: Sequence[str]) -> list[str]:
    """The models that were called, as far as they are known; else some that are."""
    bare = {name.rpartition("/")[2].casefold() for name in called}
    mine = [name for name in models if name.rpartition("/")[2].casefold() in bare]
    return (mine or list(models))[:SUGGESTED]


def frontier_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import frontier

    show(frontier(ledger, period_of(what)), what, ledger)


def profiles_page(ledger: Any, what: Asked) -> None:
    """All profiles, and one of them in full."""
    from joulebook.models.runtime import store
    from joulebook.models.runtime.published import published
    from joulebook.reports.views import profile, profiles

    own = store.local(ledger.home)
    every = {each.profile_id: each for each in (*own, *published())}
    words = {name: f"{each.model} · {each.hardware.device or each.kind}" for name, each in every.items()}

    def controls() -> None:
        with st.container(key="choices", horizontal=True):
            choose("Profile in full", "profile", words)

    view = profiles(own, published())
    show(replace(view, parts=(profile(every[chosen("profile", words)]),)), what, ledger, controls=controls)
