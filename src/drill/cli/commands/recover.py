"""`drill recover`: remove what a dead run or sandbox left behind."""

from __future__ import annotations

from pathlib import Path

import click

from drill.cli.options import complete_runs, format_option, out_option

EPILOG = """\b
Examples:
  drill recover
  drill recover 20261123T214228Z-latency-spike"""


@click.command(epilog=EPILOG)
@click.argument("run", required=False, shell_complete=complete_runs)
@out_option
@click.option(
    "--allow-activities", is_flag=True, help="Also play undos of activities that this user never started."
)
@format_option("text", "json")
def command(run: str | None, out: Path, format_: str, allow_activities: bool) -> int:
    """Undo what dead runs left, by their journals alone, and remove dead sandboxes.

    Looks at every run below --out (or only at RUN) whose journal does not end, or whose undo was not complete.
    Doing it twice is harmless; runs that are alive are not touched. Exits 5 when something is still there.
    """
    from drill.cli.console import Console
    from drill.cli.past import find_run
    from drill.cli.settings import wiring

    result = wiring().recover(out, find_run(run, out) if run else None, allow_activities)
    console = Console(machine=format_ == "json")
    if format_ == "json":
        import json

        runs = [{**vars(one), "run_dir": str(one.run_dir)} for one in result.runs]
        console.data(json.dumps({"runs": runs, "sandboxes": result.sandboxes, "remaining": result.left}, indent=2))
        return result.exit_code
    for one in result.runs:
        console.say(f"{one.run_dir}: {len(one.undone)} undone, {len(one.remaining)} left")
        if one.note:
            console.say(f"  {one.note}")
        for undone in one.undone:
            console.say(f"  ✓ {undone}", "green")
    for sandbox in result.sandboxes:
        console.say(f"  ✓ removed {sandbox}", "green")
    if not result.runs and not result.sandboxes and not result.left:
        console.say("nothing to recover")
    for remaining in result.left:
        console.warn(f"✗ STILL THERE: {remaining}")
    return result.exit_code
