"""The closed union of what may stand in ``gameday.jsonl``, and what it adds up to. ``at`` is Unix seconds.

The runs keep their own journals; here stands which run belongs to which step, and what people agreed to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from drill.core.values import Value

Verdict = Literal["pass", "fail", "unknown", "aborted"]
Level = Literal["ok", "note", "block"]


class Event(Value):
    """Base: ``seq`` counts from 0 without gaps, so a cut or edited journal shows."""

    seq: int = 0
    at: float = 0.0


class PlannedStep(Value):
    """One scenario that is to be played."""

    id: str
    scenario: str
    title: str = ""
    brief: str = ""
    parameters: dict[str, str] = {}
    seed: int = 0


class Started(Event):
    """First line of every game day."""

    kind: Literal["started"] = "started"
    drill: str
    title: str
    owner: str
    goal: str
    hypothesis: str
    sha256: str
    drill_version: str
    pid: int
    target: str
    fast_forward: float
    order: Literal["sequence", "parallel"]
    steps: tuple[PlannedStep, ...]
    cooldown_s: float
    """Seconds as they really pass (fast-forward applied)."""
    roles: dict[str, str] = {}
    participants: tuple[tuple[str, str], ...] = ()
    """Name and role."""
    approvals: tuple[tuple[str, str], ...] = ()
    """Role, and who agreed."""
    scheduled_for: float | None = None
    forced: bool = False


class Check(Value):
    """One prerequisite. ``block`` keeps the drill from beginning, unless it is forced."""

    check: str
    level: Level
    text: str
    fix: str = ""


class Checked(Event):
    """What was found before anything began."""

    kind: Literal["checked"] = "checked"
    checks: tuple[Check, ...]


class Announced(Event):
    """Something was said to a channel; ``error`` says why it did not get there."""

    kind: Literal["announced"] = "announced"
    moment: Literal["start", "result"]
    channel: str
    text: str
    error: str = ""


class StepStarted(Event):
    """A scenario begins; ``attempt`` counts from 1."""

    kind: Literal["step-started"] = "step-started"
    step: str
    attempt: int


class RunLinked(Event):
    """The step's run has its directory ``run``, beside that of the game day."""

    kind: Literal["run-linked"] = "run-linked"
    step: str
    run: str


class StepFinished(Event):
    """The scenario has a verdict, or ``error`` says why it has none."""

    kind: Literal["step-finished"] = "step-finished"
    step: str
    run: str = ""
    verdict: Verdict
    exit_code: int
    headline: str = ""
    error: str = ""
    budget_spent: dict[str, float] = {}
    """Share of each SLO's budget, 0..1."""


class StepRecovered(Event):
    """After a crash: what the interrupted run had left was removed, or is ``remaining``."""

    kind: Literal["step-recovered"] = "step-recovered"
    step: str
    run: str = ""
    undone: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()


class StepSkipped(Event):
    """The step is not played (again)."""

    kind: Literal["step-skipped"] = "step-skipped"
    step: str
    why: str


class CooldownStarted(Event):
    """Rest before the next step, so that Alertmanager's groups of the last one are over."""

    kind: Literal["cooldown"] = "cooldown"
    seconds: float


class Resumed(Event):
    """Another process goes on where one died."""

    kind: Literal["resumed"] = "resumed"
    pid: int
    interrupted: tuple[str, ...] = ()


class Stopped(Event):
    """Nothing more begins."""

    kind: Literal["stopped"] = "stopped"
    why: str


class Finished(Event):
    """Last line. ``verdict`` is the worst of the steps'; ``exit_code`` is the process's."""

    kind: Literal["finished"] = "finished"
    verdict: Verdict
    exit_code: int


AnyEvent = Annotated[
    Started | Checked | Announced | StepStarted | RunLinked | StepFinished | StepRecovered | StepSkipped
    | CooldownStarted | Resumed | Stopped | Finished,
    Field(discriminator="kind"),
]  # fmt: skip
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)

State = Literal["waiting", "running", "interrupted", "finished", "skipped"]


class Step(Value):
    """What has become of one step. ``run`` is its latest run directory's name."""

    planned: PlannedStep
    state: State = "waiting"
    attempts: int = 0
    run: str = ""
    verdict: Verdict | None = None
    exit_code: int = 0
    headline: str = ""
    error: str = ""
    why: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    recovered: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()
    budget_spent: dict[str, float] = {}
    earlier_runs: tuple[str, ...] = ()


class Progress(Value):
    """A game day as its journal tells it. ``started`` is None for an empty journal."""

    started: Started | None = None
    steps: tuple[Step, ...] = ()
    checks: tuple[Check, ...] = ()
    announced: tuple[Announced, ...] = ()
    stopped: str = ""
    finished: Finished | None = None
    resumed: int = 0

    @property
    def open(self) -> tuple[Step, ...]:
        """The steps that still have to be played, in order."""
        return tuple(step for step in self.steps if step.state in ("waiting", "interrupted"))


def progress(events: Iterable[AnyEvent], *, alive: bool) -> Progress:
    """Fold *events*. Without a process that is *alive*, a step that never finished was interrupted. Pure."""
    state = Progress()
    for event in events:
        state = _fold(state, event)
    if not alive:
        state = state.with_(
            steps=tuple(
                step.with_(state="interrupted") if step.state == "running" else step for step in state.steps
            )
        )
    return state


def _fold(state: Progress, event: AnyEvent) -> Progress:
    match event:
        case Started():
            return state.with_(started=event, steps=tuple(Step(planned=planned) for planned in event.steps))
        case Checked():
            return state.with_(checks=event.checks)
        case Announced():
            return state.with_(announced=(*state.announced, event))
        case Stopped():
            return state.with_(stopped=event.why)
        case Resumed():
            return state.with_(resumed=state.resumed + 1, stopped="")
        case Finished():
            return state.with_(finished=event)
        case CooldownStarted():
            return state
        case _:
            steps = tuple(_step(step, event) if step.planned.id == event.step else step for step in state.steps)
            return state.with_(steps=steps)


def _step(step: Step, event: StepStarted | RunLinked | StepFinished | StepRecovered | StepSkipped) -> Step:
    match event:
        case StepStarted():
            earlier = (*step.earlier_runs, step.run) if step.run else step.earlier_runs
            return step.with_(
                state="running", attempts=event.attempt, started_at=event.at, run="", earlier_runs=earlier
            )
        case RunLinked():
            return step.with_(run=event.run)
        case StepFinished():
            return step.with_(
                state="finished", run=event.run or step.run, verdict=event.verdict, exit_code=event.exit_code,
                headline=event.headline, error=event.error, finished_at=event.at, budget_spent=event.budget_spent,
            )  # fmt: skip
        case StepRecovered():
            return step.with_(state="interrupted", recovered=event.undone, remaining=event.remaining)
        case StepSkipped():
            return step.with_(state="skipped", why=event.why)
