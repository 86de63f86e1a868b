"""The sentences of a report: names as people say them, and the one line to read at three in the morning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drill.core.labels import render
from drill.core.units import format_duration
from drill.plan.model import Plan
from drill.verify.model import AlertVerdict, JudgedAlert, Verdict

KINDS = {"page": "page", "ticket": "ticket", "log": "log entry"}


def subject(plan: Plan, alert: JudgedAlert) -> str:
    """Name an alert the way people do: ``page for checkout latency``."""
    labels = {**alert.labels, **alert.match}
    kind = KINDS.get(labels.get("severity", ""), "alert")
    slo = next((slo for slo in plan.slos if slo.sloth_id == labels.get("sloth_id")), None)
    if slo is not None:
        return f"{kind} for {slo.service} {slo.name}"
    what = labels.get("sloth_id", "").replace("-", " ") or labels.get("alertname", "") or render(labels)
    return f"{kind} for {what}"


def lane_name(labels: Mapping[str, str]) -> str:
    """Name an alert where there is little room: ``page · checkout-latency``; the alertname where it has no SLO."""
    parts = [labels[name] for name in ("severity", "sloth_id") if labels.get(name)]
    return " · ".join(parts) if labels.get("sloth_id") else labels.get("alertname", "") or render(labels)


def short_name(labels: Mapping[str, str]) -> str:
    """Name an alert by what tells it apart: ``SLOLatencyFastBurn (checkout-latency, page)``."""
    parts = [labels[name] for name in ("sloth_id", "severity") if labels.get(name)]
    if labels.get("service") and not labels.get("sloth_id"):
        parts.insert(0, labels["service"])
    name = labels.get("alertname", "")
    return f"{name} ({', '.join(parts)})" if name and parts else name or render(labels)


def suffering(plan: Plan, alert: JudgedAlert) -> str:
    """Say what users had by the time the effect was measured: slow answers, errors, or just the fault."""
    labels = {**alert.labels, **alert.match}
    slo = next((slo for slo in plan.slos if slo.sloth_id == labels.get("sloth_id")), None)
    if slo is None:
        return "the fault took effect"
    return "users were slow" if slo.threshold_s is not None or "latency" in slo.name else "users got errors"


def interval(alert: JudgedAlert) -> str:
    """The predicted interval after the effect, one unit for both ends where they share it: ``6.8–11.9 s``."""
    if alert.predicted is None or alert.since is None:
        return ""
    low, high = alert.predicted
    return interval_s((low - alert.since, high - alert.since))


def interval_s(edges: tuple[float, float]) -> str:
    """An interval of seconds after the effect, from 0 on, in one unit where both ends share it."""
    low, high = (max(0.0, edge) for edge in edges)
    if high < 60:
        return f"{low:.1f}–{high:.1f} s"
    return f"{format_duration(low)}–{format_duration(high)}"


def seconds(value: float) -> str:
    """A duration in running text: ``7.9 s``, ``62 ms``, ``4m30s``."""
    if abs(value) < 0.0995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if abs(value) < 60 else format_duration(value)


def headline(plan: Plan, verdict: Verdict) -> str:
    """The one sentence a tired on-call engineer needs; the most important thing wins."""
    if not verdict.undo_complete:
        return f"Something of the drill may still be in place: run 'drill recover' now. Verdict: {verdict.outcome}."
    return _of_outcome(plan, verdict)


def _of_outcome(plan: Plan, verdict: Verdict) -> str:
    reason = verdict.reasons[0] if verdict.reasons else ""
    if verdict.outcome == "aborted":
        return f"The drill was ended before it could prove anything: {reason}."
    bad = [alert for alert in verdict.alerts if alert.verdict.outcome == "fail"]
    if verdict.outcome == "fail" and bad:
        return sentence(plan, bad[0]) + _more(bad[1:])
    if verdict.outcome == "fail" and verdict.unexpected and plan.nothing_else:
        stranger = verdict.unexpected[0]
        good = f" {sentence(plan, verdict.alerts[0])}" if verdict.alerts else ""
        return (
            f"{short_name(stranger.labels)} fired although nobody expected it."
            + _more(verdict.unexpected[1:])
            + good
        )
    if verdict.outcome in ("fail", "unknown"):
        doubtful = [alert for alert in verdict.alerts if alert.verdict.outcome == "unknown"]
        if doubtful and verdict.reasons[0].endswith(doubtful[0].why):
            return sentence(plan, doubtful[0]) + _more(doubtful[1:])
        what = "The drill failed" if verdict.outcome == "fail" else "The drill proves nothing either way"
        return f"{what}: {reason}." if reason else f"{what}."
    return " ".join(sentence(plan, alert) for alert in verdict.alerts)


def _more(others: Sequence[JudgedAlert]) -> str:
    return f" ({len(others)} more below.)" if others else ""


def sentence(plan: Plan, alert: JudgedAlert) -> str:
    """Tell one alert's story in one sentence."""
    who = f"The {subject(plan, alert)}"
    if alert.verdict is not AlertVerdict.ON_TIME:
        return f"{who} {_trouble(plan, alert)}."
    parts = [f"{who} fired {_fired(plan, alert)}"]
    if alert.delivered_at is not None and alert.firing_at is not None:
        receiver = alert.expected_receiver or ", ".join(alert.receivers)
        parts.append(f"reached {receiver} {seconds(max(0.0, alert.delivered_at - alert.firing_at))} later")
    if alert.resolved_at is not None and alert.fault_ended is not None:
        after = alert.resolved_at - alert.fault_ended
        parts.append(f"resolved {seconds(after)} after the fault ended" if after >= 0 else "resolved")
    return ", ".join(parts[:-1]) + f" and {parts[-1]}." if len(parts) > 1 else f"{parts[0]}."


