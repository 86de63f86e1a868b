"""`drill runbook prove`: the fault is made, the alert awaited, the mitigation played and its effect verified.

The run is an ordinary one (journal, undo, report), in a sandbox or at a cluster; this module adds a responder
beside it. Its faults last as long as the scenario gives people for detecting, localizing and mitigating together:
who needs longer has not won. Before anything is done the responder watches for a while: a fault that heals by
itself proves nothing about a runbook. At a cluster only commands that a rule of ``safety.yaml`` allows are played,
and the scenario's limit on budget stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from drill.cli import wiring
from drill.cli.places import is_sandbox
from drill.cli.proofs import PROOFS
from drill.cli.runbooks.find import find_runbook
from drill.cli.runbooks.world import running_world
from drill.cli.safety import check_commands
from drill.cli.settings import RunResult, RunSettings
from drill.core.clock import rfc3339
from drill.core.errors import DrillError, ExitCode, UsageError
from drill.core.labels import matches
from drill.core.problems import did_you_mean
from drill.journal import events as e
from drill.plan.model import Plan
from drill.report.write import write_whole
from drill.runbook.attributes import fill
from drill.runbook.model import Cell, Runbook
from drill.runbook.records import STEPS, Step, append
from drill.runbook.walk import Walker
from drill.scenario.loader import Loaded
from drill.scenario.model import MitigatedWhen, Play, Scenario
from drill.training.hold import held

UNHURRIED_S = 15.0
"""Added to the hold: pods that start and requests that drain are not fast-forwarded."""
DEFAULT_HOLD_S = 1800.0
IDLE = 0.2
"""The share of the hold in which nothing is done after the alert."""
LEAST_IDLE_S = 6.0
LOOK_S = 0.3
BY = "drill runbook prove"
Result = Literal["proven", "not proven", "healed by itself", "no alert", "no effect", "not held"]


@dataclass(frozen=True)
class Proof:
    """What a proof found; ``result`` other than ``proven`` says why it is none."""

    scenario: str
    runbook: str
    runbook_sha256: str
    scenario_sha256: str
    service: str
    target: str
    at: str
    result: Result
    why: str
    run: str
    cells: tuple[str, ...] = ()
    alert_after_s: float | None = None
    mitigated_after_s: float | None = None
    held_s: float = 0.0

    def to_json(self) -> str:
        """The side file's text."""
        return json.dumps({**vars(self), "cells": list(self.cells)}, indent=2) + "\n"


@dataclass(frozen=True)
class Rehearsal:
    """A scenario compiled for a proof: its runbook, the cells to play, and when users are well again."""

    compiled: wiring.CompiledPlan
    settings: RunSettings
    runbook: Runbook
    plays: tuple[tuple[Play, Cell], ...]
    well: MitigatedWhen
    hold_s: float
    fast_forward: float


def rehearse(scenario: str, settings: RunSettings, runbook: str = "") -> Rehearsal:
    """Compile *scenario* with its faults held; nothing is touched. Raises ProblemsFound, UsageError."""
    asked: list[tuple[float, float]] = []

    def hold(loaded: Loaded, fast_forward: float) -> Loaded:
        assert loaded.scenario is not None
        hold_s = hold_of(loaded.scenario, fast_forward)
        asked.append((hold_s, fast_forward))
        spare = not is_sandbox(settings.target)
        changed, params = held(loaded.scenario, loaded.fault_params, hold_s, fast_forward, spare=spare)
        return replace(loaded, scenario=changed, fault_params=params)

    compiled = wiring.compile_plan(scenario, settings, hold)
    (hold_s, fast_forward), loaded = asked[0], compiled.loaded.scenario
    assert loaded is not None
    if loaded.mitigated_when is None:
        raise UsageError(f"{scenario} does not say when it is won", hint="add mitigated_when: {promql: …, for: …}")
    if not loaded.people.mitigation:
        raise UsageError(
            f"{scenario} does not say which cells of its runbook win",
            hint="add people: {mitigation: [{cell: NAME}]}",
        )
    book = find_runbook(runbook or loaded.runbook)
    plays = tuple((play, _cell(book, play.cell)) for play in loaded.people.mitigation)
    found = Rehearsal(compiled, settings, book, plays, loaded.mitigated_when, hold_s, fast_forward)
    if not is_sandbox(settings.target):
        check_commands(compiled.plan.target, _commands(found))
    return found


