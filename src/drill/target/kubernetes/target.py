"""A namespace of a Kubernetes cluster as a target: implements :class:`drill.core.ports.Target`.

Owns which way an action goes: through the API (``acts``), or to the agents near the pod (``NodeAgents``). Every
deed is preceded by its intent on the Service (``intents``). Facts come from the cluster as it is now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from drill.core.actions import (
    AnyAction,
    AwaitReplica,
    ChangeTemplate,
    CordonNode,
    HoldFault,
    KillReplica,
    MemoryFault,
    ReleaseFault,
    ScaleWorkload,
    is_deed,
)
from drill.core.errors import ActionFailed, DrillError, Unavailable, UsageError
from drill.core.facts import Endpoints, Facts
from drill.core.ports import Hindrance
from drill.core.probes import Measurement, Probe
from drill.target.kubernetes import acts, discovery, intents, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import NotThere
from drill.target.kubernetes.foresee import Ahead, ahead_of, hindrances
from drill.target.kubernetes.planned import Timing, facts_of
from drill.target.kubernetes.ports import NodeAgents, PodRef
from drill.target.kubernetes.reading import measure_by_api
from drill.target.kubernetes.view import ServiceView

SIGKILL = 9
BACK_WITHIN_S = 120.0


class KubernetesTarget:
    """One namespace. Threads may share it; :meth:`close` lets go of everything."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        endpoints: Endpoints,
        timing: Timing,
        agents: Callable[[], NodeAgents] | None = None,
        concerned: Collection[str] = (),
    ) -> None:
        """*agents* makes those near the pods of the *concerned* services, when they are needed; None: none are."""
        self.api, self.namespace, self.timing = api, namespace, timing
        self._endpoints, self._make_agents = endpoints, agents
        self._agents: NodeAgents | None = None
        self._concerned = frozenset(concerned)
        self._lock = threading.RLock()
        self._views: dict[str, ServiceView] = {}
        self._places: dict[str, str] = {}
        self._run = ""
        self._undos: dict[str, list[AnyAction]] = {}
        self._deeds: dict[str, list[AnyAction]] = {}
        self._written: dict[str, tuple[str, str]] = {}
        self._killed: dict[tuple[str, str], int] = {}
        self._held: set[str] = set()
        self._where: dict[tuple[str, str], PodRef] = {}
        """Pod of each held fault, by injection and replica."""
        self._first: dict[str, tuple[str, Mapping[str, str]]] = {}
        """Node and inside of each replica at its first snapshot."""

    @property
    def name(self) -> str:
        """The context's name."""
        return self.api.context

    def endpoints(self) -> Endpoints:
        """Where the evidence is, as it is reached from here."""
        return self._endpoints

    @property
    def agents(self) -> NodeAgents:
        """Those near the pods. Raises Unavailable when there are none."""
        with self._lock:
            if self._agents is None:
                if self._make_agents is None:
                    raise Unavailable("no agents are near the pods: this drill was planned without them")
                self._agents = self._make_agents()
            return self._agents

    # ---- what is there ----

    def facts(self) -> Facts:
        """What compile needs. Raises Unavailable; UsageError without the namespace, or if agents are kept out."""
        try:
            world = discovery.look(self.api, self.namespace)
        except NotThere as error:
            raise UsageError(
                f"{self.name} has no namespace '{self.namespace}'", hint="give --namespace, or set it in drill.toml"
            ) from error
        with self._lock:
            here = self._see(world)
            return facts_of(world, self.name, self.timing, here, self._abilities(world, here))

    def _see(self, world: discovery.World) -> Mapping[str, Mapping[str, objects.Pod]]:
        """Give every pod of every Service a place; return the pods by Service and place."""
        here: dict[str, Mapping[str, objects.Pod]] = {}
        for service in world.services:
            pods = world.pods_of(service)
            owner = world.workload_of(pods)
            view = self._views.get(service.name)
            if view is None:
                name = f"{owner[0]}/{owner[1].name}" if owner and owner[0] != "DaemonSet" else ""
                view = self._views[service.name] = ServiceView(self.api, service, name)
            here[service.name] = view.slots.see(pods, grow=True)
            self._places |= dict.fromkeys(here[service.name], service.name)
        return here

    def _abilities(
        self, world: discovery.World, here: Mapping[str, Mapping[str, objects.Pod]]
    ) -> Callable[[str], Mapping[str, str]]:
        """Ask the agents on the nodes of the services that are to be broken what they cannot do there."""
        refs = [
            one for name in self._concerned & here.keys() for one in self._views[name].refs(here[name].values())
        ]
        away = {node.name: {"*": "it is not Ready"} for node in world.nodes if not node.ready}
        pods = [pod for pod in refs if pod.node and pod.node not in away]
        if self._make_agents is None:
            return lambda _: {}
        found = self._asked(pods) if pods else {}
        return lambda node: (found | away).get(node, {})

    def _asked(self, pods: Sequence[PodRef]) -> dict[str, Mapping[str, str]]:
        """What cannot be done on the nodes of *pods*. Raises UsageError when agents are not let in at all."""
        nodes = sorted({pod.node for pod in pods})
        try:
            refused = self.agents.foresee(pods)
            if not refused:
                self.agents.prepare(nodes)
        except DrillError as error:
            return {node: {"*": str(error)} for node in nodes}
        if refused:
            raise UsageError(f"this drill cannot work: {refused[0].text}", hint=refused[0].fix)
        return {node: self._abilities_of(node) for node in nodes}

    def _abilities_of(self, node: str) -> Mapping[str, str]:
        try:
            return {str(name): reason for name, reason in self.agents.abilities(node).items()}
        except DrillError as error:
            return {"*": str(error)}

    def view(self, service: str) -> ServiceView:
        """Return a Service of the namespace. Raises Unavailable when it was not there when facts were read."""
        with self._lock:
            found = self._views.get(service)
        if found is None:
            raise Unavailable(f"{self.namespace} has no Service '{service}'")
        return found

    def _view_of(self, replica: str) -> ServiceView:
        with self._lock:
            service = self._places.get(replica, "")
        return self.view(service)

    # ---- what is about to be done ----

    def begin(self, run_id: str, steps: Sequence[tuple[AnyAction, AnyAction]]) -> None:
        """Learn what the run will do, and make agents ready where it holds faults. Raises Unavailable."""
        nodes = set[str]()
        with self._lock:
            self._run = run_id
            for action, undo in steps:
                self._deeds.setdefault(action.injection, []).append(action)
                undos = self._undos.setdefault(action.injection, [])
                if undo not in undos:
                    undos.append(undo)
                if needs_agents(action) and not isinstance(action, ScaleWorkload | ChangeTemplate | CordonNode):
                    self._held.add(action.replica)
        for replica in self._held:
            nodes.add(self._view_of(replica).pod(replica).spec.node_name)
        if nodes:
            self.agents.prepare(sorted(nodes))

    def hindrances(self, actions: Sequence[AnyAction]) -> Sequence[Hindrance]:
        """What is in the way: rights, budgets, autoscalers, rollouts, nodes. Raises Unavailable."""
        world = discovery.look(self.api, self.namespace)
        with self._lock:
            pods = {name: pod for some in self._see(world).values() for name, pod in some.items()}
        ahead = ahead_of(self.api, world, actions, pods, inside=self.timing.agents == "ephemeral")
        return (*hindrances(ahead), *self._refused(ahead))

    def _refused(self, ahead: Ahead) -> Sequence[Hindrance]:
        """What admission keeps out of the agents that are still to be put near the pods."""
        held = {
            one.replica for one in ahead.deeds if needs_agents(one) and isinstance(one, HoldFault | KillReplica)
        }
        if not held or self._make_agents is None:
            return ()
        return self.agents.foresee([self._view_of(name).ref(name) for name in sorted(held)])

    def _intend(self, action: AnyAction) -> None:
        """Write the intent of the action's injection, once, before its first deed. Raises ActionFailed."""
        with self._lock:
            if action.injection in self._written:
                return
            service = self._service_of(action)
            deeds = self._deeds.get(action.injection, [action])
            held = [one.replica for one in deeds if isinstance(one, HoldFault)]
            try:
                pods = {name: self._view_of(name).ref(name) for name in held}
                intended = intents.intent(self._run, action.injection, self._undos[action.injection], pods)
                intents.write(self.api, self.namespace, service, intended)
            except DrillError as error:
                raise ActionFailed(f"the undo cannot be written down on Service {service}: {error}") from error
            self._written[action.injection] = service, intended.key

    def _service_of(self, action: AnyAction) -> str:
        if isinstance(action, ScaleWorkload | ChangeTemplate | CordonNode):
            return action.service
        return self._places.get(action.replica, "")

    def settled(self, injection: str) -> None:
        """Take the intent away: everything it speaks of was undone and looked at. Raises ActionFailed."""
        with self._lock:
            written = self._written.pop(injection, None)
        if written is None:
            return
        service, key = written
        try:
            intents.remove(self.api, self.namespace, service, key)
        except DrillError as error:
            raise ActionFailed(f"annotation {key} of Service {service} cannot be removed: {error}") from error

    # ---- doing ----

    def execute(self, action: AnyAction) -> float:
        """Do *action*; return the Unix time at which it was done. Raises ActionFailed."""
        try:
            if is_deed(action):
                self._intend(action)
            return self._do(action)
        except ActionFailed:
            raise
        except DrillError as error:
            raise ActionFailed(str(error), hint=error.hint) from error

    def _do(self, action: AnyAction) -> float:
        match action:
            case HoldFault():
                return self._hold(action)
            case ReleaseFault():
                return self._release(action)
            case KillReplica():
                return self._kill(action)
            case AwaitReplica():
                starts = self._killed.get((action.injection, action.replica))
                return acts.await_replica(self._view_of(action.replica), action, starts)
            case ScaleWorkload():
                return acts.scale(self.view(action.service), action)
            case ChangeTemplate():
                return acts.change_template(self.view(action.service), action)
            case CordonNode():
                return acts.cordon(self.view(action.service), action, self._run)
            case _:
                raise ActionFailed(f"a Kubernetes target cannot do this: {action.do}")

    def _hold(self, action: HoldFault) -> float:
        pod = self._view_of(action.replica).ref(action.replica, 0)
        with self._lock:
            self._where[action.injection, action.replica] = pod
        return self.agents.hold(action, pod)

    def _release(self, action: ReleaseFault) -> float:
        done = self._let_go(action)
        if not self._may_have_killed(action):
            return done
        return acts.await_replica(self._view_of(action.replica), self._back(action), None)

    def _let_go(self, action: ReleaseFault) -> float:
        """Release where it was held: that way may still be open when the API server does not answer any more."""
        with self._lock:
            held = self._where.get((action.injection, action.replica))
        if held is None:
            return self.agents.release(action.injection, self._view_of(action.replica).ref(action.replica, 0))
        try:
            return self.agents.release(action.injection, held)
        except DrillError:
            with suppress(DrillError):
                now = self._view_of(action.replica).ref(action.replica, 0)
                if now.uid != held.uid:  # the pod is gone, and the fault with it
                    return self.agents.release(action.injection, now)
            raise

    def _may_have_killed(self, action: ReleaseFault) -> bool:
        """True after a fault that the kernel may have answered by killing the container."""
        deeds = self._deeds.get(action.injection, ())
        held = [one.fault for one in deeds if isinstance(one, HoldFault) and one.replica == action.replica]
        return any(isinstance(fault, MemoryFault) and fault.oom for fault in held)

    @staticmethod
    def _back(action: ReleaseFault) -> AwaitReplica:
        """What is waited for then: kubelet takes up to 40 s before the third restart in a row."""
        return AwaitReplica(injection=action.injection, replica=action.replica, within_s=BACK_WITHIN_S)

    def _kill(self, action: KillReplica) -> float:
        view = self._view_of(action.replica)
        pod = view.pod(action.replica)
        aim = (action.injection, action.replica)
        before = self._killed.get(aim)
        self._killed[aim] = view.slots.starts(action.replica)
        match action.mode:
            case "evict":
                return acts.evict(self.api, pod)
            case "delete":
                return acts.delete(self.api, pod)
        at = self.agents.signal(view.ref(action.replica), SIGKILL)
        if at is not None:
            return at
        if before is None:
            raise ActionFailed(f"{action.replica}: its container does not run", hint="see `kubectl describe pod`")
        self._killed[aim] = before  # it is still down from the kill before: kubelet waits ever longer
        return time.time()

    # ---- looking ----

    def measure(self, probe: Probe) -> Measurement:
        """Answer *probe*: from the cluster's state, or by the agents near the pod. Raises Unavailable."""
        view = self._view_of(probe.replica)
        by_api = measure_by_api(view, probe)
        if by_api is not None:
            return by_api
        peers = self.view(probe.peer).refs() if probe.peer in self._views else self._others(view, probe.replica)
        return self.agents.measure(probe, view.ref(probe.replica), peers)

    def _others(self, view: ServiceView, replica: str) -> list[PodRef]:
        """Pods to measure from where nobody beside the pods can: those of the same service."""
        if self.timing.agents != "ephemeral":
            return []
        return view.refs(pod for name, pod in view.pods().items() if name != replica)

    def snapshot(self, replica: str) -> Mapping[str, str]:
        """What drills may change: Service, workload, nodes of this run, and the pod itself where faults are held.

        Nothing of it names a pod: a replica that was replaced in the meantime is compared with the one before.
        """
        view = self._view_of(replica)
        found = dict(view.state())
        for node in self._nodes():
            seen = self.api.get(paths.node(node), objects.Node)
            found[f"node {node} unschedulable"] = str(seen.spec.unschedulable).lower()
        if replica in self._held:
            found |= self._inside(replica, view.ref(replica, 0))
        return found

    def _inside(self, replica: str, ref: PodRef) -> Mapping[str, str]:
        """What faults may change in the pod.

        A pod on another node than the first has namespaces of its own and another kernel: it is as before when
        nothing of drill is found there.
        """
        with self._lock:
            node, first = self._first.get(replica, ("", {}))
        if node in ("", ref.node):
            seen = self.agents.snapshot(ref)
            with self._lock:
                self._first.setdefault(replica, (ref.node, seen))
            return seen
        _, remains = self.agents.sweep([ref])
        return {**first, "left on another node": "; ".join(remains)} if remains else first

    def _nodes(self) -> list[str]:
        deeds = [one for some in self._deeds.values() for one in some]
        return sorted({one.node for one in deeds if isinstance(one, CordonNode)})

    def log_lines(self) -> Sequence[str]:
        """A cluster's servers log elsewhere."""
        return ()

    def close(self) -> None:
        """Let go of agents and connections. Raises UndoIncomplete, naming what agents left."""
        with self._lock:
            agents, self._agents = self._agents, None
        try:
            if agents is not None:
                agents.close()
        finally:
            self.api.close()


def needs_agents(action: AnyAction) -> bool:
    """True for what only somebody near the pod can do."""
    return isinstance(action, HoldFault) or (isinstance(action, KillReplica) and action.mode == "kill")
