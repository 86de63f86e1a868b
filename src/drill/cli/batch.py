"""One or many scenarios, one after another: compile them all, run each, sum up. Owns the order and the exit code.

Nothing is touched before every scenario has compiled; the exit code is the worst of all runs.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from drill.cli.console import Console, quiet_libraries
from drill.cli.interrupt import AbortOnSignal, undo_within_s
from drill.cli.outcome import COLUMNS, Outcome, recover_command, result_lines
from drill.cli.plan_text import finding_lines, windows_line
from drill.cli.settings import CompiledPlan, RunSettings, Wiring
from drill.cli.view import View
from drill.core.errors import DrillError, ExitCode, ProblemsFound, UsageError

if TYPE_CHECKING:
    from drill.core.problems import Problem
    from drill.journal.events import AnyEvent
    from drill.plan.model import Plan


@dataclass(frozen=True)
class Job:
    """One run to do: the plan, and the settings it was compiled with."""

    compiled: CompiledPlan
    settings: RunSettings

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.compiled.plan


@dataclass(frozen=True)
class Call:
    """A scenario (name or file) with its own parameters."""

    scenario: str
    sets: Mapping[str, str]


def compile_all(calls: Sequence[Call], settings: RunSettings, repeat: int, wiring: Wiring) -> Sequence[Job]:
    """Compile every scenario for every repetition, each with its own seed.

    Raises ProblemsFound with the problems of all of them.
    """
    jobs: list[Job] = []
    problems: list[Problem] = []
    for round_ in range(repeat):
        for call in calls:
            seeded = replace(settings, seed=settings.seed + round_, sets=call.sets)
            try:
                jobs.append(Job(wiring.compile_plan(call.scenario, seeded), seeded))
            except ProblemsFound as error:
                problems += error.problems
        if problems:
            raise ProblemsFound(problems)
    return jobs


def refuse_blocked(jobs: Sequence[Job]) -> None:
    """Raise UsageError when a plan cannot prove anything or breaks its scenario's limits, unless forced."""
    blocked = [
        f"{job.plan.scenario}: {' '.join(finding_lines('block', finding.text, finding.fix))}"
        for job in jobs
        if not job.settings.force
        for finding in job.plan.findings
        if finding.level == "block"
    ]
    if blocked:
        unique = list(dict.fromkeys(blocked))
        raise UsageError(
            "refused before anything was touched:\n" + "\n".join(f"  {line}" for line in unique),
            hint="`drill plan` shows it all; --force runs it in spite of this and says so in the report",
        )


def run_all(jobs: Sequence[Job], console: Console, wiring: Wiring) -> Sequence[Outcome]:
    """Run *jobs* one after another; an abort ends the batch, an error only its run."""
    quiet_libraries()
    outcomes: list[Outcome] = []
    for number, job in enumerate(jobs, 1):
        if len(jobs) > 1:
            console.say(f"[{number}/{len(jobs)}] {job.plan.scenario}", "bold")
        outcome = _run_one(job, console, wiring)
        outcomes.append(outcome)
        if outcome.error:
            if len(jobs) == 1:
                raise outcome.error
            console.warn(f"drill: {outcome.error}")
        if outcome.exit_code in (ExitCode.ABORTED, ExitCode.UNDO_INCOMPLETE):
            rest = len(jobs) - number
            if rest:
                console.warn(f"drill: stopped; {rest} more runs were not started")
            break
    return outcomes


def _run_one(job: Job, console: Console, wiring: Wiring) -> Outcome:
    plan = job.plan
    announce(job, console)
    abort = threading.Event()
    try:
        with (
            _listener(plan, console) as (listen, tell, progress),
            AbortOnSignal(abort, tell, undo_within_s(plan)),
        ):
            result = wiring.run(job.compiled, job.settings, listen, abort, progress)
    except DrillError as error:
        if error.exit_code is ExitCode.UNDO_INCOMPLETE:
            raise
        return Outcome(plan.scenario, plan.service, error=error)
    for index, line in enumerate(result_lines(result.json(), result.run_dir)):
        console.say(line, _verdict_style(line) if index == 0 else "")
    if result.exit_code == ExitCode.UNDO_INCOMPLETE:
        command = recover_command(plan, result.run_dir)
        console.warn(f"\nUNDO INCOMPLETE: a fault may still be in place. Run: {command}")
    return Outcome(plan.scenario, plan.service, result=result)


