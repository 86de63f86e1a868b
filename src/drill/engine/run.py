"""The shell around ``decide``: it carries commands out on a thread pool, and writes down all it does and sees.

Owns threads and the journal's order: the undo of a step is on disk before the step is done. It decides nothing.
"""

from __future__ import annotations

import os
import platform
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from drill import __version__
from drill.core.observations import SliSample
from drill.core.ports import AlertObserver, Remembering, Target
from drill.engine import state as s
from drill.engine.budget import spent, window_ratios
from drill.engine.decide import decide
from drill.engine.effects import Effects
from drill.engine.steady import JUMP_S, Pulse, SteadyClock
from drill.engine.traffic import changed_traffic, words
from drill.engine.watch import Watcher
from drill.journal import events as e
from drill.journal.journal import Journal
from drill.plan.model import Plan

TICK_S = 0.05
UNDO_TRIES = 3
WORKERS = 32


class Basis(NamedTuple):
    """What was measured, named as :func:`drill.plan.compile.repredict` takes it.

    The history's age (s) at T0; by ``sloth_id`` the healthy error ratio now, over each window (s), and the traffic
    during the faults over the healthy one (two bounds; what is not named is as before).
    """

    history_s: float
    baseline: Mapping[str, float]
    windows: Mapping[str, Mapping[float, float]]
    traffic: Mapping[str, tuple[float, float]]


Repredict = Callable[[Basis], Plan]
"""Makes the plan's predictions anew from what was measured."""


