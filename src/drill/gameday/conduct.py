"""Holding a game day: one scenario after another (or all at once), everything written down, to be gone on with.

Owns the order, the rest between scenarios, the stop rule and what happens after a crash. How a scenario is run
and recovered is the executor's, handed in; the journal alone says where to go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from drill.core.errors import DrillError, ExitCode
from drill.gameday import events as e
from drill.gameday.announce import Moment, Told
from drill.gameday.journal import GamedayJournal
from drill.gameday.model import StopRule

ALWAYS_STOP = (ExitCode.ABORTED, ExitCode.UNDO_INCOMPLETE)
TICK_S = 0.2
"""How often a rest looks whether it was aborted."""
VERDICTS: Mapping[int, e.Verdict] = {0: "pass", 1: "fail", 4: "aborted"}


@dataclass(frozen=True)
class StepResult:
    """How one scenario ended. ``budget_spent``: share of each SLO's budget, 0..1."""

    run: str
    verdict: e.Verdict
    exit_code: int
    headline: str = ""
    budget_spent: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Left:
    """What the recovery of an interrupted run did, and what it could not.

    ``result``: the run had ended by itself, only the game day did not live to write it down.
    """

    undone: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()
    result: StepResult | None = None


class Executor(Protocol):
    """Runs scenarios. Implemented where adapters meet the engine."""

    def run(self, step: e.PlannedStep, linked: Callable[[str], None], abort: threading.Event) -> StepResult:
        """Run *step* to the end, undo and report included; *linked* is told the run directory's name early.

        Raises DrillError when it could not be run.
        """

    def recover(self, run: str) -> Left:
        """Undo what the dead run *run* left (empty: whatever died before it had a name)."""


@dataclass(frozen=True)
class Stage:
    """What a game day is held with. ``frozen`` says why nothing more may begin; ``say`` talks to the person."""

    executor: Executor
    stop: StopRule
    announce: Callable[[Moment, Mapping[str, str]], list[Told]]
    frozen: Callable[[], str]
    say: Callable[[str], None]
    abort: threading.Event
    clock: Callable[[], float] = time.time


def hold(journal: GamedayJournal, stage: Stage) -> int:
    """Announce, play every step that is open, announce the result; return the exit code."""
    started = journal.progress.started
    assert started is not None, "a game day's journal begins with its start"
    if not any(one.moment == "start" for one in journal.progress.announced):
        _tell(journal, stage, "start", {})
    if started.order == "parallel":
        _at_once(journal, stage)
    else:
        _in_order(journal, stage, started.cooldown_s)
    return _finish(journal, stage)


def pick_up(journal: GamedayJournal, stage: Stage, *, pid: int, skip: bool) -> bool:
    """After a crash: recover what was interrupted; with *skip* those steps are not repeated.

    Returns False when something is left behind: then nothing more may begin.
    """
    before = e.progress(_events(journal), alive=False)
    interrupted = tuple(step for step in before.steps if step.state == "interrupted")
    journal.append(e.Resumed(pid=pid, interrupted=tuple(step.planned.id for step in interrupted)))
    clean = True
    for step in interrupted:
        stage.say(f"{step.planned.id}: was interrupted; removing what its run left")
        left = stage.executor.recover(step.run)
        if left.result is not None:
            _ended(journal, stage, step.planned.id, left.result)
            continue
        journal.append(
            e.StepRecovered(step=step.planned.id, run=step.run, undone=left.undone, remaining=left.remaining)
        )
        clean = clean and not left.remaining
        if skip:
            journal.append(e.StepSkipped(step=step.planned.id, why="interrupted, and skipped when resumed"))
    return clean


def _events(journal: GamedayJournal) -> list[e.AnyEvent]:
    from drill.gameday.journal import read_events

    return read_events(journal.folder)[0]


def _in_order(journal: GamedayJournal, stage: Stage, cooldown_s: float) -> None:
    for step in journal.progress.open:
        why = reason_to_stop(journal.progress, stage.stop, stage.clock(), stage.frozen(), stage.abort.is_set())
        if not why and any(one.attempts for one in journal.progress.steps):
            why = _rest(journal, stage, cooldown_s)
        if why:
            journal.append(e.Stopped(why=why))
            stage.say(f"stopped: {why}")
            return
        _play(journal, stage, step)


def _at_once(journal: GamedayJournal, stage: Stage) -> None:
    progress = journal.progress
    why = reason_to_stop(progress, stage.stop, stage.clock(), stage.frozen(), stage.abort.is_set())
    if why:
        journal.append(e.Stopped(why=why))
        stage.say(f"stopped: {why}")
        return
    with ThreadPoolExecutor(max(1, len(progress.open))) as pool:
        list(pool.map(lambda step: _play(journal, stage, step), progress.open))


