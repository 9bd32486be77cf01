"""How to read a fan, a scatter or a tornado, in words: the same on the page and on paper."""

from __future__ import annotations

from joulebook.reports import format as fmt
from joulebook.reports.view import Figure

MAX_SERIES = 6  # as many hues as everybody can tell apart
MOST_BANDS = 3  # more of them over each other are mud


def has_bands(figure: Figure) -> bool:
    """Whether each series has its band, because they are few; else the last values of a fan have whiskers."""
    return sum(series.is_ranged for series in figure.series[:MAX_SERIES]) <= MOST_BANDS


def how_to_read(figure: Figure, forecast: str) -> str:
    """The words for a figure; `forecast`: how a line looks there. Nothing for the other kinds."""
    if figure.kind == "fan":
        return _fan(figure, forecast)
    return {"scatter": _scatter, "tornado": _tornado}.get(figure.kind, lambda _: "")(figure)


def _fan(figure: Figure, forecast: str) -> str:
    told = [figure.band] if figure.band else []
    if not told and any(series.is_ranged for series in figure.series):
        told.append("Line: the median.")
        told.append(
            "Pale: from the 5th to the 95th percentile."
            if has_bands(figure)
            else "Whiskers: from the 5th to the 95th percentile of the last value."
        )
    if figure.partial_from is not None:
        told.append(f"{forecast}: forecast from {fmt.day(figure.partial_from)}.")
    return " ".join(told)


def _scatter(figure: Figure) -> str:
    roles = {series.role for series in figure.series}
    told = [figure.band] if figure.band else []
    if "frontier" in roles and not told:
        told.append("Joined: the frontier, where nothing else is better in both.")
    if "dominated" in roles:
        told.append("Hollow: something else is at least as good in both.")
    if not figure.band and any(series.is_ranged or series.x_low for series in figure.series):
        told.append("Thin lines: the range.")
    return " ".join(told)


def _tornado(figure: Figure) -> str:
    return f"Upright line: the base, {fmt.amount(figure.base, figure.unit)}. The widest driver is on top."
