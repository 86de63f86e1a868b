"""A scenario as an experiment for Chaos Toolkit: its runner leads, drill injects, undoes and judges.

Owns the shape of the experiment. The faults themselves stay drill's: what an experiment's ``method`` could say of
them has no undo that survives a crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drill.scenario.model import Scenario

Experiment = dict[str, Any]
ACTIONS, PROBES = "drill.chaostoolkit.actions", "drill.chaostoolkit.probes"
NOWHERE_ELSE: Mapping[str, str] = {}
WAIT_S = 900.0
"""How long the probes wait at most, beyond what the fault lasts."""


def experiment_of(
    scenario: Scenario,
    name_or_path: str,
    parameters: Mapping[str, str],
    target: str,
    fast_forward: float,
    place: Mapping[str, str] = NOWHERE_ELSE,
) -> Experiment:
    """Return the experiment that drills *scenario* at *target*, which ``$DRILL_TARGET`` overrides.

    *place* is what a cluster needs beside its context: ``namespace`` and ``as_user``, those that were given.
    """
    lasts = max(one.at + one.for_ for one in scenario.injections) / fast_forward
    arguments: dict[str, Any] = {
        "scenario": name_or_path,
        "target": "${drill_target}",
        "fast_forward": fast_forward,
        **{name: value for name, value in place.items() if value},
        **({"parameters": dict(parameters)} if parameters else {}),
    }
    return {
        "title": scenario.metadata.title or scenario.metadata.name,
        "description": scenario.metadata.description or scenario.hypothesis,
        "tags": list(scenario.metadata.tags),
        "configuration": {"drill_target": {"type": "env", "key": "DRILL_TARGET", "default": target}},
        "steady-state-hypothesis": {"title": scenario.hypothesis, "probes": _probes(scenario, lasts + WAIT_S)},
        "method": [_activity("action", f"inject {scenario.metadata.name}", ACTIONS, "inject", arguments)],
        "rollbacks": [_activity("action", "end the faults", ACTIONS, "revert", {})],
    }


def _probes(scenario: Scenario, within_s: float) -> list[Experiment]:
    probes = []
    for expected in scenario.expect.alerts:
        match = {("sloth_id" if key == "slo" else key): value for key, value in expected.match.items()}
        name = " ".join(f"{key}={value}" for key, value in expected.match.items())
        arguments = {"alert": match, "within": within_s}
        probes.append(_activity("probe", f"{name} fired on time", PROBES, "alert_fired_on_time", arguments))
        probes.append(_activity("probe", f"{name} was delivered", PROBES, "alert_delivered", arguments))
    if scenario.expect.nothing_else is not None:
        probes.append(_activity("probe", "nothing else fired", PROBES, "nothing_else_fired", {"within": within_s}))
    return [{**probe, "tolerance": True} for probe in probes]


def _activity(kind: str, name: str, module: str, function: str, arguments: Mapping[str, Any]) -> Experiment:
    provider = {"type": "python", "module": module, "func": function, "arguments": dict(arguments)}
    return {"type": kind, "name": name, "provider": provider}
