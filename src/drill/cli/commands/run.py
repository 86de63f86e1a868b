"""`drill run`: break it for real and judge the alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drill.cli.options import complete_scenarios, format_option, out_option, plan_options, settings_from
from drill.core.errors import UsageError

if TYPE_CHECKING:
    from drill.cli.batch import Call
    from drill.cli.catalogue import Entry
    from drill.cli.settings import RunSettings

SANDBOX_SERVICE = "checkout"
"""What --all and --tag break in the sandbox where a scenario wants to be told and was not."""
EPILOG = """\b
Examples:
  drill run latency-spike --service checkout
  drill run latency-spike --service checkout --set delay=600ms --repeat 3
  drill run my-scenario.yaml --format json > report.json
  drill run --all --tag smoke --junit out.xml

Ctrl-C undoes the fault, writes the report and exits 4. Exit codes: 0 pass, 1 fail,
2 your files or usage, 3 unknown, 4 aborted, 5 undo incomplete; of several runs the worst."""


@click.command(epilog=EPILOG)
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO|FILE]...", shell_complete=complete_scenarios)
@plan_options
@out_option
@format_option("text", "json")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write one JUnit file for all runs.")
@click.option("--all", "all_", is_flag=True, help="Run every scenario there is.")
@click.option("--tag", metavar="T", multiple=True, help="Only scenarios with this tag (implies --all).")
@click.option(
    "--repeat", type=click.IntRange(1, 1000), default=1, metavar="N", help="Run it N times, seeds counting up."
)
@click.option("--yes", is_flag=True, help="Do not ask before a target other than the sandbox is touched.")
@click.option(
    "--allow-activities", is_flag=True, help="Let Chaos Toolkit activities of the scenario run programs and code."
)
@click.option("--force", is_flag=True, help="Run in spite of blocking findings; the report says so.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors (and JSON, if asked for).")
def command(scenarios: Sequence[str], **options: Any) -> int:
    """Break it for real and judge the alerts.

    Injects the scenario's faults, proves that they took effect, watches the alerts from Prometheus to the
    receiver, undoes everything, and leaves a journal and a report below --out. Without --target it uses an
    embedded sandbox on this machine and touches nothing of yours.
    """
    from drill.cli.reaching import reach

    settings = settings_from(options)
    reach(settings)
    from drill.cli import batch
    from drill.cli.console import Console
    from drill.cli.settings import wiring

    as_json = options["format_"] == "json"
    console = Console(quiet=options["quiet"], machine=as_json)
    calls = chosen(scenarios, settings, everything=options["all_"], tags=options["tag"])
    wires = wiring()
    jobs = batch.compile_all(calls, settings, options["repeat"], wires)
    batch.refuse_blocked(jobs)
    batch.confirm(jobs, console)
    outcomes = batch.run_all(jobs, console, wires)
    return batch.finish(outcomes, console, as_json=as_json, junit=options["junit"])


def chosen(
    scenarios: Sequence[str], settings: RunSettings, *, everything: bool, tags: Sequence[str]
) -> Sequence[Call]:
    """Return the scenarios asked for. Raises UsageError when none or contradictory ones were."""
    from drill.cli.batch import Call

    if scenarios and (everything or tags):
        raise UsageError("name scenarios, or use --all or --tag, not both")
    if scenarios:
        return [Call(name, settings.sets) for name in scenarios]
    if not everything and not tags:
        raise UsageError("which scenario? name one, or use --all", hint="`drill list` shows what there is")
    from drill.cli.catalogue import catalogue

    found = [entry for entry in catalogue() if set(tags) <= set(entry.tags)]
    if not found:
        raise UsageError(f"no scenario has the tag {', '.join(tags)}" if tags else "there are no scenarios")
    return [Call(entry.call, fitting(entry, settings, found)) for entry in found]


def fitting(entry: Entry, settings: RunSettings, entries: Sequence[Entry]) -> Mapping[str, str]:
    """Return those of the given parameters that *entry* has, and in the sandbox a service where it needs one.

    Raises UsageError for a parameter that none of *entries* has.
    """
    known = {name for one in entries for name in one.parameters}
    unreadable = any(one.problems for one in entries)
    unknown = [] if unreadable else [name for name in settings.sets if name not in known]
    if unknown:
        raise UsageError(f"none of these scenarios has the parameter '{unknown[0]}'")
    sets = {name: value for name, value in settings.sets.items() if name in entry.parameters}
    if "service" in entry.needs and settings.target == "sandbox":
        sets.setdefault("service", SANDBOX_SERVICE)
    return sets
