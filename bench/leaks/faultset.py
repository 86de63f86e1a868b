"""One typical action for every fault drill knows, as the compiler would order it. A new fault is added here."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from drill.core.actions import HoldFault, KillReplica
from drill.core.facts import Facts
from drill.faults.base import Site
from drill.faults.registry import faults

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
}
FOR_S = 60.0


def names() -> list[str]:
    """Every fault that drill itself makes. Raises KeyError when one has no parameters here.

    Left out: activities of Chaos Toolkit, whose undo is the scenario's word and whose guard has kills of its own in
    ``tests/activities``; and what needs a cluster.
    """
    return [
        name for name in faults() if name != "chaostoolkit" and "/" not in name and PARAMETERS[name] is not None
    ]


def action(name: str, injection: str, replica: str, facts: Facts, rng: random.Random) -> HoldFault | KillReplica:
    """Return the first action of the fault *name* at *replica*, by a way that this target can go."""
    fault = faults()[name]
    values = dict(PARAMETERS[name])
    if name == "partition":
        values["mode"] = rng.choice(["drop", "reject"])
    params = fault.params(**values)
    ways = [way for way in fault.backends(params) if not any(need in facts.missing for need in way.needs)]
    if not ways:
        raise LookupError(f"{name} cannot be made here")
    service = next(each for each in facts.services if any(one.name == replica for one in each.replicas))
    place = next(one for one in service.replicas if one.name == replica)
    site = Site(injection, facts, service, place, FOR_S)
    return fault.actions(params, rng.choice(ways).name, site)[0][1]
