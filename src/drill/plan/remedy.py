"""The smallest change of one number of a scenario with which a silent alert fires for certain. Pure.

Owns the search: each number of the injection that should cause the alert (durations and shares of its ``with:``,
and how many replicas it faults) is raised until a plan made of it fires, then lowered again as far as it goes.
Knows no fault: it only tries, so it never names a change that does not work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from drill.core.facts import Facts
from drill.core.units import format_duration, format_ratio
from drill.faults.base import DurationParam, Params, PercentParam
from drill.plan.injections import choose_replicas
from drill.scenario.model import Injection, Scenario

Works = Callable[[Scenario, Mapping[str, Params]], bool]
"""Tells whether the alert fires for certain, within all limits, by this scenario with these ``with:`` blocks."""
LONGEST_S = 60.0
STEPS_PER_S, STEPS_PER_SHARE = 100, 100
"""Durations are tried in steps of 10 ms, shares in steps of 1 %: what a person would write."""


class Knob(NamedTuple):
    """One number of an injection in steps from ``now`` to ``most``; ``turned`` makes the changed scenario."""

    name: str
    now: int
    most: int
    turned: Callable[[int], tuple[Scenario, Mapping[str, Params]]]
    words: Callable[[int], str]


def smallest_changes(
    scenario: Scenario, params: Mapping[str, Params], facts: Facts, injection: str, works: Works
) -> tuple[str, ...]:
    """Return, each in words, the smallest change of every number that alone makes it work; empty when none does."""
    tried = ((knob, _least(knob, works)) for knob in _knobs(scenario, params, facts, injection))
    return tuple(
        f"set '{knob.name}: {knob.words(step)}' at injection '{injection}' (now {knob.words(knob.now)})"
        for knob, step in tried
        if step is not None
    )


def _least(knob: Knob, works: Works) -> int | None:
    """The least step above now that works; None when none was found.

    Goes up in strides that double, because much more of it may break another limit, then halves the last stride.
    """
    low, stride = knob.now, 1
    while low < knob.most:
        high = min(knob.most, low + stride)
        if works(*knob.turned(high)):
            return _between(knob, works, low, high)
        low, stride = high, 2 * stride
    return None


def _between(knob: Knob, works: Works, low: int, high: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(*knob.turned(middle)) else (middle, high)
    return high


def _knobs(scenario: Scenario, params: Mapping[str, Params], facts: Facts, name: str) -> Iterator[Knob]:
    index = next(number for number, one in enumerate(scenario.injections) if one.id == name)
    for field in type(params[name]).model_fields:
        yield from _of_parameter(scenario, params, name, field)
    service = facts.service(scenario.injections[index].target.service)
    if service is not None:
        target = scenario.injections[index].target
        now = len(choose_replicas(service, target.pods, ""))

        def more(count: int) -> tuple[Scenario, Mapping[str, Params]]:
            return _replaced(scenario, index, target={"pods": count}), params

        yield Knob("target.pods", now, len(service.replicas), more, str)


def _of_parameter(scenario: Scenario, params: Mapping[str, Params], name: str, field: str) -> Iterator[Knob]:
    info, value = type(params[name]).model_fields[field], getattr(params[name], field)
    for kind, per_unit, words, longest in (
        (DurationParam, STEPS_PER_S, format_duration, LONGEST_S),
        (PercentParam, STEPS_PER_SHARE, format_ratio, 1.0),
    ):
        if not isinstance(value, float) or _parser(kind) not in info.metadata:
            continue

        def turned(step: int, unit: int = per_unit) -> tuple[Scenario, Mapping[str, Params]]:
            return scenario, {**params, name: params[name].model_copy(update={field: step / unit})}

        def say(step: int, unit: int = per_unit, of: Callable[[float], str] = words) -> str:
            return of(step / unit)

        yield Knob(
            field, ceil(value * per_unit - 1e-9), int(min(longest, _limit(info.metadata)) * per_unit), turned, say
        )


def _parser(kind: Any) -> Any:
    """What tells the fields of one of the parameter types: the validator that all of them share."""
    return kind.__metadata__[0]


def _limit(metadata: Sequence[Any]) -> float:
    return min((float(one.le) for one in metadata if hasattr(one, "le")), default=float("inf"))


def _replaced(scenario: Scenario, index: int, target: Mapping[str, object]) -> Scenario:
    old: Injection = scenario.injections[index]
    new = old.model_copy(update={"target": old.target.model_copy(update=dict(target))})
    injections = (*scenario.injections[:index], new, *scenario.injections[index + 1 :])
    return scenario.model_copy(update={"injections": injections})
