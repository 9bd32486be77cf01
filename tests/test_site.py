"""The site file: what is written is read back, and what cannot be used is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import SiteError
from joulebook.accounting.site import Site, load_site, parse_site, site_path, write_site

HOSTILE = '"><script>alert(1)</script> $(rm -rf) =cmd|\'/C calc\'! #import "x"'


def written(home: Path, text: str | bytes) -> Path:
    home.mkdir(exist_ok=True)
    site_path(home).write_bytes(text if isinstance(text, bytes) else text.encode())
    return home


def test_without_a_file_the_site_is_the_world(home: Path) -> None:
    assert load_site(home) == Site(region="WORLD")
    assert load_site(home).cpu_class is None


def test_a_site_is_read_back_as_it_was_written(home: Path) -> None:
    site = Site("FR", "aws", "amd-epyc-3rd-gen", (1.1, 1.25, 1.4), (0.2, 0.2, 0.2), (0.1, 0.12, 0.14), (20, 56, 90),
                (2.0, 3.0, 5.0), (1.05, 1.05, 1.05))  # fmt: skip
    assert write_site(home, site) == home / "site.toml"
    assert load_site(home) == site
    assert sorted(path.name for path in home.iterdir()) == ["site.toml"]  # no draft is left


def test_a_number_stands_for_all_three_and_is_written_as_one(home: Path) -> None:
    assert parse_site({"pue": 1.25}).pue == (1.25, 1.25, 1.25)
    assert parse_site({"pue": [1, 2, 3]}).pue == (1.0, 2.0, 3.0)
    write_site(home, Site(pue=(1.25, 1.25, 1.25), cpu_power_w=(1e-05, 2.0, 1e22)))
    lines = site_path(home).read_text("utf-8").splitlines()[1:]
    assert lines == ['region = "WORLD"', "pue = 1.25", "cpu_power_w = [1e-05, 2.0, 1e+22]"]


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "a\nregion = 'XX'", "tab\tbell\x07nul\x00", "back\\slash", "\u202eturned", "\U000e0001x", "é 日本 🙂"],
)
def test_hostile_text_is_read_back_literally(home: Path, text: str) -> None:
    write_site(home, Site(region=text, provider=text, cpu_class=text))
    assert load_site(home) == Site(region=text, provider=text, cpu_class=text)


ranges = st.none() | st.lists(st.floats(1, 1e300), min_size=3, max_size=3).map(lambda values: tuple(sorted(values)))
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text == text.strip())


@given(texts, st.none() | texts, ranges, ranges)
@settings(deadline=None)
def test_any_site_is_read_back(tmp_path_factory: pytest.TempPathFactory, region, provider, pue, power) -> None:
    home = tmp_path_factory.mktemp("home")
    site = Site(region=region, provider=provider, pue=pue, cpu_power_w=power)
    write_site(home, site)
    assert load_site(home) == site


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("regoin = 'FR'", "unknown key 'regoin': a site knows carbon_intensity_g_per_kwh, carbon_price_usd_per_t,"),
        ("region = 33", "region must be a text such as 'FR', not 33"),
        ("provider = ' '", "provider must be a text such as 'aws', not ' '"),
        ("pue = 0.9", "pue must be a number or [low, mid, high] from 1 up, not 0.9"),
        ("it_overhead = 0.5", "it_overhead must be a number or [low, mid, high] from 1 up, not 0.5"),
        ("wue_l_per_kwh = -0.1", "wue_l_per_kwh must be a number or [low, mid, high] from 0 up, not -0.1"),
        ("pue = [1.2, 1.1, 1.3]", "pue must be a number or [low, mid, high] from 1 up, not [1.2, 1.1, 1.3]"),
        ("pue = [1.1, 1.2]", "not [1.1, 1.2]"),
        ("pue = [1.1, true, 1.3]", "not [1.1, True, 1.3]"),
        ("pue = '1.2'", "not '1.2'"),
        ("pue = true", "not True"),
        ("pue = nan", "not nan"),
        ("pue = inf", "not inf"),
        ("pue = 1" + "0" * 400, "too large"),
        ("pue = ", "Invalid value"),
        ("region = 'FR'\nregion = 'DE'", "Cannot overwrite a value"),
        (b"region = '\xff'", "can't decode"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(home: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(SiteError) as caught:
        load_site(written(home, text))
    message = str(caught.value)
    assert message.startswith(f"{site_path(home)}: ")
    assert says in message
    assert message.endswith("; mend it or run `joulebook init --force`")
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_not_the_world(home: Path) -> None:
    site_path(home).mkdir(parents=True)
    with pytest.raises(SiteError, match=r"site\.toml: cannot be read \(Is a directory\)"):
        load_site(home)
