"""Ranges carried through a formula: by its corners, and by draws in which shared inputs are drawn once.

    inputs, by name ──draws──▶ an array for each ──any formula──▶ an array ──quantiles──▶ P5, P50, P95
    inputs, by name ──corners──▶ the least and the most that a formula gives

An input is a `Range` (low, mid, high: its P5, P50 and P95) or a `Dist`, made by `lognormal`, `triangular`, `uniform`
or `two_point`. A `Dist` is nothing but its inverse distribution function: from a probability to a value.

The draws are Sobol's points, each input's scrambled by a digital shift that its name and the seed make: the same
question has the same draws on every machine, and an input that is added at the end leaves the others as they were.
What several parts of a sum share is one name, so it is drawn once in each draw and its error does not average out:

    two runs of 1 and 2 kWh on one grid of 300 – 400 – 500 g/kWh:   3 kWh × the grid: 900 – 1200 – 1500 g, ± 300 g
    the same runs on two grids that have nothing to do with each other:   ± √(100² + 200²) = ± 224 g

`correlation` says which inputs go together without being one: of the normal variables below them (a Gaussian copula).
Needs NumPy and SciPy (the extra `models`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError, MissingExtra
from joulebook.accounting.estimates import Estimate
from joulebook.accounting.site import Range

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Dist = Callable[[Array], Array]  # from probabilities, inside 0 to 1, to values
    Input = Range | Dist

DRAWS, MOST_DRAWS = 4096, 2**20
SEED = 0
MOST_CORNERS = 16  # inputs, of which the corners are two to this power
P5, P50, P95 = 0.05, 0.5, 0.95
_Z95 = 1.6448536269514722  # the normal variable at P95
_BITS = 30
_EDGE = 2.0**-33  # how near to 0 and 1 a correlated probability may come


# Distributions ----------------------------------------------------------------------------------------------------


def lognormal(p5: float, p50: float, p95: float, floor: float = 0.0) -> Dist:
    """A lognormal with these quantiles, above `floor` (1 for a PUE). Lopsided ones have two halves that meet at P50."""
    if not floor < p5 <= p50 <= p95:
        raise InputError(f"a lognormal needs {floor:g} < P5 ≤ P50 ≤ P95, not {p5:g}, {p50:g}, {p95:g}")
    low, mid, high = p5 - floor, p50 - floor, p95 - floor

    def at(probability: Array) -> Array:
        np, special = _packages()
        z = special.ndtri(probability) / _Z95
        return floor + mid * np.where(z < 0, mid / low, high / mid) ** z

    return at


def triangular(low: float, mode: float, high: float) -> Dist:
    """Between two bounds, most often at `mode`."""
    if not low <= mode <= high:
        raise InputError(f"a triangle needs low ≤ mode ≤ high, not {low:g}, {mode:g}, {high:g}")
    width = high - low
    left = (mode - low) / width if width else 0.0

    def at(probability: Array) -> Array:
        np, _ = _packages()
        rising = low + np.sqrt(probability * width * (mode - low))
        falling = high - np.sqrt((1 - probability) * width * (high - mode))
        return np.where(probability < left, rising, falling)

    return at


def uniform(low: float, high: float) -> Dist:
    """Anything between two bounds, all alike."""
    if not low <= high:
        raise InputError(f"a uniform range needs low ≤ high, not {low:g}, {high:g}")
    return lambda probability: low + (high - low) * probability


def two_point(without: float, with_it: float, chance: float) -> Dist:
    """One of two values: `with_it` with this chance, else `without` (Bernoulli)."""
    if not 0 <= chance <= 1:
        raise InputError(f"a chance lies between 0 and 1, not {chance:g}")

    def at(probability: Array) -> Array:
        np, _ = _packages()
        return np.where(probability < 1 - chance, without, with_it)

    return at


def spread(values: Range, floor: float = 0.0) -> Dist:
    """A range as a distribution: lognormal above `floor`, a triangle where its low is the floor itself."""
    low, mid, high = values
    return triangular(low, mid, high) if low <= floor or low == high else lognormal(low, mid, high, floor)


# Draws ------------------------------------------------------------------------------------------------------------


def draws(
    inputs: Mapping[str, Input],
    n: int = DRAWS,
    seed: int = SEED,
    correlation: Mapping[tuple[str, str], float] | None = None,
) -> dict[str, Array]:
    """`n` draws of each input, all of them together. `n` is a power of two, which Sobol's points need to be even.

    Raises InputError for another `n`, for a range that is none, and for correlations that cannot hold at once.
    """
    if not 2 <= n <= MOST_DRAWS or n & (n - 1):
        raise InputError(f"the number of draws must be a power of two such as {DRAWS}, up to {MOST_DRAWS}, not {n}")
    if not inputs:
        return {}
    names = list(inputs)
    points = _points(names, n, seed)
    if correlation:
        points = _together(points, names, correlation)
    return {name: _dist(given)(points[:, place]) for place, (name, given) in enumerate(inputs.items())}


def _points(names: list[str], n: int, seed: int) -> Array:
    """Sobol's points, one column for each name, each in the middle of its cell."""
    np, _ = _packages()
    from scipy.stats import qmc

    cells = (qmc.Sobol(len(names), scramble=False, bits=_BITS).random(n) * 2**_BITS).astype("uint32")
    shifts = np.array([_shift(name, seed) for name in names], dtype="uint32")
    return ((cells ^ shifts) + 0.5) / 2**_BITS


