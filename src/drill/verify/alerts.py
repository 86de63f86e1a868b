"""Judging alerts one by one: the expected, those predicted besides, the allowed, the unexpected."""

from __future__ import annotations

from collections.abc import Sequence

from drill.core.labels import Labels, matches
from drill.core.units import format_duration
from drill.journal.events import Predicted
from drill.plan.model import ExpectedAlert, PredictedAlert, foreseen
from drill.verify.delivery import Delivery, judge_delivery
from drill.verify.model import AlertVerdict, Claim, Evidence, JudgedAlert
from drill.verify.record import Record
from drill.verify.resolution import Resolution, judge_resolution
from drill.verify.silence import explain_silence
from drill.verify.spans import SeenSpan
from drill.verify.timing import Cause, Due, cause_of, due, judge_timing

FINAL = frozenset(
    {
        AlertVerdict.NO_EVIDENCE,
        AlertVerdict.ALREADY_FIRING,
        AlertVerdict.PREDICTION_INVALID,
        AlertVerdict.NEVER,
    }
)
"""Judgements of the timing after which delivery and resolution say nothing more."""


def judge_expected(record: Record, index: int) -> JudgedAlert:
    """Judge expected alert *index* of the plan."""
    expected = record.plan.expected[index]
    cause = cause_of(record, expected)
    if cause is None or record.t0 is None:
        why = "the fault that should cause it was never shown to be in effect"
        return _judged(expected, None, [Claim(verdict=AlertVerdict.NO_EVIDENCE, why=why)])
    spans = [span for span in record.spans_of(expected.match, "firing") if span.end >= record.t0]
    first = spans[0] if spans else None
    when = due(record, index, cause, first.start if first else None)
    early = _before_its_fault(record, cause, first)
    if early is not None and first is not None:
        return _with_times(_judged(expected, first, [early]), record, cause, when)
    timing = explain_silence(record, expected, cause, when, judge_timing(record, cause, when, first))
    judged = _judged(expected, first, [timing])
    if first is None:
        return _with_times(judged, record, cause, when)
    delivery = judge_delivery(record, expected, first)
    resolution = judge_resolution(record, expected, cause, spans)
    if timing.verdict not in FINAL:
        claims = [claim for claim in (timing, delivery.claim, resolution.claim) if claim is not None]
        judged = _judged(expected, first, claims)
    return _with_way(_with_times(judged, record, cause, when), delivery, resolution)


def judge_also(record: Record, predicted: PredictedAlert) -> JudgedAlert:
    """Judge the timing of an alert that was predicted besides the expected ones; nobody demands it."""
    expected = ExpectedAlert(match=predicted.labels, predicted=predicted)
    cause = cause_of(record, expected)
    t0 = record.t0
    spans = [s for s in record.spans_of(predicted.labels, "firing") if t0 is not None and s.end >= t0]
    first = spans[0] if spans else None
    if cause is None:
        why = "its cause was never shown to be in effect"
        return _judged(expected, first, [Claim(verdict=AlertVerdict.NO_EVIDENCE, why=why)])
    if predicted.firing_s is None:
        return _judge_possible(record, expected, cause, first)
    interval = (cause.first_touch + predicted.firing_s[0], cause.since + predicted.firing_s[1])
    when = Due(interval, "the prediction in force")
    claim = _before_its_fault(record, cause, first) or judge_timing(record, cause, when, first)
    judged = _with_times(_judged(expected, first, [claim]), record, cause, when)
    if first is None:
        return judged
    way = judge_delivery(record, expected, first)
    return _with_way(judged, way, judge_resolution(record, expected, cause, spans))


def _judge_possible(record: Record, expected: ExpectedAlert, cause: Cause, first: SeenSpan | None) -> JudgedAlert:
    """Judge an alert that may fire but need not: no surprise, unless it came before its fault."""
    if first is None:
        claim = Claim(verdict=AlertVerdict.NEVER, why="did not fire, as was possible")
        return _judged(expected, first, [claim])
    after = format_duration(max(0.0, first.start - cause.since))
    possible = Claim(verdict=AlertVerdict.ON_TIME, why=f"fired {after} after the effect, as was possible")
    judged = _judged(expected, first, [_before_its_fault(record, cause, first) or possible])
    return _with_way(judged, judge_delivery(record, expected, first), None)


def predicted_also(record: Record) -> tuple[PredictedAlert, ...]:
    """All alerts that any prediction says may fire besides the expected, the latest prediction of each."""
    return foreseen(record.plan.also, *(event.also for event in record.all(Predicted)))


