"""What every kind of fault offers to the loop that holds it, and where it is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """Where and how long a fault is held. Times are seconds; ``pid`` 0 and empty strings mean: not given."""

    id: str
    ttl: float
    deadline: float
    lease: float
    pid: int = 0
    root: str = "/"
    cgroups: tuple[str, ...] = ()
    envoy: str = ""
    stress_ng: str = ""
    shelter: tuple[str, ...] = ()
    """Cgroup directories of the replica that a guard may hide in, from whoever kills all of the agent's own."""
    protected: tuple[str, ...] = ()
    """Paths whose file systems are never filled: the node's own, where the agent runs in a container."""


class Held:
    """One fault at one site. ``prepare`` looks, ``apply`` does, ``refresh`` keeps alive, ``revert`` undoes.

    ``revert`` must work in a process that was forked between ``prepare`` and ``apply`` (the guard's), may be
    called twice, and relies on nothing that ``apply`` kept in memory.
    """

    backend = ""
    guard_every: float = 1.0
    """Seconds between two calls of ``guard_tick`` in the guard."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @property
    def beat(self) -> float:
        """Seconds between two refreshes."""
        return min(self.site.ttl / 3, 2.0)

    def prepare(self) -> None:
        """Look, open what both processes need, touch nothing. Raises CannotApply."""

    def apply(self) -> Mapping[str, object]:
        """Make the fault and return details for the report. Raises CannotApply, OSError."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Renew the part the kernel holds. Raises CannotApply when it is no longer there."""

    def lost(self) -> str:
        """Return ``''`` while the fault is in force, else why it no longer is."""
        return ""

    def watched(self) -> list[int]:
        """Return pidfds whose end means that ``lost`` should be asked at once."""
        return []

    def revert(self) -> list[str]:
        """Undo the fault and return what could not be undone."""
        raise NotImplementedError

    def report(self) -> Mapping[str, object]:
        """Return what was seen while the fault was held."""
        return {}

    def shelter(self) -> tuple[str, ...]:
        """Return where the guard must live to outlast the agent's pod; for what no kernel timeout ends."""
        return ()

    def guard_tick(self) -> None:
        """Look after what the kernel would not forgive; called in the guard only."""
