"""Factors: what turns usage into impact.

fact        one fact, its id, and the words of carbon accounting (average, location, direct, …)
store       rows of `data/tables/*.csv`, each dated, regional and sourced; sets of them; which one fits
series      hourly and monthly factors that were imported into a home
imports     files of Electricity Maps, ENTSO-E, WattTime and one's own utility, as series
regions     regions of AWS, GCP and Azure, and the grid that each stands on
hardware    what making a device or server takes, with all that is published of it
contracts   contracts and certificates for electricity, and whether they meet the quality criteria
"""

from __future__ import annotations

from joulebook.accounting.factors.fact import COLUMNS, DIMENSIONS, Dimensions, Factor
from joulebook.accounting.factors.regions import Located, is_cloud, locate, unknown_region
from joulebook.accounting.factors.series import Series, Spell
from joulebook.accounting.factors.store import (
    CATALOGUES,
    MATCHES,
    WORLD,
    FactorSet,
    Match,
    factor_set,
    load,
    parse_table,
)

__all__ = [
    "CATALOGUES",
    "COLUMNS",
    "DIMENSIONS",
    "MATCHES",
    "WORLD",
    "Dimensions",
    "Factor",
    "FactorSet",
    "Located",
    "Match",
    "Series",
    "Spell",
    "factor_set",
    "is_cloud",
    "load",
    "locate",
    "parse_table",
    "unknown_region",
]
