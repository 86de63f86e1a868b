"""Undoing what dead runs left in a cluster, from the annotations on its Services alone, on any machine.

Doing it twice, or twice at once, is harmless: every undo states the state to end in. What a living run holds is
left to it. Says what was found, what was removed, and what is still there with the command that removes it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from drill.core.actions import (
    AnyAction,
    AwaitReplica,
    ChangeTemplate,
    CordonNode,
    ReleaseFault,
    ScaleWorkload,
    describe,
)
from drill.core.errors import DrillError
from drill.target.kubernetes import acts, discovery, intents, leases, marks, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import Forbidden, NotThere
from drill.target.kubernetes.pods import HELPERS
from drill.target.kubernetes.ports import NodeAgents, PodRef
from drill.target.kubernetes.view import ServiceView


@dataclass
class Cleared:
    """What was done. Each list holds sentences for people."""

    living: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)


def opted_in(api: Api) -> list[str]:
    """Return the namespaces that let drills in. Raises ApiFailed."""
    found = api.list(paths.NAMESPACES, objects.Thing, labels=f"{marks.ALLOWED}=true")
    return sorted(one.name for one in found.items)


class Recovery:
    """One look at a cluster."""

    def __init__(self, api: Api, agents: Callable[[], NodeAgents]) -> None:
        """*agents* makes those near the pods; it is called only when something was held in pods."""
        self._api, self._agents = api, agents
        self.cleared = Cleared()
        self._holders: dict[str, str] = {}
        self._released: dict[tuple[str, str, str], str] = {}

    def run(self, namespaces: Sequence[str], *, everything: bool = False) -> Cleared:
        """Undo what dead runs left in *namespaces*, and on the nodes. Raises nothing for what one of them does.

        With *everything* those are all there are, and helper pods that still run are nobody's when no run lives.

        First everything is set back, then everything is waited for: one undo may have to wait for another.
        """
        try:
            self._holders = self._living()
            self._helpers(everything and not self._holders)
        except DrillError as error:
            self.cleared.remaining.append(f"it cannot be seen whether runs are under way: {error}")
            return self.cleared
        left = [one for namespace in namespaces for one in self._found_in(namespace, may_go=everything)]
        self._prepare(left)
        for found, world in left:
            for undo in reversed(found.intent.undo if found.intent else ()):
                with suppress(DrillError):  # the second time says what is wrong
                    self._do(undo, found, world, wait=False)
        for found, world in left:
            self._undo(found, world)
        self._uncordon()
        return self.cleared

    def _found_in(self, namespace: str, *, may_go: bool) -> list[tuple[intents.Found, discovery.World]]:
        """Return what dead runs left in one namespace; with *may_go* nothing when it is gone in the meantime."""
        try:
            world = discovery.look(self._api, namespace)
        except NotThere as error:
            if not may_go:
                self.cleared.remaining.append(f"namespace {namespace} is not there: {error}")
            return []
        except DrillError as error:
            self.cleared.remaining.append(f"namespace {namespace} cannot be looked at: {error}")
            return []
        every = [(found, world) for service in world.services for found in intents.found_on(service)]
        return [(found, world) for found, world in every if self._is_dead(found)]

    def _prepare(self, left: Sequence[tuple[intents.Found, discovery.World]]) -> None:
        """Start what is needed near the pods on all nodes at once: one after another a slow node holds up all."""
        nodes = set[str]()
        for found, world in left:
            held = [undo for undo in found.intent.undo if isinstance(undo, ReleaseFault)] if found.intent else []
            refs = [found.intent.pods.get(undo.replica) for undo in held] if found.intent else []
            nodes |= {ref.node for ref in refs if ref is not None and _is_there(ref, world)}
        if nodes:
            with suppress(DrillError):  # each undo says what is wrong at its own node
                self._agents().prepare(sorted(nodes))

    def _is_dead(self, found: intents.Found) -> bool:
        holder = self._holders.get(leases.lease_name(found.namespace, found.service), "")
        if holder:
            self.cleared.living.append(f"{found.namespace}/{found.service}: a run is under way there: {holder}")
        return not holder

    def _undo(self, found: intents.Found, world: discovery.World) -> None:
        place = f"{found.namespace}/{found.service}"
        kubectl = f"kubectl --context {self._api.context} -n {found.namespace}"
        by_hand = f"{kubectl} annotate service {found.service} {found.key}-"
        if found.intent is None:
            self.cleared.remaining.append(f"{place}: annotation {found.key}: {found.why}; by hand: {by_hand}")
            return
        undos = reversed(found.intent.undo)
        failed = [(undo, text) for undo in undos if (text := self._undo_one(undo, found, world))]
        if failed:
            for undo, text in failed:
                how = by_hand_of(undo, found.intent, kubectl)
                self.cleared.remaining.append(f"{place}: {text}; by hand: {how}, then {by_hand}")
            return
        try:
            intents.remove(self._api, found.namespace, found.service, found.key)
        except DrillError as error:
            self.cleared.remaining.append(f"{place}: the annotation cannot be removed: {error}; by hand: {by_hand}")

    def _living(self) -> dict[str, str]:
        """Return who holds each Lease and lives, by the Lease's name; those of dead holders are removed."""
        path = paths.all_of("Lease", paths.SYSTEM)
        held = [one for one in self._api.list(path, leases.Lease).items if one.name.startswith(leases.PREFIX)]
        with ThreadPoolExecutor(
            max(1, len(held))
        ) as pool:  # a dead one is known by its silence, which takes a while
            dead = list(pool.map(lambda one: leases.is_dead(self._api, one), held))
        for lease, is_dead in zip(held, dead, strict=True):
            if is_dead:
                leases.release(self._api, f"{path}/{lease.name}", lease.spec.holder_identity)
        return {one.name: one.spec.holder_identity for one, gone in zip(held, dead, strict=True) if not gone}

    def _helpers(self, running: bool) -> None:
        """Delete helper pods that have ended, and with *running* those that have not.

        What a helper still holds it takes back when it is told to end.
        """
        path = paths.all_of("Pod", paths.SYSTEM)
        for pod in self._api.list(path, objects.Pod, labels=HELPERS).items:
            ended = pod.status.phase in ("Succeeded", "Failed")
            if (ended or running) and not pod.metadata.deletion_timestamp:
                self._api.delete(f"{path}/{pod.name}", uid=pod.metadata.uid)
                self.cleared.removed.append(f"helper pod {pod.name}")

    def _undo_one(self, undo: AnyAction, found: intents.Found, world: discovery.World) -> str:
        """Do one undo; return what is wrong with it, empty when it was done."""
        try:
            said = self._do(undo, found, world, wait=True)
        except DrillError as error:
            return f"{describe(undo)}: {error}"
        self.cleared.removed.append(f"{found.namespace}/{found.service}: {said or describe(undo)}")
        return ""

    def _do(self, undo: AnyAction, found: intents.Found, world: discovery.World, *, wait: bool) -> str:
        """Set back what *undo* speaks of, with *wait* see it done; return what to say of it, empty: the usual."""
        assert found.intent is not None, "only what can be read is undone"
        view = view_of(self._api, world, found.service)
        match undo:
            case ReleaseFault():
                key = found.key, undo.injection, undo.replica
                if key not in self._released:
                    self._released[key] = self._release(undo, found.intent.pods.get(undo.replica), world)
                return self._released[key]
            case AwaitReplica():
                if not wait:
                    return ""
                acts.await_all(view, undo.within_s)
                return f"every pod serves again (after {undo.injection} at {undo.replica})"
            case ScaleWorkload():
                acts.scale(view, undo, wait=wait)
            case CordonNode():
                acts.cordon(view, undo, found.intent.run, wait=wait)
            case ChangeTemplate():
                acts.change_template(view, undo, wait=wait)
            case _:
                return f"nothing to do for {undo.do}"
        return ""

    def _release(self, undo: ReleaseFault, ref: PodRef | None, world: discovery.World) -> str:
        if ref is None or not _is_there(ref, world):
            return f"{undo.replica}: its pod is gone, and the fault with it"
        agents = self._agents()
        agents.prepare([ref.node])
        agents.release(undo.injection, ref)
        removed, remains = agents.sweep([ref])
        self.cleared.removed += removed
        self.cleared.remaining += remains
        return f"{undo.replica} (pod {ref.name}): no fault is held any more"

    def _uncordon(self) -> None:
        """Make nodes schedulable that a drill cordoned and no intent speaks of any more."""
        if self._holders:
            return
        try:
            nodes = self._api.list(paths.NODES, objects.Node).items
            for node in nodes:
                if marks.CORDONED_BY in node.metadata.annotations:
                    self._api.patch(paths.node(node.name), acts.cordon_patch(False, None))
                    self.cleared.removed.append(f"node {node.name}: uncordoned")
        except Forbidden:
            return  # without rights on nodes no drill of ours cordons one
        except DrillError as error:
            self.cleared.remaining.append(f"nodes cannot be looked at: {error}")


