"""Installing drill in a cluster, taking it out again, and saying which rights are missing.

Applies by server-side apply, so that doing it twice is harmless and says what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from drill.core.errors import UsageError
from drill.target.kubernetes import manifests, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.manifests import Wanted
from drill.target.kubernetes.rbac import Need, Rule, single

APPLY = "application/apply-patch+yaml"
MANAGER = "drill"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
CLUSTER_WIDE = {
    "Namespace": paths.NAMESPACES,
    "ClusterRole": f"{RBAC}/clusterroles",
    "ClusterRoleBinding": f"{RBAC}/clusterrolebindings",
}


def path_of(one: Mapping[str, Any]) -> str:
    """Return where an object is."""
    kind, metadata = one["kind"], one["metadata"]
    if kind in CLUSTER_WIDE:
        return f"{CLUSTER_WIDE[kind]}/{metadata['name']}"
    return paths.one(kind, metadata["namespace"], metadata["name"])


def install(api: Api, wanted: Wanted) -> Iterator[str]:
    """Apply everything; yield a line for each object. Raises UsageError before the first, ApiFailed."""
    named = dict.fromkeys([*wanted.targets, *wanted.monitoring])
    missing = [name for name in named if name != paths.SYSTEM and _version(api, paths.namespace(name)) is None]
    if missing:
        what = f"there is no namespace {', '.join(missing)} in the cluster; nothing was changed"
        raise UsageError(what, hint="--namespace names the target's, --monitoring that of the servers")
    for one in manifests.objects(wanted):
        yield f"{apply(api, one)}: {name_of(one)}"


def apply(api: Api, one: Mapping[str, Any]) -> str:
    """Apply one object; return ``created``, ``changed`` or ``unchanged``."""
    path = path_of(one)
    before = _version(api, path)
    query = {"fieldManager": MANAGER, "force": "true"}
    after = objects.Thing.model_validate_json(api.raw("PATCH", path, one, query=query, kind=APPLY))
    if before is None:
        return "created"
    return "unchanged" if after.metadata.resource_version == before else "changed"


def _version(api: Api, path: str) -> str | None:
    from drill.target.kubernetes.failures import NotThere

    try:
        return api.get(path, objects.Thing).metadata.resource_version
    except NotThere:
        return None


def uninstall(api: Api, wanted: Wanted) -> Iterator[str]:
    """Delete everything install creates, the bindings found in any of *wanted*'s namespaces too."""
    everything = Wanted(wanted.targets, wanted.monitoring, nodes=True, ephemeral=True)
    for one in reversed(manifests.objects(everything)):
        gone = api.delete(path_of(one))
        yield f"{'deleted' if gone else 'was not there'}: {name_of(one)}"


def name_of(one: Mapping[str, Any]) -> str:
    """Return an object's kind and name for people."""
    metadata = one["metadata"]
    where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{one['kind']} {where}{metadata['name']}"


@dataclass(frozen=True)
class Right:
    """One verb on one resource in one namespace (empty: everywhere), and whether this identity has it."""

    rule: Rule
    namespace: str
    granted: bool
    why_not: str = ""

    def __str__(self) -> str:
        place = f" in {self.namespace}" if self.namespace else ""
        return f"{self.rule.verbs[0]} {self.rule.title}{place}"


def rights(api: Api, wanted: Wanted, needs: Sequence[Need] | None = None) -> list[Right]:
    """Ask the API server for every right drill needs (those for *needs*, if given), each by itself."""
    asked = [
        (rule, namespace)
        for rule in single()
        if needs is None or set(rule.needs) & set(needs)
        for namespace in _namespaces(rule, wanted)
    ]
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda one: _ask(api, *one), asked))


def _namespaces(rule: Rule, wanted: Wanted) -> tuple[str, ...]:
    return {
        "cluster": ("",),
        "nodes": ("",) if wanted.nodes else (),
        "target": wanted.targets,
        "inside": wanted.targets if wanted.ephemeral else (),
        "system": (paths.SYSTEM,),
        "monitoring": wanted.monitoring,
    }[rule.where]


def _ask(api: Api, rule: Rule, namespace: str) -> Right:
    resource, _, part = rule.resource.partition("/")
    attributes = {"verb": rule.verbs[0], "group": rule.group, "resource": resource, "subresource": part}
    attributes |= {"namespace": namespace, "name": rule.names[0] if rule.names else ""}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    status = api.raw_json("POST", paths.ACCESS_REVIEWS, body).get("status") or {}
    return Right(rule, namespace, bool(status.get("allowed")), str(status.get("reason") or ""))
