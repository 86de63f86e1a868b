"""drill proves, by really breaking things, that alerts fire and reach the right people."""

import importlib
from typing import Any

__version__ = "0.1.0"


def discover(discover_system: bool = True) -> dict[str, Any]:
    """Return what drill offers to Chaos Toolkit: ``chaos discover drill`` asks the distribution's top module."""
    found: dict[str, Any] = importlib.import_module("drill.chaostoolkit").discover(discover_system)
    return found
