"""Game days on the command line: drill file, wiring and journal joined. Owns directories and what is said."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from drill import __version__
from drill.cli.batch import Job, refuse_blocked, unharmed
from drill.cli.console import Console, quiet_libraries
from drill.cli.folders import new_folder
from drill.cli.interrupt import AbortOnSignal, undo_within_s
from drill.cli.lines import LineWriter
from drill.cli.settings import DEFAULT_FAST_FORWARD, RunResult, RunSettings, Wiring
from drill.cli.view import View
from drill.core.errors import ProblemsFound, Refused, UsageError
from drill.core.problems import Problem
from drill.core.units import format_duration
from drill.faults.registry import parameter_models
from drill.gameday import announce, checks, conduct
from drill.gameday import events as e
from drill.gameday.journal import GamedayJournal, game_days, read_events, read_progress
from drill.gameday.loader import LoadedDrill, load, scenario_file
from drill.gameday.model import Drill
from drill.gameday.report import GamedayReport, build, write_all
from drill.gameday.world import RealWorld
from drill.journal.events import AnyEvent, RunFinished, RunStarted
from drill.report import people
from drill.scenario.library import find_all

GROUPS_OVER_S = 60.0
"""A cool-down is a group_interval and this much longer, so that nothing of the last scenario is grouped in."""


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line. ``approvals`` maps a role to a name."""

    out: Path
    target: str = ""
    namespace: str = ""
    as_user: str = ""
    fast_forward: float | None = None
    force: bool = False
    yes: bool = False
    confirmed: frozenset[str] = frozenset()
    approvals: Mapping[str, str] = field(default_factory=dict)
    scheduled_for: datetime | None = None


@dataclass(frozen=True)
class Day:
    """A drill that is ready to be held: file, steps with their compiled plans, cool-down as it really passes."""

    loaded: LoadedDrill
    drill: Drill
    steps: tuple[e.PlannedStep, ...]
    jobs: Mapping[str, Job]
    fast_forward: float
    cooldown_s: float
    settings: RunSettings


def drill_files(names: Sequence[str]) -> list[Path]:
    """Return the files of the drills called *names*, of all drills when there are none. Raises UsageError."""
    return find_all(names, "drills")


def load_drill(name: str) -> LoadedDrill:
    """Load a drill by name or path. Raises UsageError, ProblemsFound."""
    (path,) = drill_files([name])
    loaded = load(path, parameter_models())
    if loaded.drill is None:
        raise ProblemsFound(loaded.problems)
    return loaded


def compile_day(loaded: LoadedDrill, asked: Asked, wires: Wiring) -> Day:
    """Compile every scenario of the drill. Raises ProblemsFound with all of them, UsageError; touches nothing."""
    assert loaded.drill is not None, "only a drill without problems is compiled"
    drill = loaded.drill.model_copy(update={"target": asked.target}) if asked.target else loaded.drill
    fast_forward = (
        asked.fast_forward or drill.fast_forward or (DEFAULT_FAST_FORWARD if drill.target == "sandbox" else 1)
    )
    settings = RunSettings(
        target=drill.target,
        namespace=asked.namespace,
        as_user=asked.as_user,
        out=asked.out,
        fast_forward=fast_forward,
        force=asked.force,
        assume_yes=asked.yes,
    )
    steps, jobs, problems = [], {}, list[Problem]()
    for name, call in zip(drill.step_ids(), drill.scenarios, strict=True):
        own = replace(settings, sets=call.with_, seed=call.seed)
        try:
            compiled = wires.compile_plan(str(scenario_file(call.scenario, loaded.folder)), own)
        except ProblemsFound as error:
            problems += error.problems
            continue
        jobs[name] = Job(compiled, own)
        steps.append(
            e.PlannedStep(
                id=name,
                scenario=compiled.plan.scenario,
                title=call.title or compiled.plan.title,
                brief=call.brief,
                parameters=compiled.plan.parameters,
                seed=call.seed,
            )
        )
    if problems:
        raise ProblemsFound(problems)
    if drill.target != "sandbox":  # a cluster says itself by what its windows are divided
        fast_forward = max(job.plan.fast_forward for job in jobs.values())
    return Day(
        loaded, drill, tuple(steps), jobs, fast_forward, _cooldown(loaded, drill, jobs, fast_forward), settings
    )


def _cooldown(loaded: LoadedDrill, drill: Drill, jobs: Mapping[str, Job], fast_forward: float) -> float:
    """Return the rest between scenarios as it really passes. Raises ProblemsFound when the file's is too short."""
    least = max(job.plan.group_interval_s for job in jobs.values()) + GROUPS_OVER_S / fast_forward
    if drill.cooldown is None:
        return least
    if drill.cooldown / fast_forward < least - 1e-9:
        message = f"a cool-down of {format_duration(drill.cooldown)} is too short"
        hint = f"alerts of the last scenario are grouped for {format_duration(least * fast_forward)}; leave it out"
        raise ProblemsFound([loaded.problem_at(("cooldown",), message, hint)])
    return drill.cooldown / fast_forward


