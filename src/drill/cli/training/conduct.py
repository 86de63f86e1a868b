"""One training on a target, from its compiled scenario to its debrief: joins the stage with a run that goes on.

The run has its own thread and its own crash safety (journal, leases, a sandbox that dies with its runner); this
module only orders: end the faults, abort, add a second scenario. The person's terminal has the main thread.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from drill.cli import wiring
from drill.cli.folders import new_folder
from drill.cli.settings import RunSettings
from drill.cli.training.books import reader, rule_texts
from drill.cli.training.lookout import Lookout
from drill.cli.training.record import EVENTS, Recorder
from drill.core.errors import DrillError
from drill.engine.steady import SteadyClock
from drill.plan.model import Plan
from drill.scenario.loader import Loaded
from drill.training import events as t
from drill.training.commands import FacilitatorNote
from drill.training.given import AbortRun, Added, AddFaults, EndFaults, Gone, Order, Stop, Tick
from drill.training.hold import held
from drill.training.leading import PAUSE_LIMIT_S
from drill.training.live import LiveStage
from drill.training.script import Script, ServiceCalls, Setting, healthy_when, script_of
from drill.training.views import Link

FOLDER = "training"
"""What a session's folder is called: it says nothing of the scenario."""
JOIN_S = 120.0


@dataclass(frozen=True)
class Wish:
    """What a session is asked for."""

    scenario: str
    settings: RunSettings
    limit_s: float = 900.0
    solo: bool = True
    lesson: str = ""
    brief: str = ""


@dataclass
class Second:
    """A second scenario that was added."""

    running: wiring.Running | None = None
    abort: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None


