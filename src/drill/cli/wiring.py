"""Where adapters meet the engine: scenario + place + observer + journal + report, joined in one place."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from drill.cli.alertpath import AlertPath
from drill.cli.folders import new_folder
from drill.cli.kept import kept_sandbox, sandbox_down, sandbox_status, sandbox_up
from drill.cli.live_runs import abort, check_not_aborted, hear_aborts
from drill.cli.outcome import recover_command
from drill.cli.places import Opening, Place, SandboxPlace, is_sandbox, place_for
from drill.cli.recovery import recover
from drill.cli.safety import check_activities, check_allowed, remember_undos
from drill.cli.settings import RunResult, RunSettings
from drill.core.actions import RunActivity
from drill.core.errors import Aborted, ProblemsFound, UndoIncomplete, UsageError
from drill.core.facts import Facts
from drill.core.ports import Remembering, Target
from drill.core.redact import redacted
from drill.engine.preflight import preflight
from drill.engine.run import Runner
from drill.engine.steady import SteadyClock
from drill.faults.base import Params
from drill.faults.registry import faults, parameter_models
from drill.journal.events import AnyEvent, EffectMeasured, Preflight
from drill.journal.journal import Journal
from drill.observe.observer import Observer
from drill.plan.compile import Source, repredict
from drill.plan.compile import compile_plan as compile_scenario
from drill.plan.measured import with_measured
from drill.plan.model import Finding, Plan
from drill.report.write import write_all
from drill.scenario.library import find, shipped_roots
from drill.scenario.loader import Loaded, load
from drill.scenario.model import Scenario
from drill.target.activities import Activities
from drill.target.sandbox import Sandbox

__all__ = ["abort", "compile_plan", "recover", "run", "sandbox_down", "sandbox_status", "sandbox_up"]

BASELINE_S = 6.0
"""Healthy traffic watched before T0: the shortest fast-forwarded window (5 s) must be full."""
RULES_WITHIN_S = 30.0
"""A fresh Prometheus must have evaluated every rule by then."""


@dataclass(frozen=True)
class CompiledPlan:
    """A scenario compiled for a place, with what is needed to run it. Nothing has been touched."""

    plan: Plan
    loaded: Loaded
    place: Place
    again: Callable[[], CompiledPlan]
    """Compile it anew, for a place that does not stay as it is."""

    @property
    def alert_path(self) -> AlertPath:
        """Rules and routes as texts, for what people do only in a sandbox. Raises UsageError elsewhere."""
        if not isinstance(self.place, SandboxPlace):
            raise UsageError(f"this needs a sandbox, and {self.plan.target} is none", hint="--target sandbox")
        return self.place.path

    def close(self) -> None:
        """Let go of the place: it is not going to be run."""
        self.place.close()


Adapt = Callable[[Loaded, float], Loaded]
"""Changes a scenario before it is compiled, for the fast-forward factor it will run with: training holds faults."""


def compile_plan(name_or_path: str, settings: RunSettings, adapt: Adapt | None = None) -> CompiledPlan:
    """Compile a scenario by name or file; touches nothing.

    Raises ProblemsFound, UsageError; for a cluster also Refused and Unavailable.
    """
    if is_sandbox(settings.target):
        kept_sandbox(settings.target)  # says at once that there is none of that name
    loaded = load(
        find(name_or_path, shipped_roots("scenarios")), faults=parameter_models(), overrides=settings.sets
    )
    if loaded.scenario is None or loaded.problems:
        raise ProblemsFound(loaded.problems)
    params = cast("dict[str, Params]", loaded.fault_params)
    services = sorted({one.target.service for one in loaded.scenario.injections})
    place = place_for(settings, services, agents=_needs_agents(loaded.scenario, params))
    try:
        facts = place.facts()
        if adapt is not None:
            loaded = adapt(loaded, facts.fast_forward)
        plan = _compiled(loaded, facts, place, settings)
    except BaseException:
        place.close()
        raise
    return CompiledPlan(plan, loaded, place, lambda: compile_plan(name_or_path, settings, adapt))


def _needs_agents(scenario: Scenario, params: Mapping[str, Params]) -> bool:
    """True when the way some injection would be made first is not the platform's API."""
    known = faults()
    return any(not known[one.fault].backends(params[one.id])[0].api for one in scenario.injections)


