"""`drill abort`: end every run on this machine, undo included."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  drill abort            # everything ends and is undone; no new run starts
  drill abort --clear    # allow runs again"""


@click.command(epilog=EPILOG)
@click.option("--clear", is_flag=True, help="Allow runs again.")
def command(clear: bool) -> int:
    """End every run on this machine, undo included, and forbid new ones until --clear.

    Works from any terminal of the same user, at any time, also when nothing runs.
    """
    from drill.cli.console import Console
    from drill.cli.settings import wiring

    result, console = wiring().abort(clear), Console()
    if clear:
        console.say("runs are allowed again")
        return 0
    for stopped in result.stopped:
        console.say(f"aborted: {stopped}")
    if not result.stopped:
        console.say("no run was under way")
    for removed in result.removed:
        console.say(f"removed: {removed}")
    console.say(f"new runs are refused until `drill abort --clear` (marker: {result.marker})")
    for remaining in result.remaining:
        console.warn(f"✗ STILL THERE: {remaining}")
    return result.exit_code