def _is_there(ref: PodRef, world: discovery.World) -> bool:
    return any(pod.metadata.uid == ref.uid for pod in world.pods)


def by_hand_of(undo: AnyAction, intended: intents.Intent, kubectl: str) -> str:
    """Return the command that does *undo* without drill."""
    match undo:
        case ScaleWorkload():
            return f"{kubectl} scale {undo.workload.lower()} --replicas={undo.to}"
        case ChangeTemplate():
            return f"{kubectl} rollout undo {undo.workload.lower()}"
        case CordonNode():
            return f"{kubectl} uncordon {undo.node}"
        case ReleaseFault() if undo.replica in intended.pods:
            return f"{kubectl} delete pod {intended.pods[undo.replica].name}"
        case _:
            return f"{kubectl} get pods"


def view_of(api: Api, world: discovery.World, service: str) -> ServiceView:
    """Return the Service of *world* called *service* as it is now."""
    found = world.service(service)
    assert found is not None, "only Services of this world are asked for"
    pods = world.pods_of(found)
    owner = world.workload_of(pods)
    view = ServiceView(api, found, f"{owner[0]}/{owner[1].name}" if owner and owner[0] != "DaemonSet" else "")
    view.slots.see(pods, grow=True)
    return view


__all__ = ["Cleared", "Recovery", "opted_in", "view_of"]
