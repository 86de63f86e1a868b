"""The page a service shows to Prometheus (text exposition format), as far as linting asks about it.

Owns which series are there, which buckets a histogram has and how fast a counter grows on average. Knows no
server. Labels that Prometheus adds when it scrapes (``job``, ``instance``, those of service discovery) are not
on the page: a matcher on a label that no series of a metric carries is not held against the page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import promql_parser as ql


class Series(NamedTuple):
    """One line of the page."""

    name: str
    labels: dict[str, str]
    value: float


class Exposition:
    """All series of a page, fetched at *at* (Unix seconds)."""

    def __init__(self, series: Sequence[Series], at: float) -> None:
        self.at = at
        self.by_name: dict[str, list[Series]] = {}
        for one in series:
            self.by_name.setdefault(one.name, []).append(one)

    def matching(self, selector: Any) -> list[Series] | None:
        """Return the series *selector* (promql-parser's) selects; None when its metric is not there at all."""
        there = self.by_name.get(selector.name or "")
        if there is None:
            return None
        carried = set().union(*(one.labels for one in there))
        matchers = [m for m in selector.matchers.matchers if m.name in carried]
        return [one for one in there if all(_holds(m, one.labels.get(m.name, "")) for m in matchers)]

    def buckets(self, name: str) -> list[str]:
        """Return the ``le`` values of histogram *name* (with ``_bucket``), in ascending order."""
        found = {one.labels.get("le", "") for one in self.by_name.get(name, ())} - {""}
        return sorted(found, key=float)

    def rate(self, selector: Any) -> float | None:
        """Return events per second since the process started; None when the page does not say when that was."""
        started = [one.value for one in self.by_name.get("process_start_time_seconds", ())]
        there = self.matching(selector)
        if not started or not there or self.at <= min(started):
            return None
        return sum(one.value for one in there) / (self.at - min(started))


def _holds(matcher: Any, value: str) -> bool:
    same = matcher.value == value
    if matcher.op in (ql.MatchOp.Re, ql.MatchOp.NotRe):
        same = re.fullmatch(matcher.value, value) is not None
    return bool(same != (matcher.op in (ql.MatchOp.NotEqual, ql.MatchOp.NotRe)))


def read_exposition(text: str, at: float) -> Exposition:
    """Read a page. Raises ValueError when it is none."""
    from prometheus_client.parser import text_string_to_metric_families

    series = [
        Series(sample.name, dict(sample.labels), float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    if not series:
        raise ValueError("there is no metric on this page")
    return Exposition(series, at)
