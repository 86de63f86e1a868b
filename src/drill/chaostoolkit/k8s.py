"""The three steps of every ``k8s/…`` fault: ``act`` by the driver, ``restore`` what was, ``observe`` what is.

Chaos Toolkit python activities, run by drill's child process. Owns what chaostoolkit-kubernetes leaves out: asking
whether the namespace allows drills, noting the state from before on the object itself, and looking at what happens.
Every step can be done twice. Refuses to run without a Kubernetes context that was named.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from chaosk8s import create_k8s_api_client
from chaoslib.exceptions import ActivityFailed
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from drill.faults.k8s import MESH, STRESS, drivers

__all__ = ["act", "observe", "restore"]

ALLOWED = "drill.dev/allowed"
BEFORE = "drill.dev/chaostoolkit-before"
"""Annotation: what an object was like before drill changed it (replicas, schedulable), or what drill created."""
READY_S, POLL_S = 150.0, 0.5
MODULES = {driver.function: driver.module for driver in drivers()}
POLICIES = {"deny_all_ingress": "chaostoolkit-deny-all-ingress", "deny_all_egress": "chaostoolkit-deny-all-egress"}
PLURALS = {MESH: "networkchaos", STRESS: "stresschaos"}
SCALED = ("scale_deployment", "scale_statefulset", "scale_microservice")
NODES = ("cordon_node", "drain_nodes")


def act(action: str, arguments: dict[str, Any]) -> Any:
    """Do *action* of chaostoolkit-kubernetes after noting what will be needed to take it back."""
    cluster = Cluster(action, arguments)
    cluster.check_allowed(action)
    if action in SCALED:
        cluster.note_replicas(action)
    elif action in NODES:
        cluster.note_nodes()
    elif made := _made(action, arguments):
        cluster.note_made(*made)
    done = getattr(importlib.import_module(f"chaosk8s.{MODULES[action]}"), action)(**arguments)
    return [str(item) for item in done] if isinstance(done, list) else "done"


def restore(action: str, arguments: dict[str, Any]) -> bool:
    """Take *action* back, as far as it was done, and wait until the workloads are ready again."""
    cluster = Cluster(action, arguments)
    if action in SCALED:
        cluster.scale_back(action)
    elif action in NODES:
        cluster.give_nodes_back()
    elif made := _made(action, arguments):
        cluster.remove_made(*made)
        return True
    if action not in NODES:
        cluster.await_ready()
    return True


def observe(action: str, arguments: dict[str, Any]) -> Any:
    """Return what the action should change: UIDs of pods, ready replicas, free nodes, a policy, a CR's state."""
    cluster = Cluster(action, arguments)
    if action in SCALED:
        return cluster.ready_replicas(action)
    if action in NODES:
        return [node.metadata.name for node in cluster.nodes() if not node.spec.unschedulable]
    if action == "delete_replica_set":
        return [one.metadata.uid for one in cluster.replica_sets()]
    made = _made(action, arguments)
    if made is None:
        return [pod.metadata.uid for pod in cluster.pods(action) if not pod.metadata.deletion_timestamp]
    kind, name = made
    found = cluster.get_made(kind, name)
    return found is not None if kind == "networkpolicies" else _injected(found)


def _made(action: str, arguments: dict[str, Any]) -> tuple[str, str] | None:
    """The kind and the name of the object that *action* creates; None when it creates none."""
    if action in POLICIES:
        return "networkpolicies", POLICIES[action]
    if action == "create_network_policy":
        return "networkpolicies", str(arguments["spec"]["metadata"]["name"])
    plural = PLURALS.get(MODULES[action])
    return (plural, str(arguments["name"])) if plural else None


def _injected(chaos: Any) -> bool:
    """True when Chaos Mesh says that every selected pod is faulted, and that any was selected."""
    conditions = ((chaos or {}).get("status") or {}).get("conditions") or []
    holds = {one.get("type") for one in conditions if one.get("status") == "True"}
    return {"Selected", "AllInjected"} <= holds


