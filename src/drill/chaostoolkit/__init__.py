"""drill as an ordinary extension of Chaos Toolkit: ``chaos discover drill.chaostoolkit`` lists what it offers.

Actions ``inject`` and ``revert`` (:mod:`drill.chaostoolkit.actions`), probes ``alert_fired_on_time``,
``alert_delivered`` and ``nothing_else_fired`` (:mod:`drill.chaostoolkit.probes`). Importing it does nothing.
"""

from __future__ import annotations

from typing import Any

from drill import __version__

__all__ = ["discover"]


def discover(discover_system: bool = True) -> dict[str, Any]:  # noqa: ARG001 - Chaos Toolkit's signature
    """Return what this extension offers, as Chaos Toolkit wants it."""
    from chaoslib.discovery import discover_actions, discover_probes, initialize_discovery_result

    found: dict[str, Any] = initialize_discovery_result("drill", __version__, "drill")
    found["activities"] += discover_actions("drill.chaostoolkit.actions")
    found["activities"] += discover_probes("drill.chaostoolkit.probes")
    return found
