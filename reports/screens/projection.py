"""The projection: a portfolio, a scenario and an engine are chosen, and the scenario's drivers can be moved.

A driver that is moved is fixed at its new value; it stands in the address under its name, and the file of the scenario
that can be had here has it, so that `joulebook project --scenario FILE` tells the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import streamlit as st

from joulebook.accounting.errors import InputError, NotFound
from joulebook.reports import format as fmt
from joulebook.reports.screens.page import Asked, Span, choose, chosen, chosen_number, drop, show, slide
from joulebook.reports.view import View

UNTIL = {"2030": "2030", "2035": "2035"}
INPUTS = {"calibrated": "Calibrated", "printed": "As printed"}
SHOWN = {"amounts": "Amounts", "index": "Index, base year = 1"}
PORTFOLIOS = {"own": "This home's", "ledger": "The ledger's last year", "paper": "The study's 100 use cases"}
ACROSS = 3  # sliders beside each other


class Lever(NamedTuple):
    """A driver that can be moved, and which others go with it. `unset`: where it stands if no scenario has it."""

    span: Span
    also: tuple[str, ...] = ()
    unset: float | None = None


LEVERS = {
    "genai_growth": Lever(Span(0.5, 25)),
    "agents_growth": Lever(Span(0.5, 25)),
    "usage_cap": Lever(Span(0, 50, 1), unset=0),
    "model_size": Lever(Span(0.1, 6)),
    "output_tokens": Lever(Span(0.1, 6)),
    "calls_per_workflow": Lever(Span(0.1, 10)),
    "hardware": Lever(Span(1, 25)),
    "serving": Lever(Span(1, 33)),
    "quantisation": Lever(Span(1, 4)),
    "pue": Lever(Span(1, 2)),
    "grid_carbon": Lever(Span(0.05, 1.5), also=("grid_primary_energy",)),
    "hardware_life_y": Lever(Span(2, 8, 0.5)),
    "carbon_price_usd_per_t": Lever(Span(0, 1000, 5)),
}  # fmt: skip


def projection_page(ledger: Any, what: Asked) -> None:
    from joulebook.models.projection import ask
    from joulebook.models.projection.engines import engines
    from joulebook.models.projection.scenarios import PRESETS, preset
    from joulebook.reports.views.projection import LABELS, Look

    scenarios = {name: name.capitalize() if len(name) > 3 else name.upper() for name in PRESETS}
    named = {name: name for name in engines()}
    engine = chosen("engine", named, ask.EVIDENCE)
    portfolios, usual = portfolios_of(ledger), ask.usual(ledger, engine)
    scenario = preset(chosen("scenario", scenarios), chosen("inputs", INPUTS))
    moved = _moved(scenario)
    asked = ask.Asked(
        scenario.name, engine, scenario.inputs, chosen("portfolio", portfolios, usual), int(chosen("until", UNTIL)),
        changes=tuple(moved.items()),
    )  # fmt: skip
    look = Look(chosen("category", LABELS), chosen("show", SHOWN) == "index")

    def controls() -> None:
        with st.container(key="choices", horizontal=True):
            choose("Scenario", "scenario", scenarios)
            choose("Portfolio", "portfolio", portfolios, usual)
            choose("Engine", "engine", named, ask.EVIDENCE)
            choose("Until", "until", UNTIL)
            choose("Category", "category", LABELS)
            choose("Show", "show", SHOWN)
            choose("The study's inputs", "inputs", INPUTS)
        _levers(scenario, moved)

    show(_projected(ledger, asked, look), what, ledger, controls=controls)


def portfolios_of(ledger: Any) -> dict[str, str]:
    """The portfolios that there are to choose from."""
    from joulebook.models.projection.history import has_history
    from joulebook.models.projection.questionnaire import kept_file

    there = {"own": kept_file(ledger.home).exists(), "ledger": has_history(ledger), "paper": True}
    return {name: label for name, label in PORTFOLIOS.items() if there[name]}


def _projected(ledger: Any, asked: Any, look: Any) -> View:
    """The projection, or why there is none: the choices stay, so that others can be made."""
    from joulebook.reports.views import projection

    try:
        return projection(ledger, asked, look)
    except (InputError, NotFound) as problem:
        return View("projection", "Projection", empty=f"{problem}.")


# Drivers.


def _moved(scenario: Any) -> dict[str, float]:
    """The drivers that the address has at another value than the scenario, and those that go with them."""
    found = {}
    for name, lever in LEVERS.items():
        first = _first(scenario, name)
        value = chosen_number(name, lever.span, first)
        if value != first:
            found |= dict.fromkeys((name, *lever.also), value)
    return found


def _first(scenario: Any, name: str) -> float:
    unset = LEVERS[name].unset
    return float(scenario.drivers[name].value if unset is None or name in scenario.drivers else unset)


def _levers(scenario: Any, moved: Mapping[str, float]) -> None:
    from joulebook.reports.views.projection import NAMES

    told = f"Drivers ({len(set(moved) & set(LEVERS))} moved)" if moved else "Drivers"
    with st.expander(told, icon=":material/tune:", key="drivers"):
        columns = st.columns(ACROSS)
        for number, (name, lever) in enumerate(LEVERS.items()):
            with columns[number % ACROSS]:
                slide(NAMES[name], name, lever.span, _first(scenario, name), _said_of(scenario, name))
        with st.container(horizontal=True):
            st.button("As the scenario has them", on_click=drop, args=tuple(LEVERS), icon=":material/restart_alt:",
                      disabled=not moved)  # fmt: skip
            st.download_button(
                "Scenario as a file", file_of(scenario.name, moved), file_name=f"{scenario.name}-own.toml",
                mime="application/toml", icon=":material/download:", on_click="ignore", key="scenario file",
            )  # fmt: skip


def _said_of(scenario: Any, name: str) -> str:
    """What the scenario says of a driver: its value, range, basis and source."""
    if name not in scenario.drivers:
        return "No cap, unless you set one: growth is then logistic, towards this multiple of today's use."
    driver = scenario.drivers[name]
    spread = "fixed" if driver.fixed else f"{fmt.number(driver.low)} to {fmt.number(driver.high)}"
    return f"{scenario.name}: {fmt.number(driver.value)} ({spread}). {driver.basis}. Source: {driver.source}."


def file_of(scenario: str, moved: Mapping[str, float]) -> str:
    """The scenario with its moved drivers, as a file that `joulebook project --scenario FILE` reads."""
    return "".join([f'base = "{scenario}"\n', *(f"{name} = {value!r}\n" for name, value in moved.items())])
