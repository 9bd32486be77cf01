"""FOCUS's own validator on our export: nothing fails but the one rule that contradicts another (`make conformance`).

    calls, recorded and ingested as ever ─> joulebook export focus ─> focus-validator, with what an API can declare
                                              └─> a copy broken on purpose ─> more must fail, or it looked at nothing

The validator exits with 0 whatever it finds: what counts is what it writes.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from joulebook import configure, track
from joulebook.accounting.records import uuid7
from joulebook.cli import main as command
from joulebook.collectors.api.record import write_call

VENV = Path(__file__).parents[2] / ".conformance-venv"
# What a provider of models has, of what FOCUS lets a provider declare. Without them most rules are skipped.
CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED", "MULTIPLE_PRICING_CATEGORIES_SUPPORTED", "PUBLIC_PRICE_LIST_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED", "USAGE_MEASUREMENT_SUPPORTED", "UNIT_PRICING_SUPPORTED", "SUB_ACCOUNT_SUPPORTED",
    "TAGGING_SUPPORTED", "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED", "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
)  # fmt: skip
# Both run on every row: C-004, an InvoiceId must be null, and C-005, it must not. Nobody can pass both.
CONTRADICTION = {"InvoiceId-C-005-C"}
LEAST_PASSED = 263  # rules of 578 that look at a file like ours
CALLS = (
    {"provider": "openai", "request_model": "gpt-5", "path": "/v1/chat/completions", "account": "acme", "usage_json":
     '{"usage": {"prompt_tokens": 1200, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 1024}, '
     '"completion_tokens_details": {"reasoning_tokens": 128}}}'},
    {"provider": "openai", "request_model": "gpt-5", "path": "/v1/chat/completions", "usage_json":
     '{"usage": {"prompt_tokens": 7, "completion_tokens": 1}}', "context": [["service_tier", "flex"]]},
    {"provider": "anthropic", "request_model": "claude-sonnet-4-5", "path": "/v1/messages", "usage_json":
     '{"usage": {"input_tokens": 50, "cache_creation_input_tokens": 2000, "cache_read_input_tokens": 8000, '
     '"cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 500}, "output_tokens": 120}}'},
    {"provider": "google", "request_model": "gemini-2.5-pro", "usage_json":  # so long that all of it costs twice
     '{"usageMetadata": {"promptTokenCount": 300000, "candidatesTokenCount": 40, "totalTokenCount": 300040}}'},
    {"provider": "openai", "request_model": "gpt-5", "outcome": "aborted", "sent_chars": 401, "received_chars": 90},
    {"provider": "openai", "request_model": "gpt-5", "outcome": "error", "status": 429, "error": "rate_limit"},
    {"provider": "nobody", "request_model": "unheard-of", "usage_json":
     '{"usage": {"prompt_tokens": 10, "completion_tokens": 10}}'},
)  # fmt: skip
# Own prices, so that what is contracted is not what is listed.
PRICES = '[[discount]]\nprovider = "anthropic"\npercent = 12.5\n'
BREAKS = {"BillingCurrency": "DOLLAR", "ChargeCategory": "Chat", "ServiceCategory": "Robots", "BilledCost": ""}
_TOTAL = re.compile(r"Total: (\d+) \| Pass: (\d+) \| Fail: (\d+)")
_FAILED = re.compile(r"❌ (\S+): FAIL")


@dataclass(frozen=True)
class Verdict:
    """What the validator says of a file."""

    rules: int
    passed: int
    failed: frozenset[str]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        record(home)
        files = [export(home, home / name) for name in ("calls.csv", "calls.parquet")]
        whole = [validate(file) for file in files]
        broken = validate(broken_copy(files[0], home / "broken.csv"))
    is_clean = all(verdict.failed == CONTRADICTION and verdict.passed >= LEAST_PASSED for verdict in whole)
    is_looked_at = len(broken.failed) > len(CONTRADICTION)
    print("FOCUS 1.2: conforms" if is_clean and is_looked_at else "FOCUS 1.2: DOES NOT CONFORM")
    return 0 if is_clean and is_looked_at else 1


def record(home: Path) -> None:
    """The calls on two days, in the hour before midnight and in the hour after."""
    (home / "prices.toml").write_text(PRICES)
    configure(home=home, meters=[])
    with track("answers", project="search", tags={"team": "=ranking"}):
        for day, at in enumerate((datetime(2026, 11, 2, 23, 30, tzinfo=UTC), datetime(2026, 11, 3, 0, 30, tzinfo=UTC))):
            when = {"started_ns": int(at.timestamp()) * 10**9, "duration_s": 1.5}
            for number, fields in enumerate(CALLS):
                ids = {"call_id": uuid7(), "response_id": f"{day}-{number}"}
                write_call({"source": "http", "status": 200, "outcome": "ok", **when, **ids, **fields})
    configure()


def export(home: Path, path: Path) -> Path:
    if command(["--home", str(home), "export", "focus", "--out", str(path)]):
        sys.exit("joulebook export failed")
    return path


def broken_copy(path: Path, to: Path) -> Path:
    """The same with values that FOCUS forbids in every row."""
    with path.open(encoding="utf-8", newline="") as file, to.open("w", encoding="utf-8", newline="") as out:
        rows = csv.DictReader(file)
        writer = csv.DictWriter(out, rows.fieldnames or ())
        writer.writeheader()
        writer.writerows(row | BREAKS for row in rows)
    return to


def validate(path: Path) -> Verdict:
    (site,) = VENV.glob("lib/python3*/site-packages")  # it opens a table of currencies by a path from there
    options = ["--validate-version", "1.2", "--block-download", "--applicability-criteria", ",".join(CRITERIA)]
    asked = [VENV / "bin" / "focus-validator", "--data-file", path, *options]
    told = subprocess.run(asked, cwd=site, capture_output=True, text=True, check=False)
    total = _TOTAL.search(told.stdout)
    if total is None:
        sys.exit(
            f"focus-validator said nothing that is known of {path.name}:\n{told.stdout[-2000:]}{told.stderr[-2000:]}"
        )
    verdict = Verdict(int(total[1]), int(total[2]), frozenset(_FAILED.findall(told.stdout)))
    print(f"{path.name}: {total[1]} rules, {total[2]} passed, {total[3]} failed: {', '.join(sorted(verdict.failed))}")
    return verdict


if __name__ == "__main__":
    sys.exit(main())
