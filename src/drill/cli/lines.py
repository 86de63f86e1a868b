"""A run in plain lines: one for every event worth saying, each with its time. Pure.

Before T0 a line carries the seconds since the run started, after it ``T+`` and the seconds since T0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drill.cli.view import AlertView, View, alert_name
from drill.core.actions import describe
from drill.core.units import format_duration, format_ratio
from drill.journal import events as e
from drill.plan.model import PredictedAlert

PHASES: dict[str, str] = {
    "preflight": "preflight: looking before anything is touched",
    "baseline": "baseline: watching healthy traffic",
    "inject": "injecting",
    "hold": "holding the fault",
    "recover": "undoing",
    "resolve": "waiting for the alerts to resolve",
    "done": "",
}


class LineWriter:
    """Turns events into lines. Keeps what it has said of alerts, so that each turn is said once."""

    def __init__(self, view: View, write: Callable[[str], None]) -> None:
        self.view = view
        self._write = write
        self._said: set[str] = set()

    def see(self, event: e.AnyEvent) -> None:
        """Take in *event* and write the lines it is worth."""
        self.view.see(event)
        for line in self._lines(event):
            self._write(f"{offset(self.view, event.at)}  {line}")

    def _lines(self, event: e.AnyEvent) -> Sequence[str]:
        match event:
            case e.AlertsSeen() | e.AlertmanagerSeen() | e.NotificationsSeen():
                return self._alert_lines()
            case e.EvidenceLost():
                return self._once(
                    f"lost {event.source} {event.at}", f"! {event.source} does not answer: {event.error}"
                )
            case e.Predicted():
                return [line for alert in self.view.alerts for line in self._prediction(alert, event)]
            case _:
                return [line] if (line := plain_line(event, self.view)) else []

    def _prediction(self, alert: AlertView, event: e.Predicted) -> Sequence[str]:
        text = f"{alert.label}: {forecast_words(alert.predicted)}"
        return self._once(f"predicted {text}", f"predicted, from {event.basis}: {text}")

    def _alert_lines(self) -> Sequence[str]:
        lines: list[str] = []
        for alert in self.view.alerts:
            name = alert.label
            if alert.pending_at:
                lines += self._once(f"pending {name}", f"alert {name} is pending")
            if alert.firing_at:
                when = _when(self.view, "since", alert.firing_at - self.view.skew_s)
                lines += self._once(f"firing {name}", f"alert {name} is FIRING{when}{_against(self.view, alert)}")
            if alert.suppressed_by:
                lines += self._once(f"suppressed {name}", f"! alert {name} is suppressed by {alert.suppressed_by}")
            if alert.delivered_at:
                to = f" to {alert.receiver}" if alert.receiver else ""
                lines += self._once(f"delivered {name}", f"alert {name} was delivered{to}")
            if alert.resolved_at:
                when = _when(self.view, "at", alert.resolved_at - self.view.skew_s)
                lines += self._once(f"resolved {name} {alert.resolved_at:.0f}", f"alert {name} resolved{when}")
        for key, span in self.view.others.items():
            why = self.view.foreseen(span) or "nobody expected that"
            lines += self._once(f"other {key}", f"alert {alert_name(span.labels)} is firing too: {why}")
        return lines

    def _once(self, key: str, line: str) -> Sequence[str]:
        if key in self._said:
            return []
        self._said.add(key)
        return [line]


def plain_line(event: e.AnyEvent, view: View) -> str:
    """Return the line of an event that needs no memory; empty when it is not worth one."""
    match event:
        case e.PhaseEntered():
            return PHASES[event.phase]
        case e.Preflight():
            return _findings(event)
        case e.BaselineMeasured():
            worst = max((sample.error_ratio for sample in event.slis), default=0.0)
            age = format_duration(event.history_s)
            return f"healthy: {len(event.slis)} SLOs, highest error ratio {format_ratio(worst)}, history {age}"
        case e.TimelineStarted():
            return f"T0: the timeline starts; the last fault ends at T+{view.end_s:.0f}s"
        case e.ActionDone():
            return describe(event.action)
        case e.ActionFailed():
            return f"! {describe(event.action)}: failed: {event.error}"
        case e.EffectMeasured():
            return _effect(event)
        case e.PrometheusRestarted():
            return "! Prometheus restarted: predictions no longer hold"
        case e.AbortRequested():
            return f"! abort ({event.by}): {event.reason}; the undo begins"
        case e.RunFinished():
            left = "" if event.undo_complete else "; the undo is INCOMPLETE"
            return f"{'aborted' if event.aborted else 'finished'}{left}"
        case _:
            return _injection_line(event, view)


def _injection_line(event: e.AnyEvent, view: View) -> str:
    match event:
        case e.InjectionEffective():
            return f"{event.injection}: in effect on every replica; the alert clock runs"
        case e.InjectionEnded():
            if view.injections[event.injection].state == "undo failed":
                return f"{event.injection}: ! the undo FAILED; what is left is looked at now"
            return f"{event.injection}: undone"
        case e.CleanChecked():
            return f"{event.injection}: " + (
                "verified clean" if event.clean else f"! NOT clean: {'; '.join(event.differences)}"
            )
        case e.BudgetMeasured():
            return f"budget of {event.sloth_id}: {_percent(event.spent)} of the month spent"
        case e.Recovered():
            return f"recovered: {', '.join(event.undone) or 'nothing to do'}"
        case _:
            return ""


def offset(view: View, at: float) -> str:
    """Return the time of a line, 9 characters wide: ``   4.1s``, or ``T+  12.3s`` once the timeline runs."""
    if view.t0:
        return f"T+{at - view.t0:6.1f}s"
    return f"{at - view.started_at:8.1f}s" if view.started_at else " " * 9


def forecast_words(predicted: PredictedAlert | None) -> str:
    """Say what a prediction says: ``fires 7.2s to 11.9s after the fault is in effect``, or that it may."""
    if predicted is None:
        return "no prediction"
    if predicted.may_fire and not predicted.fires:
        return f"may fire: {predicted.why.removeprefix('it may fire, ')}"
    if not predicted.fires or predicted.firing_s is None:
        return f"does not fire: {predicted.why}"
    return f"fires {span_words(predicted.firing_s)} after the fault is in effect"


def span_words(interval: tuple[float, float]) -> str:
    """Render an interval of seconds: ``7.2s to 11.9s``; an open end is ``later``."""
    low, high = (max(0.0, edge) for edge in interval)
    return f"{format_duration(low)} to {'later' if high == float('inf') else format_duration(high)}"


def _when(view: View, word: str, at: float) -> str:
    """An alert is seen a moment after it changed; this is when it really did."""
    return f" {word} T+{at - view.t0:.1f}s" if view.t0 else ""


def _against(view: View, alert: AlertView) -> str:
    due = view.firing_due(alert)
    if due is None:
        return ""
    seen = alert.firing_at - view.skew_s
    if due[0] <= seen <= due[1]:
        return ", as predicted"
    return (
        f", {due[0] - seen:.1f} s before"
        if seen < due[0]
        else f", {seen - due[1]:.1f} s after the predicted interval"
    )


def _findings(event: e.Preflight) -> str:
    found = [f"{finding.check}: {finding.text}" for finding in event.findings if finding.level != "info"]
    rules = f"{len(event.rules)} alert rules loaded"
    return f"preflight: {rules}" + (f"; {'; '.join(found)}" if found else ", nothing in the way")


def _effect(event: e.EffectMeasured) -> str:
    mark = "" if event.holds else " (not enough yet)"
    numbers = f"{number(event.measured)} {event.unit} measured, {number(event.expected)} {event.unit} wanted"
    return f"{event.replica}: {numbers}{mark}" + (f" {event.detail}" if event.detail else "")


def number(value: float) -> str:
    """Render a measured value with three significant digits at most."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _percent(ratio: float) -> str:
    return f"{ratio * 100:.2g}%"
