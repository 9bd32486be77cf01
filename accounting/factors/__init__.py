"""Factors: what turns usage into impact.

    store    rows of `data/tables/*.csv`, each dated, regional and sourced; sets of them; which one fits
"""

from joulebook.accounting.factors.store import (
    CATALOGUES,
    COLUMNS,
    MATCHES,
    WORLD,
    Factor,
    FactorSet,
    Match,
    load,
    parse_table,
)

__all__ = ["CATALOGUES", "COLUMNS", "MATCHES", "WORLD", "Factor", "FactorSet", "Match", "load", "parse_table"]
