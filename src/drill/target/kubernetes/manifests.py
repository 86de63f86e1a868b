"""What `drill k8s install` creates, as data and as YAML with the reason beside each right. Pure.

``deploy/rbac/`` holds the same text; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drill.target.kubernetes.paths import SYSTEM
from drill.target.kubernetes.rbac import RULES, Rule, Where

RUNNER, HELPER = "drill-runner", "drill-helper"
"""ServiceAccounts: whoever runs drills; and the helper pods, which may ask the API server for nothing."""
LABELS = {"app.kubernetes.io/name": "drill", "app.kubernetes.io/managed-by": "drill-k8s-install"}
TITLES: Mapping[Where, str] = {
    "cluster": "what drill reads of the whole cluster",
    "nodes": "cordon and drain; only where asked for",
    "target": "what drill does in a namespace that lets drills in",
    "inside": "agents in the drilled pods themselves; only where asked for",
    "system": "drill's own things in its own namespace",
    "monitoring": "the way to Prometheus and Alertmanager",
}
Object = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What is to be installed: the namespaces that drills may act in, where the servers are, nodes or not.

    ``ephemeral``: agents are put into the drilled pods themselves, as ephemeral containers.
    """

    targets: tuple[str, ...] = ()
    monitoring: tuple[str, ...] = ("monitoring",)
    nodes: bool = False
    ephemeral: bool = False


def objects(wanted: Wanted, rules: Sequence[Rule] = RULES) -> list[Object]:
    """Return everything in the order of creation; *rules* are all rights, unless a test leaves one out."""
    found = [_namespace(), _account(RUNNER), _account(HELPER)]
    for where in ("cluster", *(["nodes"] if wanted.nodes else [])):
        found += [_role(where, rules, "ClusterRole"), _binding(where, "ClusterRoleBinding", "ClusterRole", "")]
    found += [_role("system", rules, "Role", SYSTEM), _binding("system", "RoleBinding", "Role", SYSTEM)]
    places: list[tuple[Where, tuple[str, ...]]] = [("target", wanted.targets), ("monitoring", wanted.monitoring)]
    if wanted.ephemeral:
        places.insert(1, ("inside", wanted.targets))
    for where, namespaces in places:
        found.append(_role(where, rules, "ClusterRole"))
        found += [_binding(where, "RoleBinding", "ClusterRole", namespace) for namespace in namespaces]
    return found


def _namespace() -> Object:
    """Only here may pods be privileged: the namespaces of the targets stay as strict as they are."""
    enforce = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": LABELS | enforce}}


def _account(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": SYSTEM, "labels": dict(LABELS)},
        "automountServiceAccountToken": False,
    }


def _role(where: str, rules: Sequence[Rule], kind: str, namespace: str = "") -> Object:
    metadata: Object = {"name": f"drill-{where}", "labels": dict(LABELS)}
    if namespace:
        metadata["namespace"] = namespace
    own = [rule for rule in rules if rule.where == where]
    metadata["annotations"] = {
        "drill.dev/what-for": "; ".join(f"{r.title} {'/'.join(r.verbs)}: {r.why}" for r in own)
    }
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "rules": [_rule(rule) for rule in own],
    }


def _rule(rule: Rule) -> Object:
    said: Object = {"apiGroups": [rule.group], "resources": [rule.resource], "verbs": list(rule.verbs)}
    return said | ({"resourceNames": list(rule.names)} if rule.names else {})


def _binding(where: str, kind: str, role_kind: str, namespace: str) -> Object:
    metadata: Object = {"name": f"drill-{where}", "labels": dict(LABELS)}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": f"drill-{where}"},
        "subjects": [{"kind": "ServiceAccount", "name": RUNNER, "namespace": SYSTEM}],
    }


def text(wanted: Wanted) -> str:
    """Return everything as YAML, each right with its reason beside it."""
    return "---\n".join(_yaml(one) for one in objects(wanted))


def _yaml(one: Object) -> str:
    import yaml

    where = one["metadata"]["name"].removeprefix("drill-")
    head = f"# {TITLES[where]}\n" if where in TITLES and one["kind"].endswith("Role") else ""
    if "rules" not in one:
        return head + str(yaml.safe_dump(one, sort_keys=False, width=200))
    plain = {key: value for key, value in one.items() if key != "rules"}
    plain["metadata"] = {key: value for key, value in one["metadata"].items() if key != "annotations"}
    return head + str(yaml.safe_dump(plain, sort_keys=False, width=200)) + "rules:\n" + "".join(_rules(where))


def _rules(where: str) -> Iterator[str]:
    for rule in (one for one in RULES if one.where == where):
        yield f"  # {rule.why}\n"
        names = f", resourceNames: [{', '.join(rule.names)}]" if rule.names else ""
        group = rule.group or '""'
        verbs = ", ".join(rule.verbs)
        yield f"  - {{apiGroups: [{group}], resources: [{rule.resource}], verbs: [{verbs}]{names}}}\n"
