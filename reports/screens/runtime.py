"""Models on one yardstick: alone on equal hardware, calls beside that, quality against what it takes, profiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

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
SIZES = (("prompt", "Tokens in", 512), ("output", "Tokens out", 64))
AT_ONCE = Span(1, 1024, 1)
MOST_MODELS = 12
SUGGESTED = 4  # models to begin with
KNOWN = (
    "meta-llama/Meta-Llama-3.1-8B",
    "mistralai/Mixtral-8x7B-v0.1",
    "Qwen/Qwen3-32B",
    "meta-llama/Meta-Llama-3.1-70B",
)


def idealized_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import alone, called_models, normalised

    period = period_of(what)
    called = called_models(ledger, period, what.project)
    yard = _yard(ledger, called)
    suggested = _suggested(yard.models, called)

    def controls() -> None:
        choose_some("Models", "models", yard.models, suggested, MOST_MODELS)
        _choose_yard(yard)

    view = alone(chosen_some("models", yard.models, suggested), yard.basis)
    calls = replace(normalised(ledger, period, what.project, yard.basis), subtitle="")
    shown = replace(view, title="Idealized runtime", parts=(*view.parts, calls))
    show(shown, what, ledger, controls=controls)


class Yard(NamedTuple):
    """The yardstick that the address names, and what else could be chosen."""

    basis: Any
    usual: str
    hardware: Mapping[str, str]
    models: Sequence[str]


def _yard(ledger: Any, called: Sequence[str]) -> Yard:
    from joulebook.models.runtime import store
    from joulebook.models.runtime.compare import Basis, Mix
    from joulebook.reports.views.normalised import fitting_mode

    profiles = store.known(ledger.home)
    usual = fitting_mode(ledger, called)
    mode = chosen("mode", MODES, usual)
    hardware = _hardware(mode, profiles)
    device = chosen("hardware", hardware)
    sizes = (int(chosen_number(name, TOKENS, size)) for name, _, size in SIZES)
    batch = int(chosen_number("batch", AT_ONCE, 1))
    basis = Basis(profiles, mode, None if device in ANY else device, Mix(*sizes), batch=batch)
    return Yard(basis, usual, hardware, _models(mode, profiles))


def _choose_yard(yard: Yard, *more: Callable[[], None]) -> None:
    with st.container(key="choices", horizontal=True):
        for each in more:
            each()
        choose("By", "mode", MODES, yard.usual)
        choose("Hardware", "hardware", yard.hardware)
        for name, label, size in SIZES:
            write_number(label, name, TOKENS, size)
        if yard.basis.mode == "roofline":
            write_number("Requests at once", "batch", AT_ONCE, 1)


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
    """The models that were called, as far as they are known; else some that many know, or the first that there are."""
    from joulebook.models.roofline.catalogue import short_name

    wanted = {short_name(name) for name in called}
    mine = [name for name in models if short_name(name) in wanted]
    return (mine or [name for name in KNOWN if name in models] or list(models))[:SUGGESTED]


def frontier_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import called_models, frontier
    from joulebook.reports.views.frontier import known_qualities

    period = period_of(what)
    yard = _yard(ledger, called_models(ledger, period, what.project))
    metrics = {name: name for name in sorted({each[1] for each in known_qualities(ledger, period)})}
    metric = chosen("metric", metrics) if metrics else None

    def controls() -> None:
        _choose_yard(yard, lambda: choose("Quality", "metric", metrics))

    view = frontier(ledger, period, metric, basis=yard.basis)
    show(view, what, ledger, controls=controls if metrics else None)


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
