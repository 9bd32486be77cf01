"""The catalogue of accelerators: every row is whole and sourced, real driver names find theirs, and only theirs."""

from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from joulebook.accounting.accelerators import COLUMNS, DTYPES, load, parse_catalogue, peak_flop_per_s
from joulebook.accounting.errors import FactorError
from joulebook.accounting.factors import load as load_factors

TABLE = Path(__file__).parents[1] / "data" / "tables" / "accelerators.csv"
TFLOP = 1e12

# As NVML, amdsmi, JAX and others give them.
NAMES = {
    "Tesla P100-PCIE-16GB": ("P100 PCIe", "fp16", 18.7),
    "Tesla P100-SXM2-16GB": ("P100 SXM2", "fp16", 21.2),
    "Tesla V100-SXM2-16GB": ("V100 SXM2 16GB", "fp16", 125),
    "Tesla V100-SXM2-32GB": ("V100 SXM2 32GB", "fp16", 125),
    "Tesla V100-PCIE-16GB": ("V100 PCIe 16GB", "fp16", 112),
    "Tesla V100S-PCIE-32GB": ("V100S PCIe", "fp16", 130),
    "Tesla T4": ("T4", "fp16", 65),
    "NVIDIA A10": ("A10", "bf16", 125),
    "NVIDIA A10G": ("A10G", "bf16", 70),
    "NVIDIA A30": ("A30", "bf16", 165),
    "NVIDIA A40": ("A40", "bf16", 149.7),
    "NVIDIA A100-SXM4-40GB": ("A100 SXM4 40GB", "bf16", 312),
    "NVIDIA A100-SXM4-80GB": ("A100 SXM4 80GB", "bf16", 312),
    "A100-SXM4-40GB": ("A100 SXM4 40GB", "bf16", 312),  # drivers before 470
    "NVIDIA A100-PCIE-40GB": ("A100 PCIe 40GB", "bf16", 312),
    "NVIDIA A100 80GB PCIe": ("A100 PCIe 80GB", "bf16", 312),
    "NVIDIA L4": ("L4", "bf16", 121),
    "NVIDIA L40": ("L40", "bf16", 181.05),
    "NVIDIA L40S": ("L40S", "bf16", 362.05),
    "NVIDIA H100 80GB HBM3": ("H100 SXM5", "bf16", 989.4),
    "NVIDIA H100 PCIe": ("H100 PCIe", "bf16", 756.5),
    "NVIDIA H100 NVL": ("H100 NVL", "bf16", 835.5),
    "NVIDIA H200": ("H200 SXM5", "bf16", 989.5),
    "NVIDIA H200 NVL": ("H200 NVL", "bf16", 835.5),
    "NVIDIA GH200 480GB": ("GH200 96GB", "bf16", 989.5),
    "NVIDIA GH200 144G HBM3e": ("GH200 144GB", "bf16", 989.5),
    "NVIDIA B200": ("B200", "bf16", 2250),
    "NVIDIA GB200": ("GB200", "bf16", 2500),
    "NVIDIA GeForce RTX 3090": ("RTX 3090", "bf16", 71),
    "NVIDIA GeForce RTX 4090": ("RTX 4090", "bf16", 165.2),
    "NVIDIA GeForce RTX 5090": ("RTX 5090", "bf16", 209.5),
    "NVIDIA RTX A6000": ("RTX A6000", "bf16", 154.8),
    "NVIDIA RTX 6000 Ada Generation": ("RTX 6000 Ada", "bf16", 364.2),
    "AMD Instinct MI210": ("MI210", "bf16", 181),
    "AMD Instinct MI250X": ("MI250X, one die", "bf16", 191.5),
    "AMD Instinct MI300A": ("MI300A", "bf16", 980.6),
    "AMD Instinct MI300X": ("MI300X", "bf16", 1307.4),
    "AMD Instinct MI300X OAM": ("MI300X", "bf16", 1307.4),
    "AMD Instinct MI325X": ("MI325X", "bf16", 1307.4),
    "AMD Instinct MI355X": ("MI355X", "bf16", 2500),
    "TPU v4": ("TPU v4", "bf16", 275),
    "TPU v5 lite": ("TPU v5e", "bf16", 197),
    "TPU v5": ("TPU v5p", "bf16", 459),
    "TPU v6 lite": ("TPU v6e", "bf16", 918),
    "GAUDI2": ("Gaudi 2", "bf16", 432),
    "GAUDI3": ("Gaudi 3", "bf16", 1835),
    "Trainium2": ("Trainium2", "bf16", 667),
    "Inferentia2": ("Inferentia2", "bf16", 190),
}