def reason_to_stop(progress: e.Progress, rule: StopRule, now: float, frozen: str, aborted: bool) -> str:
    """Return why no further step may begin, or ``''``. Pure."""
    if aborted:
        return "aborted by hand"
    if frozen:
        return f"change freeze: {frozen}"
    started = progress.started
    if started is not None and now - started.at > rule.max_duration / started.fast_forward:
        return "the longest duration of the drill is over (stop.max_duration)"
    for step in progress.steps:
        if step.remaining:
            return f"{step.planned.id} left something behind: {'; '.join(step.remaining)}"
        if step.state != "finished":
            continue
        if step.exit_code in ALWAYS_STOP:
            return f"{step.planned.id}: {ExitCode(step.exit_code).name.lower().replace('_', ' ')}"
        if step.verdict in rule.on:
            return f"{step.planned.id} ended with {step.verdict} (stop.on)"
    return ""


def _rest(journal: GamedayJournal, stage: Stage, seconds: float) -> str:
    """Wait for the cool-down, counted from the end of the last step; return why it was broken off."""
    last = max((step.finished_at or 0.0 for step in journal.progress.steps), default=0.0)
    left = last + seconds - stage.clock() if last else seconds
    if left <= 0:
        return ""
    journal.append(e.CooldownStarted(seconds=round(left, 3)))
    stage.say(f"cool-down: {left:.0f} s, so that the last alerts' groups are over")
    end = stage.clock() + left
    while (rest := end - stage.clock()) > 0:
        if stage.abort.wait(min(rest, TICK_S)):
            return "aborted by hand"
    return ""


def _play(journal: GamedayJournal, stage: Stage, step: e.Step) -> None:
    planned = step.planned
    journal.append(e.StepStarted(step=planned.id, attempt=step.attempts + 1))
    again = f", attempt {step.attempts + 1}" if step.attempts else ""
    stage.say(f"{planned.id}: {planned.title or planned.scenario}{again}")
    if planned.brief:
        stage.say(f"  {planned.brief}")
    try:
        result = stage.executor.run(
            planned, lambda run: _link(journal, planned.id, run), stage.abort
        )  # fmt: skip
    except DrillError as error:
        code = int(error.exit_code)
        verdict = VERDICTS.get(code, "unknown") if code else "unknown"
        text = f"{error}" + (f" ({error.hint})" if error.hint else "")
        journal.append(e.StepFinished(step=planned.id, verdict=verdict, exit_code=code, error=text))
        stage.say(f"{planned.id}: did not run: {text}")
        return
    _ended(journal, stage, planned.id, result)


def _ended(journal: GamedayJournal, stage: Stage, step: str, result: StepResult) -> None:
    journal.append(
        e.StepFinished(
            step=step,
            run=result.run,
            verdict=result.verdict,
            exit_code=result.exit_code,
            headline=result.headline,
            budget_spent=dict(result.budget_spent),
        )
    )
    stage.say(f"{step}: {result.verdict}. {result.headline}")


def _link(journal: GamedayJournal, step: str, run: str) -> None:
    journal.append(e.RunLinked(step=step, run=run))


def _finish(journal: GamedayJournal, stage: Stage) -> int:
    progress = journal.progress
    code = exit_code(progress)
    verdict = verdict_of(progress)
    _tell(journal, stage, "result", {"verdict": verdict.upper(), "headline": summary(progress)})
    journal.append(e.Finished(verdict=verdict, exit_code=code))
    return code


def _tell(journal: GamedayJournal, stage: Stage, moment: Moment, values: Mapping[str, str]) -> None:
    for told in stage.announce(moment, values):
        journal.append(e.Announced(moment=moment, channel=told.channel, text=told.text, error=told.error))
        stage.say(f"announced in {told.channel}" if not told.error else f"{told.channel}: {told.error}")


def verdict_of(progress: e.Progress) -> e.Verdict:
    """Return the worst verdict; steps that were not played make a pass unknown, a stop by hand is aborted."""
    verdicts = {step.verdict for step in progress.steps if step.state == "finished"}
    worst: tuple[e.Verdict, ...] = ("fail", "aborted", "unknown")
    for one in worst:
        if one in verdicts:
            return one
    if progress.stopped.startswith("aborted"):
        return "aborted"
    if progress.stopped or any(step.state != "finished" for step in progress.steps):
        return "unknown"
    return "pass"


def exit_code(progress: e.Progress) -> int:
    """Return the worst exit code of all steps; a game day that was not played whole is at least unknown."""
    if any(step.remaining for step in progress.steps):
        return ExitCode.UNDO_INCOMPLETE
    worst = max((step.exit_code for step in progress.steps), default=0)
    if progress.stopped.startswith("aborted"):
        return max(worst, ExitCode.ABORTED)
    whole = not progress.stopped and all(step.state == "finished" for step in progress.steps)
    return max(worst, ExitCode.PASS if whole else ExitCode.UNKNOWN)


def summary(progress: e.Progress) -> str:
    """Return one sentence: how many scenarios there were, and how they ended."""
    total = len(progress.steps)
    counts: dict[str, int] = {}
    for step in progress.steps:
        word = (step.verdict or "unknown") if step.state == "finished" else "not played"
        counts[word] = counts.get(word, 0) + 1
    order = ("pass", "fail", "unknown", "aborted", "not played")
    parts = [f"{counts[word]} {word}" for word in order if word in counts]
    text = f"{total} scenario{'s' if total != 1 else ''}: {', '.join(parts)}."
    return text + (f" Stopped: {progress.stopped}." if progress.stopped else "")
