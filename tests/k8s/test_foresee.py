"""What stands in the way in a namespace is said with what to do; what only needs the world is tested without a server."""

from __future__ import annotations

from typing import Any

from drill.core.actions import AnyAction, KillReplica, ScaleWorkload
from drill.core.ports import Hindrance
from drill.target.kubernetes import foresee, objects
from drill.target.kubernetes.discovery import World
from k8s.test_discovery import node, pod, service, workload

KILL = KillReplica(injection="k", replica="web-0", mode="evict")


class Listing:
    """An API server that lists what it was given, whatever it is asked for."""

    context = "kind-drill"

    def __init__(self, *items: Any) -> None:
        self._items = items

    def list(self, path: str, model: type[Any]) -> Any:
        return objects.Listed[model](items=tuple(model.model_validate(one) for one in self._items))  # type: ignore[valid-type]


def ahead(
    action: AnyAction, *items: Any, ready: bool = True, status: dict[str, int] | None = None
) -> foresee.Ahead:
    kind, deployment = workload(replicas=3)
    settled = {"observedGeneration": 0, "replicas": 3, "readyReplicas": 3, "updatedReplicas": 3}
    seen = deployment.model_copy(update={"status": objects.WorkloadStatus.model_validate(status or settled)})
    there = node("a")
    if not ready:
        there = there.model_copy(update={"status": objects.NodeStatus()})
    namespace = objects.Thing.model_validate({"metadata": {"name": "shop"}})
    world = World(namespace, (service(),), (pod(),), ((kind, seen),), (there,))
    return foresee.ahead_of(Listing(*items), world, [action], {"web-0": pod()})  # type: ignore[arg-type]


def only(found: Any) -> Hindrance:
    (one,) = found
    assert one.fix
    return one  # type: ignore[no-any-return]


def test_a_node_that_is_not_ready_forbids_the_start():
    assert (
        "node a, where replicas of this drill run, is not Ready"
        in only(foresee._nodes(ahead(KILL, ready=False))).text
    )
    assert list(foresee._nodes(ahead(KILL))) == []


def test_a_rollout_under_way_forbids_the_start():
    status = {"replicas": 4, "readyReplicas": 3, "updatedReplicas": 1}
    found = only(foresee._rollouts(ahead(KILL, status=status)))
    assert (
        "a rollout of Deployment web is under way: 3 of 3 replicas are ready, 1 of its last version" in found.text
    )
    assert list(foresee._rollouts(ahead(KILL))) == []


def budget(allowed: int, app: str = "web") -> dict[str, Any]:
    return {
        "metadata": {"name": "guard"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": 3, "desiredHealthy": 3},
    }


def test_a_budget_without_room_forbids_an_eviction_and_is_named():
    found = only(foresee._budgets(ahead(KILL, budget(0))))
    assert (found.level, "guard allows 0 eviction(s) now" in found.text) == ("block", True)


def test_a_budget_with_room_or_for_others_does_not():
    assert list(foresee._budgets(ahead(KILL, budget(1)))) == []
    assert list(foresee._budgets(ahead(KILL, budget(0, app="other")))) == []
    deletion = KILL.with_(mode="delete")
    assert list(foresee._budgets(ahead(deletion, budget(0)))) == [], "a deletion asks no budget"


def test_an_autoscaler_forbids_scaling_what_it_scales():
    scale = ScaleWorkload(injection="s", service="web", workload="Deployment/web", to=2, before=3)
    scaler = {"metadata": {"name": "auto"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}}
    assert "auto sets the size of Deployment web itself" in only(foresee._autoscalers(ahead(scale, scaler))).text
    scaler["spec"]["scaleTargetRef"]["name"] = "other"
    assert list(foresee._autoscalers(ahead(scale, scaler))) == []
    assert list(foresee._autoscalers(ahead(KILL, scaler))) == []
