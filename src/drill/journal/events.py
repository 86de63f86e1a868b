"""The closed union of what may stand in a journal.

An event's ``at`` is Unix seconds on the runner's clock. Times inside evidence (alert spans, Alertmanager
alerts) are the server's; ``Preflight.clock_skew_s`` ties the two.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from drill.core.actions import Action
from drill.core.facts import Endpoints
from drill.core.observations import AlertmanagerAlert, AlertSpan, Notification, RuleStatus, SliSample
from drill.core.values import Value
from drill.plan.model import Finding, PredictedAlert

Phase = Literal["preflight", "baseline", "inject", "hold", "recover", "resolve", "done"]


class Event(Value):
    """Base: ``seq`` counts from 0 without gaps, so a cut or edited journal shows."""

    seq: int = 0
    at: float = 0.0


class RunStarted(Event):
    """First line of every journal."""

    kind: Literal["run-started"] = "run-started"
    run_id: str
    plan_sha256: str
    drill_version: str
    pid: int
    host: str
    endpoints: Endpoints
    forced: bool = False


class PhaseEntered(Event):
    """The run went on to its next phase."""

    kind: Literal["phase"] = "phase"
    phase: Phase


class Preflight(Event):
    """What was found before anything was touched."""

    kind: Literal["preflight"] = "preflight"
    findings: tuple[Finding, ...]
    rules: tuple[RuleStatus, ...] = ()
    clock_skew_s: float = 0.0
    """Prometheus's clock minus the runner's."""
    prometheus_started_at: float = 0.0


class BaselineMeasured(Event):
    """Healthy values just before T0: per SLO the history's age (s), the error ratio and the traffic."""

    kind: Literal["baseline"] = "baseline"
    history_s: float
    slis: tuple[SliSample, ...]


class TimelineStarted(Event):
    """T0: the plan's timeline runs from this event's ``at``."""

    kind: Literal["t0"] = "t0"


class Predicted(Event):
    """The prediction in force from now on; ``basis`` says what it was computed from."""

    kind: Literal["predicted"] = "predicted"
    basis: str
    expected: tuple[PredictedAlert | None, ...]
    """In the order of ``Plan.expected``."""
    also: tuple[PredictedAlert, ...] = ()


class UndoRecorded(Event):
    """Written, and synced to disk, before ``action`` is done: what takes it back."""

    kind: Literal["undo-recorded"] = "undo-recorded"
    injection: str
    action: Action
    undo: Action


class ActionStarted(Event):
    """The target was asked to do an action."""

    kind: Literal["action-started"] = "action-started"
    injection: str
    action: Action


class ActionDone(Event):
    """The target did an action at ``done_at``."""

    kind: Literal["action-done"] = "action-done"
    injection: str
    action: Action
    done_at: float


class ActionFailed(Event):
    """The target could not do an action."""

    kind: Literal["action-failed"] = "action-failed"
    injection: str
    action: Action
    error: str


class EffectMeasured(Event):
    """The effect at one replica: ``measured`` against ``expected``; ``holds`` when it proves the fault."""

    kind: Literal["effect"] = "effect"
    injection: str
    replica: str
    measured: float
    baseline: float
    expected: float
    unit: str
    holds: bool
    detail: str = ""


class InjectionEffective(Event):
    """All replicas show the effect: the alert clock of this injection runs from ``since``.

    ``first_touch`` is when the first replica was touched, which bounds the effect from below.
    """

    kind: Literal["injection-effective"] = "injection-effective"
    injection: str
    first_touch: float
    since: float


class InjectionEnded(Event):
    """All undos of an injection were done; ``first`` and ``last`` bound the end of the effect."""

    kind: Literal["injection-ended"] = "injection-ended"
    injection: str
    first: float
    last: float


class CleanChecked(Event):
    """The state after the undo against the snapshot from before, per replica; empty ``differences``: clean."""

    kind: Literal["clean"] = "clean"
    injection: str
    clean: bool
    differences: tuple[str, ...] = ()


class SliSeen(Event):
    """SLIs while the run goes on, for charts and guardrails."""

    kind: Literal["sli"] = "sli"
    samples: tuple[SliSample, ...]


class AlertsSeen(Event):
    """Alert states from raw ``ALERTS`` samples over ``[start, end]`` (server time): the exact times."""

    kind: Literal["alerts"] = "alerts"
    start: float
    end: float
    spans: tuple[AlertSpan, ...]
    query: str = ""
    missed: tuple[tuple[float, float], ...] = ()
    """Times in ``[start, end]`` in which no rule was evaluated: there, the absence of an alert shows nothing."""


class AlertmanagerSeen(Event):
    """All alerts Alertmanager held at this moment; written only when the set changed."""

    kind: Literal["alertmanager"] = "alertmanager"
    alerts: tuple[AlertmanagerAlert, ...]


class NotificationsSeen(Event):
    """Notifications that arrived at the sink since the last such event."""

    kind: Literal["notifications"] = "notifications"
    notifications: tuple[Notification, ...]


class EvidenceLost(Event):
    """A server did not answer; what it would have shown is unknown from here to the next answer."""

    kind: Literal["evidence-lost"] = "evidence-lost"
    source: Literal["prometheus", "alertmanager", "sink", "target"]
    error: str


class PrometheusRestarted(Event):
    """Prometheus's start time changed during the run: predictions are invalid."""

    kind: Literal["prometheus-restarted"] = "prometheus-restarted"
    started_at: float


class BudgetMeasured(Event):
    """What the run cost, per SLO: shares of the whole period's error budget."""

    kind: Literal["budget"] = "budget"
    sloth_id: str
    spent: float
    remaining: float | None = None


class AbortRequested(Event):
    """The run must end now; ``by`` is ``guardrail``, ``user`` or ``engine``."""

    kind: Literal["abort"] = "abort"
    by: Literal["guardrail", "user", "engine"]
    reason: str


class RunFinished(Event):
    """Last line of a journal whose runner lived to write it."""

    kind: Literal["run-finished"] = "run-finished"
    aborted: bool
    undo_complete: bool


class Recovered(Event):
    """``drill recover`` did the undos that a dead runner left."""

    kind: Literal["recovered"] = "recovered"
    undone: tuple[str, ...]
    remaining: tuple[str, ...] = ()


AnyEvent = (
    RunStarted | PhaseEntered | Preflight | BaselineMeasured | TimelineStarted | Predicted | UndoRecorded
    | ActionStarted | ActionDone | ActionFailed | EffectMeasured | InjectionEffective | InjectionEnded
    | CleanChecked | SliSeen | AlertsSeen | AlertmanagerSeen | NotificationsSeen | EvidenceLost
    | PrometheusRestarted | BudgetMeasured | AbortRequested | RunFinished | Recovered
)  # fmt: skip
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="kind")])