def _compiled(loaded: Loaded, facts: Facts, place: Place, settings: RunSettings) -> Plan:
    assert loaded.scenario is not None, "only a scenario without problems is compiled"
    params = cast("dict[str, Params]", loaded.fault_params)
    source = Source(loaded.scenario, params, loaded.parameters, loaded.sha256)
    compiled = compile_scenario(source, facts, place.rules, faults(), seed=settings.seed, baseline_s=BASELINE_S)
    if compiled.plan is None:
        complaints = compiled.complaints
        raise ProblemsFound([loaded.problem_at(one.path, one.message, one.hint) for one in complaints])
    return _without_secrets(compiled.plan.with_(namespace=place.namespace, occasion=settings.occasion))


@dataclass(frozen=True)
class Running:
    """A run that is about to begin, for whoever takes part in it. All of it may be used by any thread.

    ``end`` ends the faults before their time in the ordinary way; ``abort`` ends everything at once.
    """

    run_dir: Path
    compiled: CompiledPlan
    target: Target
    observer: Observer
    journal: Journal
    clock: SteadyClock
    end: threading.Event
    abort: threading.Event

    @property
    def sandbox(self) -> Sandbox:
        """The target of what people do only in a sandbox. Raises UsageError elsewhere."""
        if not isinstance(self.target, Sandbox):
            raise UsageError(f"this needs a sandbox, and {self.target.name} is none", hint="--target sandbox")
        return self.target


Beside = Callable[[Running], AbstractContextManager[None]]
"""Entered before the run begins and left after its end; the target lives until it was left."""


def _alone(_: Running) -> AbstractContextManager[None]:
    return nullcontext()


def run(
    compiled: CompiledPlan,
    settings: RunSettings,
    listener: Callable[[AnyEvent], None],
    abort: threading.Event,
    progress: Callable[[str], None] | None = None,
    beside: Beside = _alone,
) -> RunResult:
    """Run to the end, undo and report included; *beside* is what goes on meanwhile.

    Raises Refused while an abort or a freeze is in force or another run drills the same service, UsageError when
    preflight forbids the start, Unavailable when the sandbox does not come up, Aborted when the files of the run
    could not be written any more, UndoIncomplete. A fresh sandbox is gone in the end, whatever happens.
    """
    check_not_aborted()
    check_allowed(compiled.plan.target, _services(compiled.plan), time.time())
    if not compiled.place.stays:
        planned, compiled = compiled, compiled.again()
        planned.close()
    plan = compiled.plan
    if not settings.allow_activities:
        check_activities(plan)
    remember_undos(plan)
    _forbid_blocked(plan.findings, settings)
    run_dir = settings.run_dir or new_folder(settings.out, plan.scenario)
    try:
        (run_dir / "plan.json").write_text(plan.model_dump_json(indent=1))
        journal = Journal(run_dir / "journal.jsonl", clock := SteadyClock())
    except OSError as error:
        _remove_empty(run_dir)
        raise UsageError(f"cannot write to {run_dir}: {error.strerror}", hint="choose another --out") from None
    leftover, ran = "", None
    with journal:
        journal.subscribe(listener)
        try:
            opening = Opening(run_dir.name, _services(plan), abort, progress)
            with (
                hear_aborts(abort),
                compiled.place.opened(opening) as target,
                closing(Observer(target.endpoints(), compiled.place.observer_options)) as observer,
            ):
                end = threading.Event()
                running = Running(run_dir, compiled, target, observer, journal, clock, end, opening.stop)
                ran = _drill(running, settings, opening, beside)
        except UndoIncomplete as error:
            leftover = f"{error}; {error.hint}"
        except BaseException:
            if not journal.events:
                _remove_empty(run_dir)
            raise
        return _end(run_dir, plan, journal, ran, leftover)


