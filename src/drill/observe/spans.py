"""From raw samples of ``ALERTS`` to spans: pure. Owns where one firing ends and the next begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from drill.core.labels import without
from drill.core.observations import AlertSpan
from drill.observe.prometheus import RawSeries

GAP_INTERVALS = 2.5
"""Samples further apart than this many evaluations are two spans; one missed evaluation (2) does not split."""
OPEN_INTERVALS = 2.0


def alert_spans(
    series: Iterable[RawSeries], queried_at: float, interval_of: Callable[[str], float]
) -> Sequence[AlertSpan]:
    """Split each series of ``ALERTS`` into spans, in the order of their start.

    *interval_of* gives an alert name's evaluation interval in seconds. A NaN (a staleness marker, as some
    remote stores return it) ends a span. Series with another state than pending or firing are left out.
    """
    spans: list[AlertSpan] = []
    for one in series:
        state = one.labels.get("alertstate", "")
        if state not in ("pending", "firing"):
            continue
        interval = interval_of(one.labels.get("alertname", ""))
        labels = without(one.labels, "__name__", "alertstate")
        for start, end in runs(one.samples, GAP_INTERVALS * interval):
            still = end >= queried_at - OPEN_INTERVALS * interval and not _stale_after(one.samples, end)
            spans.append(
                AlertSpan(
                    labels=labels,
                    state="firing" if state == "firing" else "pending",
                    start=start,
                    end=end,
                    open=still,
                )
            )
    return sorted(spans, key=lambda span: (span.start, span.end, sorted(span.labels.items())))


def runs(samples: Sequence[tuple[float, float]], gap_s: float) -> Sequence[tuple[float, float]]:
    """Return first and last time of each run of samples no more than *gap_s* apart, NaNs ending a run."""
    found: list[tuple[float, float]] = []
    first = last = math.nan
    for at, value in samples:
        if not math.isnan(first) and (math.isnan(value) or at - last > gap_s):
            found.append((first, last))
            first = math.nan
        if math.isnan(value):
            continue
        first, last = (at if math.isnan(first) else first), at
    if not math.isnan(first):
        found.append((first, last))
    return found


def gaps(times: Sequence[float], end: float, interval_s: float) -> Sequence[tuple[float, float]]:
    """Return where *times* (sorted) and *end* are more than two missed evaluations apart."""
    limit = (GAP_INTERVALS + 1) * interval_s
    return [(first, second) for first, second in pairwise([*times, end]) if second - first > limit]


def _stale_after(samples: Sequence[tuple[float, float]], end: float) -> bool:
    return any(at > end and math.isnan(value) for at, value in samples)
