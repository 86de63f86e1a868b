"""What all the demo's objects are made of: pods that PodSecurity ``restricted`` admits, and their Services.

Pure: returns Kubernetes objects as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from drill.target.demo.spec import PART_OF, Object, labels

USER = 65532
_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
# Preferred only, and true of every node elsewhere: the test cluster's second node is slow and carries what it is
# told to.
_STEADY_NODE = {
    "nodeAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "preference": {
                    "matchExpressions": [{"key": "drill.dev/kernel", "operator": "NotIn", "values": ["netem"]}]
                },
            }
        ]
    }
}
_RESTRICTED = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True)
class Workload:
    """One Deployment and its Service. ``ports`` by name; ``ready`` is port name and path of the readiness probe."""

    name: str
    namespace: str
    component: str
    image: str
    command: Sequence[str]
    ports: Mapping[str, int]
    ready: tuple[str, str]
    resources: Mapping[str, Mapping[str, str]]
    replicas: int = 1
    volumes: Mapping[str, Object] = field(default_factory=dict)
    """Volume sources by the path where each is mounted."""
    account: str = ""
    """ServiceAccount whose token the pod gets; empty: none."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the pods: a change of one replaces them."""
    published: Mapping[str, str] = field(default_factory=dict)
    """Annotations of the Service."""
    headless: bool = False
    grace_s: int = 10
    pod: Mapping[str, object] = field(default_factory=dict)
    """What else the pods' spec has."""


def namespace(name: str, own: Mapping[str, str], annotations: Mapping[str, str]) -> Object:
    """A namespace whose pods PodSecurity holds to ``restricted``."""
    metadata = {
        "name": name,
        "labels": {**PART_OF, _RESTRICTED: "restricted", **own},
        "annotations": dict(annotations),
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def objects(of: Workload) -> list[Object]:
    """The Deployment and the Service of *of*."""
    return [_deployment(of), _service(of)]


def steady() -> Object:
    """Run anywhere but on the test cluster's slow node, unless there is no other."""
    return {"affinity": _STEADY_NODE}


def _deployment(of: Workload) -> Object:
    own = labels(of.name, of.component)
    alone = of.replicas == 1
    spec: Object = {
        "replicas": of.replicas,
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": 120,
        "selector": {"matchLabels": {"app": of.name}},
        # one of a kind that counts or keeps must not be there twice
        "strategy": {"type": "Recreate"}
        if alone
        else {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": own, "annotations": dict(of.annotations)}, "spec": _pod(of)},
    }
    metadata = {"name": of.name, "namespace": of.namespace, "labels": own}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _pod(of: Workload) -> Object:
    names = {path: path.strip("/").replace("/", "-") for path in of.volumes}
    return {
        "terminationGracePeriodSeconds": of.grace_s,
        "enableServiceLinks": False,
        "automountServiceAccountToken": bool(of.account),
        **({"serviceAccountName": of.account} if of.account else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **of.pod,
        "containers": [_container(of, names)],
        "volumes": [{"name": names[path], **source} for path, source in of.volumes.items()],
    }


def _container(of: Workload, names: Mapping[str, str]) -> Object:
    port, path = of.ready
    probe = {"httpGet": {"port": port, "path": path}, "timeoutSeconds": 2}
    return {
        "name": of.name,
        "image": of.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(of.command),
        "ports": [{"name": name, "containerPort": number} for name, number in of.ports.items()],
        # asked every second until it is up, then seldom: a node has better things to do
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": 90},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 3},
        "resources": {kind: dict(values) for kind, values in of.resources.items()},
        "securityContext": _SECURITY,
        "volumeMounts": [{"name": name, "mountPath": path} for path, name in names.items()],
    }


def _service(of: Workload) -> Object:
    spec: Object = {
        "selector": {"app": of.name},
        "ports": [{"name": name, "port": number, "targetPort": name} for name, number in of.ports.items()],
    }
    if of.headless:
        spec["clusterIP"] = "None"
    metadata = {
        "name": of.name,
        "namespace": of.namespace,
        "labels": labels(of.name, of.component),
        "annotations": dict(of.published),
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
