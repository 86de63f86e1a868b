"""Where adapters meet the engine: scenario + sandbox + observer + journal + report, joined in one place."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from drill.cli.alertpath import AlertPath, alert_path
from drill.cli.folders import new_folder
from drill.cli.kept import kept_sandbox, sandbox_down, sandbox_status, sandbox_up
from drill.cli.leases import leases
from drill.cli.live_runs import abort, check_not_aborted, hear_aborts
from drill.cli.recovery import recover
from drill.cli.safety import check_allowed
from drill.cli.settings import RunResult, RunSettings
from drill.core.errors import Aborted, ProblemsFound, UndoIncomplete, UsageError
from drill.core.ports import Target
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
from drill.target.sandbox import Sandbox, SandboxSpec, planned_facts
from drill.target.sandbox.topology import SINK_URL

__all__ = ["abort", "compile_plan", "recover", "run", "sandbox_down", "sandbox_status", "sandbox_up"]

BASELINE_S = 6.0
"""Healthy traffic watched before T0: the shortest fast-forwarded window (5 s) must be full."""
RULES_WITHIN_S = 30.0
"""A fresh Prometheus must have evaluated every rule by then."""


@dataclass(frozen=True)
class CompiledPlan:
    """A scenario compiled for the sandbox, with what is needed to run it. Nothing has been touched."""

    plan: Plan
    loaded: Loaded
    path: AlertPath
    spec: SandboxSpec


Adapt = Callable[[Loaded, float], Loaded]
"""Changes a scenario before it is compiled, for the fast-forward factor it will run with: training holds faults."""


def compile_plan(name_or_path: str, settings: RunSettings, adapt: Adapt | None = None) -> CompiledPlan:
    """Compile a scenario by name or file. Raises ProblemsFound or UsageError; touches nothing."""
    kept = kept_sandbox(settings.target)
    loaded = load(
        find(name_or_path, shipped_roots("scenarios")), faults=parameter_models(), overrides=settings.sets
    )
    if loaded.scenario is None or loaded.problems:
        raise ProblemsFound(loaded.problems)
    fast_forward = kept.spec.fast_forward if kept else settings.fast_forward
    if adapt is not None:
        loaded = adapt(loaded, fast_forward)
    assert loaded.scenario is not None
    path = alert_path(fast_forward, SINK_URL)
    spec = kept.spec if kept else path.sandbox_spec(fast_forward, settings.seed)
    source = Source(
        loaded.scenario, cast("dict[str, Params]", loaded.fault_params), loaded.parameters, loaded.sha256
    )
    compiled = compile_scenario(
        source,
        kept.facts() if kept else planned_facts(spec),
        path.rules,
        faults(),
        seed=settings.seed,
        baseline_s=BASELINE_S,
    )
    if compiled.plan is None:
        complaints = compiled.complaints
        raise ProblemsFound([loaded.problem_at(one.path, one.message, one.hint) for one in complaints])
    return CompiledPlan(_without_secrets(compiled.plan), loaded, path, spec)


@dataclass(frozen=True)
class Running:
    """A run that is about to begin, for whoever takes part in it. All of it may be used by any thread.

    ``end`` ends the faults before their time in the ordinary way; ``abort`` ends everything at once.
    """

    run_dir: Path
    compiled: CompiledPlan
    sandbox: Sandbox
    observer: Observer
    journal: Journal
    clock: SteadyClock
    end: threading.Event
    abort: threading.Event


Beside = Callable[[Running], AbstractContextManager[None]]
"""Entered before the run begins and left after its end; the target lives until it was left."""


def _alone(_: Running) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def _sandbox(spec: SandboxSpec, target: str, progress: Callable[[str], None] | None) -> Iterator[Sandbox]:
    """A fresh sandbox that ends with the run, or the kept one, which does not."""
    kept = kept_sandbox(target)
    if kept is None:
        with Sandbox.start(spec, on_progress=progress) as sandbox:
            yield sandbox
        return
    try:
        yield kept
    finally:
        kept.detach()


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
    plan = compiled.plan
    services = sorted({injection.service for injection in plan.injections})
    check_allowed(plan.target, services, time.time())
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
            with (
                hear_aborts(abort),
                _sandbox(compiled.spec, settings.target, progress) as sandbox,
                leases([f"sandbox {sandbox.id}/{name}" for name in services], run_dir.name),
                closing(Observer(sandbox.endpoints())) as observer,
            ):
                end = threading.Event()
                running = Running(run_dir, compiled, sandbox, observer, journal, clock, end, abort)
                ran = _drill(running, settings, beside)
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
        raise UndoIncomplete(f"the sandbox left something behind: {leftover}", hint="run `drill recover`")
    if runner is not None and not runner.undone:
        if broken:
            raise UndoIncomplete(f"{broken}; and not everything is as before", hint=f"drill recover {run_dir}")
    elif broken:
        raise Aborted(
            f"{broken}; the drill was stopped and everything it did is undone",
            hint=f"make room for {run_dir} and start again; what was seen until then is not a result",
        )
    assert report is not None
    return RunResult(run_dir, report, report.exit_code)


def _drill(running: Running, settings: RunSettings, beside: Beside) -> Runner:
    plan, journal = running.compiled.plan, running.journal
    found = _preflight(plan, running.observer, running.sandbox)
    _forbid_blocked(found.findings, settings)
    runner = Runner(
        plan,
        running.sandbox,
        running.observer,
        journal,
        repredict=lambda history_s, baseline: repredict(
            with_measured(plan, _measured(journal)),
            running.compiled.path.rules,
            history_s=history_s,
            baseline=baseline,
        ),
        abort=running.abort,
        end=running.end,
        clock=running.clock,
    )
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
