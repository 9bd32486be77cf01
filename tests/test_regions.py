"""Regions of clouds: each stands on its grid, one that nobody knows is an error, and the world only when asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from joulebook.accounting.assess import assessor
from joulebook.accounting.errors import InputError, SiteError
from joulebook.accounting.factors import load, locate
from joulebook.accounting.in_force import factors_in_force
from joulebook.accounting.ledger import open_ledger
from joulebook.accounting.site import Site
from joulebook.accounting.when import parse_when
from joulebook.cli import main

DAY = parse_when("2023-07-01")


@pytest.mark.parametrize(
    ("region", "provider", "place", "match"),
    [
        ("aws:eu-west-3", None, "FR", "exact"),
        ("eu-west-3", "aws", "FR", "exact"),
        ("EU-WEST-3", None, "FR", "exact"),  # no other cloud has a region of that name
        ("aws:us-east-1", None, "US-VA", "exact"),
        ("azure:francecentral", None, "FR", "exact"),
        ("azure:westeurope", None, "NL", "exact"),
        ("eastus2", "azure", "US-VA", "exact"),
        ("azure:australiaeast", None, "AU-NSW", "parent"),
        ("gcp:us-central1", None, "US-IA", "exact"),
        ("aws:ca-central-1", None, "CA-QC", "exact"),
        ("FR", None, "FR", "exact"),
        ("us-ca", "aws", "US-CA", "exact"),
        ("WORLD", None, "WORLD", "world"),
    ],
)  # fmt: skip
def test_a_region_resolves_to_its_grid(region: str, provider: str | None, place: str, match: str) -> None:
    located = locate(region, provider)
    found = load().select("carbon_intensity", located.place, DAY.date())
    assert (located.place, found.match) == (place, match)


def test_the_cloud_of_a_region_is_whose_pue_holds() -> None:
    matches = factors_in_force(Site(region="aws:eu-west-3"), load(), DAY.date()).matches
    assert (matches["pue"].factor.region, matches["pue"].match) == ("aws", "exact")
    own = factors_in_force(Site(region="eu-west-3", provider="ovh"), load(), DAY.date()).matches
    assert own["pue"].factor.region == "ovh"  # what is said stands above what is implied


@pytest.mark.parametrize("region", ["aws:eu-west-9", "azure:francecentrl", "gcp:nowhere1"])
def test_an_unknown_region_of_a_cloud_is_an_error(region: str) -> None:
    with pytest.raises(InputError, match=f"the region '{region}' is not known.*or WORLD for a world average, marked"):
        locate(region)


def test_names_that_look_alike_are_told() -> None:
    with pytest.raises(InputError, match=r"did you mean aws:eu-west-\d, aws:eu-west-\d"):
        locate("aws:eu-west-9")


def test_a_site_in_an_unknown_region_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "site.toml").write_text('region = "eu-west-9"\nprovider = "aws"\n')
    with pytest.raises(SiteError, match=r"site.toml: the region 'eu-west-9' is not known; did you mean"):
        assessor(open_ledger(home), DAY, DAY)


def test_init_and_footprint(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--region", "aws:eu-west-3"]) == 0
    assert 'region = "aws:eu-west-3"' in (home / "site.toml").read_text()
    capsys.readouterr()
    assert main(["factors", "--json"]) == 0
    in_force = {row["kind"]: row for row in json.loads(capsys.readouterr().out)}
    assert (in_force["carbon_intensity"]["region"], in_force["pue"]["region"]) == ("FR", "aws")
    words = [
        "footprint",
        "--provider",
        "mistral",
        "--model",
        "mistral-large-latest",
        "--output-tokens",
        "300",
        "--json",
    ]
    for region, used, world in (
        ("eu-west-3", "FR", False),
        ("azure:swedencentral", "SE", False),
        ("WORLD", "WORLD", True),
    ):
        assert main([*words, "--region", region]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["region"]["used"] == used
        matches = {factor["kind"]: factor["match"] for factor in told["factors"]}
        assert (matches["carbon_intensity"] == "world") == world
    assert main([*words, "--region", "aws:eu-west-9"]) == 2
    assert "did you mean aws:eu-west-" in capsys.readouterr().err


def test_all_regions_are_listed_with_their_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["factors", "--regions", "--json"]) == 0
    rows = {f"{row['provider']}:{row['region']}": row for row in json.loads(capsys.readouterr().out)}
    assert (rows["aws:eu-west-3"]["place"], rows["azure:eastus"]["place"]) == ("FR", "US-VA")
    assert rows["azure:australiaeast"]["match"] == "parent"
    assert {row["match"] for row in rows.values()} <= {"exact", "older", "parent"}
    assert all(row["source"] and row["licence"] and row["retrieved"] for row in rows.values())