def _commands(rehearsal: Rehearsal) -> Iterator[str]:
    """Yield every command that may be played, its undo included, as far as its variables are known before."""
    plan, book = rehearsal.compiled.plan, rehearsal.runbook
    known = {"POD": f"{plan.service}-*", **_known_values(plan)}  # a rule's pattern fits its own text
    for play, cell in rehearsal.plays:
        undo = book.cell(cell.attributes.get("undo", ""))
        for one in (cell, undo):
            if one is not None:
                yield fill(one.body, {**known, **play.with_})


def _known_values(plan: Plan) -> dict[str, str]:
    service = _paged_service(plan.expected[0].match, plan.service)
    return {"SERVICE": service, "NAMESPACE": plan.namespace or "default"}


def hold_of(scenario: Scenario, fast_forward: float) -> float:
    """How long the faults last, in seconds as they run: as long as people have for all their phases."""
    phases = scenario.phases
    given = [phases.detect, phases.acknowledge, phases.localize, phases.mitigate]
    targets = sum(one for one in given if one is not None) or DEFAULT_HOLD_S
    return targets / fast_forward + (UNHURRIED_S if fast_forward > 1 else 0.0)


def _cell(book: Runbook, name: str) -> Cell:
    cell = book.cell(name)
    if cell is None:
        names = [one.name for one in book.cells if one.changing]
        raise UsageError(f"{book.file} has no cell '{name}'", hint=did_you_mean(name, names))
    if not cell.changing:
        raise UsageError(f"{book.file}: the cell '{name}' changes nothing, so it mitigates nothing")
    return cell


