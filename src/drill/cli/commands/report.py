"""`drill report`: show a run's report, made anew from its plan and journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from drill.cli.options import complete_runs, format_option, out_option

if TYPE_CHECKING:
    from drill.report.model import Report

EPILOG = """\b
Examples:
  drill report last
  drill report 20261123T214228Z-latency-spike --format json
  xdg-open "$(drill report last --format html-path)\""""


@click.command(epilog=EPILOG)
@click.argument("run", default="last", shell_complete=complete_runs)
@out_option
@format_option("text", "json", "html-path")
def command(run: str, out: Path, format_: str) -> int:
    """Show the report of RUN: a directory, its name or the start of it, or 'last' (the default).

    Verdict and report are computed again from plan.json and journal.jsonl, and all report files are written
    anew. Exits with the run's exit code.
    """
    from drill.cli.console import Console
    from drill.cli.past import find_run

    run_dir = find_run(run, out)
    report = rebuilt(run_dir)
    console = Console(machine=format_ != "text")
    if format_ == "json":
        console.data(report.to_json().rstrip("\n"))
    elif format_ == "html-path":
        console.data(str((run_dir / "report.html").resolve()))
    else:
        console.markdown((run_dir / "report.md").read_text())
    return report.exit_code


def rebuilt(run_dir: Path) -> Report:
    """Judge plan and journal again and write all report files. Raises UsageError when they cannot be read."""
    from pydantic import ValidationError

    from drill.core.errors import UsageError
    from drill.journal.journal import read_journal
    from drill.plan.model import Plan
    from drill.report.write import write_all

    try:
        plan = Plan.model_validate_json((run_dir / "plan.json").read_bytes())
        journal = read_journal(run_dir / "journal.jsonl")
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{run_dir} cannot be read as a run: {_first_line(error)}",
            hint="plan.json and journal.jsonl of the same version of drill are needed",
        ) from None
    return write_all(run_dir, plan, journal.events)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
