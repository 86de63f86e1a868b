"""What is done through the API: evict, delete, scale, change a template, cordon; each with its way back.

Each function does one action at one service or node, checks that the world still is as the plan says before it
touches anything, and returns the Unix time at which it was done. Raises ActionFailed, Unavailable.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from drill.core.actions import AwaitReplica, ChangeTemplate, CordonNode, ScaleWorkload
from drill.core.errors import ActionFailed
from drill.target.kubernetes import marks, objects, paths
from drill.target.kubernetes.api import JSON_PATCH, Api
from drill.target.kubernetes.failures import Busy, NotThere
from drill.target.kubernetes.view import ServiceView
from drill.target.kubernetes.watching import follow

BUDGET_PATIENCE_S = 20.0
"""How long an eviction is tried again while a PodDisruptionBudget forbids it."""
BUDGET_PAUSE_S = 0.5
BACK_OFF = "CrashLoopBackOff"
BACK_OFF_S = 300.0
"""The longest that kubelet waits before it starts a container again that was killed often (its crash back-off)."""


def evict(api: Api, pod: objects.Pod) -> float:
    """Evict *pod*; a PodDisruptionBudget may forbid it for a while, and then it is not done."""
    where, name = pod.metadata.namespace, pod.name
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": where},
        "deleteOptions": {"preconditions": {"uid": pod.metadata.uid}},
    }
    until = time.monotonic() + BUDGET_PATIENCE_S
    while True:
        try:
            api.raw("POST", paths.one("Pod", where, name, "eviction"), body, again=False, patience_s=0)
            return time.time()
        except NotThere as error:
            raise ActionFailed(f"pod {name} is gone: somebody else was faster") from error
        except Busy as error:
            if time.monotonic() + BUDGET_PAUSE_S > until:
                raise ActionFailed(
                    f"pod {name} cannot be evicted: {error}",
                    hint="a PodDisruptionBudget protects it; see `drill plan`",
                ) from error
        time.sleep(BUDGET_PAUSE_S)


def delete(api: Api, pod: objects.Pod) -> float:
    """Delete *pod* without asking any budget; its own grace period holds."""
    if not api.delete(paths.one("Pod", pod.metadata.namespace, pod.name), uid=pod.metadata.uid):
        raise ActionFailed(f"pod {pod.name} is gone: somebody else was faster")
    return time.time()


def await_replica(view: ServiceView, action: AwaitReplica, starts_before: int | None) -> float:
    """Wait until the place serves again; with *starts_before*, by a pod or container started since.

    Longer than asked, where kubelet itself waits before it starts a container that was killed often.
    """

    def serves(pods: Mapping[str, objects.Pod]) -> bool:
        pod = pods.get(action.replica)
        new = starts_before is None or view.slots.starts(action.replica) > starts_before
        return pod is not None and pod.ready and new

    waited_s = action.within_s
    at = view.await_pods(serves, waited_s)
    if at is None and any(why == BACK_OFF for _, why in _waiting(view.pods().get(action.replica))):
        waited_s += BACK_OFF_S
        at = view.await_pods(serves, BACK_OFF_S)
    if at is None:
        raise ActionFailed(
            f"{action.replica} does not serve after {waited_s:g} s: {_why_not(view, action.replica)}"
        )
    return at


def await_all(view: ServiceView, within_s: float) -> float:
    """Wait until the service has as many serving pods as its workload wants, or at least one without a workload."""
    workload = view.seen_workload()
    wanted = workload.spec.replicas if workload is not None else 1
    at = view.await_pods(lambda pods: sum(pod.ready for pod in pods.values()) >= wanted, within_s, grow=True)
    if at is None:
        raise ActionFailed(f"{view.name} has {view.ready()} of {wanted} serving pods after {within_s:g} s")
    return at


def _waiting(pod: objects.Pod | None) -> list[tuple[str, str]]:
    """The containers of *pod* that wait to be started, each with kubelet's reason."""
    statuses = pod.status.container_statuses if pod is not None else ()
    return [(one.name, one.state.waiting.reason) for one in statuses if one.state.waiting is not None]


def _why_not(view: ServiceView, replica: str) -> str:
    pod = view.pods().get(replica)
    if pod is None:
        return "no new pod was made for it"
    waiting = [f"{name} waits: {reason}" for name, reason in _waiting(pod)]
    unmet = [f"{one.type}: {one.message or one.reason}" for one in pod.status.conditions if one.status != "True"]
    return f"pod {pod.name} ({pod.status.phase}): {'; '.join([*waiting, *unmet][:3]) or 'it was not restarted'}"


# ---- size ------------------------------------------------------------------------------------------------