def judge_others(record: Record, also: Sequence[PredictedAlert]) -> tuple[list[JudgedAlert], list[JudgedAlert]]:
    """Return the alerts that began to fire after T0 and nobody expected: the allowed ones, and the unexpected."""
    if record.t0 is None:
        return [], []
    known = [expected.match for expected in record.plan.expected] + [alert.labels for alert in also]
    allowed: list[JudgedAlert] = []
    unexpected: list[JudgedAlert] = []
    for span in record.spans_of({}, "firing"):
        if span.start <= record.t0 or _any(known, span.labels):
            continue
        (allowed if _any(record.plan.allow, span.labels) else unexpected).append(_surplus(record, span))
    return allowed, unexpected


def _any(wanted: Sequence[Labels], labels: Labels) -> bool:
    return any(matches(match, labels) for match in wanted)


def _surplus(record: Record, span: SeenSpan) -> JudgedAlert:
    expected = ExpectedAlert(match=span.labels)
    claim = Claim(verdict=AlertVerdict.UNEXPECTED, why="nobody expected, predicted or allowed it")
    judged = _judged(expected, span, [claim]).with_(
        resolved_at=None if span.open else span.end + record.plan.evaluation_interval_s
    )
    return _with_way(judged, judge_delivery(record, expected, span), None)


def _before_its_fault(record: Record, cause: Cause, first: SeenSpan | None) -> Claim | None:
    """ALREADY_FIRING when the alert fired before its fault, or so close to the first look that it may have."""
    if first is None:
        return None
    if first.start < cause.first_touch:
        return Claim(verdict=AlertVerdict.ALREADY_FIRING, why="it was firing before its fault began")
    looked_from = min((low for low, _ in record.covered), default=first.start)
    if first.start <= looked_from + record.slack:
        why = "it was firing at the first look, so it may have fired before its fault"
        return Claim(verdict=AlertVerdict.ALREADY_FIRING, why=why)
    return None


def _judged(expected: ExpectedAlert, first: SeenSpan | None, claims: list[Claim]) -> JudgedAlert:
    """The gravest claim decides: a refuted one before an undecided one, and among equals the earliest."""
    order = {"fail": 0, "unknown": 1, "aborted": 2, "pass": 3}
    decisive = min(claims, key=lambda claim: order[claim.verdict.outcome])
    predicted = expected.predicted.labels if expected.predicted else {}
    return JudgedAlert(
        match=expected.match,
        labels=first.labels if first else {**predicted, **expected.match},
        verdict=decisive.verdict,
        why=decisive.why,
        claims=tuple(claims),
        expected_receiver=expected.receiver,
        firing_at=first.start if first else None,
        evidence=(_span_row(first),) if first else (),
    )


def _with_times(judged: JudgedAlert, record: Record, cause: Cause, when: Due) -> JudgedAlert:
    pending = [
        span
        for span in record.spans_of(judged.labels if judged.firing_at else judged.match, "pending")
        if judged.firing_at is None or span.start <= judged.firing_at <= span.end + record.slack
    ]
    rows = judged.evidence or (_silence_row(record, judged.match),)
    return judged.with_(
        since=cause.since,
        fault_ended=cause.ended,
        predicted=when.interval,
        predicted_basis=when.basis,
        pending_at=pending[-1].start if pending else None,
        evidence=(*(_span_row(span) for span in pending[-1:]), *rows),
    )


def _with_way(judged: JudgedAlert, delivery: Delivery, resolution: Resolution | None) -> JudgedAlert:
    judged = judged.with_(
        in_alertmanager_at=delivery.in_alertmanager_at,
        receivers=delivery.receivers,
        delivered_at=delivery.delivered_at,
        evidence=(*judged.evidence, *delivery.evidence, *(resolution.evidence if resolution else ())),
    )
    if resolution is None:
        return judged
    return judged.with_(resolved_at=resolution.resolved_at, resolve_deadline=resolution.deadline)


def _span_row(span: SeenSpan) -> Evidence:
    raw = {
        "labels": dict(span.labels),
        "state": span.state,
        "start": span.start,
        "end": span.end,
        "open": span.open,
    }
    query = span.query or f"ALERTS{{alertname={span.labels.get('alertname', '')!r}}}"
    return Evidence(source="prometheus", query=query, at=span.start, raw=raw)


def _silence_row(record: Record, match: Labels) -> Evidence:
    """What shows that an alert did not fire: the times looked at, without a sample of it."""
    until = record.covered[-1][1] if record.covered else record.t0 or 0.0
    inside = ", ".join(f'{name}="{value}"' for name, value in sorted(match.items()))
    looked = [[low, high] for low, high in record.covered]
    return Evidence(
        source="prometheus", query=f"ALERTS{{{inside}}}", at=until, raw={"looked_at": looked, "samples": []}
    )
