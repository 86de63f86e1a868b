"""Promtool unit tests as text: an SLI's course becomes counters, an alert's life becomes assertions.

Owns promtool's test file form, in two uses: committed tests of the generated rules, and the oracle that says
when promtool itself sees an alert fire. Runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from drill.core.units import prometheus_duration

Labels = Mapping[str, str]

FIRST_FIRING = 'min_over_time(timestamp(ALERTS{{alertstate="firing"}})[{span}:{step}])'
LAST_FIRING = 'max_over_time(timestamp(ALERTS{{alertstate="firing"}})[{span}:{step}])'
_GOT = re.compile(r"got:\s*(?P<samples>.*)")
_SAMPLE = re.compile(r"\{(?P<labels>[^}]*)\}\s+(?P<value>[-+0-9.eE]+)")
_LABEL = re.compile(r'(\w+)="((?:\\.|[^"\\])*)"')


class Slope(NamedTuple):
    """A counter grows by ``per_s`` until ``end_s`` (from the end of the slope before it, the first from 0)."""

    end_s: float
    per_s: float


def counter(slopes: Sequence[Slope], scrape_s: float, start: float = 0.0) -> str:
    """Render a piecewise-linear counter, sampled every *scrape_s* from 0 on, in promtool's ``a+bxn`` notation."""
    count = int(slopes[-1].end_s / scrape_s)
    values = [start + _integral(slopes, index * scrape_s) for index in range(count + 1)]
    runs: list[tuple[float, float, int]] = []
    for value, following in pairwise(values):
        step = round(following - value, 9)
        if runs and abs(runs[-1][1] - step) < 1e-9:
            runs[-1] = (runs[-1][0], step, runs[-1][2] + 1)
        else:
            runs.append((value, step, 1))
    out, last = [], len(runs) - 1
    for index, (value, step, length) in enumerate(runs):
        steps = length if index == last else length - 1
        out.append(f"{value:.9g}" if steps == 0 else f"{value:.9g}+{step:.9g}x{steps}")
    return " ".join(out)


def _integral(slopes: Sequence[Slope], until_s: float) -> float:
    total, since = 0.0, 0.0
    for slope in slopes:
        total += slope.per_s * max(0.0, min(until_s, slope.end_s) - since)
        since = slope.end_s
    return total


def oracle_queries(span_s: float, interval_s: float) -> list[dict[str, object]]:
    """Return two ``promql_expr_test`` entries that must fail and thereby print when every alert first and last
    fired; :func:`read_oracle` reads them."""
    span, step = prometheus_duration(span_s), prometheus_duration(interval_s)
    wrong = [{"labels": "no_such_series", "value": -1}]
    return [
        {"expr": query.format(span=span, step=step), "eval_time": span, "exp_samples": wrong}
        for query in (FIRST_FIRING, LAST_FIRING)
    ]


def read_oracle(output: str) -> list[tuple[dict[str, str], float]]:
    """Return (labels, seconds) of every sample in promtool's ``got:`` lines, in order of the output."""
    return [
        (dict(_LABEL.findall(sample["labels"])), float(sample["value"]))
        for line in _GOT.finditer(output)
        for sample in _SAMPLE.finditer(line["samples"])
    ]