def scale(view: ServiceView, action: ScaleWorkload, *, wait: bool = True) -> float:
    """Set the replica count, if it is what the plan says it was; with *wait* the way back waits until all serve."""
    path = paths.workload(action.workload, view.namespace, "scale")
    now = int(view.api.raw_json("GET", path)["spec"].get("replicas", 0))
    if now not in (action.before, action.to):
        raise ActionFailed(
            f"{action.workload} has {now} replicas now, neither {action.before} nor {action.to}",
            hint="somebody else scales it: plan again; an autoscaler and a drill cannot both set its size",
        )
    if now != action.to:
        view.api.patch(path, {"spec": {"replicas": action.to}})
    if not action.back or not wait:
        return time.time()
    return _await_rollout(view, action.workload, action.within_s)


def _await_rollout(view: ServiceView, workload: str, within_s: float) -> float:
    kind, _, name = workload.partition("/")
    last: objects.Workload | None = None
    for here in follow(
        view.api, paths.all_of(kind, view.namespace), objects.Workload, within_s, fields=f"metadata.name={name}"
    ):
        last = next(iter(here.values()), None)
        if last is not None and is_settled(last):
            return time.time()
    said = f"{last.status.ready_replicas} of {last.spec.replicas} replicas are ready" if last else "it is gone"
    raise ActionFailed(f"{workload} is not as before after {within_s:g} s: {said}")


def is_settled(workload: objects.Workload) -> bool:
    """True when the controller has seen the last change and every wanted replica is of it and serves."""
    status, wanted = workload.status, workload.spec.replicas
    return (
        status.observed_generation >= workload.metadata.generation
        and status.replicas == wanted
        and status.ready_replicas == wanted
        and (status.updated_replicas == wanted or wanted == 0)
    )


# ---- template --------------------------------------------------------------------------------------------


def change_template(view: ServiceView, action: ChangeTemplate, *, wait: bool = True) -> float:
    """Change the container's field, if it is what the plan says it was; with *wait* the way back waits for it."""
    path = paths.workload(action.workload, view.namespace)
    containers = view.api.raw_json("GET", path)["spec"]["template"]["spec"]["containers"]
    index = next((i for i, one in enumerate(containers) if one["name"] == action.container), None)
    if index is None:
        raise ActionFailed(f"{action.workload} has no container {action.container} any more")
    now, wanted, before = containers[index].get(action.field), json.loads(action.value), json.loads(action.before)
    if not _same(now, before) and not _same(now, wanted):
        raise ActionFailed(
            f"{action.field} of {action.container} in {action.workload} is {json.dumps(now)} now: somebody else"
            " changed it, and it is left as it is",
        )
    if not _same(now, wanted):
        view.api.patch(path, _field_patch(index, action, wanted), JSON_PATCH)
    if not action.back or not wait:
        return time.time()
    return _await_rollout(view, action.workload, action.within_s)


def _field_patch(index: int, action: ChangeTemplate, wanted: Any) -> list[dict[str, Any]]:
    """The patch holds only for the container it was made for: somebody may have added one in the meantime."""
    base = f"/spec/template/spec/containers/{index}"
    change = {"op": "remove", "path": f"{base}/{action.field}"}
    if wanted is not None:
        change = {"op": "add", "path": f"{base}/{action.field}", "value": wanted}
    return [{"op": "test", "path": f"{base}/name", "value": action.container}, change]


def _same(now: Any, said: Any) -> bool:
    """True when *now* is *said*; the server adds its defaults to objects."""
    if isinstance(now, dict) and isinstance(said, dict):
        return all(_same(now.get(key), value) for key, value in said.items())
    return bool(now == said)


# ---- nodes -----------------------------------------------------------------------------------------------


def cordon(view: ServiceView, action: CordonNode, run_id: str, *, wait: bool = True) -> float:
    """Make the node unschedulable, with ``drain`` evict the service's pods from it; or take that back."""
    node = view.api.get(paths.node(action.node), objects.Node)
    ours = marks.CORDONED_BY in node.metadata.annotations
    if action.back:
        if ours:
            view.api.patch(paths.node(action.node), cordon_patch(False, None))
        return _await_rollout(view, view.workload, action.within_s) if view.workload and wait else time.time()
    if node.spec.unschedulable and not ours:
        raise ActionFailed(
            f"node {action.node} is cordoned already, by somebody else",
            hint="uncordon it, or choose other replicas",
        )
    view.api.patch(paths.node(action.node), cordon_patch(True, run_id))
    at = time.time()
    if action.drain:
        for pod in view.pods(0).values():
            if pod.spec.node_name == action.node:
                at = evict(view.api, pod)
    return at


def cordon_patch(unschedulable: bool, run_id: str | None) -> dict[str, Any]:
    """Return the merge patch that cordons a node for a run, or takes both away."""
    return {
        "metadata": {"annotations": {marks.CORDONED_BY: run_id}},
        "spec": {"unschedulable": True if unschedulable else None},
    }
