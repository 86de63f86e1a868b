"""What will keep a drill from being done or undone in a namespace, found out before anything is touched.

Rights one by one, PodDisruptionBudgets, autoscalers, rollouts under way, nodes that are not Ready: each with what
to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from drill.core.actions import (
    AnyAction,
    ChangeTemplate,
    CordonNode,
    HoldFault,
    KillReplica,
    ScaleWorkload,
    is_deed,
)
from drill.core.errors import DrillError
from drill.core.ports import Hindrance
from drill.target.kubernetes import acts, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.discovery import World
from drill.target.kubernetes.install import Right, rights
from drill.target.kubernetes.manifests import Wanted
from drill.target.kubernetes.rbac import Need


@dataclass(frozen=True)
class Ahead:
    """What is going to be done, in a world: ``pods`` by the replica's name."""

    api: Api
    world: World
    namespace: str
    deeds: tuple[AnyAction, ...]
    pods: Mapping[str, objects.Pod]
    inside: bool = False
    """Agents are put into the pods themselves."""

    @property
    def evictions(self) -> list[objects.Pod]:
        """The pods that are going to be evicted."""
        kills = [one for one in self.deeds if isinstance(one, KillReplica) and one.mode == "evict"]
        names = {one.replica for one in kills}
        drained = {one.node for one in self.deeds if isinstance(one, CordonNode) and one.drain}
        return [pod for name, pod in self.pods.items() if name in names or pod.spec.node_name in drained]

    @property
    def concerned(self) -> list[objects.Pod]:
        """The pods something is going to happen to."""
        names = {one.replica for one in self.deeds if isinstance(one, HoldFault | KillReplica)}
        return [pod for name, pod in self.pods.items() if name in names]


def needs_of(actions: Iterable[AnyAction], *, inside: bool = False) -> set[Need]:
    """Return the powers that *actions* and their undo need; *inside*: agents are in the pods themselves."""
    found: set[Need] = {"look", "lease"}
    for action in actions:
        match action:
            case HoldFault():
                found.add("inside" if inside else "agents")
            case KillReplica():
                kinds: dict[str, Need] = {"evict": "evict", "delete": "delete", "kill": "agents"}
                found |= {kinds[action.mode], "recover"}
            case ScaleWorkload():
                found.add("scale")
            case ChangeTemplate():
                found.add("rollout")
            case CordonNode():
                found |= {"cordon", "evict"} if action.drain else {"cordon"}
            case _:
                continue
    return found


def hindrances(ahead: Ahead) -> Iterator[Hindrance]:
    """Yield everything that is in the way. Raises Unavailable when it cannot be found out."""
    yield from _rights(ahead)
    yield from _nodes(ahead)
    yield from _rollouts(ahead)
    yield from _budgets(ahead)
    yield from _autoscalers(ahead)


def _rights(ahead: Ahead) -> Iterator[Hindrance]:
    nodes = any(isinstance(one, CordonNode) for one in ahead.deeds)
    needs = needs_of(ahead.deeds, inside=ahead.inside)
    wanted = Wanted((ahead.namespace,), (), nodes, "inside" in needs)
    missing = [one for one in rights(ahead.api, wanted, sorted(needs)) if not one.granted]
    if missing:
        flags = f" --namespace {ahead.namespace}{' --nodes' if wanted.nodes else ''}"
        flags += " --ephemeral" if wanted.ephemeral else ""
        yield Hindrance(
            check="permissions",
            text=f"this identity may not {', not '.join(map(_right_words, missing))}",
            fix=f"have them granted: drill k8s install --context {ahead.api.context}{flags}",
        )


def _right_words(right: Right) -> str:
    return f"{right} ({right.rule.why})"


def _nodes(ahead: Ahead) -> Iterator[Hindrance]:
    names = {pod.spec.node_name for pod in ahead.concerned}
    for node in ahead.world.nodes:
        if node.name in names and not node.ready:
            yield Hindrance(
                check="nodes",
                text=f"node {node.name}, where replicas of this drill run, is not Ready",
                fix="wait until it is, or choose other replicas: nothing could be undone there",
            )


def _rollouts(ahead: Ahead) -> Iterator[Hindrance]:
    for kind, workload in _workloads(ahead):
        if not acts.is_settled(workload):
            yield Hindrance(
                check="rollout",
                text=f"a rollout of {kind} {workload.name} is under way: {_progress(workload)}",
                fix="wait for its end: a drill on top of it would prove nothing",
            )


def _progress(workload: objects.Workload) -> str:
    status = workload.status
    return (
        f"{status.ready_replicas} of {workload.spec.replicas} replicas are ready,"
        f" {status.updated_replicas} of its last version"
    )


def _workloads(ahead: Ahead) -> list[tuple[str, objects.Workload]]:
    """The Deployments and StatefulSets of the pods concerned, and those that are changed as such."""
    names = {one.workload for one in ahead.deeds if isinstance(one, ScaleWorkload | ChangeTemplate)}
    owned = [ahead.world.workload_of([pod]) for pod in ahead.concerned]
    found = {f"{one[0]}/{one[1].name}": one for one in owned if one is not None}
    found |= {
        f"{kind}/{one.name}": (kind, one) for kind, one in ahead.world.workloads if f"{kind}/{one.name}" in names
    }
    return [one for one in found.values() if one[0] in ("Deployment", "StatefulSet")]


def _budgets(ahead: Ahead) -> Iterator[Hindrance]:
    pods = ahead.evictions
    if not pods:
        return
    for budget in _listed(ahead, "PodDisruptionBudget", objects.DisruptionBudget):
        asked = sum(budget.spec.selector.matches(pod.metadata.labels) for pod in pods)
        allowed = budget.status.disruptions_allowed
        if asked > allowed:
            yield Hindrance(
                level="block" if allowed == 0 else "warn",
                check="disruption budget",
                text=f"PodDisruptionBudget {budget.name} allows {allowed} eviction(s) now,"
                f" this drill asks for {asked} ({budget.status.current_healthy} of the pods it guards are healthy,"
                f" {budget.status.desired_healthy} must be)",
                fix="evict fewer, or use another mode: the budget would hold the eviction off",
            )


def _autoscalers(ahead: Ahead) -> Iterator[Hindrance]:
    if not any(isinstance(one, ScaleWorkload) for one in ahead.deeds):
        return
    names = {(kind, one.name) for kind, one in _workloads(ahead)}
    for scaler in _listed(ahead, "HorizontalPodAutoscaler", objects.Autoscaler):
        target = scaler.spec.scale_target_ref
        if (target.kind, target.name) in names:
            yield Hindrance(
                check="autoscaler",
                text=f"HorizontalPodAutoscaler {scaler.name} sets the size of {target.kind} {target.name} itself",
                fix="use pod-kill instead, or take the autoscaler away for the drill",
            )


def _listed(ahead: Ahead, kind: str, model: type[objects.T]) -> Sequence[objects.T]:
    """What cannot be listed is said by the rights already."""
    try:
        return ahead.api.list(paths.all_of(kind, ahead.namespace), model).items
    except DrillError:
        return ()


def ahead_of(
    api: Api,
    world: World,
    actions: Sequence[AnyAction],
    pods: Mapping[str, objects.Pod],
    *,
    inside: bool = False,
) -> Ahead:
    """Join what is to be done with the world it is done in."""
    return Ahead(api, world, world.namespace.name, tuple(one for one in actions if is_deed(one)), pods, inside)