def _fired(plan: Plan, alert: JudgedAlert) -> str:
    if alert.firing_at is None or alert.since is None:
        return ""
    after = seconds(max(0.0, alert.firing_at - alert.since))
    limits = interval(alert)
    return f"{after} after {suffering(plan, alert)}" + (f", inside its predicted {limits}" if limits else "")


def _trouble(plan: Plan, alert: JudgedAlert) -> str:
    after = seconds(alert.firing_at - alert.since) if alert.firing_at and alert.since else ""
    match alert.verdict:
        case AlertVerdict.LATE | AlertVerdict.EARLY:
            word = "too late" if alert.verdict is AlertVerdict.LATE else "too early"
            return f"fired {word}: {after} after {suffering(plan, alert)}, predicted {interval(alert)}"
        case AlertVerdict.NEVER:
            return f"never fired, although {suffering(plan, alert)}; it was predicted within {interval(alert)}"
        case AlertVerdict.SUPPRESSED | AlertVerdict.MISROUTED | AlertVerdict.NOT_DELIVERED:
            return f"fired after {after}, but nobody was told: {alert.why}"
        case AlertVerdict.NOT_RESOLVED:
            return f"fired and was delivered, but did not resolve as it should: {alert.why}"
        case AlertVerdict.RESOLVED_WITHOUT_TRAFFIC:
            return f"fired, but its end is no recovery: it {alert.why}"
        case _:
            return f"is not judged: {alert.why}"


def windows_line(plan: Plan) -> str:
    """Say which windows were tested and how much faster than in production."""
    pairs = ", ".join(
        f"{pair.severity} {pair.factor:g}× over {format_duration(pair.long_s)} and {format_duration(pair.short_s)}"
        for pair in plan.windows
    )
    if plan.fast_forward == 1:
        return f"Tested with real windows: {pairs}."
    real = ", ".join(f"{format_duration(p.real_long_s)}/{format_duration(p.real_short_s)}" for p in plan.windows)
    return f"Tested in fast-forward ×{plan.fast_forward:g}: {pairs}. In production: {real}."
