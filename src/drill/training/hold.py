"""A scenario changed for training: its faults last until somebody ends them. Pure.

A drill's ``for`` is as long as its alert needs; people need longer. Limits that would end the run for the price of
that (budget, duration) are lifted: training happens where nobody's budget is spent. Where somebody's is, the limit
on budget stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import BaseModel

from drill.scenario.model import Injection, NothingElse, Scenario

SETTLE_S = 900.0
"""How much longer than the faults the run may last: snapshots, undo, alerts that resolve."""
NO_LIMIT = 1e9
LEAST_BETWEEN_S = 5.0
"""Repeated deeds (kills) are this far apart at least: people must see what happens between two."""


def held(
    scenario: Scenario,
    params: Mapping[str, BaseModel],
    hold_s: float,
    fast_forward: float,
    *,
    second: bool = False,
    spare: bool = False,
) -> tuple[Scenario, dict[str, BaseModel]]:
    """Return *scenario* and its faults' parameters with every fault held for *hold_s* seconds as they run.

    An injection that another one of the same service and fault follows keeps its time. With *second* it comes on
    top of another scenario, whose alerts may fire already. With *spare* the scenario's limit on budget stays:
    there are real users.
    """
    injections = tuple(
        one if _is_followed(one, scenario) else one.model_copy(update={"for_": hold_s * fast_forward})
        for one in scenario.injections
    )
    changed = {
        one.id: _repeated(params[one.id], one, hold_s, fast_forward) for one in injections if one.id in params
    }
    limits = scenario.guardrails.model_copy(
        update={
            "max_budget_spend": scenario.guardrails.max_budget_spend if spare else NO_LIMIT,
            "max_duration": (hold_s + SETTLE_S) * fast_forward,
        }
    )
    update: dict[str, object] = {"injections": injections, "guardrails": limits}
    if second:
        allowed = NothingElse(allow=({},))
        update["expect"] = scenario.expect.model_copy(update={"nothing_else": allowed})
    return scenario.model_copy(update=update), {**params, **changed}


def _is_followed(injection: Injection, scenario: Scenario) -> bool:
    return any(
        other.at > injection.at
        and other.target.service == injection.target.service
        and other.fault == injection.fault
        for other in scenario.injections
    )


def _repeated(params: BaseModel, injection: Injection, hold_s: float, fast_forward: float) -> BaseModel:
    """A fault that is a deed done once (``times``, ``every``) is done again and again for all of its time."""
    every = getattr(params, "every", None)
    if every is None or not hasattr(params, "times") or injection.for_ < hold_s * fast_forward:
        return params
    between_s = max(LEAST_BETWEEN_S, every / fast_forward)
    return params.model_copy(
        update={"times": max(1, math.floor(hold_s / between_s)), "every": between_s * fast_forward}
    )
