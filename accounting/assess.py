"""From usage to impact: the amounts that the factors in force at a site give.

    timeline(site, factors, start, end)  -> [InForce]     which factors hold when (`in_force`)
    impacts(it_energy, in_force)         -> [Impact]      one energy, assessed in Python
    Assessor.rows(sql)                   -> rows          every run's energy, assessed in SQL with the same formulas

Low, mid and high are worked with the low, mid and high of every factor at once: the factors of one site are not
independent of each other from run to run, so this range does not shrink when runs are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from joulebook.accounting.adpe import operational_adpe_kgsb
from joulebook.accounting.basis import Basis, current, keep
from joulebook.accounting.carbon import operational_carbon_g
from joulebook.accounting.column import Column
from joulebook.accounting.cost import electricity_cost_usd
from joulebook.accounting.energy import (
    cpu_it_energy_j,
    facility_energy_j,
    it_energy_j,
    least_share,
    memory_energy_j,
    most_share,
)
from joulebook.accounting.errors import SiteError
from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.accounting.factors import FactorSet, locate, unknown_region
from joulebook.accounting.in_force import (
    ENDS,
    KINDS,
    InForce,
    factors_in_force,
    in_force_table,
    timeline,
    worst_match,
)
from joulebook.accounting.primary_energy import primary_energy_j
from joulebook.accounting.records import METHODS
from joulebook.accounting.site import Site, site_path
from joulebook.accounting.water import water_l

if TYPE_CHECKING:
    from pathlib import Path

    from joulebook.accounting.ledger import Ledger

Carrier = TypeVar("Carrier", float, Column)

__all__ = [  # the factors in force are asked for here, too
    "CATEGORIES",
    "ENDS",
    "KINDS",
    "Assessor",
    "InForce",
    "assessor",
    "factors_in_force",
    "in_force_table",
    "timeline",
    "worst_match",
]

# category -> (unit, the factors behind it besides those of the energy itself)
CATEGORIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "it_energy_j": ("J", ()),
    "facility_energy_j": ("J", ("pue",)),
    "carbon_g": ("g", ("pue", "carbon_intensity")),
    "water_l": ("L", ("pue", "wue", "water_intensity")),
    "cost_usd": ("USD", ("pue", "electricity_price")),
    "primary_energy_j": ("J", ("pue", "electricity_primary_energy")),
    "adpe_kgsb": ("kgSb", ("pue", "electricity_adpe")),
}


@dataclass(frozen=True)
class Impact:
    """A derived amount, with the ids of the factors behind it and the worst of their matches."""

    category: str
    amount: Estimate
    factor_ids: tuple[str, ...]
    match: str


def impact_amounts(it_energy: Carrier, factors: Mapping[str, Carrier]) -> dict[str, Carrier]:
    """Every impact of some IT energy (J) that there are factors for. Works on floats, arrays and SQL columns alike."""
    pue = factors["pue"]
    amounts = {
        "it_energy_j": it_energy,
        "facility_energy_j": facility_energy_j(it_energy, pue=pue),
        "carbon_g": operational_carbon_g(it_energy, pue=pue, intensity_g_per_kwh=factors["carbon_intensity"]),
        "water_l": water_l(
            it_energy, wue_l_per_kwh=factors["wue"], pue=pue, offsite_l_per_kwh=factors["water_intensity"]
        ),
        "cost_usd": electricity_cost_usd(it_energy, pue=pue, price_usd_per_kwh=factors["electricity_price"]),
    }
    if "electricity_primary_energy" in factors:
        primary = factors["electricity_primary_energy"]
        amounts["primary_energy_j"] = primary_energy_j(it_energy, pue=pue, primary_j_per_kwh=primary)
    if "electricity_adpe" in factors:
        amounts["adpe_kgsb"] = operational_adpe_kgsb(it_energy, pue=pue, adpe_kgsb_per_kwh=factors["electricity_adpe"])
    return amounts


def impacts(it_energy: Estimate, in_force: InForce) -> list[Impact]:
    """The impacts of an IT energy (J) under given factors."""
    assert it_energy.low is not None and it_energy.mid is not None and it_energy.high is not None  # noqa: S101, PT018
    energies = (it_energy.low, it_energy.mid, it_energy.high)
    worked = [
        impact_amounts(energy, {kind: in_force.range_of(kind)[end] for kind in in_force.matches})
        for end, energy in enumerate(energies)
    ]
    return [
        Impact(
            category,
            between([amounts[category] for amounts in worked], unit, it_energy.method)
            if category in worked[0]
            else unknown(unit, missing_factor(category)),
            tuple(in_force.matches[kind].factor.factor_id for kind in kinds if kind in in_force.matches),
            worst_match(in_force, kinds),
        )
        for category, (unit, kinds) in CATEGORIES.items()
    ]


# In SQL -----------------------------------------------------------------------------------------------------------


def amount_sql(end: str, idle: str) -> str:
    """What a row of `energy_source_…` used, in its own unit, at one end of the range; `idle` is the site's policy.

    A part of a node's device is what its activity and its idle energy come to. Where others had a part too, it is less
    sure: a second of theirs may have cost up to `SKEW` times ours, or ours theirs.
    """
    part = "amount" if idle == "none" else f"(amount + idle_{idle})"
    if end == "mid":
        return f"case when node_mid is null then amount else {part} end"
    of_nothing = 0 if end == "low" else 1  # nothing was seen of the device: then all it may have used may be ours
    share, skew = Column(f"least(1, coalesce({part} / nullif(node_mid, 0), {of_nothing}))"), Column(_SKEW_SQL)
    bound = least_share(share, skew=skew) if end == "low" else most_share(share, skew=skew)
    return f"case when node_mid is null then amount else greatest(0, node_{end} * {bound}) end"


# Two processes that are as busy may draw this differently; where nobody saw who was busy, more so.
SKEW = {"cpu": 2, "busy": 2, "reservation": 4}
_SKEWS = " ".join(f"when '{by}' then {skew}" for by, skew in SKEW.items())
_SKEW_SQL = f"(case share_by {_SKEWS} else 1 end)"


def device_energy_sql(end: str) -> str:
    """Device energy (J) of a row with `amount_<end>` and its factors; null where the row is not of a device."""
    memory = memory_energy_j(Column(f"amount_{end}"), dram_power_w_per_gb=Column(f"dram_power_{end}"))
    return f"case when boundary = 'device' then case unit when 'GB' then {memory} else amount_{end} end end"


def energy_sql(end: str) -> str:
    """IT energy (J) of a row with `amount_<end>` and its factors, at one end of the range."""
    cpu = cpu_it_energy_j(Column(f"amount_{end}"), cpu_power_w=Column(f"cpu_power_{end}"))
    device = it_energy_j(Column(f"({device_energy_sql(end)})"), it_overhead=Column(f"it_overhead_{end}"))
    return f"case when unit = 's' then {cpu} when boundary = 'device' then {device} else amount_{end} end"


def _method_rank_sql() -> str:
    ranks = " ".join(f"when '{method}' then {rank}" for rank, method in enumerate(METHODS))
    attributed = METHODS.index("attributed")
    rank = f"case method {ranks} else {len(METHODS) - 1} end"
    return f"""case when unit = 's' then {METHODS.index("modelled")}
        when amount_mid < {WHOLE} * node_mid then greatest({rank}, {attributed}) else {rank} end"""


WHOLE = 0.999  # a larger part of a device is all of it

# How weak the evidence of a row of energy is: CPU seconds become joules by a model, however well they were counted,
# and a part of a device is attributed, however well the device was measured.
METHOD_RANK_SQL = _method_rank_sql()


def with_amounts(source: str, idle: str) -> str:
    """Rows of a source of energy with their factors in force and their `amount_low`, `amount_mid`, `amount_high`."""
    amounts = ", ".join(f"{amount_sql(end, idle)} as amount_{end}" for end in ENDS)
    return f"""(select e.*, f.*, {amounts} from {source} e
                join in_force f on e.at_utc >= f.start_utc and e.at_utc < f.end_utc)"""


def _assessed_sql(grain: str, idle: str) -> str:
    energies = ", ".join(f"{energy_sql(end)} as it_{end}, {device_energy_sql(end)} as device_{end}" for end in ENDS)
    amounts = [f"device_{end} as device_energy_j_{end}" for end in ENDS]
    for end in ENDS:
        columns = impact_amounts(Column(f"it_{end}"), {kind: Column(f"{kind}_{end}") for kind in KINDS})
        amounts += [f"{column} as {category}_{end}" for category, column in columns.items()]
    return f"""
        select run_id, at_utc, sensor, share_by, piece, covered_s,
               case when unit = 's' then amount end as cpu_time_s,
               case when unit = 'GB' then amount_mid end as memory_gb_s,
               {METHOD_RANK_SQL} as method_rank,
               {", ".join(amounts)}
        from (select *, {energies} from {with_amounts(f"energy_source_{grain}", idle)})
    """


SUMS_SQL = ", ".join(
    f"sum({category}_{end}) as {category}_{end}" for category in (*CATEGORIES, "device_energy_j") for end in ENDS
)


@dataclass(frozen=True)
class Assessor:
    """A ledger seen from a site through a factor set: what every question about impact starts from."""

    ledger: Ledger
    site: Site
    factors: FactorSet
    start: date
    end: date
    grain: str = "hour"  # or "minute", for a period that begins or ends within an hour

    @property
    def basis(self) -> Basis:
        return Basis(self.site, self.factors)

    @cached_property
    def pieces(self) -> list[InForce]:
        return timeline(self.site, self.factors, self.start, self.end)

    def rows(self, sql: str, params: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """The answer to a question about `assessed` (one row per run, counter and hour or minute)."""
        full = f"with assessed as ({_assessed_sql(self.grain, self.site.idle_energy)}) {sql}"
        return self.ledger.rows(full, params, {"in_force": in_force_table(self.pieces)})


def check_region(home: Path, site: Site, factors: FactorSet) -> None:
    """Raises SiteError for a site in a region that nobody knows."""
    if not factors.knows_place("carbon_intensity", locate(site.region, site.provider).place):
        raise SiteError(f"{site_path(home)}: {unknown_region(site.region, factors)}")


def assessor(ledger: Ledger, start: datetime, end: datetime, grain: str = "hour") -> Assessor:
    """An assessor over a period, with the home's site and the factors of this version, which are kept as its basis.

    Raises SiteError when the site file cannot be understood or names a region that nobody knows.
    """
    basis = current(ledger.home)
    check_region(ledger.home, basis.site, basis.factors)
    if ledger.path.exists():
        keep(ledger.home, basis)
    last = end.astimezone(UTC).date() + timedelta(days=1)
    return Assessor(ledger, basis.site, basis.factors, start.astimezone(UTC).date(), last, grain)


def estimate_of(row: Mapping[str, Any], category: str, *, reason: str = "no energy was recorded") -> Estimate:
    """The estimate of a category from a row with `<category>_low/_mid/_high` and `method_rank`."""
    unit = CATEGORIES[category][0]
    low, mid, high = (row.get(f"{category}_{end}") for end in ENDS)
    if low is None or mid is None or high is None:
        has_energy = row.get("it_energy_j_mid") is not None
        return unknown(unit, missing_factor(category) if has_energy else reason)
    return Estimate(low, mid, high, unit, METHODS[int(row["method_rank"])])


def missing_factor(category: str) -> str:
    """Why a category is not known where the energy is."""
    return f"no source has {CATEGORIES[category][1][-1]} of this place"