def check(day: Day, asked: Asked) -> tuple[e.Check, ...]:
    """Look at the prerequisites."""
    given = checks.Given(datetime.now(UTC).date(), asked.confirmed, asked.yes, asked.approvals)
    return checks.check_all(day.drill, given, RealWorld(day.drill.servers), day.loaded.folder)


def begin(day: Day, asked: Asked, console: Console, wires: Wiring) -> tuple[int, Path]:
    """Hold the game day from its beginning; return exit code and directory.

    Raises UsageError when a plan is blocked, Refused when a prerequisite is not met; nothing was touched then.
    """
    refuse_blocked(list(day.jobs.values()))
    found = check(day, asked)
    blocking = [one for one in found if one.level == "block"]
    if blocking and not asked.force:
        raise Refused(
            "a prerequisite is not met:\n" + "\n".join(f"  {check_words(one)}" for one in blocking),
            hint="--force begins in spite of this, and the report says so",
        )
    folder = new_folder(asked.out, f"gameday-{day.drill.metadata.name}")
    shutil.copyfile(day.loaded.path, folder / "drill.yaml")
    with GamedayJournal(folder) as journal:
        journal.append(_started(day, asked, forced=bool(blocking)))
        journal.append(e.Checked(checks=found))
        return _hold(journal, day, console, wires), folder


def resume(folder: Path, day: Day, console: Console, wires: Wiring, *, skip: bool) -> int:
    """Go on with the game day in *folder*: recover what was interrupted, then play what is open.

    Raises Refused while another process holds it, UsageError when it is over or the drill's file was changed.
    """
    with GamedayJournal(folder) as journal:
        progress = journal.progress
        if progress.started is None:
            raise UsageError(f"{folder.name} has not even begun", hint="hold it anew: drill gameday run")
        if progress.finished is not None:
            raise UsageError(f"{folder.name} is over: {progress.finished.verdict}", hint="drill gameday report")
        if progress.started.sha256 != day.loaded.sha256:
            raise UsageError(
                f"{day.loaded.path} was changed since {folder.name} began",
                hint=f"the file as it was: {folder / 'drill.yaml'}",
            )
        return _hold(journal, day, console, wires, skip=skip)


def _hold(journal: GamedayJournal, day: Day, console: Console, wires: Wiring, *, skip: bool | None = None) -> int:
    """*skip* is None for a beginning; else what to do with what was interrupted."""
    from drill.cli.live_runs import hear_aborts

    quiet_libraries()
    abort = threading.Event()
    executor = WiredExecutor(day, console, wires)
    stage = conduct.Stage(
        executor=executor,
        stop=day.drill.stop,
        announce=_announcer(day, journal.folder),
        frozen=lambda: checks.frozen(day.drill, day.loaded.folder),
        say=console.say,
        abort=abort,
    )
    undo = max(undo_within_s(job.plan) for job in day.jobs.values())
    with hear_aborts(abort), AbortOnSignal(abort, console.warn, undo):
        try:
            if skip is not None:
                conduct.pick_up(journal, stage, pid=os.getpid(), skip=skip)
            return conduct.hold(journal, stage)
        finally:
            rewrite(journal.folder, alive=True)


def rewrite(folder: Path, *, alive: bool | None = None) -> GamedayReport | None:
    """Build the report of the game day in *folder* from its journal and write its files."""
    events, _ = read_events(folder)
    progress = read_progress(folder) if alive is None else e.progress(events, alive=alive)
    report = build(folder.name, events, progress)
    if report is not None:
        write_all(folder, report)
    return report


def _announcer(day: Day, folder: Path) -> Callable[[announce.Moment, Mapping[str, str]], list[announce.Told]]:
    known = {
        "title": day.drill.title,
        "goal": day.drill.goal,
        "target": day.drill.target,
        "owner": day.drill.metadata.owner,
        "scenarios": ", ".join(step.title or step.scenario for step in day.steps),
        "roles": ", ".join(f"{one.role}: {one.name}" for one in day.drill.participants),
        "report": str(folder / "report.html"),
    }

    def tell(moment: announce.Moment, values: Mapping[str, str]) -> list[announce.Told]:
        return announce.announce(
            day.drill, moment, {**known, **values}, os.environ, day.loaded.folder, announce.post_json
        )

    return tell


