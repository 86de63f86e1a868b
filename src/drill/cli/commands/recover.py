"""`drill recover`: remove what a dead run or sandbox left behind."""

from __future__ import annotations

from pathlib import Path

import click

from drill.cli.options import cluster_options, complete_runs, format_option, out_option

EPILOG = """\b
Examples:
  drill recover
  drill recover 20261123T214228Z-latency-spike
  drill recover --all --context kind-drill"""


@click.command(epilog=EPILOG)
@click.argument("run", required=False, shell_complete=complete_runs)
@click.option("--all", "all_", is_flag=True, help="With --context: everything that dead runs left in the cluster.")
@cluster_options
@out_option
@click.option(
    "--allow-activities", is_flag=True, help="Also play undos of activities that this user never started."
)
@format_option("text", "json")
def command(run: str | None, all_: bool, out: Path, format_: str, allow_activities: bool, **cluster: str) -> int:
    """Undo what dead runs left, by their journals alone, and remove dead sandboxes.

    Looks at every run below --out (or only at RUN) whose journal does not end, or whose undo was not complete.
    With --all --context it needs no journal: what dead runs left in that cluster is undone from what they wrote on
    its Services, on any machine. Doing it twice is harmless; runs that are alive are not touched. Exits 5 when
    something is still there.
    """
    if cluster["context"] or all_:
        return _cluster(run, all_, format_, **cluster)
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


def _cluster(run: str | None, all_: bool, format_: str, *, context: str, namespace: str, as_user: str) -> int:
    from drill.cli.cluster_recovery import recover_cluster
    from drill.cli.console import Console
    from drill.cli.settings import RunSettings
    from drill.core.errors import ExitCode, UsageError

    if not context:
        raise UsageError("--all of which cluster?", hint="add --context NAME; without both, this machine's runs")
    if run or not all_:
        raise UsageError(
            "a cluster is recovered as a whole", hint=f"drill recover --all --context {context} [--namespace NS]"
        )
    cleared = recover_cluster(RunSettings(target=context, namespace=namespace, as_user=as_user))
    console = Console(machine=format_ == "json")
    if format_ == "json":
        import json

        console.data(json.dumps(vars(cleared), indent=2))
    else:
        for text in cleared.living:
            console.say(f"  · {text}")
        for text in cleared.removed:
            console.say(f"  ✓ {text}", "green")
        if not cleared.living and not cleared.removed and not cleared.remaining:
            console.say(f"nothing to recover at {context}")
        for text in cleared.remaining:
            console.warn(f"✗ STILL THERE: {text}")
    return ExitCode.UNDO_INCOMPLETE if cleared.remaining else ExitCode.PASS
