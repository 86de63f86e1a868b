"""`drill runbook`: check runbooks, show them, walk a person through one, prove that one works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drill.cli.options import (
    complete_scenarios,
    format_option,
    out_option,
    parse_sets,
    plan_options,
    settings_from,
)

if TYPE_CHECKING:
    from drill.runbook.records import Step

EPILOG = """\b
Examples:
  drill runbook lint
  drill runbook show latency-spike --set SERVICE=checkout
  drill runbook run latency-spike --target sandbox:1a2b3c4d --set SERVICE=checkout
  drill runbook prove latency-spike --service checkout"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Check runbooks, show them, walk through one, prove that it works.

    A runbook is any Markdown file; docs/runbooks.md says what its code blocks may promise.
    """


@command.command()
@click.argument("files", nargs=-1, metavar="[RUNBOOK|FILE|FOLDER]...")
@click.option("--rules", multiple=True, metavar="FILE", help="Prometheus rules with the alerts there are.")
@click.option("--no-alerts", is_flag=True, help="Do not check whether the alerts exist.")
def lint(files: Sequence[str], rules: Sequence[str], no_alerts: bool) -> int:
    """Find what a machine, or a person at night, would stumble over; every mistake with its place.

    Dead alert names, PromQL that does not parse, unknown attributes, changing cells without a guard, a missing
    owner or escalation. An ordinary runbook without attributes has nothing to be wrong.
    """
    from drill.cli.console import Console
    from drill.cli.proofs import alert_rules
    from drill.cli.runbooks.find import files_of, read
    from drill.core.errors import ProblemsFound
    from drill.runbook.lint import lint as lint_one

    known = None
    if not no_alerts:
        known = {rule.alert for group in alert_rules(rules) for rule in group.rules if rule.alert}
    problems, paths = [], files_of(files)
    for path in paths:
        runbook, wrong = read(path)
        problems += [*wrong, *lint_one(runbook, known_alerts=known)]
    if problems:
        raise ProblemsFound(problems)
    alerts = "alert names not checked" if known is None else f"{len(known)} alert names known"
    Console().say(f"{len(paths)} runbook{'' if len(paths) == 1 else 's'}: nothing to complain about ({alerts})")
    return 0


@command.command()
@click.argument("runbook")
@click.option(
    "--set", "sets", metavar="NAME=VALUE", multiple=True, help="A value for a variable, like SERVICE=cart."
)
@click.option("--full", is_flag=True, help="The whole page, not its steps.")
@format_option("text", "json")
def show(runbook: str, sets: Sequence[str], full: bool, format_: str) -> int:
    """Show the steps of RUNBOOK (a name or a file): what looks, what changes, what you do yourself."""
    import json

    from drill.cli.console import Console
    from drill.cli.runbooks.find import find_runbook
    from drill.cli.runbooks.showing import as_json, outline

    found, values = find_runbook(runbook), parse_sets(sets, None)
    console = Console(machine=format_ == "json")
    if format_ == "json":
        console.data(json.dumps(as_json(found), indent=2))
    elif full:
        console.markdown(found.text)
    else:
        console.data(outline(found, values))
    return 0


@command.command()
@click.argument("runbook")
@click.option(
    "--set", "sets", metavar="NAME=VALUE", multiple=True, help="A value for a variable, like SERVICE=cart."
)
@click.option("--target", default="", metavar="sandbox:NAME", help="A running sandbox; without it your own system.")
@click.option("--prometheus", default="", envvar="DRILL_PROMETHEUS_URL", help="Prometheus of your own system.")
@click.option("--context", default="", help="Context for kubectl; without it your shell's.")
@click.option("--cell", "cells", multiple=True, metavar="NAME", help="Only these cells, in the page's order.")
@click.option("--by", default="", metavar="WHO", help="Who does it, for the record (a role, or a name).")
@out_option
def run(runbook: str, sets: Sequence[str], out: Path, **options: Any) -> int:
    """Walk through RUNBOOK, step by step, and write down what became of each.

    Shows every command and its target first. What only looks runs on Enter, what changes something on a typed
    yes, and a command that is not known to only look counts as changing. The record lies below --out; a run that
    is under way at the same sandbox gets it into its timeline. Exits 1 when a step failed or was contradicted.
    """
    from drill.cli.console import Console
    from drill.cli.runbooks.conduct import Wish, conduct
    from drill.cli.runbooks.walkthrough import summary

    console = Console()
    wish = Wish(runbook=runbook, values=dict(parse_sets(sets, None)), out=out, **options)
    steps, folder = conduct(wish, console, _reader())
    console.say()
    console.table(("step", "kind", "outcome", ""), summary(steps))
    console.say(f"record: {folder}")
    return _exit_code(steps)


def _reader() -> Callable[[str], str | None]:
    def read(question: str) -> str | None:
        try:
            return input(question)
        except (EOFError, KeyboardInterrupt):
            return None

    return read


def _exit_code(steps: Sequence[Step]) -> int:
    outcomes = {step.outcome for step in steps}
    if outcomes & {"failed", "contradicted"}:
        return 1
    return 3 if "unavailable" in outcomes else 0


@command.command()
@click.argument("scenario", shell_complete=complete_scenarios)
@plan_options
@out_option
@click.option("--runbook", default="", help="Another runbook than the scenario's.")
@click.option("--do-nothing", is_flag=True, help="Play nothing: a scenario that is won like that proves nothing.")
@click.option("--force", is_flag=True, help="Run in spite of blocking findings; the report says so.")
@click.option("--yes", is_flag=True, help="Do not ask before a target that is not a sandbox is touched.")
@format_option("text", "json")
def prove(scenario: str, runbook: str, do_nothing: bool, format_: str, **options: Any) -> int:
    """Prove that SCENARIO is won by its runbook while its fault lasts.

    Makes the fault, waits for the alert, watches without doing anything, plays the cells the scenario names under
    people.mitigation, and looks whether users are well again (mitigated_when) before the fault's time is over.
    The fault lasts as long as the scenario's phases give people. Stamps a proof below --out that
    `drill policy check` reads. At a cluster only what `runbooks` in safety.yaml allows is played.

    Exit codes: 0 proven, 1 not proven, 3 the fault had no effect, 4 aborted, 5 undo incomplete.
    """
    import threading

    from drill.cli.batch import Job, confirm, refuse_blocked, unharmed
    from drill.cli.console import Console, quiet_libraries
    from drill.cli.interrupt import AbortOnSignal, undo_within_s
    from drill.cli.lines import LineWriter
    from drill.cli.runbooks.proving import exit_code, rehearse
    from drill.cli.runbooks.proving import prove as play
    from drill.cli.view import View

    console = Console(machine=format_ == "json")
    rehearsal = rehearse(scenario, settings_from(options), runbook)
    plan = rehearsal.compiled.plan
    played = "nothing" if do_nothing else ", ".join(cell.name for _, cell in rehearsal.plays)
    where = "" if plan.target == "sandbox" else f" at {plan.target}"
    console.say(f"prove {plan.scenario} on {plan.service}{where} by {rehearsal.runbook.file}", "bold")
    console.say(
        f"  plays {played}; the fault lasts up to {rehearsal.hold_s:.0f} s at fast-forward {plan.fast_forward:g}"
    )
    job = Job(rehearsal.compiled, rehearsal.settings)
    refuse_blocked([job])
    confirm([job], console)
    quiet_libraries()
    abort = threading.Event()
    writer = unharmed(LineWriter(View(plan), console.say).see, console)
    with AbortOnSignal(abort, console.warn, undo_within_s(plan)):
        proof, result = play(
            rehearsal, writer, abort, lambda text: console.say(f"  > {text}"), idle_only=do_nothing
        )
    if format_ == "json":
        console.data(proof.to_json().rstrip("\n"))
    console.say(f"proof: {proof.result}: {proof.why}", "bold green" if proof.result == "proven" else "bold red")
    if proof.mitigated_after_s is not None:
        console.say(f"  users were well {proof.mitigated_after_s:.0f} s after the effect, of {proof.held_s:.0f} s")
    console.say(f"report: {result.run_dir / 'report.html'}")
    return exit_code(proof, result)
