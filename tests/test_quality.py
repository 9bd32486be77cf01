"""What totals rest on: shares by method and by default values, and the tier of each line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from handmade import HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.factors import MATCHES
from joulebook.accounting.ledger import Ledger, ingest, open_ledger
from joulebook.accounting.quality import TIERS, Line, quality, tier
from joulebook.accounting.records import METHODS
from joulebook.accounting.site import Site, write_site
from joulebook.reports import views
from joulebook.reports.views import period_of

HERE = Site(
    "FR", pue=(1.5, 1.5, 1.5), wue_l_per_kwh=(0, 0, 0), carbon_intensity_g_per_kwh=(200, 200, 200),
    cpu_power_w=(4, 4, 4), it_overhead=(1, 1, 1),
)  # fmt: skip


def test_shares_by_what_a_line_rests_on():
    """6 g measured on the grid of the place, 3 g measured on the world's, 1 g modelled: 60, 30 and 10 %."""
    told = quality([Line(6, "measured", "exact"), Line(3, "measured", "world"), Line(1, "modelled", "declared")])
    assert told is not None
    assert told.rests_on == pytest.approx({"measured": 0.6, "default": 0.3, "modelled": 0.1})
    assert list(told.rests_on) == ["measured", "default", "modelled"]  # the most first
    assert told.tiers == pytest.approx({1: 0.6, 3: 0.1, 4: 0.3})
    assert told.tier == 4  # that of the weakest line


@pytest.mark.parametrize(
    ("method", "match", "expected"),
    [
        ("measured", "declared", 1),
        ("integrated", "exact", 1),
        ("attributed", "exact", 2),
        ("measured", "older", 2),
        ("modelled", "exact", 3),
        ("measured", "parent", 3),
        ("measured", "world", 4),
        ("default", "exact", 4),
    ],
)
def test_the_tier_of_a_line_is_the_worse_of_its_two(method, match, expected):
    assert tier(method, match) == expected


def test_nothing_has_no_quality():
    assert quality([]) is None
    assert quality([Line(0, "measured", "exact"), Line(float("nan"), "measured", "exact")]) is None


@settings(max_examples=50)
@given(st.lists(st.builds(Line, st.floats(1e-6, 1e6), st.sampled_from(METHODS), st.sampled_from(MATCHES)), min_size=1))
def test_shares_add_up_and_tiers_are_tiers(lines):
    told = quality(lines)
    assert told is not None
    assert sum(told.rests_on.values()) == pytest.approx(1)
    assert sum(told.tiers.values()) == pytest.approx(1)
    assert told.tier == max(told.tiers)
    assert set(told.tiers) <= set(TIERS)


def one_of_each(home: Path, site: Site) -> Ledger:
    """3600 J that the job's own counter measured, in one run; 900 s × 4 W = 3600 J that are modelled, in another."""
    measured = HandmadeJournal(home)
    measured.sensor("meter", "J", device="gpu:0", boundary="device")
    run = measured.start(0, "measured", project="a", counters={"meter": 0.0})
    measured.end(50, run, counters={"meter": 3600.0})
    measured.write()
    modelled = HandmadeJournal(home)
    modelled.sensor()
    run = modelled.start(100, "modelled", project="a", counters={"cpu_time": 0.0})
    modelled.end(150, run, counters={"cpu_time": 900.0})
    modelled.write()
    write_site(home, site)
    ingest(home)
    return open_ledger(home)


def test_every_total_says_it(home):
    ledger = one_of_each(home, HERE)
    (row,) = views.summary(ledger, period_of()).rows
    assert row["data_quality"]["carbon_g"]["rests_on"] == pytest.approx({"measured": 0.5, "modelled": 0.5})
    assert row["tier"] == row["data_quality"]["energy_j"]["tier"] == 3
    assert [run["tier"] for run in views.runs(ledger, period_of()).rows] == [3, 1]
    (measured,) = views.run(ledger, views.runs(ledger, period_of()).rows[1]["run_id"]).rows
    assert measured["data_quality"]["carbon_g"]["rests_on"] == {"measured": 1}
    notes = views.overview(ledger, period_of()).notes
    assert any(note.startswith("Data behind the carbon: 50") for note in notes)


def test_a_world_average_is_a_default_however_well_energy_was_measured(home):
    ledger = one_of_each(home, replace(HERE, pue=None))
    (row,) = views.summary(ledger, period_of()).rows
    assert row["data_quality"]["energy_j"]["rests_on"] == pytest.approx({"measured": 0.5, "modelled": 0.5})
    assert row["data_quality"]["carbon_g"]["rests_on"] == {"default": 1}
    assert row["tier"] == 4


def test_the_report_names_its_basis(home):
    ledger = one_of_each(home, HERE)
    (note,) = [note for note in views.report(ledger, period_of()).notes if note.startswith("Basis ")]
    assert "joulebook assess --factor-set" in note