@dataclass
class Responder:
    """Plays the mitigation beside a run. ``idle_only``: watches to the end and does nothing."""

    rehearsal: Rehearsal
    tell: Callable[[str], None]
    idle_only: bool = False
    result: Result = "no effect"
    why: str = "the run ended before its faults were in effect"
    alert_at: float = 0.0
    effect_at: float = 0.0
    won_at: float = 0.0
    ended_at: float = 0.0
    steps: list[Step] = field(default_factory=list)
    _values: dict[str, str] = field(default_factory=dict)
    _begun: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def beside(self, running: wiring.Running) -> Iterator[None]:
        """Respond while the block lasts."""
        running.journal.subscribe(self._hear)
        thread = threading.Thread(target=self._respond, args=(running,), name="drill-responder", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(60)
            if self.rehearsal.settings.target != "sandbox":  # one that stays is handed back as it was
                self._take_back(running)

    def _take_back(self, running: wiring.Running) -> None:
        """Play the undo of what was played, the last first."""
        with self._walking(running) as walker:
            for step in reversed(self.steps):
                played = self.rehearsal.runbook.cell(step.name)
                undo = self.rehearsal.runbook.cell(played.attributes.get("undo", "")) if played else None
                if undo is not None and step.outcome not in ("unavailable", "failed"):
                    walker.values |= self._values
                    append(running.run_dir / STEPS, self._act(walker, undo))

    def _hear(self, event: e.AnyEvent) -> None:
        match event:
            case e.TimelineStarted():
                self._begun = True
            case e.InjectionEffective():
                self.effect_at = self.effect_at or event.since
            case e.InjectionEnded():
                self.ended_at = self.ended_at or event.first
            case e.AbortRequested() | e.RunFinished():
                self._over.set()
            case e.AlertsSeen() if self._begun and not self.alert_at:
                expected = [alert.match for alert in self.rehearsal.compiled.plan.expected]
                firing = (span.labels for span in event.spans if span.state == "firing")
                if any(matches(match, labels) for labels in firing for match in expected):
                    self.alert_at = event.at

    def _stopped(self) -> bool:
        return self._over.is_set() or bool(self.ended_at)

    def _respond(self, running: wiring.Running) -> None:
        try:
            self._play(running)
        except Exception as error:  # whatever it was: it is a result, and the run must go to its end
            self.result, self.why = "not proven", f"{type(error).__name__}: {error}"
        finally:
            if self.alert_at and not self._over.is_set():
                running.end.set()

    def _play(self, running: wiring.Running) -> None:
        if not self._until(lambda: bool(self.effect_at)):
            return
        self.result, self.why = "no alert", "no expected alert fired while the fault was in place"
        if not self._until(lambda: bool(self.alert_at)):
            return
        self.tell(f"alert after {self.alert_at - self.effect_at:.1f} s; watching without doing anything")
        self.result, self.why = "healed by itself", "users were well again before anything was done"
        if self._well_before(running, self._idle_s()):
            return
        if self.idle_only:
            self.result, self.why = "not proven", "nothing was done, and users were not well again"
            return
        if self._stopped():
            self.result, self.why = "not proven", "the fault was over before anything could be done"
            return
        if self._mitigated(running):
            self._look_well(running)

    def _idle_s(self) -> float:
        hold_s = self.rehearsal.hold_s
        return hold_s if self.idle_only else max(LEAST_IDLE_S, IDLE * hold_s)

    def _until(self, condition: Callable[[], bool]) -> bool:
        while not condition():
            if self._stopped():
                return False
            time.sleep(0.05)
        return True

    def _mitigated(self, running: wiring.Running) -> bool:
        """Play every cell; False when one could not be done."""
        with self._walking(running) as walker:
            return all(self._played(running, walker, play, cell) for play, cell in self.rehearsal.plays)

    def _played(self, running: wiring.Running, walker: Walker, play: Play, cell: Cell) -> bool:
        walker.values |= play.with_
        if "POD" in walker.missing(cell) and not walker.find_pod():
            self.result, self.why = "not proven", "the cell worst-replica names no replica"
            return False
        self.tell(f"playing {cell.name}: {fill(walker.text(cell), walker.values)}")
        step = self._act(walker, cell)
        self.steps.append(step)
        self._values = dict(walker.values)
        append(running.run_dir / STEPS, step)
        self.tell(f"{cell.name}: {step.outcome}{f' ({step.why})' if step.why else ''}")
        if step.outcome in ("failed", "unavailable", "contradicted"):
            self.result, self.why = "not proven", f"{cell.name} {step.outcome}: {step.why}"
            return False
        return True

    def _act(self, walker: Walker, cell: Cell) -> Step:
        """Play *cell*; at a cluster only as a rule allows it. Raises Refused."""
        if not is_sandbox(self.rehearsal.settings.target):
            check_commands(self.rehearsal.compiled.plan.target, [fill(cell.body, walker.values)])
        return walker.act(cell)

    @contextlib.contextmanager
    def _walking(self, running: wiring.Running) -> Iterator[Walker]:
        rehearsal = self.rehearsal
        with running_world(running, rehearsal.fast_forward) as world:
            values = _known_values(rehearsal.compiled.plan)
            yield Walker(rehearsal.runbook, world, values, BY, running.clock, stop=self._stopped)

    def _look_well(self, running: wiring.Running) -> None:
        """Users must be well by ``mitigated_when`` before the fault's time is over."""
        self.result, self.why = "not proven", "users were not well again before the fault's time was over"
        began = running.clock()
        if self._well_before(running, self.rehearsal.hold_s):
            self.won_at = running.clock()
            self.result, self.why = "proven", "users were well again while the fault's time was not over"
        append(running.run_dir / STEPS, self._check(running, began))

    def _check(self, running: wiring.Running, began: float) -> Step:
        well = self.rehearsal.well
        return Step(
            runbook=Path(self.rehearsal.runbook.file).stem,
            sha256=self.rehearsal.runbook.sha256,
            name="mitigated_when",
            tag="check",
            outcome="proven" if self.won_at else "contradicted",
            began=began,
            ended=running.clock(),
            command=well.promql,
            target=running.target.name,
            why=self.why,
            meets=bool(self.won_at),
            by=BY,
        )

    def _well_before(self, running: wiring.Running, within_s: float) -> bool:
        """Is ``mitigated_when`` true for its ``for`` within that time, with the faults' time not over?"""
        well, since = self.rehearsal.well, 0.0
        deadline = time.monotonic() + within_s
        lasting = well.for_ / self.rehearsal.fast_forward
        while not self._stopped():
            try:
                holds = running.observer.holds(well.promql)
            except DrillError:
                holds = False
            now = time.monotonic()
            since = (since or now) if holds else 0.0
            if since and now - since >= lasting:
                return True
            if not since and now > deadline:
                return False
            time.sleep(LOOK_S)
        return False

    def proof(self, run_dir: Path, result: RunResult | None) -> Proof:
        """What came out, to be stamped."""
        rehearsal, plan = self.rehearsal, self.rehearsal.compiled.plan
        outcome, why = self.result, self.why
        if outcome == "proven" and result is not None and result.exit_code in (4, 5):
            outcome, why = "not held", "the run was aborted, or not everything could be undone"
        loaded = rehearsal.compiled.loaded
        return Proof(
            scenario=plan.scenario,
            runbook=Path(rehearsal.runbook.file).stem,
            runbook_sha256=hashlib.sha256(Path(rehearsal.runbook.file).read_bytes()).hexdigest(),
            scenario_sha256=loaded.sha256,
            service=plan.service,
            target=plan.target,
            at=rfc3339(time.time()),
            result=outcome,
            why=why,
            run=run_dir.name,
            cells=tuple(cell.name for _, cell in rehearsal.plays),
            alert_after_s=round(self.alert_at - self.effect_at, 1) if self.alert_at else None,
            mitigated_after_s=round(self.won_at - self.effect_at, 1) if self.won_at else None,
            held_s=round(rehearsal.hold_s, 1),
        )


def _paged_service(match: object, fallback: str) -> str:
    """The service the alert's labels name: what ``$SERVICE`` is for whoever is paged."""
    labels = dict(match) if isinstance(match, dict) else {}
    named = labels.get("sloth_service") or labels.get("service")
    slo = labels.get("sloth_id") or labels.get("slo") or ""
    return str(named or slo.rpartition("-")[0] or fallback)


def prove(
    rehearsal: Rehearsal,
    listener: Callable[[e.AnyEvent], None],
    abort: threading.Event,
    tell: Callable[[str], None],
    *,
    idle_only: bool = False,
) -> tuple[Proof, RunResult]:
    """Run it and stamp the proof; return both. Raises DrillError when the run could not even start."""
    responder = Responder(rehearsal, tell, idle_only)
    settings = rehearsal.settings
    result = wiring.run(rehearsal.compiled, settings, listener, abort, tell, responder.beside)
    proof = responder.proof(result.run_dir, result)
    write_whole(result.run_dir / "proof.json", proof.to_json())
    if not idle_only:
        folder = settings.out / PROOFS
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{proof.runbook}.{proof.scenario}.json", proof.to_json())
    return proof, result


def exit_code(proof: Proof, result: RunResult) -> int:
    """As `drill run`'s: 0 proven, 1 not, 3 nothing can be said, 4 and 5 as the run ended."""
    if result.exit_code in (ExitCode.ABORTED, ExitCode.UNDO_INCOMPLETE):
        return result.exit_code
    if proof.result == "proven":
        return ExitCode.PASS
    return ExitCode.UNKNOWN if proof.result == "no effect" else ExitCode.FAIL
