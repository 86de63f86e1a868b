"""Whether an alert resolved in time, and because the service was well, not because its traffic was gone."""

from __future__ import annotations

from dataclasses import dataclass

from drill.core.labels import Labels
from drill.core.observations import SliSample
from drill.core.units import format_duration
from drill.plan.model import ExpectedAlert
from drill.verify.model import AlertVerdict, Claim, Evidence
from drill.verify.record import MILLISECOND, Record
from drill.verify.spans import SeenSpan
from drill.verify.timing import Cause

TRAFFIC_WITHIN_S = 10.0
"""How soon after the last firing sample traffic must have been seen; ten scrapes where that is longer."""


@dataclass(frozen=True)
class Resolution:
    """What is known of an alert's end; ``claim`` is None when the scenario asks nothing of it."""

    claim: Claim | None
    resolved_at: float | None = None
    deadline: float | None = None
    evidence: tuple[Evidence, ...] = ()


def judge_resolution(record: Record, expected: ExpectedAlert, cause: Cause, firing: list[SeenSpan]) -> Resolution:
    """Judge the end of *firing*, all spans of the expected alert since its fault began (at least one).

    An alert is resolved at the first evaluation that no longer finds it, one interval after its last sample.
    """
    last = max(firing, key=lambda span: span.end)
    interval = record.plan.evaluation_interval_s
    gone = not any(span.open for span in firing) and record.covers(last.end, last.end + record.slack)
    resolved_at = last.end + interval if gone else None
    if expected.resolves_within_s is None:
        return Resolution(None, resolved_at)
    if cause.ended is None:
        claim = Claim(verdict=AlertVerdict.NO_EVIDENCE, why="nothing shows when its fault ended")
        return Resolution(claim, resolved_at)
    deadline = cause.ended + expected.resolves_within_s
    if resolved_at is None or resolved_at > deadline + interval + MILLISECOND:
        claim = _unresolved(record, cause.ended, deadline, resolved_at)
        return Resolution(claim, resolved_at, deadline)
    claim, rows = _with_traffic(record, expected, last, (resolved_at, resolved_at - cause.ended))
    return Resolution(claim, resolved_at, deadline, rows)


def _unresolved(record: Record, ended: float, deadline: float, resolved_at: float | None) -> Claim:
    allowed = format_duration(deadline - ended)
    if resolved_at is not None:
        took = format_duration(resolved_at - ended)
        return Claim(
            verdict=AlertVerdict.NOT_RESOLVED, why=f"resolved {took} after the fault's end, not within {allowed}"
        )
    if record.covers(ended, deadline):
        return Claim(verdict=AlertVerdict.NOT_RESOLVED, why=f"still firing {allowed} after the fault's end")
    return Claim(verdict=AlertVerdict.NO_EVIDENCE, why="Prometheus was not seen until the alert had to be resolved")


def _with_traffic(
    record: Record, expected: ExpectedAlert, last: SeenSpan, when: tuple[float, float]
) -> tuple[Claim, tuple[Evidence, ...]]:
    """Judge by the traffic at the evaluation that resolved it: an earlier rate still counts requests from before
    they stopped. *when* is that evaluation's time, and seconds after the fault's end."""
    resolved_at, after_s = when
    ids = sloth_ids_of(record, expected, last.labels)
    seen = record.sli(ids, resolved_at - MILLISECOND, resolved_at + _traffic_window(record))
    if not seen:
        why = "resolved, but no traffic was measured then, and silence resolves an alert too"
        return Claim(verdict=AlertVerdict.NO_EVIDENCE, why=why), ()
    soon = [sample for sample in seen if sample.at <= resolved_at + record.slack] or seen[:1]
    first = min(soon, key=lambda sample: sample.requests_per_second)
    rows = (_row(first),)
    if not first.requests_per_second > 0:
        why = "resolved while its service had no traffic, which is not recovery"
        return Claim(verdict=AlertVerdict.RESOLVED_WITHOUT_TRAFFIC, why=why), rows
    said = f"{format_duration(after_s)} after the fault's end" if after_s >= 0 else "while the fault was in place"
    rate = f"{first.requests_per_second:.3g} requests/s"
    return Claim(verdict=AlertVerdict.ON_TIME, why=f"resolved {said}, with {rate}"), rows


def _traffic_window(record: Record) -> float:
    return max(TRAFFIC_WITHIN_S, 10 * record.plan.scrape_interval_s)


def sloth_ids_of(record: Record, expected: ExpectedAlert, labels: Labels) -> frozenset[str]:
    """The SLO whose traffic speaks for an alert; for an alert of no SLO, all those of its service."""
    predicted = expected.predicted.sloth_id if expected.predicted else ""
    sloth_id = labels.get("sloth_id") or expected.match.get("sloth_id") or predicted
    if sloth_id:
        return frozenset({sloth_id})
    service = labels.get("service") or record.plan.service
    return frozenset(slo.sloth_id for slo in record.plan.slos if slo.service == service)


def _row(sample: SliSample) -> Evidence:
    raw = {"sloth_id": sample.sloth_id, "requests_per_second": sample.requests_per_second,
           "error_ratio": sample.error_ratio}  # fmt: skip
    return Evidence(source="prometheus", query=f"requests per second of {sample.sloth_id}", at=sample.at, raw=raw)
