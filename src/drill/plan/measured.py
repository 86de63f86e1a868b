"""A plan's impacts after the effect was measured: kept where the measurement agrees, replaced where it does not.

Owns the comparison of a planned share of failed requests with the counted one. A share that was ordered
exactly (half of the requests) is known better than any count of forty of them, so it stands while the count
could have come from it; else the count's own interval takes its place. Only failures can be counted at a
replica: what slow answers do to an SLI is left as planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

from drill.plan.model import Impact, Interval, Plan, PlannedInjection

SIGMAS = 3.0
"""Width of the interval around a counted share: 99.7 % of honest counts lie in it."""


def with_measured(plan: Plan, measured: Mapping[str, Sequence[float]]) -> Plan:
    """Return *plan* with the impacts corrected by ``measured``: shares of failed requests, one for each replica
    of an injection (by its id)."""
    injections = {one.id: one for one in plan.injections}
    counts_failures = {slo.sloth_id for slo in plan.slos if slo.threshold_s is None}
    impacts = tuple(
        _corrected(impact, injections[impact.injection], measured.get(impact.injection, ()))
        if impact.sloth_id in counts_failures
        else impact
        for impact in plan.impacts
    )
    return plan if impacts == plan.impacts else plan.with_(impacts=impacts)


def _corrected(impact: Impact, injection: PlannedInjection, shares: Sequence[float]) -> Impact:
    effect = injection.effect
    if effect.kind != "error_ratio" or not shares or effect.expected <= 0:
        return impact
    low, high = counted(sum(shares) / len(shares), effect.samples * len(shares))
    if low <= effect.expected <= high:
        return impact
    least, most = impact.error_ratio
    scaled = least * low / effect.expected, most * high / effect.expected
    return impact.with_(error_ratio=(min(1.0, scaled[0]), min(1.0, scaled[1])))


def counted(share: float, samples: int) -> Interval:
    """Return the interval (Wilson's score, at :data:`SIGMAS`) of the true share behind *share* of *samples*."""
    z = SIGMAS**2 / samples
    centre, half = share + z / 2, SIGMAS * sqrt(share * (1 - share) / samples + z / (4 * samples))
    return max(0.0, (centre - half) / (1 + z)), min(1.0, (centre + half) / (1 + z))