def _verdict_style(line: str) -> str:
    from drill.cli.console import STYLES

    return STYLES.get(line.removeprefix("verdict: "), "")


def announce(job: Job, console: Console) -> None:
    """Say where it runs, which windows are tested, and what was found, before anything is touched."""
    plan = job.plan
    where = "the embedded sandbox on this machine" if plan.target == "sandbox" else f"target {plan.target}"
    console.say(f"drill {plan.scenario} on {plan.service}, in {where}")
    console.say(windows_line(plan))
    for finding in plan.findings:
        if finding.level != "info":
            for line in finding_lines(finding.level, finding.text, finding.fix):
                console.say(line)


Listen = tuple[Callable[["AnyEvent"], None], Callable[[str], None], Callable[[str], None]]
"""What is told the events, what the person must know at once, and how the set-up goes."""


@contextlib.contextmanager
def _listener(plan: Plan, console: Console) -> Iterator[Listen]:
    view = View(plan)
    if console.is_terminal and not console.quiet:
        from drill.cli.live import LiveScreen

        with LiveScreen(view, console.rich) as screen:
            yield unharmed(screen.see, console), screen.tell, screen.progress
    else:
        from drill.cli.lines import LineWriter

        yield unharmed(LineWriter(view, console.say).see, console), console.warn, _progress_line(console)


def unharmed(see: Callable[[AnyEvent], None], console: Console) -> Callable[[AnyEvent], None]:
    """Wrap *see*: listeners are called by the engine's threads, and a screen that fails must not end a drill."""
    failed = threading.Event()

    def safe(event: AnyEvent) -> None:
        if failed.is_set():
            return
        try:
            see(event)
        except Exception as error:
            failed.set()
            console.warn(f"drill: the display failed ({type(error).__name__}: {error}); the run goes on without it")

    return safe


def _progress_line(console: Console) -> Callable[[str], None]:
    return lambda text: console.say(f"           {text}")


def confirm(jobs: Sequence[Job], console: Console) -> None:
    """Ask before a target that is not the sandbox is touched. Raises UsageError when nobody can be asked."""
    import click

    outside = sorted({job.plan.target for job in jobs if job.plan.target != "sandbox"})
    if not outside or all(job.settings.assume_yes for job in jobs):
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{', '.join(outside)} would be touched", hint="add --yes if that is what you want")
    for job in jobs:
        announce(job, console)
    click.confirm(f"Break {', '.join(outside)} now?", abort=True, err=True)


def finish(outcomes: Sequence[Outcome], console: Console, *, as_json: bool, junit: Path | None) -> int:
    """Print the summary, write the merged JUnit file, and return the worst exit code."""
    if as_json:
        reports = [outcome.json() for outcome in outcomes]
        console.data(json.dumps(reports[0] if len(reports) == 1 else reports, indent=2))
    elif len(outcomes) > 1 and not console.quiet:
        console.say()
        console.table(COLUMNS, [outcome.row() for outcome in outcomes])
    if junit is not None:
        _write_junit(outcomes, junit)
    return max((outcome.exit_code for outcome in outcomes), default=int(ExitCode.PASS))


def _write_junit(outcomes: Sequence[Outcome], junit: Path) -> None:
    from drill.cli.junit import merge, write

    files = [outcome.result.run_dir / "junit.xml" for outcome in outcomes if outcome.result]
    broken = [(outcome.scenario, str(outcome.error)) for outcome in outcomes if outcome.error]
    try:
        write(merge(files, broken), junit)
    except OSError as error:
        raise UsageError(f"{junit} cannot be written: {error.strerror or error}") from None
