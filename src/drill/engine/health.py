"""Whether the system is healthy enough to be broken: a drill on top of an incident proves nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from drill.core.labels import matches, render
from drill.core.units import format_ratio
from drill.engine.preflight.measured import threshold
from drill.engine.state import State

SANDBOX_PATIENCE_S = 30.0
"""A busy machine disturbs a newborn sandbox; its windows of seconds forget that soon."""


def patience_s(state: State) -> float:
    """Return how long to wait for health beyond the baseline; a real system's windows do not heal by waiting."""
    return SANDBOX_PATIENCE_S if state.plan.target == "sandbox" else 0.0


def unhealthy(state: State) -> str:
    """Return what is wrong before anything was broken, in words; empty when nothing is.

    An expected alert must not fire and its SLO must be below half its threshold. In the sandbox, where nobody
    else lives, no alert that the scenario does not allow may fire either.
    """
    return next(chain(_firing(state), _failing(state)), "")


def _firing(state: State) -> Iterator[str]:
    for span in state.seen.spans:
        if not span.open or span.state != "firing":
            continue
        expected = any(matches(alert.match, span.labels) for alert in state.plan.expected)
        allowed = any(matches(match, span.labels) for match in state.plan.allow)
        if expected or (state.plan.target == "sandbox" and not allowed):
            yield f"{render(span.labels)} is firing"


def _failing(state: State) -> Iterator[str]:
    by_slo = {sample.sloth_id: sample for sample in state.seen.slis}
    for expected in state.plan.expected:
        predicted = expected.predicted
        sample = by_slo.get(predicted.sloth_id) if predicted else None
        theta = threshold(state.plan, predicted) if predicted else None
        if sample and theta and sample.error_ratio > theta / 2:
            yield f"{format_ratio(round(sample.error_ratio, 4))} of {sample.sloth_id}'s requests are bad"
