"""`drill policy check`: reasons not to rely on the alerts, or not to drill now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drill.cli.options import duration, format_option, moment, out_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drill.history.policy import Breach, Limits

EPILOG = """\b
Examples:
  drill policy check
  drill policy check --prometheus https://prometheus.example.org --budget-floor 30%
  drill policy check --rule pages --rule actions --format json"""
RULES = ("budget", "pages", "actions", "runbooks")


@click.group(epilog=EPILOG)
def command() -> None:
    """Check what drills prove against a policy; for CI, with an exit code."""


@command.command(epilog=EPILOG)
@out_option
@click.option("--rules", metavar="FILE", multiple=True, help="Prometheus rule files; default: prometheus/*.yaml.")
@click.option("--rule", "only", type=click.Choice(RULES), multiple=True, help="Only this rule; may be repeated.")
@click.option("--prometheus", metavar="URL", envvar="DRILL_PROMETHEUS", help="Whose budgets are looked at.")
@click.option("--budget-floor", default="20%", show_default=True, metavar="PERCENT", help="Least remaining budget.")
@click.option(
    "--proof-age", default="90d", show_default=True, metavar="DURATION", callback=duration, help="Oldest proof."
)
@click.option("--at", metavar="TIME", callback=moment, help="Ages as of this time instead of now.")
@format_option("text", "json")
def check(out: Path, only: Sequence[str], format_: str, **options: Any) -> int:
    """Exit 1 with every reason; 3 when the budget was to be looked at and could not be.

    budget: below its floor (looked at when --prometheus is given). pages: an alert that pages has no proof younger
    than --proof-age. actions: an action item is overdue without a green re-run. runbooks: one that a scenario names
    was never proven, or was changed since.
    """
    import json
    from dataclasses import asdict

    from drill.cli.console import Console

    limits = _limits(options)
    found, notes = _breaches(out, set(only or RULES), limits, options)
    console = Console(machine=format_ == "json")
    if format_ == "json":
        console.data(json.dumps({"breaches": [asdict(one) for one in found], "notes": notes}, indent=2))
        return int(bool(found))
    for note in notes:
        console.say(f"· {note}")
    for one in found:
        console.data(f"✗ {one.rule}: {one.text}" + (f" → {one.fix}" if one.fix else ""))
    console.say(f"{len(found)} reason{'s' if len(found) != 1 else ''}" if found else "the policy is met")
    return int(bool(found))


def _limits(options: Mapping[str, Any]) -> Limits:
    from drill.core.units import parse_ratio
    from drill.history.policy import Limits

    try:
        floor = parse_ratio(options["budget_floor"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--budget-floor") from None
    return Limits(budget_floor=floor, proof_age_s=options["proof_age"].total_seconds())


def _breaches(
    out: Path, wanted: set[str], limits: Limits, options: Mapping[str, Any]
) -> tuple[list[Breach], list[str]]:
    import time
    from datetime import UTC, datetime

    from drill.cli.proofs import alert_rules, runbook_proofs, wanted_runbooks
    from drill.gameday.world import remaining_budgets
    from drill.history import policy
    from drill.history.coverage import coverage
    from drill.history.index import Index

    now = options["at"].timestamp() if options["at"] else time.time()
    found: list[Breach] = []
    notes: list[str] = []
    if policy.BUDGET in wanted and options["prometheus"]:
        found += policy.check_budgets(remaining_budgets(options["prometheus"]), limits)
    elif policy.BUDGET in wanted:
        notes.append("budget: not looked at; --prometheus URL says where")
    with Index(out) as index:
        runs = index.runs()
    if policy.PAGES in wanted:
        found += policy.check_pages(coverage(alert_rules(options["rules"]), runs, now), limits)
    if policy.ACTIONS in wanted:
        found += policy.check_actions(runs, datetime.fromtimestamp(now, UTC).date())
    if policy.RUNBOOKS in wanted:
        found += policy.check_runbooks(wanted_runbooks(), runbook_proofs(out), limits, now)
    return found, notes
