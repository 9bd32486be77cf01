"""Our FOCUS export before FOCUS's own validator, where `make conformance` has built an environment for that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VALIDATOR = ROOT / ".conformance-venv" / "bin" / "focus-validator"


@pytest.mark.slow
@pytest.mark.skipif(not VALIDATOR.exists(), reason="FOCUS's validator is not here: make conformance builds it")
def test_the_validator_finds_nothing_but_the_rule_that_contradicts_another() -> None:
    script = [sys.executable, ROOT / "tests" / "conformance" / "check.py"]
    done = subprocess.run(script, check=False, capture_output=True, text=True)
    told = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "calls.csv: 578 rules, 263 passed, 1 failed: InvoiceId-C-005-C" in told
    assert "calls.parquet: 578 rules, 263 passed, 1 failed: InvoiceId-C-005-C" in told
