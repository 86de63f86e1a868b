"""scale-down: the service's workload is told to run fewer replicas, as a mistaken deploy or autoscaler would."""

from __future__ import annotations

from typing import ClassVar

from drill.core.actions import ScaleWorkload
from drill.core.probes import Effect
from drill.faults.base import Backend, Outcome, Params, Site, TimedAction

API = Backend("scale", ("scale",), "the workload's scale by the API", api=True)


class ScaleDownParams(Params):
    """``with:`` of scale-down; how many replicas go is said by ``target.pods``."""


class ScaleDown:
    """Takes away as many replicas as ``target.pods`` chooses; the platform decides which ones."""

    name: ClassVar[str] = "scale-down"
    summary: ClassVar[str] = "runs the service with fewer replicas"
    params: ClassVar[type[Params]] = ScaleDownParams

    def backends(self, params: ScaleDownParams) -> tuple[Backend, ...]:
        return (API,)

    def actions(self, params: ScaleDownParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        workload = site.service.workload
        if workload is None:
            return ()
        scale = ScaleWorkload(
            injection=site.injection,
            service=site.service.name,
            workload=workload.name,
            to=max(0, workload.replicas - len(site.chosen)),
            before=workload.replicas,
        )
        return ((0.0, scale),)

    def effect(self, params: ScaleDownParams, backend: str, site: Site) -> Effect:
        """As many replicas of the service as before serve less."""
        gone = -float(len(site.chosen))
        return Effect(
            kind="ready", expected=gone, low=-float("inf"), high=gone, unit="replicas", relative=True, within_s=60
        )

    def outcome(self, params: ScaleDownParams, backend: str, site: Site) -> Outcome:
        """The others carry the load, or do not: the replicas that go may end in good order."""
        left = len(site.service.replicas) - len(site.chosen)
        return (
            Outcome(failed=(0.0, 1.0), slowed=(0.0, 1.0), added_s=(0.0, 3.0))
            if left
            else Outcome(failed=(1.0, 1.0))
        )
