"""What a fault's outcome at some replicas means for every SLI: of the service, and of those that call it.

The reasoning is deliberately simple and says so by intervals: requests are spread evenly over replicas, every
request of a caller makes one call to each service it calls, and a failed call fails the caller's request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drill.core.facts import Facts
from drill.faults.base import Interval, Outcome
from drill.plan.model import Impact, PlannedSlo

USUAL_S = 0.08
"""A healthy request takes at most about this long; between it and the threshold a slowed one may be good or bad."""


@dataclass(frozen=True)
class Hit:
    """An outcome met by a share of a service's requests; ``peer`` limits it to the calls of that service."""

    injection: str
    service: str
    share: float
    outcome: Outcome
    peer: str = ""


def impacts(hits: Sequence[Hit], facts: Facts, slos: Sequence[PlannedSlo]) -> tuple[Impact, ...]:
    """Return the expected share of bad requests for every SLO that *hits* may touch (``(0, 0)`` left out)."""
    found = []
    for hit in hits:
        for service, called in _touched(hit, facts):
            for slo in slos:
                if slo.service != service:
                    continue
                ratio = _bad(hit.outcome, slo, facts, called=called)
                scaled = (ratio[0] * hit.share, ratio[1] * hit.share)
                if scaled[1] > 0:
                    found.append(
                        Impact(
                            injection=hit.injection,
                            sloth_id=slo.sloth_id,
                            error_ratio=scaled,
                            lasts_s=hit.outcome.lasts_s,
                            late_s=_late(hit.outcome, facts),
                        )
                    )
    return tuple(found)


def _touched(hit: Hit, facts: Facts) -> Iterator[tuple[str, bool]]:
    """Yield (service, whether it feels the fault through a call) for all services that feel it."""
    seen = {hit.service}
    if not hit.peer:
        yield hit.service, False
    callers = [hit.peer] if hit.peer else _callers(hit.service, facts)
    while callers:
        caller = callers.pop()
        if caller not in seen:
            seen.add(caller)
            yield caller, True
            callers += _callers(caller, facts)


def _callers(service: str, facts: Facts) -> list[str]:
    return [candidate.name for candidate in facts.services if service in candidate.calls]


def _bad(outcome: Outcome, slo: PlannedSlo, facts: Facts, *, called: bool) -> Interval:
    patience = _patience_s(facts)
    if slo.threshold_s is None:
        timed_out = _exceeds(outcome, patience, certain=not called)
        return max(outcome.failed[0], timed_out[0]), max(outcome.failed[1], timed_out[1])
    low, high = _exceeds(outcome, slo.threshold_s, certain=True)
    if outcome.added_s[0] + USUAL_S >= patience or outcome.failed[0] >= 1:
        low = 0.0  # those requests are not answered at all, and latency counts answered ones
    if called and outcome.failed[1] > 0:
        high = 1.0  # a caller may wait for its own time-out before it answers
    return low, high


def _late(outcome: Outcome, facts: Facts) -> float:
    """How long after its start a bad request is counted at the latest; of a caller's too, which waits for it."""
    return min(_patience_s(facts), outcome.added_s[1] + USUAL_S)


def _patience_s(facts: Facts) -> float:
    """How long users wait; for ever where it is not known."""
    return facts.client_timeout_s or float("inf")


def _exceeds(outcome: Outcome, limit_s: float, *, certain: bool) -> Interval:
    """Share of answered requests that take longer than *limit_s*."""
    low_s, high_s = outcome.added_s
    low = outcome.slowed[0] if certain and low_s >= limit_s else 0.0
    high = outcome.slowed[1] if high_s + USUAL_S >= limit_s else 0.0
    return low, max(low, high)
