"""node-cordon and node-drain: the node under a replica takes no new pods, and loses those of the service."""

from __future__ import annotations

from typing import ClassVar

from drill.core.actions import CordonNode
from drill.core.probes import Effect
from drill.faults.base import Backend, Outcome, Params, Site, TimedAction

CORDON = Backend("cordon", ("cordon",), "the node is made unschedulable by the API", api=True)
DRAIN = Backend(
    "drain", ("cordon", "evict"), "the node is made unschedulable and the service's pods are evicted", api=True
)


class NodeParams(Params):
    """``with:`` of both: nothing. The nodes are those of the chosen replicas."""


class NodeCordon:
    """Cordons the nodes of the chosen replicas: nothing moves, but nothing new starts there."""

    name: ClassVar[str] = "node-cordon"
    summary: ClassVar[str] = "the node takes no new pods"
    params: ClassVar[type[Params]] = NodeParams

    def backends(self, params: NodeParams) -> tuple[Backend, ...]:
        return (CORDON,)

    def actions(self, params: NodeParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        return _cordon(site, drain=False)

    def effect(self, params: NodeParams, backend: str, site: Site) -> Effect:
        """The node is unschedulable."""
        return Effect(kind="unschedulable", expected=1, low=1, high=1, unit="")

    def outcome(self, params: NodeParams, backend: str, site: Site) -> Outcome:
        """Users feel nothing by it alone: it is for scenarios that also kill something."""
        return Outcome()


class NodeDrain:
    """Cordons the nodes of the chosen replicas and evicts the service's pods from them."""

    name: ClassVar[str] = "node-drain"
    summary: ClassVar[str] = "the service's pods are evicted from a node, which takes no new ones"
    params: ClassVar[type[Params]] = NodeParams

    def backends(self, params: NodeParams) -> tuple[Backend, ...]:
        return (DRAIN,)

    def actions(self, params: NodeParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        return _cordon(site, drain=True)

    def effect(self, params: NodeParams, backend: str, site: Site) -> Effect:
        """Another pod has taken the place of the replica's."""
        return Effect(kind="starts", expected=1, low=1, unit="restarts", relative=True, within_s=60)

    def outcome(self, params: NodeParams, backend: str, site: Site) -> Outcome:
        """Replicas that are evicted may end in good order; the others carry the load until new ones serve."""
        return Outcome(failed=(0.0, 1.0), lasts_s=max(site.facts.restart_s, 0.2))


def _cordon(site: Site, *, drain: bool) -> tuple[TimedAction, ...]:
    action = CordonNode(injection=site.injection, service=site.service.name, node=site.replica.node, drain=drain)
    return ((0.0, action),)