class Conductor:
    """Conducts one session. ``stage`` is what front ends talk to; ``run_dir`` is its folder."""

    def __init__(self, wish: Wish) -> None:
        """Compile the scenario and make the folder. Raises ProblemsFound, UsageError; nothing is touched."""
        self.wish = wish
        self.compiled = wiring.compile_plan(wish.scenario, wish.settings, self._held)
        self.clock = SteadyClock()
        self.run_dir = new_folder(wish.settings.out, FOLDER)
        self._recorder = Recorder(self.run_dir / EVENTS)
        self.stage = LiveStage(self._script(), self.clock, self._recorder.write, self._carry_out)
        self.error: Exception | None = None
        self.running: wiring.Running | None = None
        self._abort = threading.Event()
        self._ready = threading.Event()
        self._seconds: list[Second] = []
        self._thread = threading.Thread(target=self._run, name="drill-training", daemon=True)

    def _held(self, loaded: Loaded, fast_forward: float) -> Loaded:
        return _hold(loaded, fast_forward, self.wish.limit_s + PAUSE_LIMIT_S)

    def _script(self) -> Script:
        scenario = self.compiled.loaded.scenario
        assert scenario is not None
        facts = self.compiled.place.facts()
        setting = Setting(
            session=self.run_dir.name,
            nonce=secrets.token_hex(16),
            limit_s=self.wish.limit_s,
            solo=self.wish.solo,
            rules=rule_texts(self.compiled.alert_path.rules_text),
            services=tuple(ServiceCalls(name=one.name, calls=one.calls) for one in facts.services),
            lesson=self.wish.lesson,
            brief=self.wish.brief,
        )
        return script_of(scenario, self.compiled.plan, setting)

    # ---- its life ----

    def start(self) -> None:
        """Begin: the target comes up, and after a while something breaks."""
        self._thread.start()

    def until_ready(self, timeout_s: float) -> bool:
        """Wait until the target is up or has failed; True when it is up."""
        self._ready.wait(timeout_s)
        return self.running is not None

    def stop(self, reason: str) -> None:
        """End everything, undo included; safe in a signal handler, because it does not wait."""
        threading.Thread(target=self.stage.give, args=(Stop(reason),), daemon=True).start()
        self._abort.set()

    def finish(self) -> None:
        """Wait for the end of the run, its undo and its sandbox's end included."""
        self._thread.join()
        self._recorder.close()

    def _run(self) -> None:
        settings = replace(self.wish.settings, run_dir=self.run_dir)
        try:
            wiring.run(self.compiled, settings, self.stage.hear, self._abort, None, self._beside)
        except Exception as error:  # whatever it is, the person must not wait for a run that is no more
            self.error = error
            self.stage.give(Gone(str(error) or type(error).__name__))
        else:
            self.stage.give(Gone())
        finally:
            self._ready.set()

    @contextlib.contextmanager
    def _beside(self, running: wiring.Running) -> Iterator[None]:
        """While the run goes on, look around; after its end the target stays until the session is over."""
        self.running = running
        ends = running.sandbox.endpoints()
        links = (
            Link(name="Prometheus", url=ends.prometheus),
            Link(name="Alertmanager", url=ends.alertmanagers[0]),
        )
        self.stage.look_around(links=links, ready=True, runbook=reader(running.sandbox.spec.fast_forward))
        with Lookout(self.stage, running, self._candidates).looking():
            self._ready.set()
            try:
                yield
                self._until_over()
            finally:
                self._end_seconds(at_once=True)

    def _until_over(self) -> None:
        version = 0
        while not self.stage.state.over_at and not self._abort.is_set():
            self.stage.give(Tick())
            version = self.stage.wait_for_change(version, 0.5)

    # ---- orders ----

    def _carry_out(self, order: Order) -> str:
        match order:
            case EndFaults():
                if self.running is not None:
                    self.running.end.set()
                self._end_seconds(at_once=False)
                return ""
            case AbortRun():
                self._abort.set()
                self._end_seconds(at_once=True, wait=False)
                return ""
            case AddFaults():
                return self._add(order.scenario)

    def _end_seconds(self, *, at_once: bool, wait: bool = True) -> None:
        for second in self._seconds:
            if at_once:
                second.abort.set()
            elif second.running is not None:
                second.running.end.set()
            else:
                second.abort.set()
            if at_once and wait and second.thread is not None:
                second.thread.join(JOIN_S)

    # ---- a second scenario ----

    def _add(self, wanted: str) -> str:
        """Start the faults of *wanted* (``NAME`` or ``NAME on SERVICE``); return why that cannot be."""
        if self.running is None:
            return "the target is not up"
        try:
            compiled, settings = self._second(wanted)
            folder = new_folder(self.wish.settings.out, FOLDER)
        except DrillError as error:
            return f"{wanted}: {error}"
        if shared := sorted(_touched(compiled.plan) & self._in_use()):
            with contextlib.suppress(OSError):
                folder.rmdir()
            return f"{wanted} would touch what is broken already: {', '.join(shared)}"
        scenario = compiled.loaded.scenario
        assert scenario is not None
        second = Second()
        self._seconds.append(second)
        event = t.Escalated(scenario=wanted, folder=folder.name, healthy=healthy_when(scenario, compiled.plan))
        self.stage.give(Added(event))
        second.thread = threading.Thread(
            target=self._run_second, args=(second, compiled, replace(settings, run_dir=folder)), daemon=True
        )
        second.thread.start()
        return ""

    def _second(self, wanted: str) -> tuple[wiring.CompiledPlan, RunSettings]:
        """Compile a second scenario for the target as it runs. Raises DrillError."""
        assert self.running is not None
        name, _, service = wanted.partition(" on ")
        settings = replace(
            self.wish.settings,
            target=f"sandbox:{self.running.sandbox.id}",
            sets={"service": service.strip()} if service else {},
        )
        hold_s = self.wish.limit_s + PAUSE_LIMIT_S
        compiled = wiring.compile_plan(
            name.strip(), settings, lambda loaded, speed: _hold(loaded, speed, hold_s, second=True)
        )
        return compiled, settings

    def _run_second(self, second: Second, compiled: wiring.CompiledPlan, settings: RunSettings) -> None:
        assert settings.run_dir is not None
        name = settings.run_dir.name

        @contextlib.contextmanager
        def beside(running: wiring.Running) -> Iterator[None]:
            second.running = running
            yield

        try:
            wiring.run(compiled, settings, lambda event: self.stage.hear(event, name), second.abort, None, beside)
        except DrillError as error:
            self.stage.facilitator_does(_note(f"the second fault did not go well: {error}"))

    def _in_use(self) -> frozenset[str]:
        running = [self.running, *(second.running for second in self._seconds)]
        return frozenset().union(*(_touched(one.compiled.plan) for one in running if one is not None))

    def _candidates(self) -> tuple[str, ...]:
        """The scenarios that may be added now, each with a service where it takes one."""
        from drill.cli.catalogue import catalogue

        found = []
        for entry in catalogue():
            if entry.problems:
                continue
            services = [one.name for one in self.stage.script.services] if "service" in entry.parameters else [""]
            for service in services:
                wanted = f"{entry.call} on {service}" if service else entry.call
                try:
                    compiled, _ = self._second(wanted)
                except DrillError:
                    continue
                if not _touched(compiled.plan) & self._in_use():
                    found.append(wanted)
        return tuple(found)


def _hold(loaded: Loaded, fast_forward: float, hold_s: float, *, second: bool = False) -> Loaded:
    assert loaded.scenario is not None
    scenario, params = held(loaded.scenario, loaded.fault_params, hold_s, fast_forward, second=second)
    return replace(loaded, scenario=scenario, fault_params=params)


def _touched(plan: Plan) -> frozenset[str]:
    steps = [step for injection in plan.injections for step in injection.steps]
    return frozenset().union(*(step.action.touches() for step in steps))


def _note(text: str) -> FacilitatorNote:
    return FacilitatorNote(text=text)
