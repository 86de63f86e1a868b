"""What a run looks like so far: journal events in, view state out. No printing, no clock of its own.

Owns which event changes what is shown. Both the live screen and the plain lines read from it. Times are Unix
seconds on the runner's clock unless a docstring says server time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from drill.core.actions import is_deed
from drill.core.labels import matches
from drill.core.observations import AlertmanagerAlert, AlertSpan, Notification, SliSample
from drill.core.units import parse_duration
from drill.journal import events as e
from drill.plan.model import ExpectedAlert, Plan, PlannedInjection, PredictedAlert, foreseen

BEFORE = "from before the faults"
"""Why an alert that was firing when the timeline started is no surprise."""
KEEP_SAMPLES = 600
"""SLI samples kept for the sparklines: more than any terminal is wide."""


@dataclass
class InjectionView:
    """One injection: ``state`` in words, the last measured effect per replica."""

    planned: PlannedInjection
    state: str = "waiting"
    first_touch: float = 0.0
    effective_at: float = 0.0
    ended_at: float = 0.0
    effects: dict[str, e.EffectMeasured] = field(default_factory=dict)
    problem: str = ""

    @property
    def measured(self) -> float | None:
        """Median over the replicas of the last measured effect, None before the first."""
        values = sorted(effect.measured for effect in self.effects.values())
        return values[len(values) // 2] if values else None


@dataclass
class AlertView:
    """One expected alert. Server times; 0.0: not yet. ``label`` is what it is called on the screen."""

    match: Mapping[str, str]
    label: str
    receiver: str
    predicted: PredictedAlert | None = None
    pending_at: float = 0.0
    firing_at: float = 0.0
    delivered_at: float = 0.0
    resolved_at: float = 0.0
    in_alertmanager_at: float = 0.0
    suppressed_by: str = ""
    firing_now: bool = False

    @property
    def state(self) -> str:
        """``inactive``, ``pending``, ``firing`` or ``resolved``."""
        if self.firing_now:
            return "firing"
        if self.resolved_at:
            return "resolved"
        return "pending" if self.pending_at else "inactive"


@dataclass
class View:
    """Everything the screen shows. Give it each event once, in order, by :meth:`see`."""

    plan: Plan
    phase: str = "starting"
    setting_up: str = "setting up"
    started_at: float = 0.0
    t0: float = 0.0
    finished: bool = False
    undo_complete: bool = True
    skew_s: float = 0.0
    basis: str = ""
    injections: dict[str, InjectionView] = field(default_factory=dict)
    alerts: list[AlertView] = field(default_factory=list)
    others: dict[str, AlertSpan] = field(default_factory=dict)
    slis: dict[str, deque[SliSample]] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    budgets: dict[str, e.BudgetMeasured] = field(default_factory=dict)
    abort: e.AbortRequested | None = None
    events: int = 0

    def __post_init__(self) -> None:
        self.injections = {planned.id: InjectionView(planned) for planned in self.plan.injections}
        self.alerts = [_alert_view(expected) for expected in self.plan.expected]
        self._also = foreseen(self.plan.also)

    @property
    def end_s(self) -> float:
        """When the last fault is planned to end, seconds after T0."""
        return self.plan.end_s

    def see(self, event: e.AnyEvent) -> None:
        """Take in one event."""
        self.events += 1
        match event:
            case e.RunStarted():
                self.started_at = event.at
            case e.PhaseEntered():
                self.phase = event.phase
            case e.Preflight():
                self.skew_s = event.clock_skew_s
            case e.TimelineStarted():
                self.t0 = event.at
            case e.Predicted():
                self._predict(event)
            case e.BaselineMeasured():
                self._sample(event.slis)
            case e.SliSeen():
                self.lost.pop("prometheus", None)
                self._sample(event.samples)
            case e.AlertsSeen():
                self.lost.pop("prometheus", None)
                self._spans(event)
            case e.AlertmanagerSeen():
                self.lost.pop("alertmanager", None)
                self._alertmanager(event.alerts, event.at)
            case e.NotificationsSeen():
                self.lost.pop("sink", None)
                self._notified(event.notifications)
            case e.EvidenceLost():
                self.lost[event.source] = event.error
            case e.BudgetMeasured():
                self.budgets[event.sloth_id] = event
            case e.AbortRequested():
                self.abort = self.abort or event
            case e.RunFinished():
                self.finished, self.undo_complete = True, event.undo_complete
            case _:
                self._injection(event)

    def _injection(self, event: e.AnyEvent) -> None:
        injection = self.injections.get(getattr(event, "injection", ""))
        if injection is None:
            return
        match event:
            case e.UndoRecorded() if injection.state == "waiting":
                injection.state = "applying"
            case e.ActionStarted() if not is_deed(event.action):
                injection.state = "undoing"
            case e.ActionFailed():
                injection.problem = event.error
                if not is_deed(event.action):
                    injection.state = "undo failed"
            case e.EffectMeasured():
                injection.effects[event.replica] = event
            case e.InjectionEffective():
                injection.state = "in effect"
                injection.first_touch, injection.effective_at = event.first_touch, event.since
            case e.InjectionEnded():
                injection.state = "undo failed" if injection.state == "undo failed" else "undone"
                injection.ended_at = event.last
            case e.CleanChecked():
                injection.state = "clean" if event.clean else "NOT CLEAN"
                injection.problem = "" if event.clean else "; ".join(event.differences)
            case _:
                pass

    def _predict(self, event: e.Predicted) -> None:
        self.basis = event.basis
        for alert, predicted in zip(self.alerts, event.expected, strict=False):
            alert.predicted = predicted or alert.predicted
        self._also = foreseen(self._also, event.also)

    def _sample(self, samples: Sequence[SliSample]) -> None:
        for sample in samples:
            kept = self.slis.setdefault(sample.sloth_id, deque(maxlen=KEEP_SAMPLES))
            if not kept or sample.at > kept[-1].at:
                kept.append(sample)

    def _spans(self, event: e.AlertsSeen) -> None:
        for span in sorted(event.spans, key=lambda one: one.start):
            alert = self.alert_of(span.labels)
            if alert is None:
                if span.state == "firing":
                    self.others[_key(span.labels)] = span
            elif span.state == "pending":
                alert.pending_at = alert.pending_at or span.start
            else:
                alert.firing_at = alert.firing_at or span.start
                alert.firing_now = span.open
                alert.resolved_at = 0.0 if span.open else span.end

    def _alertmanager(self, alerts: Sequence[AlertmanagerAlert], at: float) -> None:
        for one in alerts:
            alert = self.alert_of(one.labels)
            if alert is None:
                continue
            alert.in_alertmanager_at = alert.in_alertmanager_at or at
            alert.suppressed_by = ", ".join((*one.silenced_by, *one.inhibited_by))

    def _notified(self, notifications: Sequence[Notification]) -> None:
        for one in notifications:
            alert = self.alert_of(one.labels)
            right = alert is not None and alert.receiver in ("", one.receiver)
            if alert is not None and right and one.status == "firing":
                alert.delivered_at = alert.delivered_at or one.at

    def alert_of(self, labels: Mapping[str, str]) -> AlertView | None:
        """Return the expected alert that *labels* belong to, None for any other."""
        return next((alert for alert in self.alerts if matches(alert.match, labels)), None)

    def foreseen(self, span: AlertSpan) -> str:
        """Say why an alert beside the expected ones is no surprise; empty when it is one."""
        if not self.t0 or span.start <= self.t0 + self.skew_s:
            return BEFORE
        meant = [alert for alert in self._also if matches(alert.labels, span.labels)]
        if any(alert.fires for alert in meant):
            return "as predicted"
        if any(alert.may_fire for alert in meant):
            return "it was predicted that it may"
        return "allowed" if any(matches(labels, span.labels) for labels in self.plan.allow) else ""

    def injection_of(self, predicted: PredictedAlert) -> InjectionView | None:
        """Return the injection that *predicted* counts from: the one that starts when it says."""
        return next((one for one in self.injections.values() if one.planned.at_s == predicted.starts_at_s), None)

    def firing_due(self, alert: AlertView) -> tuple[float, float] | None:
        """Return when *alert* must fire, runner's clock; None before its fault is in effect or if it never will."""
        predicted = alert.predicted
        if predicted is None or predicted.firing_s is None:
            return None
        injection = self.injection_of(predicted)
        if injection is None or not injection.effective_at:
            return None
        low, high = predicted.firing_s
        return (injection.first_touch or injection.effective_at) + low, injection.effective_at + high

    def resolved_due(self, alert: AlertView) -> tuple[float, float] | None:
        """Return when *alert* must resolve, runner's clock; None before the fault has ended."""
        predicted = alert.predicted
        ended = max((one.ended_at for one in self.injections.values()), default=0.0)
        if predicted is None or predicted.resolved_s is None or not ended:
            return None
        return ended + predicted.resolved_s[0], ended + predicted.resolved_s[1]

    def main_slo(self) -> tuple[str, PredictedAlert | None]:
        """Return the SLO the run is about and the prediction whose threshold counts for it."""
        for alert in self.alerts:
            if alert.predicted and alert.predicted.sloth_id:
                return alert.predicted.sloth_id, alert.predicted
        return next(iter(self.slis), ""), None


def burn_rate(sample: SliSample, window_s: float) -> float | None:
    """Return the burn rate over the window of *window_s* seconds, None when it is not recorded."""
    for window, rate in sample.rates.items():
        if abs(parse_duration(window) - window_s) < 0.001:
            return rate
    return None


def _alert_view(expected: ExpectedAlert) -> AlertView:
    predicted = expected.predicted
    named = {**(predicted.labels if predicted else {}), **expected.match}
    slo = named.get("sloth_id") or named.get("alertname", "")
    label = " ".join(part for part in (slo, named.get("severity", "")) if part)
    return AlertView(expected.match, label or _key(expected.match), expected.receiver, predicted)


def _key(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def alert_name(labels: Mapping[str, str]) -> str:
    """Name an alert beside the expected ones: by SLO and severity, else by its name with service and severity."""
    about = labels.get("sloth_id") or labels.get("service") or labels.get("sloth_service", "")
    inside = " ".join(part for part in (about, labels.get("severity", "")) if part)
    return inside if "sloth_id" in labels else f"{labels.get('alertname', 'alert')}({inside})".removesuffix("()")
