"""When an alert had to fire, and when it did."""

from __future__ import annotations

from dataclasses import dataclass

from drill.core.units import format_duration
from drill.journal.events import BaselineMeasured, Predicted, PrometheusRestarted
from drill.plan.model import ExpectedAlert, PredictedAlert
from drill.verify.injections import causes_of
from drill.verify.model import AlertVerdict, Claim
from drill.verify.record import MILLISECOND, Record
from drill.verify.spans import Interval, SeenSpan


@dataclass(frozen=True)
class Cause:
    """The faults behind an alert, in server time: first replica touched, all in effect, last one gone."""

    first_touch: float
    since: float
    first_end: float | None
    ended: float | None


@dataclass(frozen=True)
class Due:
    """When an alert must fire, and where that comes from; ``interval`` is None when ``why`` forbids one."""

    interval: Interval | None
    basis: str
    why: str = ""


def cause_of(record: Record, expected: ExpectedAlert) -> Cause | None:
    """Return the cause of *expected*, None when its first fault was never shown to be in effect."""
    causes = causes_of(record, expected.predicted, expected.match)
    effective = record.effective(causes[0].id)
    if effective is None:
        return None
    ends = [record.ended(injection.id) for injection in causes]
    known = [end for end in ends if end is not None]
    return Cause(
        first_touch=effective.first_touch + record.skew,
        since=effective.since + record.skew,
        first_end=min(end.first for end in known) + record.skew if known else None,
        ended=max(end.last for end in known) + record.skew if len(known) == len(ends) else None,
    )


def due(record: Record, index: int, cause: Cause, firing_at: float | None) -> Due:
    """Return when expected alert *index* must fire; hindsight does not count, so only predictions from before
    *firing_at* are used.

    ``[first_touch + earliest, since + latest]``: before the first touch nothing can have begun, after ``since``
    everything had.
    """
    expected = record.plan.expected[index]
    if expected.within_s is not None:
        return Due((cause.first_touch, cause.since + expected.within_s), "deadline set by the scenario")
    predicted, basis = prediction_in_force(record, index, firing_at)
    if predicted is None:
        return Due(None, "", "there is neither a prediction nor a deadline for it")
    if born_in_the_fault(record, predicted.sloth_id):
        return Due(None, basis, f"{predicted.sloth_id} had no error ratio before the fault to predict from")
    if not predicted.fires or predicted.firing_s is None:
        return Due(None, basis, f"it was predicted not to fire: {predicted.why or 'no reason given'}")
    low, high = predicted.firing_s
    return Due((cause.first_touch + low, cause.since + high), basis)


def born_in_the_fault(record: Record, sloth_id: str) -> bool:
    """True when the error ratio of an SLO was unknown in the healthy state and recorded later.

    A counter that is born with its first error has no history: formulas (1) and (2) do not hold for it.
    """
    baseline = record.last(BaselineMeasured)
    if baseline is None or any(sample.sloth_id == sloth_id for sample in baseline.slis):
        return False
    return any(sample.rates for sample in record.sli(frozenset({sloth_id}), float("-inf"), float("inf")))


def prediction_in_force(record: Record, index: int, until: float | None) -> tuple[PredictedAlert | None, str]:
    """The last prediction of expected alert *index* made before server time *until*, with what it is based on."""
    for event in reversed([*record.all(Predicted)]):
        in_time = until is None or event.at + record.skew <= until
        if in_time and index < len(event.expected) and event.expected[index] is not None:
            return event.expected[index], event.basis
    return record.plan.expected[index].predicted, "the plan"


def judge_timing(record: Record, cause: Cause, due: Due, firing: SeenSpan | None) -> Claim:
    """Judge the first firing (or its absence) against when it was due."""
    if due.interval is None:
        return Claim(verdict=AlertVerdict.PREDICTION_INVALID, why=due.why)
    earliest, latest = due.interval
    until = firing.start if firing else latest
    doubt = _doubt(record, cause.first_touch, until)
    if doubt:
        return Claim(verdict=AlertVerdict.PREDICTION_INVALID, why=doubt)
    if not record.covers(cause.first_touch, until):
        return Claim(verdict=AlertVerdict.NO_EVIDENCE, why="Prometheus was not seen during the decisive time")
    if firing is None:
        return _never(record, cause, due.interval)
    after = format_duration(firing.start - cause.since)
    if firing.start < earliest - MILLISECOND:
        gap = format_duration(earliest - firing.start)
        return Claim(verdict=AlertVerdict.EARLY, why=f"fired {after} after the effect, {gap} before its interval")
    if firing.start <= latest + MILLISECOND:
        return Claim(verdict=AlertVerdict.ON_TIME, why=f"fired {after} after the effect, inside its interval")
    if record.lost("prometheus") and _lost_within(record, cause.first_touch, latest):
        return Claim(
            verdict=AlertVerdict.PREDICTION_INVALID,
            why="fired late, but Prometheus did not answer in between and may not have evaluated its rules",
        )
    gap = format_duration(firing.start - latest)
    return Claim(verdict=AlertVerdict.LATE, why=f"fired {after} after the effect, {gap} too late")


def _doubt(record: Record, start: float, until: float) -> str:
    restarted = record.last(PrometheusRestarted)
    if restarted is not None:
        return "Prometheus was restarted during the run, which resets pending alerts and skips evaluations"
    for low, high in record.missed:
        if low < until and high > start:
            return f"Prometheus evaluated no rules for {format_duration(high - low)} while the alert was due"
    return ""


def _lost_within(record: Record, start: float, end: float) -> bool:
    return any(start <= loss.at + record.skew <= end for loss in record.lost("prometheus"))


def _never(record: Record, cause: Cause, interval: Interval) -> Claim:
    if cause.first_end is not None and cause.first_end < interval[0]:
        return Claim(
            verdict=AlertVerdict.NO_EVIDENCE,
            why="the fault ended before the alert could fire, so its silence shows nothing",
        )
    if _lost_within(record, cause.first_touch, interval[1]):
        return Claim(
            verdict=AlertVerdict.PREDICTION_INVALID,
            why="did not fire, but Prometheus did not answer in between and may not have evaluated its rules",
        )
    latest = format_duration(interval[1] - cause.since)
    return Claim(
        verdict=AlertVerdict.NEVER, why=f"did not fire; it was due {latest} after the effect at the latest"
    )
