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
  drill report last --edit
  drill report 20261123T214228Z-latency-spike --format json
  xdg-open "$(drill report last --format html-path)\""""


@click.command(epilog=EPILOG)
@click.argument("run", default="last", shell_complete=complete_runs)
@out_option
@format_option("text", "json", "html-path")
@click.option("--edit", is_flag=True, help="Open $EDITOR on the parts only people can write, then render again.")
def command(run: str, out: Path, format_: str, edit: bool) -> int:
    """Show the report of RUN: a directory, its name or the start of it, or 'last' (the default).

    Verdict and report are computed again from plan.json and journal.jsonl, and all report files are written
    anew. What people wrote (--edit) lies in people.md beside them and is kept. An action item is closed by a later
    run of the same drill that passes and no longer asks for it. Exits with the run's exit code; with --edit with 0.
    """
    from drill.cli.console import Console
    from drill.cli.past import find_run

    run_dir = find_run(run, out)
    if edit:
        _edit(run_dir)
    report = rebuilt(run_dir)
    console = Console(machine=format_ != "text")
    if edit:
        written = sum(bool(part.text) for part in report.people)
        console.say(f"{written} of {len(report.people)} parts are written; they lie in {run_dir / 'people.md'}")
        console.say(f"report: {run_dir / 'report.html'}")
        return 0
    if format_ == "json":
        console.data(report.to_json().rstrip("\n"))
    elif format_ == "html-path":
        console.data(str((run_dir / "report.html").resolve()))
    else:
        console.markdown((run_dir / "report.md").read_text())
    return report.exit_code


def _edit(run_dir: Path) -> None:
    """Let the person write their parts. Raises UsageError when there is no editor, or nothing was saved."""
    from drill.core.errors import UsageError
    from drill.report.people import FILE, read_people, template
    from drill.report.write import write_whole

    path = run_dir / FILE
    try:
        if not path.exists():
            write_whole(path, template(run_dir.name, read_people(run_dir)))
        click.edit(filename=str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
    except click.ClickException as error:
        raise UsageError(f"the editor failed: {error.format_message()}", hint="set EDITOR to yours") from None


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
    write_all(run_dir, plan, journal.events)  # the index reads the report as it is without later runs
    return write_all(run_dir, plan, journal.events, _closed(run_dir))


def _closed(run_dir: Path) -> dict[str, str]:
    from drill.history.index import Index
    from drill.history.policy import closing_runs

    with Index(run_dir.parent) as index:
        return closing_runs(index.runs(), run_dir.name)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