@pytest.mark.parametrize("device", NAMES)
def test_the_name_that_a_driver_gives_finds_its_device(device):
    name, dtype, tflop_per_s = NAMES[device]
    peak = peak_flop_per_s(device)
    assert peak is not None
    assert (peak.name, peak.dtype) == (name, dtype)
    assert peak.flop_per_s == pytest.approx(tflop_per_s * TFLOP, rel=1e-12)
    assert {row.name for row in load() if re.fullmatch(row.name_pattern, device, re.IGNORECASE)} == {name}


@pytest.mark.parametrize(
    "device",
    [
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",  # a seventh of it
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA A100-SXM-64GB",  # one computing centre's own
        "NVIDIA H20",
        "NVIDIA L400",
        "Apple M3 Max",
        "Intel(R) Xeon(R) Platinum 8480C",
        "",
    ],
)
def test_a_near_name_is_no_match(device):
    assert peak_flop_per_s(device) is None


@pytest.mark.parametrize(
    ("device", "dtype", "by_hand"),
    [
        # SMs × tensor cores × FMA per clock × 2 × boost clock
        ("NVIDIA H100 80GB HBM3", "bf16", 132 * 4 * 512 * 2 * 1.83e9),  # 989.4e12
        ("NVIDIA H100 80GB HBM3", "fp8", 132 * 4 * 1024 * 2 * 1.83e9),
        ("NVIDIA A100-SXM4-80GB", "bf16", 108 * 4 * 256 * 2 * 1.41e9),  # 312e12
        ("NVIDIA A100-SXM4-80GB", "tf32", 108 * 4 * 128 * 2 * 1.41e9),
        ("Tesla V100-SXM2-32GB", "fp16", 80 * 8 * 64 * 2 * 1.53e9),  # 125e12
        ("Tesla T4", "fp16", 40 * 8 * 64 * 2 * 1.59e9),
        ("NVIDIA GeForce RTX 4090", "fp32", 16384 * 2 * 2.52e9),  # cores × FMA × clock
        ("NVIDIA GeForce RTX 5090", "fp32", 21760 * 2 * 2.407e9),
        # matrix cores × FMA per clock × 2 × clock
        ("AMD Instinct MI300X", "bf16", 1216 * 256 * 2 * 2.1e9),  # 1307.4e12
        ("AMD Instinct MI250X", "bf16", 880 * 128 * 2 * 1.7e9 / 2),  # two dies
        ("AMD Instinct MI355X", "bf16", 1024 * 512 * 2 * 2.4e9),  # published as 2.5e15
    ],
)
def test_a_peak_is_units_times_clock(device, dtype, by_hand):
    peak = peak_flop_per_s(device, dtype)
    assert peak is not None
    assert peak.flop_per_s == pytest.approx(by_hand, rel=7e-3)


