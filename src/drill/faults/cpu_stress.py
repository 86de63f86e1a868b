"""cpu-stress: stress-ng burns CPU inside the replica's own cgroup, so the service is really throttled."""

from __future__ import annotations

from typing import ClassVar

from drill.core.actions import CpuFault
from drill.core.probes import Effect
from drill.faults.base import Backend, Field, Outcome, Params, Site, TimedAction, hold


class CpuStressParams(Params):
    """``with:`` of cpu-stress."""

    workers: int = Field(8, ge=1, le=256, description="stress-ng workers; more workers leave the service less")
    load: int = Field(100, ge=1, le=100, description="load per worker in percent")


class CpuStress:
    """Uses up the replica's CPU quota; only meaningful where the replica has one."""

    name: ClassVar[str] = "cpu-stress"
    summary: ClassVar[str] = "burns CPU inside the replica's own cgroup"
    params: ClassVar[type[Params]] = CpuStressParams

    def backends(self, params: CpuStressParams) -> tuple[Backend, ...]:
        return (Backend("stress-ng", ("stress-ng", "cgroup-cpu"), "stress-ng in the replica's cgroup"),)

    def actions(self, params: CpuStressParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        return hold(site, CpuFault(workers=params.workers, load_percent=params.load), reapply=True)

    def effect(self, params: CpuStressParams, backend: str, site: Site) -> Effect:
        """The share of CFS periods in which the cgroup was throttled (cpu.stat)."""
        return Effect(kind="throttled_ratio", expected=1.0, low=0.5, unit="ratio", high=1.0)

    def outcome(self, params: CpuStressParams, backend: str, site: Site) -> Outcome:
        """How slow it gets depends on the service's own work per request, so the range is wide."""
        return Outcome(slowed=(0.3, 1.0), added_s=(0.05, 3.0), failed=(0.0, 1.0))
