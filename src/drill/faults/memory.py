"""memory-hog and oom-kill: stress-ng fills the memory of the replica's own cgroup, below or above its limit."""

from __future__ import annotations

from typing import ClassVar

from drill.core.actions import MemoryFault
from drill.core.probes import Effect
from drill.faults.base import Backend, Field, Outcome, Params, PercentParam, Site, TimedAction, hold

BACKENDS = (Backend("stress-ng", ("stress-ng", "cgroup-memory"), "stress-ng in the replica's cgroup"),)
OVERSHOOT = 1.5
"""oom-kill allocates this multiple of the limit: enough to be sure, small enough to be quick."""


class MemoryHogParams(Params):
    """``with:`` of memory-hog."""

    fill: PercentParam = Field(0.7, gt=0, le=0.9, description="share of the memory limit that is allocated")


class MemoryHog:
    """Takes most of the replica's memory without reaching the limit."""

    name: ClassVar[str] = "memory-hog"
    summary: ClassVar[str] = "takes most of the replica's memory"
    params: ClassVar[type[Params]] = MemoryHogParams

    def backends(self, params: MemoryHogParams) -> tuple[Backend, ...]:
        return BACKENDS

    def actions(self, params: MemoryHogParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        return hold(site, MemoryFault(size_bytes=int(site.replica.memory_limit_bytes * params.fill)), reapply=True)

    def effect(self, params: MemoryHogParams, backend: str, site: Site) -> Effect:
        """Memory in use over the cgroup's limit."""
        return Effect(kind="memory_ratio", expected=params.fill, low=params.fill * 0.9, high=1.0, unit="ratio")

    def outcome(self, params: MemoryHogParams, backend: str, site: Site) -> Outcome:
        """Usually nothing; reclaim may slow some requests."""
        return Outcome(slowed=(0.0, 0.5), added_s=(0.0, 0.5), failed=(0.0, 0.2))


class OomKillParams(Params):
    """``with:`` of oom-kill; it has no parameters."""


class OomKill:
    """Allocates beyond the limit until the kernel kills the container, again after every restart."""

    name: ClassVar[str] = "oom-kill"
    summary: ClassVar[str] = "makes the kernel's OOM killer end the replica, again and again"
    params: ClassVar[type[Params]] = OomKillParams

    def backends(self, params: OomKillParams) -> tuple[Backend, ...]:
        return BACKENDS

    def actions(self, params: OomKillParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        size = int(site.replica.memory_limit_bytes * OVERSHOOT)
        return hold(site, MemoryFault(size_bytes=size, oom=True), reapply=True)

    def effect(self, params: OomKillParams, backend: str, site: Site) -> Effect:
        """At least one more OOM kill than before."""
        return Effect(kind="oom_kills", expected=1, low=1, unit="kills", relative=True)

    def outcome(self, params: OomKillParams, backend: str, site: Site) -> Outcome:
        """Requests fail while the container is down: from a short gap per kill to nearly all the time."""
        return Outcome(failed=(0.15, 1.0), slowed=(0.0, 0.5), added_s=(0.0, 2.0))