@dataclass
class Runner:
    """One run of one plan. ``run`` blocks until everything is undone, observed and written."""

    plan: Plan
    target: Target
    observer: AlertObserver
    journal: Journal
    repredict: Repredict
    abort: threading.Event = field(default_factory=threading.Event)
    reasons: Sequence[str] = ()
    """Why *abort* is set, where it was not the user: the target says so."""
    end: threading.Event = field(default_factory=threading.Event)
    """Set: the faults end now in the ordinary way, before their time is over."""
    clock: Callable[[], float] = field(default_factory=SteadyClock)

    def __post_init__(self) -> None:
        self._inbox: queue.SimpleQueue[s.Seen] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="drill")
        self._broken = ""
        self._pulse = Pulse()
        self._clean: dict[str, bool] = {}
        self.undone = True
        """False when something that was touched could not be shown to be as before."""
        self._effects = Effects(self.plan, self.target, self._write, self.clock)
        self._watcher = Watcher(self.plan, self.observer, self._write, self._inbox.put, self.clock)
        self._healthy: tuple[SliSample, ...] = ()
        self._ended: dict[str, list[float]] = {}
        self._touched: dict[str, float] = {}

    def start(self, run_id: str, plan_sha256: str, preflight: e.Preflight, *, forced: bool) -> None:
        """Write the head of the journal. Raises OSError when the journal cannot be written."""
        started = e.RunStarted(
            run_id=run_id,
            plan_sha256=plan_sha256,
            drill_version=__version__,
            pid=os.getpid(),
            host=platform.node(),
            endpoints=self.target.endpoints(),
            forced=forced,
        )
        self.journal.append(started)
        self.journal.append(e.PhaseEntered(phase="preflight"))
        self.journal.append(preflight)
        self._watcher.skew_s = preflight.clock_skew_s

    def run(self) -> None:
        """Run the plan to its end. Never raises for what a target or a server does; that is in the journal."""
        state = s.initial(self.plan, self.clock())
        self._write(e.PhaseEntered(phase="baseline"))
        self._watcher.start()
        self._pulse.start()
        try:
            while not state.finished:
                state, commands = decide(state, self.clock(), self._drain())
                for command in commands:
                    self._try(command, state)
        finally:
            self._pulse.stop()
            self._watcher.stop()
            self._pool.shutdown(wait=True)

    def _drain(self) -> list[s.Seen]:
        seen: list[s.Seen] = []
        if self.abort.is_set():
            by, reason = ("engine", self.reasons[0]) if self.reasons else ("user", "asked to stop")
            seen.append(s.AbortAsked(by, reason))
        if self.end.is_set():
            seen.append(s.EndAsked())
        if self._broken:
            seen.append(s.AbortAsked("engine", self._broken))
        if reason := self._lost_time():
            seen.append(s.AbortAsked("engine", reason))
        try:
            seen.append(self._inbox.get(timeout=TICK_S))
            while True:
                seen.append(self._inbox.get_nowait())
        except queue.Empty:
            return seen

    def _lost_time(self) -> str:
        """Say why times no longer fit together: then neither the faults nor the evidence are what was planned."""
        if missed := self._pulse.missed_s:
            return f"drill itself was stopped for {missed:.0f} s: leases ended, and faults with them"
        if isinstance(self.clock, SteadyClock) and abs(jump := self.clock.jump_s()) > JUMP_S:
            return f"this machine's clock was set by {jump:+.0f} s during the run: times of evidence no longer fit"
        return ""

    def _write(self, event: e.Event) -> bool:
        """Append to the journal; False when that failed, which ends the run (the undo does not need it)."""
        try:
            self.journal.append(event)
        except OSError as error:
            self._broken = self._broken or f"the journal cannot be written: {error.strerror or error}"
            return False
        return True

    def _try(self, command: s.Command, state: s.State) -> None:
        """Carry out *command*; a mistake of ours ends the run the ordinary way, undo included."""
        try:
            self._carry_out(command, state)
        except Exception as error:
            self._inbox.put(s.AbortAsked("engine", f"{type(command).__name__} failed: {_said(error)}"))

    @property
    def broken(self) -> str:
        """Why the journal is not whole; empty when it is."""
        return self._broken

    def _carry_out(self, command: s.Command, state: s.State) -> None:
        match command:
            case s.Enter():
                self._write(e.PhaseEntered(phase=command.phase))
            case s.Prepare():
                self._pool.submit(self._prepare, command.injection)
            case s.MeasureBaseline():
                self._start_timeline()
            case s.Act():
                self._act(command)
            case s.Measure():
                self._pool.submit(self._measure, command.injection)
            case s.Repredict(of="traffic"):
                self._predict_from_traffic(command.injection)
            case s.Repredict():
                self._predict(f"the measured effect of '{command.injection}'")
            case s.Undo():
                self._pool.submit(self._undo, command)
            case s.Check():
                self._pool.submit(self._check, command.injection)
            case s.Abort():
                self._write(
                    e.AbortRequested(
                        by="user" if command.by == "user" else _machine(command.by), reason=command.reason
                    )
                )
            case s.Finish():
                self._finish(state)

    # ---- before the first touch ----

    def _prepare(self, injection: str) -> None:
        try:
            self._effects.prepare(injection)
        except Exception as error:
            self._inbox.put(s.Prepared(injection, error=_said(error)))
        else:
            self._inbox.put(s.Prepared(injection))

    def _start_timeline(self) -> None:
        history_s, slis = self._watcher.history()
        self._write(e.BaselineMeasured(history_s=history_s, slis=tuple(slis)))
        self._predict("the measured history and healthy traffic", history_s, slis)
        self._write(e.TimelineStarted())

    def _predict(self, basis: str, history_s: float | None = None, slis: tuple[SliSample, ...] = ()) -> None:
        if history_s is not None:
            self._healthy = slis
            ratios = {sample.sloth_id: sample.error_ratio for sample in slis}
            self._basis = Basis(history_s, ratios, window_ratios(self.plan.slos, slis), {})
        plan = self.repredict(self._basis)
        expected = tuple(alert.predicted for alert in plan.expected)
        self._write(e.Predicted(basis=basis, expected=expected, also=plan.also))
        self._inbox.put(s.Foreseen(plan.also))

    def _predict_from_traffic(self, injection: str) -> None:
        """Predict anew where fewer (or more) requests come than before: what counts is the share of all events."""
        window_s = min((pair.short_s for pair in self.plan.windows), default=0.0)
        changed = changed_traffic(self._healthy, self._watcher.slis, window_s)
        if changed and changed != self._basis.traffic:
            self._basis = self._basis._replace(traffic=changed)
            self._predict(f"the measured traffic during '{injection}': {words(changed)}")

    # ---- the deed and its undo ----

    def _act(self, command: s.Act) -> None:
        recorded = self._write(
            e.UndoRecorded(injection=command.injection, action=command.step.action, undo=command.step.undo)
        )
        if not recorded:
            self._inbox.put(s.Acted(command.injection, command.step.action, False, self.clock(), self._broken))
            return
        self._touched.setdefault(command.injection, self.clock())
        self._write(e.ActionStarted(injection=command.injection, action=command.step.action))
        self._pool.submit(self._execute, command)

    def _execute(self, command: s.Act) -> None:
        action = command.step.action
        try:
            done_at = self.target.execute(action)
        except Exception as error:
            self._write(e.ActionFailed(injection=command.injection, action=action, error=_said(error)))
            self._inbox.put(s.Acted(command.injection, action, False, self.clock(), _said(error)))
        else:
            self._write(e.ActionDone(injection=command.injection, action=action, done_at=done_at))
            self._inbox.put(s.Acted(command.injection, action, False, done_at))

    def _measure(self, injection: str) -> None:
        holds, at = self._effects.prove(injection)
        if holds:
            first = self._touched[injection]
            self._write(e.InjectionEffective(injection=injection, first_touch=first, since=at))
        self._inbox.put(s.Measured(injection, holds, at))

    def _undo(self, command: s.Undo) -> None:
        undo, error = command.step.undo, ""
        times = self._ended.setdefault(command.injection, [])
        times.append(self.clock())
        for attempt in range(UNDO_TRIES):
            try:
                times.append(self.target.execute(undo))
                self._write(e.ActionDone(injection=command.injection, action=undo, done_at=times[-1]))
                error = ""
                break
            except Exception as failure:
                error = _said(failure, with_hint=True)
                time.sleep(0.2 * (attempt + 1))
        if error:
            self._write(e.ActionFailed(injection=command.injection, action=undo, error=error))
        self._inbox.put(s.Acted(command.injection, undo, True, self.clock(), error))

    def _check(self, injection: str) -> None:
        times = self._ended.get(injection, [self.clock()])
        self._write(e.InjectionEnded(injection=injection, first=min(times), last=max(times)))
        differences = self._effects.differences(injection) or self._settle(injection)
        self._clean[injection] = not differences
        self._write(e.CleanChecked(injection=injection, clean=not differences, differences=tuple(differences)))
        self._inbox.put(s.Checked(injection, clean=not differences))

    def _settle(self, injection: str) -> list[str]:
        """Let a target forget what it keeps for others to undo, now that nothing is left to undo."""
        if not isinstance(self.target, Remembering):
            return []
        try:
            self.target.settled(injection)
        except Exception as error:
            return [_said(error)]
        return []

    def _finish(self, state: s.State) -> None:
        self._watcher.stop()
        self._watcher.last_evidence()
        samples = [
            sample for event in self.journal.events if isinstance(event, e.SliSeen) for sample in event.samples
        ]
        concerned = {impact.sloth_id for impact in self.plan.impacts}
        for slo in self.plan.slos:
            if slo.sloth_id in concerned:
                share = spent(slo, (sample for sample in samples if sample.at >= state.t0))
                self._write(e.BudgetMeasured(sloth_id=slo.sloth_id, spent=share, remaining=1 - share))
        touched = {name for name, item in state.injections.items() if item.fired}
        self.undone = all(self._clean.get(name, False) for name in touched)
        self._write(e.RunFinished(aborted=state.aborted, undo_complete=self.undone))


def _said(error: Exception, *, with_hint: bool = False) -> str:
    """Whatever an adapter raises becomes data: an exception that got out would keep an undo from being done."""
    said, hint = str(error) or type(error).__name__, getattr(error, "hint", "")
    return f"{said}; {hint}" if with_hint and hint else said


def _machine(by: str) -> str:
    return "guardrail" if by == "guardrail" else "engine"