def _started(day: Day, asked: Asked, *, forced: bool) -> e.Started:
    approvals = {one.role: one.by for one in day.drill.approvals if one.by} | dict(asked.approvals)
    return e.Started(
        drill=day.drill.metadata.name,
        title=day.drill.title,
        owner=day.drill.metadata.owner,
        goal=day.drill.goal,
        hypothesis=day.drill.hypothesis,
        sha256=day.loaded.sha256,
        drill_version=__version__,
        pid=os.getpid(),
        target=day.drill.target,
        fast_forward=day.fast_forward,
        order=day.drill.order,
        steps=day.steps,
        cooldown_s=day.cooldown_s,
        roles=dict(day.drill.roles),
        participants=tuple((one.name, one.role) for one in day.drill.participants),
        approvals=tuple(sorted(approvals.items())),
        scheduled_for=asked.scheduled_for.timestamp() if asked.scheduled_for else None,
        forced=forced,
    )


def find_day(name: str, out: Path, *, open_only: bool = False) -> Path:
    """Return a game day's directory: *name* is the directory, its name below *out*, or the drill's (its latest).

    With *open_only* a drill's name means its latest game day that is not over. Raises UsageError.
    """
    for folder in (Path(name), out / name):
        if (folder / "gameday.jsonl").is_file():
            return folder
    drill = Path(name).stem if name.endswith((".yaml", ".yml")) else name
    days = game_days(out, drill)
    if open_only:
        days = [folder for folder in days if read_progress(folder).finished is None]
    if not days:
        what = "unfinished game day" if open_only else "game day"
        raise UsageError(f"there is no {what} of '{drill}' below {out}/", hint="`drill gameday status` lists them")
    return days[0]


def check_words(found: e.Check) -> str:
    """Return a finding in one line."""
    return f"{found.check}: {found.text}" + (f" → {found.fix}" if found.fix else "")


def roles_text(drill: Drill) -> str:
    """Who has which role by the drill's file, as Markdown; empty when it names nobody."""
    return "\n".join(f"- {one.role}: {' '.join(one.name.split())}" for one in drill.participants)


class WiredExecutor:
    """Runs and recovers the steps of a game day through ``cli.wiring``."""

    def __init__(self, day: Day, console: Console, wires: Wiring) -> None:
        self._day, self._console, self._wires = day, console, wires

    def run(self, step: e.PlannedStep, linked: Callable[[str], None], abort: threading.Event) -> conduct.StepResult:
        """Run one scenario; its lines carry the step's name when several run at once. Raises DrillError."""
        job = self._day.jobs[step.id]
        prefix = f"{step.id}: " if self._day.drill.order == "parallel" else "  "
        lines = unharmed(
            LineWriter(View(job.plan), lambda text: self._console.say(prefix + text)).see, self._console
        )

        def listen(event: AnyEvent) -> None:
            if isinstance(event, RunStarted):
                linked(event.run_id)
                self._name_roles(event.run_id)
            lines(event)

        # The run gets an event of its own: what ends a run does not end the game day by itself.
        result = self._wires.run(job.compiled, job.settings, listen, abort, None)
        return result_of(result)

    def _name_roles(self, run: str) -> None:
        """Let the run's report begin with who had which role; people go on with `drill report --edit`."""
        roles = roles_text(self._day.drill)
        if roles:
            with contextlib.suppress(OSError):  # a part for people to write: without it the run is no less a run
                people.begin(self._day.settings.out / run, {people.ROLES: roles})

    def recover(self, run: str) -> conduct.Left:
        """Undo what the dead run left; a run that had ended by itself gives its result."""
        out = self._day.settings.out
        folder = out / run if run and (out / run / "journal.jsonl").is_file() else None
        ended = _ended_run(folder) if folder else None
        if ended is not None:
            return conduct.Left(result=ended)
        found = self._wires.recover(out, folder)
        undone = tuple(text for one in found.runs for text in one.undone)
        return conduct.Left(undone, found.left)


def _ended_run(folder: Path) -> conduct.StepResult | None:
    """The result of a run whose journal has an end, judged anew; None when it has none."""
    from drill.cli.commands.report import rebuilt
    from drill.journal.journal import read_journal

    with contextlib.suppress(OSError, UsageError):
        if any(isinstance(event, RunFinished) for event in read_journal(folder / "journal.jsonl").events):
            report = rebuilt(folder)
            return result_of(RunResult(folder, report, report.exit_code))
    return None


def result_of(result: RunResult) -> conduct.StepResult:
    """Return what a game day keeps of a run."""
    report = result.report
    spent = {one.slo: one.spent_percent / 100 for one in report.budgets if one.spent_percent is not None}
    return conduct.StepResult(result.run_dir.name, report.verdict, result.exit_code, report.headline, spent)
