"""The embedded sandbox: demo services, traffic, Prometheus, Alertmanager and a sink in namespaces of their own.

Names are loaded when they are used: the keeper and the processes inside must not pay for the runner's imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drill.target.sandbox.leftovers import running, sweep
    from drill.target.sandbox.planned import planned_facts
    from drill.target.sandbox.sandbox import Sandbox
    from drill.target.sandbox.spec import SandboxSpec
    from drill.target.sandbox.topology import SINK_URL

__all__ = ["SINK_URL", "Sandbox", "SandboxSpec", "planned_facts", "running", "sweep"]

_HOMES = {
    "SINK_URL": "topology",
    "Sandbox": "sandbox",
    "SandboxSpec": "spec",
    "planned_facts": "planned",
    "running": "leftovers",
    "sweep": "leftovers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
