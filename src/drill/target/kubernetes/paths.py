"""Where objects are at the API server. The only module that writes these paths."""

from __future__ import annotations

SYSTEM = "drill-system"
"""drill's own namespace: helper pods, leases, the abort marker."""

NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

PLURALS = {
    "Deployment": ("/apis/apps/v1", "deployments"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "DaemonSet": ("/apis/apps/v1", "daemonsets"),
    "Service": ("/api/v1", "services"),
    "Pod": ("/api/v1", "pods"),
    "ConfigMap": ("/api/v1", "configmaps"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
}


def all_of(kind: str, namespace: str) -> str:
    """Return the path of the collection of *kind* in *namespace*."""
    prefix, plural = PLURALS[kind]
    return f"{prefix}/namespaces/{namespace}/{plural}"


def one(kind: str, namespace: str, name: str, part: str = "") -> str:
    """Return the path of one object, or of a *part* (subresource) of it."""
    path = f"{all_of(kind, namespace)}/{name}"
    return f"{path}/{part}" if part else path


def node(name: str) -> str:
    """Return the path of a node."""
    return f"{NODES}/{name}"


def namespace(name: str) -> str:
    """Return the path of a namespace."""
    return f"{NAMESPACES}/{name}"


def workload(name: str, where: str, part: str = "") -> str:
    """Return the path of a workload called ``Deployment/checkout`` in the namespace *where*."""
    kind, _, plain = name.partition("/")
    return one(kind, where, plain, part)
