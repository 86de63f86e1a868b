"""`drill coverage`: which alert rules are proven, by what, and how long ago."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from drill.cli.options import format_option, moment, out_option

EPILOG = """\b
Examples:
  drill coverage
  drill coverage --rules alerts.yaml --format html > coverage.html
  drill coverage --format openmetrics > /var/lib/node_exporter/drill.prom"""


@click.command(epilog=EPILOG)
@out_option
@click.option("--rules", metavar="FILE", multiple=True, help="Prometheus rule files; default: prometheus/*.yaml.")
@click.option("--at", metavar="TIME", callback=moment, help="Ages as of this time instead of now.")
@format_option("text", "html", "json", "openmetrics")
def command(out: Path, rules: Sequence[str], at: Any, format_: str) -> int:
    """Show the alert rules against the runs below --out: proven, late, silent, noise, untested; the proof's age.

    Proven means: it fired on time in a run that demanded it, and reached its receiver.
    """
    import time

    from drill.cli.console import Console
    from drill.cli.proofs import alert_rules
    from drill.history import coverage_text
    from drill.history.coverage import coverage
    from drill.history.index import Index

    groups = alert_rules(rules)
    with Index(out) as index:
        found = coverage(groups, index.runs(), at.timestamp() if at else time.time())
        unreadable = index.unreadable
    console = Console(machine=format_ != "text")
    if format_ == "html":
        console.data(coverage_text.to_html(found, f"{out}/").rstrip("\n"))
    elif format_ == "json":
        console.data(found.model_dump_json(by_alias=True, indent=2))
    elif format_ == "openmetrics":
        console.data(coverage_text.to_openmetrics(found).rstrip("\n"))
    else:
        console.table(coverage_text.COLUMNS, coverage_text.rows(found))
        console.say(coverage_text.summary(found))
    for name in unreadable:
        console.warn(f"drill: {name} cannot be read as a run and was left out")
    return 0
