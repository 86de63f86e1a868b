"""`drill runs`: past runs and their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drill.cli.options import format_option, out_option

if TYPE_CHECKING:
    from drill.cli.past import PastRun

EPILOG = """\b
Examples:
  drill runs
  drill runs --last 5 --format json"""


@click.command(epilog=EPILOG)
@out_option
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the newest N.")
@format_option("text", "json")
def command(out: Path, last: int | None, format_: str) -> int:
    """List past runs below --out, newest first, with their verdicts.

    'unfinished' means that the runner died (or still runs): see `drill recover`.
    """
    from drill.cli.console import Console
    from drill.cli.past import past_runs

    runs = past_runs(out)[:last]
    console = Console(machine=format_ == "json")
    if format_ == "json":
        import json

        console.data(json.dumps([_as_json(run) for run in runs], indent=2))
    elif not runs:
        console.say(f"no runs below {out}/ yet; `drill run latency-spike --service checkout` makes one")
    else:
        console.table(("run", "scenario", "service", "verdict", "took"), [_row(run) for run in runs])
    return 0


def _row(run: PastRun) -> Sequence[str]:
    from drill.cli.outcome import took

    return (run.path.name, run.scenario, str(run.report.get("service", "")), run.verdict, took(run.report))


def _as_json(run: PastRun) -> dict[str, str | None]:
    return {
        "run": run.path.name,
        "run_dir": str(run.path),
        "scenario": run.scenario,
        "service": run.report.get("service"),
        "verdict": run.verdict,
        "started_at": run.report.get("started_at"),
        "finished_at": run.report.get("finished_at"),
        "headline": run.report.get("headline"),
    }
