"""One typical action for every fault drill knows, as the compiler would order it. A new fault is added here."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from drill.core.actions import AnyAction
from drill.core.facts import Facts
from drill.faults.base import Site
from drill.faults.registry import faults
from drill.plan.injections import missing_at

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "latency": {"delay": "400ms", "jitter": "20ms"},
    "packet-loss": {"loss": "60%"},
    "bandwidth": {"rate": "64kbit"},
    "partition": {"mode": "drop"},
    "http-error": {"percent": "100%"},
    "cpu-stress": {"workers": 2},
    "memory-hog": {},
    "oom-kill": {},
    "disk-full": {},
    "pod-kill": {},
    "pause": {},
    "scale-down": {},
    "node-cordon": {},
    "node-drain": {},
    "bad-rollout": {},
}
FOR_S = 60.0


def names() -> list[str]:
    """Every fault that drill itself makes. Raises KeyError when one has no parameters here.

    Left out: activities of Chaos Toolkit, whose undo is the scenario's word and whose guard has kills of its own in
    ``tests/activities``; and drivers, which ask other tools.
    """
    mine = [name for name in faults() if name != "chaostoolkit" and "/" not in name]
    return [name for name in mine if PARAMETERS[name] is not None]


def asks_only_an_api(name: str) -> bool:
    """True for a fault that only a platform with an API server has."""
    fault = faults()[name]
    return all(way.api for way in fault.backends(fault.params(**PARAMETERS[name])))


def action(name: str, injection: str, replica: str, facts: Facts, rng: random.Random) -> AnyAction:
    """Return the first action of the fault *name* at *replica*, by a way that can be gone there.

    Raises LookupError when there is none.
    """
    fault = faults()[name]
    values = dict(PARAMETERS[name])
    if name == "partition":
        values["mode"] = rng.choice(["drop", "reject"])
    if name == "bad-rollout":
        values["kind"] = rng.choice(["image", "readiness"])
    params = fault.params(**values)
    service = next(each for each in facts.services if any(one.name == replica for one in each.replicas))
    place = next(one for one in service.replicas if one.name == replica)
    lacking = missing_at((place,), facts)
    ways = [way for way in fault.backends(params) if not any(need in lacking for need in way.needs)]
    if not ways:
        raise LookupError(f"{name} cannot be made at {replica}: {lacking}")
    site = Site(injection, facts, service, place, FOR_S, chosen=(place,))
    return fault.actions(params, rng.choice(ways).name, site)[0][1]
