"""Budgets, and whether a newer run uses more than those before it: for people and for pipelines."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import home_of, ledger_of, print_json

if TYPE_CHECKING:
    from joulebook.accounting.budgets import Budgets, Checked, Verdict
    from joulebook.accounting.budgets.alerts import Alert, Told

FAILED = 1


def check(args: argparse.Namespace) -> int:
    """Check budgets, or with `--regression` runs of one name; 1 when a rule is breached or energy went up."""
    if args.regression is not None:
        return _regression(args)
    if any(value is not None for value in (args.baseline, args.candidate, args.per, args.threshold, args.project)):
        raise InputError("--baseline, --candidate, --per, --threshold and --project go with --regression NAME")
    from joulebook.accounting import budgets
    from joulebook.accounting.budgets.alerts import sent
    from joulebook.reports.views.budgets import checked_now

    written = budgets.load(_path(args))
    if args.notify:
        _targets(written)  # a wrong address is told before anything is evaluated
    checked = checked_now(ledger_of(args), written.budgets, _instant(args.as_of))
    told = _tell(args, written, checked) if args.notify else []
    _answer(args, checked, told, sent(home_of(args)))
    lost = written.notify.must_arrive and any(one.outcome == "failed" for one in told)
    return FAILED if lost or any(one.fails for one in checked) else 0


def _regression(args: argparse.Namespace) -> int:
    """Compare runs of one name; 1 when the newer ones use more energy."""
    from joulebook.accounting.budgets.regression import THRESHOLD, Question, compare
    from joulebook.reports.terminal import draw
    from joulebook.reports.views.regression import group_row, regression, remarks

    if args.budget or args.notify or args.as_of:
        raise InputError("--regression compares runs: --budget, --as-of and --notify do not go with it")
    threshold = THRESHOLD if args.threshold is None else args.threshold
    question = Question(args.regression, args.project, args.baseline, args.candidate, args.per, threshold)
    found = compare(ledger_of(args), question)
    if args.json:
        print_json({
            "ok": found.is_ok, "verdict": found.verdict, "name": question.name, "per": found.per,
            "threshold": threshold, "ratio": found.ratio, "rests_on": found.basis,
            "shared_factors_cancel": found.shares_factors, "left_out_runs": found.left_out,
            "baseline": group_row("baseline", found.baseline), "candidate": group_row("candidate", found.candidate),
            "remarks": remarks(found),
        })  # fmt: skip
    else:
        draw(regression(found))
    return 0 if found.is_ok else FAILED


def _instant(as_of: datetime | None) -> datetime:
    now = datetime.now(UTC)
    if as_of and as_of > now:
        raise InputError(f"--as-of {as_of:%Y-%m-%d %H:%M} is still to come: nobody knows what will be burnt by then")
    return as_of or now


def _path(args: argparse.Namespace) -> Path:
    from joulebook.accounting.budgets.written import FILE_NAME
    from joulebook.reports.views.budgets import nothing_written

    if args.budget is not None:
        return Path(args.budget)
    path = home_of(args) / FILE_NAME
    if not path.exists():
        raise InputError(nothing_written(path))
    return path


def _answer(args: argparse.Namespace, checked: Sequence[Checked], told: Sequence[Told], notes: Any) -> None:
    from joulebook.reports.terminal import draw
    from joulebook.reports.views.budgets import checked_budgets

    view = checked_budgets(checked, notes)
    if args.json:
        print_json(_as_json(checked, told, [*view.notes]))
        return
    rules = next(part for part in view.parts if part.key == "rules")
    draw(replace(view, tiles=(), alerts=(), columns=rules.columns, rows=rules.rows, parts=()))
    for one in told:
        if one.outcome != "failed":
            print(f"Alert {one.outcome}: {one.alert.facts['budget']}, {one.alert.facts['rule']}, to {one.target}")


def _as_json(checked: Sequence[Checked], told: Sequence[Told], remarks: list[str]) -> dict[str, Any]:
    from joulebook.reports.views.budgets import budget_row, rule_row

    return {
        "ok": not any(one.fails for one in checked),
        "as_of": checked[0].at,
        "budgets": [
            {
                **budget_row(one),
                "rules": [rule_row(one, verdict) for verdict in one.verdicts],
                "factor_ids": sorted(match.factor.factor_id for match in one.matches),
            }
            for one in checked
        ],
        "alerts": [
            {"alert_id": one.alert.alert_id, "text": one.alert.text, "target": one.target, "outcome": one.outcome,
             "reason": one.reason or None}
            for one in told
        ],
        "remarks": remarks,
    }  # fmt: skip


# Alerts -----------------------------------------------------------------------------------------------------------


def _targets(written: Budgets) -> list[Any]:
    from joulebook.accounting.budgets.webhook import targets

    found = targets(written.notify, os.environ)
    if not found:
        raise InputError(
            "--notify: nobody to tell; write a webhook or apprise under [notify] in the budgets, or set "
            "JOULEBOOK_WEBHOOK or JOULEBOOK_APPRISE"
        )
    return found


def _tell(args: argparse.Namespace, written: Budgets, checked: Sequence[Checked]) -> list[Told]:
    """Send what is breached and was not told before. What does not arrive is said, and sent by the next check."""
    from joulebook.accounting.budgets.alerts import deliver

    alerts = [_alert(one, verdict) for one in checked for verdict in one.verdicts if verdict.state == "breached"]
    told = deliver(home_of(args), alerts, _targets(written))
    for one in told:
        if one.outcome == "failed":
            print(f"joulebook: an alert was not sent to {one.target}: {one.reason}; the next check tries again",
                  file=sys.stderr)  # fmt: skip
    return told


def _alert(one: Checked, verdict: Verdict) -> Alert:
    from joulebook.accounting.budgets.alerts import Alert, alert_id
    from joulebook.reports import as_json
    from joulebook.reports.views.budgets import budget_row, rule_row, rule_said

    text = rule_said(one, verdict)
    facts = {"type": "joulebook.budget", "alert_id": alert_id(one, verdict), "text": text, "as_of": one.at}
    row = {key: value for key, value in budget_row(one).items() if key != "state"}
    return Alert(str(facts["alert_id"]), text, as_json.plain({**facts, **row, **rule_row(one, verdict)}))