def _shift(name: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}\x1f{name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> (32 - _BITS)


def _dist(given: Input) -> Dist:
    return given if callable(given) else spread(given)


def _together(points: Array, names: list[str], correlation: Mapping[tuple[str, str], float]) -> Array:
    """The points with the dependence of a Gaussian copula; each column stays uniform, those of no pair as they are."""
    np, special = _packages()
    related = sorted({name for pair in correlation for name in pair})
    matrix = np.eye(len(related))
    for (one, other), rho in correlation.items():
        if one not in names or other not in names or one == other or not -1 <= rho <= 1:
            raise InputError(f"the correlation {rho:g} of {one!r} and {other!r} must be of two inputs, from -1 to 1")
        i, j = related.index(one), related.index(other)
        matrix[i, j] = matrix[j, i] = rho
    try:
        root = np.linalg.cholesky(matrix + 1e-12 * np.eye(len(related)))  # also where one follows from the others
    except np.linalg.LinAlgError as error:
        raise InputError("these correlations cannot all hold at once") from error
    columns, joined = [names.index(name) for name in related], points.copy()
    joined[:, columns] = np.clip(special.ndtr(special.ndtri(points[:, columns]) @ root.T), _EDGE, 1 - _EDGE)
    return joined


def _packages() -> tuple[Any, Any]:
    try:
        import numpy as np
        from scipy import special
    except ModuleNotFoundError as error:
        raise MissingExtra("drawing from ranges", "models") from error
    return np, special


# What comes out ---------------------------------------------------------------------------------------------------


def quantiles(sample: Array) -> Range:
    """P5, P50 and P95 of a sample."""
    np, _ = _packages()
    low, mid, high = np.quantile(sample, (P5, P50, P95))
    return float(low), float(mid), float(high)


def sampled(sample: Array, unit: str, method: str = "modelled") -> Estimate:
    """P5, P50 and P95 of a sample as an estimate."""
    return Estimate(*quantiles(sample), unit, method)


def corners(formula: Callable[..., Array], inputs: Mapping[str, Range]) -> Range:
    """The least and the most of a formula at the corners of its inputs, and what it gives at their mids.

    These are its bounds where it rises or falls with each input all the way. All corners are worked out at once.
    Raises InputError for more inputs than `MOST_CORNERS`.
    """
    np, _ = _packages()
    if len(inputs) > MOST_CORNERS:
        raise InputError(f"{len(inputs)} inputs have too many corners: at most {MOST_CORNERS}; draw from them instead")
    ends = np.array(list(product(*((low, high) for low, _, high in inputs.values()))), dtype=float)
    found = formula(**{name: ends[:, place] for place, name in enumerate(inputs)})
    mid = formula(**{name: values[1] for name, values in inputs.items()})
    return float(np.min(found)), float(mid), float(np.max(found))
