"""Runbook text for a fast-forwarded target: a query's ranges, steps and offsets divided by the factor. Pure.

A sandbox that fast-forwards divides the windows of its rules; whoever asks it about "the last five minutes" of the
incident has to ask for five seconds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

LEAST_RANGE_S = 4.0
"""A shorter range holds too few samples of a scrape every second for a rate."""
UNHURRIED_S = 10.0
"""What no fast-forward makes quicker: processes that start, requests that are waited for, the next scrape."""


def hastened(query: str, factor: float) -> str:
    """Return *query* with all its times divided by *factor*. Raises ValueError when it does not parse."""
    if factor <= 1:
        return query
    import promql_parser as ql  # only where a query is really asked

    def divide(node: Any) -> Any:
        """After its children were visited: the selector inside a range vector has its own turn before."""
        ranged = isinstance(node, (ql.MatrixSelector, ql.SubqueryExpr))
        shifted = isinstance(node, (ql.VectorSelector, ql.SubqueryExpr)) and bool(node.offset)
        if ranged:
            node.range = _divided(node.range, factor, LEAST_RANGE_S)
        if isinstance(node, ql.SubqueryExpr) and node.step is not None:
            node.step = _divided(node.step, factor, 1.0)
        if shifted:
            node.offset = _divided(node.offset, factor, 0.0)
        return ql.parse(str(node)) if ranged or shifted else None  # the walk takes new nodes, not changed ones

    return str(ql.transform(ql.parse(query), post_visit=divide))


def patience_s(real_s: float, factor: float) -> float:
    """How long to wait at a target that runs *factor* times as fast for what may take *real_s* in production."""
    return real_s if factor <= 1 else real_s / factor + UNHURRIED_S


def _divided(time: timedelta, factor: float, least_s: float) -> timedelta:
    seconds = time.total_seconds() / factor
    shortest = min(least_s, abs(time.total_seconds()))
    return timedelta(milliseconds=round(1000 * (seconds if seconds < 0 else max(shortest, seconds))))