def test_the_numbers_that_everybody_uses():
    peaks = [peak_flop_per_s(name, "bf16") for name in ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB")]
    assert [peak and peak.flop_per_s for peak in peaks] == [989.4e12, 312e12]
    assert [peak and peak.tdp_w for peak in peaks] == [700.0, 400.0]


def test_a_dtype_that_a_device_has_not():
    assert peak_flop_per_s("Tesla T4", "bf16") is None
    assert peak_flop_per_s("NVIDIA A100-SXM4-80GB", "fp8") is None
    assert peak_flop_per_s("TPU v4", "bf16") is not None
    assert peak_flop_per_s("TPU v4").tdp_w is None  # Google does not tell


# The table ---------------------------------------------------------------------------------------------------------


def test_file_form():
    raw = TABLE.read_bytes()
    assert raw.split(b"\n", 1)[0].decode() == ",".join(COLUMNS)
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [(row["vendor"], row["name"], row["dtype"]) for row in csv.DictReader(file)]
    assert rows == sorted(rows)
    assert [row for row, count in Counter(rows).items() if count > 1] == []


def test_what_holds_for_a_device_is_the_same_in_all_its_rows():
    devices: dict[str, tuple] = {}
    for peak in load():
        said = (peak.vendor, peak.name_pattern, peak.memory_gb, peak.tdp_w, peak.source, peak.url)
        assert devices.setdefault(peak.name, said) == said
    assert {name for name, _, _ in NAMES.values()} <= set(devices)


def test_every_device_has_the_dtype_that_utilisation_is_told_against():
    dtypes: dict[str, set[str]] = {}
    for peak in load():
        dtypes.setdefault(peak.name, set()).add(peak.dtype)
    assert [name for name, has in dtypes.items() if not has & {"bf16", "fp16"}] == []


def test_a_shorter_dtype_is_never_slower():
    """On one device fp4 ≥ fp8 ≥ fp16 ≥ tf32 ≥ fp64, and fp16 ≥ bf16 ≥ fp32."""
    peaks = {(peak.name, peak.dtype): peak.flop_per_s for peak in load()}
    for chain in (("fp4", "fp8", "fp16", "tf32"), ("fp16", "bf16", "fp32"), ("fp16", "fp64")):
        for name in {name for name, _ in peaks}:
            has = [peaks[name, dtype] for dtype in chain if (name, dtype) in peaks]
            assert has == sorted(has, reverse=True), (name, chain)


def test_rows_are_sourced_and_likely():
    for peak in load():
        assert re.fullmatch(r"https://[^\s/]+\.[^\s/]+/\S*", peak.url), peak
        assert min(len(peak.source), len(peak.basis)) > 10, peak
        assert peak.retrieved >= date(2026, 1, 1)
        assert 1e12 < peak.flop_per_s < 2e16, peak
        assert 8 <= peak.memory_gb <= 512, peak
        assert peak.tdp_w is None or 50 <= peak.tdp_w <= 2000, peak
        assert peak.dtype in DTYPES


def test_the_catalogue_is_no_factor():
    assert "accelerators" not in {row.kind for row in load_factors().rows}


@pytest.mark.parametrize(
    ("cell", "value", "told"),
    [
        ("peak_flop_per_s", "fast", "could not convert"),
        ("peak_flop_per_s", "0", "a number is not finite and above 0"),
        ("memory_gb", "inf", "a number is not finite and above 0"),
        ("dtype", "int8", "dtype missing or unknown"),
        ("source", "", "source missing or unknown"),
        ("retrieved", "soon", "Invalid isoformat"),
    ],
)
def test_a_broken_row_is_named(cell, value, told):
    lines = TABLE.read_text("utf-8").splitlines()
    (row,) = csv.DictReader([lines[0], lines[1]])
    text = ",".join(COLUMNS) + "\n" + ",".join(f'"{ {**row, cell: value}[name] }"' for name in COLUMNS) + "\n"
    with pytest.raises(FactorError, match=f"line 2: .*{told}"):
        parse_catalogue(text)


def test_a_wrong_header_is_named():
    with pytest.raises(FactorError, match="the header must be name,vendor"):
        parse_catalogue("name,peak\n")
