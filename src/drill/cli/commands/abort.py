"""`drill abort`: end every run on this machine, undo included."""

from __future__ import annotations

import click

from drill.cli.options import cluster_options

EPILOG = """\b
Examples:
  drill abort            # everything ends and is undone; no new run starts
  drill abort --clear    # allow runs again
  drill abort --context kind-drill"""


@click.command(epilog=EPILOG)
@click.option("--clear", is_flag=True, help="Allow runs again.")
@cluster_options
def command(clear: bool, context: str, namespace: str, as_user: str) -> int:
    """End every run on this machine, undo included, and forbid new ones until --clear.

    Works from any terminal of the same user, at any time, also when nothing runs. With --context it ends the runs
    at that cluster instead, whichever machine they run on, undoes what dead ones left there, and lets none begin.
    """
    from drill.cli.console import Console
    from drill.cli.settings import RunSettings, wiring

    console = Console()
    if context:
        from drill.cli.cluster_recovery import abort_cluster

        settings = RunSettings(target=context, namespace=namespace, as_user=as_user)
        result = abort_cluster(settings, clear, console.say)
    else:
        result = wiring().abort(clear)
    again = f"drill abort{f' --context {context}' if context else ''} --clear"
    if clear:
        console.say(f"runs are allowed again{f' on {context}' if context else ''}")
        return 0
    for stopped in result.stopped:
        console.say(f"aborted: {stopped}")
    if not result.stopped:
        console.say("no run was under way")
    for removed in result.removed:
        console.say(f"removed: {removed}")
    console.say(f"new runs are refused until `{again}` (marker: {result.marker})")
    for remaining in result.remaining:
        console.warn(f"✗ STILL THERE: {remaining}")
    return result.exit_code
