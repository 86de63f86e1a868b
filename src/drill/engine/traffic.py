"""How much of the normal traffic is left during a fault, as an interval that honest counting cannot leave. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import exp, sqrt

from drill.core.observations import SliSample

SIGMAS = 3.0
"""Width of the interval: requests arrive by chance, and 99.7 % of honest counts lie within."""
Interval = tuple[float, float]


def changed_traffic(
    healthy: Iterable[SliSample], during: Iterable[SliSample], window_s: float
) -> Mapping[str, Interval]:
    """Return traffic during over healthy traffic by ``sloth_id``, of the SLOs where it is not what it was.

    Both are rates over *window_s* seconds. An SLO whose counts could come from unchanged traffic is left out, and
    so is one without healthy traffic: there is nothing to compare with.
    """
    before = {sample.sloth_id: sample.requests_per_second for sample in healthy}
    found = {}
    for sample in during:
        normal = before.get(sample.sloth_id, 0.0)
        if normal > 0:
            low, high = _share(normal * window_s, sample.requests_per_second * window_s)
            if not low <= 1.0 <= high:
                found[sample.sloth_id] = (low, high)
    return found


def _share(normal: float, now: float) -> Interval:
    """The interval of the share behind two counts, each known to its square root: the logarithm of their ratio has
    the variance 1/n + 1/m. Behind a count of none may be one."""
    times = exp(SIGMAS * sqrt(1 / normal + 1 / max(1.0, now)))
    return now / normal / times, max(1.0, now) / normal * times


def words(traffic: Mapping[str, Interval]) -> str:
    """Say it in a sentence's part: ``checkout-latency 0.4 to 0.6 of normal``."""
    return ", ".join(
        f"{sloth_id} {low:.2g} to {high:.2g} of normal" for sloth_id, (low, high) in sorted(traffic.items())
    )
