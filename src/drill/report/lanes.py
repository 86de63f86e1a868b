"""What stands in the lanes of the chart: one per fault, one per alert, with bars, marks and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass

from drill.core.clock import parse_rfc3339
from drill.core.labels import matches, render
from drill.report.model import Alert, Injection, Report
from drill.report.svg import time_label
from drill.report.words import lane_name
from drill.verify.model import AlertVerdict


@dataclass(frozen=True)
class Bar:
    """A time in which something was the case, in seconds after T0."""

    start: float
    end: float
    kind: str
    title: str


@dataclass(frozen=True)
class Mark:
    """A moment, in seconds after T0."""

    at: float
    kind: str
    title: str


@dataclass(frozen=True)
class Lane:
    """One row: ``says`` is its verdict in a word or two, ``tone`` good, bad, doubt or calm."""

    kind: str
    label: str
    title: str
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...] = ()
    predicted: tuple[float, float] | None = None
    says: str = ""
    tone: str = "calm"


BRIEF = {
    AlertVerdict.RESOLVED_WITHOUT_TRAFFIC: "traffic gone",
    AlertVerdict.PREDICTION_INVALID: "not judged",
    AlertVerdict.NO_EVIDENCE: "no evidence",
}
"""Verdicts too long for the margin of a chart."""


def tone_of(verdict: AlertVerdict) -> str:
    """Good, bad or doubt."""
    return {"pass": "good", "fail": "bad"}.get(verdict.outcome, "doubt")


def say(verdict: AlertVerdict) -> str:
    """The enum's value as words: ``on time``."""
    return verdict.value.lower().replace("_", " ")


def lanes_of(report: Report) -> tuple[Lane, ...]:
    """All lanes, in the order in which a reader wants them: faults, expected alerts, the rest."""
    lanes = [_fault(report, injection) for injection in report.injections]
    lanes += [_alert(report, alert, demanded=True) for alert in report.alerts]
    lanes += [_alert(report, alert, demanded=False) for alert in report.also_alerts if alert.firing_at]
    lanes += [_alert(report, alert, demanded=True) for alert in report.unexpected_alerts]
    lanes += [_alert(report, alert, demanded=False) for alert in report.allowed_alerts]
    return tuple(lanes)


def _after(report: Report, at: str | None) -> float | None:
    return None if at is None or report.t0 is None else parse_rfc3339(at) - parse_rfc3339(report.t0)


def _last(report: Report) -> float:
    ends = [span.end_s for span in report.spans] + [_after(report, report.finished_at) or 0.0]
    return max(ends)


def _fault(report: Report, injection: Injection) -> Lane:
    start = _after(report, injection.applied_at)
    end = _after(report, injection.reverted_at)
    label = f"{injection.fault} · {injection.id}" if injection.id != injection.fault else injection.fault
    if start is None:
        return Lane("fault", label, f"{label}: never in place", (), says="not done", tone="doubt")
    until = end if end is not None else _last(report)
    title = f"{label}: from {time_label(round(start, 1))} to {time_label(round(until, 1))}"
    effective = _after(report, injection.effective_at)
    marks = (
        ()
        if effective is None
        else (Mark(effective, "effect", f"effect measured {time_label(round(effective, 1))}"),)
    )
    says, tone = {True: ("clean", "good"), False: ("not clean", "bad"), None: ("unproven", "doubt")}[
        injection.clean
    ]
    return Lane("fault", label, title, (Bar(start, until, "fault", title),), marks, says=says, tone=tone)


def _alert(report: Report, alert: Alert, *, demanded: bool) -> Lane:
    name = alert.labels.get("alertname") or render(alert.match)
    match = alert.match or alert.labels
    bars = tuple(
        Bar(
            max(span.start_s, -1e9),
            span.end_s,
            span.state if demanded else f"{span.state} quiet",
            f"{name} {span.state} from {time_label(round(span.start_s, 1))}",
        )
        for span in report.spans
        if matches(match, span.labels)
    )
    marks = tuple(
        Mark(
            note.offset_s,
            note.status,
            f"{note.receiver} got {note.status} at {time_label(round(note.offset_s, 1))}",
        )
        for note in report.notifications
        if matches(match, note.labels)
    )
    says = BRIEF.get(alert.verdict, say(alert.verdict)) if demanded else ("also" if alert.predicted else "allowed")
    return Lane(
        "alert",
        lane_name({**alert.match, **alert.labels}),
        render(alert.labels),
        bars,
        marks,
        predicted=_predicted(report, alert),
        says=says,
        tone=tone_of(alert.verdict) if demanded else "calm",
    )


def _predicted(report: Report, alert: Alert) -> tuple[float, float] | None:
    if alert.predicted is None:
        return None
    low, high = _after(report, alert.predicted.earliest), _after(report, alert.predicted.latest)
    return None if low is None or high is None else (low, high)
