"""Intervals of time: joining what overlapping queries saw of one alert, and which times were seen at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from drill.core.observations import AlertSpan, AlertState
from drill.journal.events import AlertsSeen

Interval = tuple[float, float]


@dataclass(frozen=True)
class SeenSpan:
    """A joined alert span with the query that showed it last; ``open`` when nothing shows that it ended."""

    labels: dict[str, str]
    state: AlertState
    start: float
    end: float
    open: bool
    query: str


def join_spans(seen: Sequence[AlertsSeen], slack: float) -> tuple[SeenSpan, ...]:
    """Join the spans of overlapping or adjoining queries, in order of their start.

    Spans of one alert and state whose ends lie within *slack* seconds (two evaluations) are one: a query's
    window may have cut it. A span is open when its last sample is within *slack* of the last query's end.
    """
    last_look = max((look.end for look in seen), default=0.0)
    parts: dict[tuple[object, ...], list[SeenSpan]] = defaultdict(list)
    for look in seen:
        for span in look.spans:
            key = (span.state, *sorted(span.labels.items()))
            parts[key].append(_single(span, look.query))
    joined = [span for spans in parts.values() for span in _join(spans, slack)]
    closed = [replace(span, open=span.end > last_look - slack) for span in joined]
    return tuple(sorted(closed, key=lambda span: (span.start, span.end)))


def _single(span: AlertSpan, query: str) -> SeenSpan:
    return SeenSpan(dict(span.labels), span.state, span.start, span.end, span.open, query)


def _join(spans: Iterable[SeenSpan], slack: float) -> list[SeenSpan]:
    out: list[SeenSpan] = []
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if out and span.start <= out[-1].end + slack:
            later = span if span.end >= out[-1].end else out[-1]
            out[-1] = replace(later, start=out[-1].start)
        else:
            out.append(span)
    return out


def covered_times(seen: Iterable[AlertsSeen], slack: float) -> tuple[Interval, ...]:
    """Return the times the queries looked at, joined, less those in which no rule was evaluated.

    A time counts as missed although another query looked at it too: looking again does not evaluate a rule.
    """
    looks = list(seen)
    out: list[Interval] = []
    for start, end in sorted((look.start, look.end) for look in looks):
        if out and start <= out[-1][1] + slack:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    for hole in sorted({missed for look in looks for missed in look.missed}):
        out = [part for interval in out for part in _less(interval, hole)]
    return tuple(out)


def _less(interval: Interval, hole: Interval) -> list[Interval]:
    if hole[1] <= interval[0] or hole[0] >= interval[1]:
        return [interval]
    left, right = (interval[0], hole[0]), (hole[1], interval[1])
    return [part for part in (left, right) if part[1] > part[0]]


def covers(covered: Iterable[Interval], start: float, end: float) -> bool:
    """True when one of the *covered* intervals holds all of ``[start, end]``."""
    return any(low <= start and end <= high for low, high in covered)
