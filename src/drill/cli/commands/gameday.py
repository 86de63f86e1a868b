"""`drill gameday`: hold several scenarios as one occasion, with people, prerequisites and a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drill.cli.options import (
    AS_HELP,
    complete_drills,
    complete_targets,
    duration,
    format_option,
    moment,
    out_option,
)

if TYPE_CHECKING:
    from datetime import timedelta

    from drill.cli.console import Console
    from drill.gameday.model import Drill

EPILOG = """\b
Examples:
  drill gameday plan q1-checkout
  drill gameday run drills/monthly-smoke.yaml --yes
  drill gameday status
  drill gameday resume q1-checkout --skip
  drill gameday due --at 2027-01-01T00:00 --window 31d"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Hold a game day: the scenarios of a drill file, with people, prerequisites, announcements and a report.

    FILE is a drill file, or the name of one in ./drills or among those that came with drill.
    """


def _file(function: Any) -> Any:
    return click.argument("file", shell_complete=complete_drills)(function)


def _how(function: Any) -> Any:
    """Where and how fast: what decides the plans."""
    for option in (
        click.option(
            "--fast-forward", type=click.FloatRange(1, 3600), metavar="N", help="Divide the windows by N."
        ),
        click.option(
            "--target",
            "--context",
            metavar="NAME",
            shell_complete=complete_targets,
            help="Where it runs, instead of the file's target: the sandbox, or a context.",
        ),
        click.option("--namespace", metavar="NS", default="", help="The cluster's namespace with the services."),
        click.option("--as", "as_user", metavar="ACCOUNT", default="", help=AS_HELP),
    ):
        function = option(function)
    return function


def _consent(function: Any) -> Any:
    """What people said."""
    for option in (
        click.option("--approve", metavar="ROLE=NAME", multiple=True, help="This person agrees."),
        click.option("--confirm", metavar="NAME", multiple=True, help="This participant is there."),
        click.option("--yes", is_flag=True, help="All participants are there; ask nothing."),
    ):
        function = option(function)
    return function


@command.command()
@click.argument("files", nargs=-1, shell_complete=complete_drills)
@format_option("text", "json")
def validate(files: Sequence[str], format_: str) -> int:
    """Check drill files (without any: all there are) and print every mistake with its place."""
    import json
    from dataclasses import asdict

    from drill.cli.console import Console
    from drill.cli.occasion import drill_files
    from drill.core.problems import render
    from drill.faults.registry import parameter_models
    from drill.gameday.loader import load

    paths = drill_files(files)
    problems = [problem for path in paths for problem in load(path, parameter_models()).problems]
    console = Console(machine=format_ == "json")
    if format_ == "json":
        console.data(json.dumps([asdict(problem) for problem in problems], indent=2))
        return 2 if problems else 0
    for problem in problems:
        console.data(render(problem))
    count = f"{len(paths)} file{'s' if len(paths) != 1 else ''}"
    mistakes = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''} in {count}"
    console.say(mistakes if problems else f"{count}: no mistakes")
    return 2 if problems else 0


@command.command()
@_file
@_how
@_consent
@out_option
def plan(file: str, out: Path, **options: Any) -> int:
    """Say what a run would do: scenarios, cost, prerequisites, announcements, next dates. Touches nothing."""
    from drill.cli.console import Console
    from drill.cli.occasion import check, compile_day, load_drill
    from drill.cli.occasion_text import plan_lines
    from drill.cli.settings import wiring

    asked = _asked(out, options)
    day = compile_day(load_drill(file), asked, wiring())
    for line in plan_lines(day, check(day, asked)):
        Console().data(line)
    return 0


@command.command()
@_file
@_how
@_consent
@out_option
@click.option("--force", is_flag=True, help="Begin in spite of what blocks; the report says so.")
@click.option("--if-due", metavar="DURATION", callback=duration, help="Only if it became due within this time.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def run(file: str, out: Path, force: bool, if_due: timedelta | None, quiet: bool, **options: Any) -> int:
    """Hold it: check, announce, play every scenario, announce the result, write the report.

    Exits with the worst code of its scenarios; 4 when a prerequisite is not met; 0 when --if-due finds nothing due.
    """
    from dataclasses import replace

    from drill.cli.console import Console
    from drill.cli.live_runs import check_not_aborted
    from drill.cli.occasion import begin, compile_day, load_drill
    from drill.cli.settings import wiring

    console, asked, loaded = Console(quiet=quiet), _asked(out, options, force=force), load_drill(file)
    assert loaded.drill is not None
    if if_due is not None:
        occasion = _due_now(loaded.drill, if_due, out, console)
        if occasion is None:
            return 0
        asked = replace(asked, scheduled_for=occasion)
    check_not_aborted()
    wires = wiring()
    day = compile_day(loaded, asked, wires)
    _ask(day.drill, asked, console)
    code, folder = begin(day, asked, console, wires)
    return _ended(code, folder, console)


@command.command()
@_file
@out_option
@click.option("--skip", is_flag=True, help="Do not repeat the scenario that was interrupted.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def resume(file: str, out: Path, skip: bool, quiet: bool) -> int:
    """Go on after a crash: what the interrupted scenario left is removed first; finished ones are not repeated."""
    from drill.cli.console import Console
    from drill.cli.occasion import Asked, compile_day, find_day, load_drill
    from drill.cli.occasion import resume as go_on
    from drill.cli.settings import wiring
    from drill.core.errors import UsageError
    from drill.gameday.journal import read_progress

    folder = find_day(file, out, open_only=True)
    started = read_progress(folder).started
    if started is None:
        raise UsageError(f"{folder.name} has not even begun", hint="hold it anew: drill gameday run")
    asked = Asked(out=out, target=started.target, fast_forward=started.fast_forward, yes=True, force=started.forced)
    console, wires = Console(quiet=quiet), wiring()
    name = started.drill if (out / file).is_dir() or Path(file).is_dir() else file
    day = compile_day(load_drill(name), asked, wires)
    return _ended(go_on(folder, day, console, wires, skip=skip), folder, console)


@command.command()
@click.argument("files", nargs=-1, shell_complete=complete_drills)
@out_option
@click.option("--at", metavar="TIME", callback=moment, help="As of this time instead of now.")
@format_option("text", "json")
def status(files: Sequence[str], out: Path, at: Any, format_: str) -> int:
    """Show how far each drill's latest game day is, when it is due next, and which runs were missed.

    Missed runs are reported, never made up for. Exits 1 when there are any, or an interrupted game day.
    """
    import json

    from drill.cli.console import Console
    from drill.cli.occasion_text import drill_status, status_lines

    found = [drill_status(name, out, at) for name in _names(files)]
    console = Console(machine=format_ == "json")
    if format_ == "json":
        console.data(json.dumps(found, indent=2))
    else:
        for one in found:
            for line in status_lines(one):
                console.data(line)
    return int(any(one["missed"] or one["state"] == "interrupted" for one in found))


@command.command()
@_file
@out_option
@format_option("text", "json", "html-path")
def report(file: str, out: Path, format_: str) -> int:
    """Show the report of FILE's latest game day, or of a game day's directory, made anew from its journal."""
    from drill.cli.console import Console
    from drill.cli.occasion import find_day, rewrite
    from drill.core.errors import UsageError

    folder = find_day(file, out)
    found = rewrite(folder)
    if found is None:
        raise UsageError(f"{folder.name} has not even begun: there is nothing to report")
    console = Console(machine=format_ != "text")
    if format_ == "json":
        console.data(found.to_json().rstrip("\n"))
    elif format_ == "html-path":
        console.data(str((folder / "report.html").resolve()))
    else:
        console.markdown((folder / "report.md").read_text())
    return found.exit_code


@command.command()
@click.argument("files", nargs=-1, shell_complete=complete_drills)
@click.option(
    "--at", metavar="TIME", required=True, callback=moment, help="From this time on (UTC without a zone)."
)
@click.option(
    "--window", metavar="DURATION", default="24h", show_default=True, callback=duration, help="For so long."
)
@format_option("text", "json")
def due(files: Sequence[str], at: Any, window: Any, format_: str) -> int:
    """Say which drills are due from TIME on, right once at both clock changes. Reads no clock, touches nothing."""
    import json

    from drill.cli.console import Console
    from drill.cli.occasion_text import due_rows

    rows = due_rows(_names(files), at, at + window)
    console = Console(machine=format_ == "json")
    if format_ == "json":
        console.data(json.dumps(rows, indent=2))
    elif rows:
        columns = ("drill", "at", "local", "note")
        console.table(columns, [tuple(row[column] for column in columns) for row in rows])
    else:
        console.say("nothing is due in that time")
    return 0


def _names(files: Sequence[str]) -> list[str]:
    from drill.cli.occasion import drill_files

    return [str(path) for path in drill_files(files)]


def _asked(out: Path, options: Mapping[str, Any], *, force: bool = False) -> Any:
    from drill.cli.occasion import Asked
    from drill.core.errors import UsageError

    approvals = {}
    for text in options["approve"]:
        role, equals, name = text.partition("=")
        if not equals or not role.strip() or not name.strip():
            raise UsageError(
                f"--approve {text}: expected ROLE=NAME", hint="for example --approve service-owner=anna"
            )
        approvals[role.strip()] = name.strip()
    return Asked(
        out=out,
        target=options["target"] or "",
        namespace=options["namespace"],
        as_user=options["as_user"],
        fast_forward=options["fast_forward"],
        force=force,
        yes=options["yes"],
        confirmed=frozenset(options["confirm"]),
        approvals=approvals,
    )


def _due_now(drill: Drill, within: timedelta, out: Path, console: Console) -> Any:
    """Return the occasion that is due and was not held yet, or None, having said why."""
    from datetime import UTC, datetime

    from drill.core.errors import UsageError
    from drill.gameday.journal import game_days, read_progress
    from drill.gameday.windows import current

    if drill.schedule is None:
        raise UsageError(f"{drill.metadata.name} has no schedule", hint="leave --if-due out, or add 'schedule'")
    occasion = current(drill.schedule, datetime.now(UTC), within)
    if occasion is None:
        console.say(f"{drill.metadata.name} is not due; nothing was done")
        return None
    if occasion.blackout:
        console.say(f"{drill.metadata.name} is not held now: {occasion.blackout}")
        return None
    held = {
        started.scheduled_for
        for folder in game_days(out, drill.metadata.name)
        if (started := read_progress(folder).started)
    }
    if occasion.at.timestamp() in held:
        console.say(f"{drill.metadata.name} was held already for {occasion.at:%Y-%m-%d %H:%M} UTC")
        return None
    return occasion.at


def _ask(drill: Drill, asked: Any, console: Console) -> None:
    """Ask before a target that is not the sandbox is touched. Raises UsageError when nobody can be asked."""
    import sys

    from drill.core.errors import UsageError

    if drill.target == "sandbox" or asked.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{drill.target} would be touched", hint="add --yes if that is what you want")
    console.say(f"{drill.title}: {len(drill.scenarios)} scenarios on {drill.target}")
    click.confirm(f"Break {drill.target} now?", abort=True, err=True)


def _ended(code: int, folder: Path, console: Console) -> int:
    from drill.cli.occasion import rewrite

    found = rewrite(folder)
    if found is not None:
        console.say(f"verdict: {found.verdict}")
        console.say(f"  {found.headline}")
    console.say(f"report: {folder / 'report.html'}")
    if code == 5:
        console.warn("UNDO INCOMPLETE: a fault may still be in place. Run: drill recover")
    return code
