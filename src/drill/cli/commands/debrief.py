"""`drill debrief`: a training's debrief, made anew from what was recorded."""

from __future__ import annotations

from pathlib import Path

import click

from drill.cli.options import format_option, out_option

EPILOG = """\b
Examples:
  drill debrief
  drill debrief last --check
  drill debrief 20261125T024500Z-training --format json"""


@click.command(epilog=EPILOG)
@click.argument("session", default="last")
@out_option
@format_option("text", "json")
@click.option("--check", is_flag=True, help="Compute the seal again from nonce, seed, parameters, file hash.")
def command(session: str, out: Path, format_: str, check: bool) -> int:
    """Show the debrief of SESSION: its folder, its name, or 'last' (the default).

    It is computed again from training.jsonl and the run's journal, and written anew beside them.
    """
    from drill.cli.console import Console
    from drill.cli.training.past import check_seal, find_session
    from drill.cli.training.record import write_debrief

    folder = find_session(session, out)
    debrief, text = write_debrief(folder)
    console = Console(machine=format_ == "json")
    if check:
        return check_seal(folder, debrief, console)
    if format_ == "json":
        console.data(debrief.model_dump_json(indent=2))
    else:
        console.markdown(text)
    return 0