def _end(run_dir: Path, plan: Plan, journal: Journal, runner: Runner | None, leftover: str) -> RunResult:
    """Write the report; what was left behind, or could not be written, is said last and loudest."""
    broken = runner.broken if runner else ""
    try:
        report = write_all(run_dir, plan, journal.events)
    except OSError as error:
        broken = broken or f"the report cannot be written: {error.strerror or error}"
        report = None
    if leftover:
        raise UndoIncomplete(
            f"{plan.target} has something left behind: {leftover}", hint=recover_command(plan, run_dir)
        )
    if runner is not None and not runner.undone:
        if broken:
            raise UndoIncomplete(f"{broken}; and not everything is as before", hint=recover_command(plan, run_dir))
    elif broken:
        raise Aborted(
            f"{broken}; the drill was stopped and everything it did is undone",
            hint=f"{run_dir} must have room and be writable; start again: what was seen until then is no result",
        )
    assert report is not None
    return RunResult(run_dir, report, report.exit_code)


def _drill(running: Running, settings: RunSettings, opening: Opening, beside: Beside) -> Runner:
    compiled, journal, target = running.compiled, running.journal, running.target
    plan, place = compiled.plan, compiled.place
    running.observer.watch(place.rules.alerts)
    found = _preflight(plan, running.observer, target)
    _forbid_blocked(found.findings, settings)
    runner = Runner(
        plan,
        with_activities(target, plan, running.run_dir),
        running.observer,
        journal,
        repredict=lambda basis: repredict(with_measured(plan, _measured(journal)), place.rules, **basis._asdict()),
        abort=running.abort,
        reasons=opening.reasons,
        end=running.end,
        clock=running.clock,
    )
    if isinstance(target, Remembering):
        steps = [(step.action, step.undo) for one in plan.injections for step in one.steps]
        target.begin(opening.run_id, steps)
    digest = hashlib.sha256(plan.model_dump_json().encode()).hexdigest()
    try:
        runner.start(running.run_dir.name, digest, found, forced=settings.force)
    except OSError as error:
        raise UsageError(
            f"the journal cannot be written: {error.strerror or error}; nothing was touched",
            hint="make room, or choose another --out",
        ) from None
    with beside(running):
        runner.run()
    return runner


def with_activities(target: Target, plan: Plan, run_dir: Path) -> Target:
    """Return *target*, able to do Chaos Toolkit activities where *plan* has some."""
    steps = (step for injection in plan.injections for step in injection.steps)
    return Activities(target, run_dir) if any(isinstance(step.action, RunActivity) for step in steps) else target


def _services(plan: Plan) -> list[str]:
    return sorted({injection.service for injection in plan.injections})


def _measured(journal: Journal) -> dict[str, list[float]]:
    """Return the last proven effect at each replica, by injection."""
    last: dict[str, dict[str, float]] = {}
    for event in journal.events:
        if isinstance(event, EffectMeasured) and event.holds:
            last.setdefault(event.injection, {})[event.replica] = event.measured
    return {injection: list(shares.values()) for injection, shares in last.items()}


def _preflight(plan: Plan, observer: Observer, target: Target) -> Preflight:
    """Look until nothing is in the way: a sandbox that was just born needs two scrapes and two evaluations."""
    deadline = time.monotonic() + RULES_WITHIN_S
    while True:
        found = preflight(plan, observer, observer.clock_skew().skew_s, time.time(), target=target)
        in_the_way = [one for one in found.findings if one.level == "block" and one not in plan.findings]
        if not in_the_way or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def _forbid_blocked(findings: Sequence[Finding], settings: RunSettings) -> None:
    blocked = [finding for finding in findings if finding.level == "block"]
    if blocked and not settings.force:
        lines = [f"{item.text} ({item.fix})" for item in blocked]
        raise UsageError("this drill cannot work: " + "; ".join(lines), hint="--force runs it all the same")


def _without_secrets(plan: Plan) -> Plan:
    """Redact what a person wrote; what is done and matched (injections, alerts, SLOs) stays as it is."""
    told = {"title", "hypothesis", "owner", "parameters", "runbook", "findings"}
    return Plan.model_validate({**plan.model_dump(by_alias=True), **redacted(plan.model_dump(include=told))})


def _remove_empty(run_dir: Path) -> None:
    with suppress(OSError):
        for name in ("journal.jsonl", "plan.json"):
            (run_dir / name).unlink(missing_ok=True)
        run_dir.rmdir()
