"""Whether a firing alert reached the people it is for: Alertmanager, route, silence, receiver."""

from __future__ import annotations

from dataclasses import dataclass

from drill.core.observations import AlertmanagerAlert, Notification
from drill.core.units import format_duration
from drill.journal.events import NotificationsSeen
from drill.plan.model import ExpectedAlert
from drill.verify.model import AlertVerdict, Claim, Evidence
from drill.verify.record import Record
from drill.verify.spans import SeenSpan

DELIVERY_S = 5.0
"""What a webhook and the network may take before a delivery counts as late."""


@dataclass(frozen=True)
class Delivery:
    """What is known of one alert's way to its receiver; ``claim`` is None when no receiver is expected."""

    claim: Claim | None
    in_alertmanager_at: float | None = None
    receivers: tuple[str, ...] = ()
    delivered_at: float | None = None
    evidence: tuple[Evidence, ...] = ()


def judge_delivery(record: Record, expected: ExpectedAlert, firing: SeenSpan) -> Delivery:
    """Judge the delivery of *firing* (server time)."""
    seen = record.in_alertmanager(expected.match, firing)
    notes = record.notifications(expected.match, firing)
    wanted = [note for note in notes if not expected.receiver or note.receiver == expected.receiver]
    shown = wanted[:1] or notes[:1]
    routed = tuple(dict.fromkeys(name for _, alert in seen for name in alert.receivers))
    return Delivery(
        claim=_claim(record, expected.receiver, seen, notes, firing) if expected.receiver else None,
        in_alertmanager_at=seen[0][0] if seen else None,
        receivers=routed or tuple(dict.fromkeys(note.receiver for note in notes)),
        delivered_at=wanted[0].at if wanted else None,
        evidence=(*_alertmanager_rows(seen), *(_notification_row(record, note) for note in shown)),
    )


def _claim(
    record: Record,
    receiver: str,
    seen: list[tuple[float, AlertmanagerAlert]],
    notes: list[Notification],
    firing: SeenSpan,
) -> Claim:
    arrived = next((note for note in notes if note.receiver == receiver), None)
    in_time = _in_time(record, receiver, arrived.at - firing.start) if arrived is not None else None
    suppressed = next((alert for _, alert in seen if alert.state == "suppressed" or alert.muted_by), None)
    if in_time is not None and (suppressed is None or in_time.verdict is AlertVerdict.ON_TIME):
        return in_time
    if suppressed is not None and in_time is not None:
        return Claim(verdict=AlertVerdict.SUPPRESSED, why=f"{_suppressor(suppressed)}, then {in_time.why}")
    if suppressed is not None:
        return Claim(verdict=AlertVerdict.SUPPRESSED, why=_suppressor(suppressed))
    routed = {name for _, alert in seen for name in alert.receivers}
    others = sorted(routed or {note.receiver for note in notes})
    if others and receiver not in others:
        return Claim(verdict=AlertVerdict.MISROUTED, why=f"went to {', '.join(others)} instead of {receiver}")
    claim = _undelivered(record, receiver, bool(seen))
    brief = _too_brief(record, firing) if claim.verdict is AlertVerdict.NOT_DELIVERED and seen else ""
    return claim.with_(why=claim.why + brief)


def _in_time(record: Record, receiver: str, took_s: float) -> Claim:
    """A new group waits ``group_wait``, an existing one at most ``group_interval``; the rest is the webhook's."""
    plan = record.plan
    allowed = max(plan.group_wait_s, plan.group_interval_s) + record.slack + DELIVERY_S + abs(record.skew)
    took = format_duration(max(0.0, took_s))
    if took_s <= allowed:
        return Claim(verdict=AlertVerdict.ON_TIME, why=f"delivered to {receiver} {took} after it fired")
    late = format_duration(took_s - allowed)
    return Claim(verdict=AlertVerdict.LATE, why=f"delivered to {receiver} {took} after it fired, {late} too late")


def _undelivered(record: Record, receiver: str, seen: bool) -> Claim:
    if not record.sink:
        return Claim(
            verdict=AlertVerdict.NO_EVIDENCE,
            why=f"there is no notification sink, so delivery to {receiver} is not proven",
        )
    lost = record.silent_since("sink", NotificationsSeen)
    if lost is not None:
        return Claim(verdict=AlertVerdict.NO_EVIDENCE, why=f"the notification sink did not answer: {lost.error}")
    if seen:
        return Claim(verdict=AlertVerdict.NOT_DELIVERED, why=f"no notification arrived at {receiver}")
    dead = record.lost("alertmanager")
    how = f"Alertmanager did not answer ({dead[-1].error})" if dead else "Alertmanager never showed it"
    return Claim(verdict=AlertVerdict.NOT_DELIVERED, why=f"{how}, and no notification arrived at {receiver}")


def _too_brief(record: Record, firing: SeenSpan) -> str:
    """Why Alertmanager may have told nobody: a group is told again after ``group_interval``, of what is on then."""
    lasted, between = firing.end - firing.start, record.plan.group_interval_s
    if firing.open or lasted >= between:
        return ""
    return (
        f": it was on for {format_duration(lasted)}, less than the group_interval of {format_duration(between)}, "
        "and of what comes and goes between two of them nobody is told"
    )


def _suppressor(alert: AlertmanagerAlert) -> str:
    parts = []
    if alert.silenced_by:
        parts.append(f"silence {', '.join(alert.silenced_by)}")
    if alert.inhibited_by:
        parts.append(f"inhibition by {', '.join(alert.inhibited_by)}")
    if alert.muted_by:
        parts.append(f"mute interval {', '.join(alert.muted_by)}")
    return f"suppressed by {' and '.join(parts) or 'Alertmanager, which does not say why'}"


def _alertmanager_rows(seen: list[tuple[float, AlertmanagerAlert]]) -> list[Evidence]:
    """The first sighting, and the first in each other state."""
    states: dict[str, Evidence] = {}
    for at, alert in seen:
        row = Evidence(source="alertmanager", query="GET /api/v2/alerts", at=at, raw=alert.model_dump(mode="json"))
        states.setdefault(alert.state, row)
    return list(states.values())


def _notification_row(record: Record, note: Notification) -> Evidence:
    return Evidence(
        source="sink", query=f"GET {record.sink}/notifications", at=note.at, raw=note.model_dump(mode="json")
    )