class Cluster:
    """What the steps need of the cluster, for one *action* and its *arguments*."""

    def __init__(self, action: str, arguments: dict[str, Any]) -> None:
        if not os.environ.get("KUBERNETES_CONTEXT"):
            raise ActivityFailed(
                "no Kubernetes context was named: a kubeconfig's current one alone is never touched"
            )
        self.action, self.given = action, arguments
        self.ns = str(arguments.get("ns", "default"))
        api = create_k8s_api_client()
        self.core: Any = client.CoreV1Api(api)
        self.apps: Any = client.AppsV1Api(api)
        self.network: Any = client.NetworkingV1Api(api)
        self.custom: Any = client.CustomObjectsApi(api)

    def check_allowed(self, action: str) -> None:
        """Refuse a namespace that did not opt in."""
        if action in NODES:
            return
        labels = self.core.read_namespace(self.ns).metadata.labels or {}
        if labels.get(ALLOWED) != "true":
            raise ActivityFailed(
                f"namespace {self.ns} has not opted in: kubectl label namespace {self.ns} {ALLOWED}=true"
            )

    # ---- scaling

    def _scaled(self, action: str) -> tuple[Any, Callable[..., Any]]:
        name = str(self.given["name"])
        if action == "scale_statefulset":
            return self.apps.read_namespaced_stateful_set(name, self.ns), self.apps.patch_namespaced_stateful_set
        return self.apps.read_namespaced_deployment(name, self.ns), self.apps.patch_namespaced_deployment

    def note_replicas(self, action: str) -> None:
        """Write the replica count on the object, unless an earlier one stands there."""
        found, patch = self._scaled(action)
        if BEFORE not in (found.metadata.annotations or {}):
            patch(found.metadata.name, self.ns, {"metadata": {"annotations": {BEFORE: str(found.spec.replicas)}}})

    def scale_back(self, action: str) -> None:
        """Restore the count that stands on the object; without one nothing was scaled."""
        found, patch = self._scaled(action)
        before = (found.metadata.annotations or {}).get(BEFORE)
        if before is not None:
            body = {"metadata": {"annotations": {BEFORE: None}}, "spec": {"replicas": int(before)}}
            patch(found.metadata.name, self.ns, body)

    def ready_replicas(self, action: str) -> int:
        """How many replicas are ready now."""
        return int(self._scaled(action)[0].status.ready_replicas or 0)

    # ---- nodes

    def nodes(self) -> list[Any]:
        """The nodes that may be meant: by name or label, else all (the driver narrows by their pods)."""
        name, labels = self.given.get("name"), self.given.get("label_selector")
        field = {"field_selector": f"metadata.name={name}"} if name else {}
        return list(self.core.list_node(**field, **({"label_selector": labels} if labels else {})).items)

    def note_nodes(self) -> None:
        """Mark the nodes that are free now."""
        nodes = self.nodes()
        if not nodes:
            raise ActivityFailed("no node matches")
        for node in nodes:
            if not node.spec.unschedulable:
                self.core.patch_node(node.metadata.name, {"metadata": {"annotations": {BEFORE: "schedulable"}}})

    def give_nodes_back(self) -> None:
        """Let the scheduler use every marked node again."""
        for node in self.nodes():
            if BEFORE in (node.metadata.annotations or {}):
                body = {"metadata": {"annotations": {BEFORE: None}}, "spec": {"unschedulable": None}}
                self.core.patch_node(node.metadata.name, body)

    # ---- objects that an action creates

    def get_made(self, kind: str, name: str) -> Any:
        """Return the object, or None."""
        try:
            if kind == "networkpolicies":
                return self.network.read_namespaced_network_policy(name, self.ns)
            return self.custom.get_namespaced_custom_object("chaos-mesh.org", "v1alpha1", self.ns, kind, name)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def note_made(self, kind: str, name: str) -> None:
        """Write on the namespace what will be drill's. Refuses what is there already and somebody else's."""
        if self.get_made(kind, name) is not None and not self._is_ours(kind, name):
            raise ActivityFailed(f"{kind} {name} is in {self.ns} already, and not by drill")
        self._note({_mark(kind, name): "created"})

    def remove_made(self, kind: str, name: str) -> None:
        """Delete what drill created; leave what somebody else did."""
        if not self._is_ours(kind, name):
            return
        try:
            if kind == "networkpolicies":
                self.network.delete_namespaced_network_policy(name, self.ns)
            else:
                self.custom.delete_namespaced_custom_object("chaos-mesh.org", "v1alpha1", self.ns, kind, name)
        except ApiException as error:
            if error.status != 404:
                raise
        self._note({_mark(kind, name): None})

    def _is_ours(self, kind: str, name: str) -> bool:
        annotations = self.core.read_namespace(self.ns).metadata.annotations or {}
        return _mark(kind, name) in annotations

    def _note(self, annotations: dict[str, str | None]) -> None:
        self.core.patch_namespace(self.ns, {"metadata": {"annotations": annotations}})

    # ---- pods and their controllers

    def pods(self, action: str) -> list[Any]:
        """The pods the action selects from."""
        labels, pattern = self.given.get("label_selector"), self.given.get("name_pattern")
        if action == "rollout_deployment":
            selector = self.apps.read_namespaced_deployment(self.given["name"], self.ns).spec.selector.match_labels
            labels = ",".join(f"{key}={value}" for key, value in (selector or {}).items())
        found = self.core.list_namespaced_pod(self.ns, **({"label_selector": labels} if labels else {})).items
        return [pod for pod in found if not pattern or re.search(pattern, pod.metadata.name)]

    def replica_sets(self) -> list[Any]:
        """The replica sets the action selects."""
        name, labels = self.given.get("name"), self.given.get("label_selector")
        field = {"field_selector": f"metadata.name={name}"} if name else {}
        chosen = {"label_selector": labels} if labels and not name else {}
        return list(self.apps.list_namespaced_replica_set(self.ns, **field, **chosen).items)

    def await_ready(self) -> None:
        """Wait until the controllers concerned have all the replicas they want. Raises ActivityFailed."""
        until = time.monotonic() + READY_S
        while missing := list(self._unready()):
            if time.monotonic() > until:
                raise ActivityFailed(f"not ready again within {READY_S:g} s: {', '.join(missing)}")
            time.sleep(POLL_S)

    def _unready(self) -> Iterator[str]:
        for kind, found in self._controllers():
            wanted, ready = _wanted_and_ready(found)
            if ready < wanted or (found.status.observed_generation or 0) < (found.metadata.generation or 0):
                yield f"{kind} {found.metadata.name} ({ready} of {wanted})"

    def _controllers(self) -> Iterator[tuple[str, Any]]:
        """Deployments, stateful and daemon sets whose pods the action may have met."""
        lists = (
            ("deployment", self.apps.list_namespaced_deployment),
            ("statefulset", self.apps.list_namespaced_stateful_set),
            ("daemonset", self.apps.list_namespaced_daemon_set),
        )
        labels = str(self.given.get("label_selector") or "")
        name = self.given.get("name") if self.action != "delete_replica_set" else None
        for kind, listed in lists:
            for found in listed(self.ns).items:
                if (not name or found.metadata.name == name) and selects(
                    labels, found.spec.template.metadata.labels or {}
                ):
                    yield kind, found


def _mark(kind: str, name: str) -> str:
    """The annotation that says that an object is drill's; the name of an annotation has at most 63 characters."""
    return f"{BEFORE}-{hashlib.sha256(f'{kind}/{name}'.encode()).hexdigest()[:16]}"


def _wanted_and_ready(found: Any) -> tuple[int, int]:
    status = found.status
    if hasattr(status, "desired_number_scheduled"):
        return status.desired_number_scheduled or 0, status.number_ready or 0
    updated = status.updated_replicas if status.updated_replicas is not None else status.ready_replicas
    return found.spec.replicas or 0, min(status.ready_replicas or 0, updated or 0)


def selects(selector: str, labels: dict[str, str]) -> bool:
    """True when a label selector may select *labels*; what is not ``key=value`` is taken for yes."""
    for term in re.split(r",(?![^(]*\))", selector):
        match = re.fullmatch(r"\s*([^\s=!]+)\s*==?\s*([^\s=]+)\s*", term)
        if match and labels.get(match[1]) != match[2]:
            return False
    return True
