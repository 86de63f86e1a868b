"""Which rights drill needs in a cluster, and what each of them is for. The only list of them.

Install writes them, doctor and preflight ask for them one by one, a test takes each one away and sees something
named fail. Refuses: Secrets, wildcards, anything outside the namespaces that were named, nodes unless asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Where = Literal["cluster", "nodes", "target", "inside", "system", "monitoring"]
"""cluster: everywhere; nodes: everywhere, only where asked for; target: the drilled namespaces; inside: the same,
only where agents go into the pods themselves; system: drill-system; monitoring: where Prometheus and Alertmanager
are."""
Need = Literal[
    "look", "lease", "abort", "recover", "evict", "delete", "scale", "rollout", "cordon", "agents", "inside", "door"
]


@dataclass(frozen=True)
class Rule:
    """Verbs on one resource, the powers of drill that need them, and the reason in words."""

    where: Where
    group: str
    resource: str
    verbs: tuple[str, ...]
    needs: tuple[Need, ...]
    why: str
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The resource with its group, as `kubectl auth can-i` takes it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


RULES: tuple[Rule, ...] = (
    Rule("cluster", "", "namespaces", ("get",), ("look",), "read the label that lets drills in"),
    Rule("cluster", "", "namespaces", ("list",), ("recover",), "recover: find every namespace that lets drills in"),
    Rule("cluster", "", "nodes", ("list",), ("look",), "node addresses: kubelet's probes are never faulted"),
    Rule("nodes", "", "nodes", ("get", "patch"), ("cordon",), "node-cordon and node-drain, and their undo"),
    Rule("target", "", "services", ("list",), ("look",), "find the service; recover: what runs left on it"),
    Rule("target", "", "services", ("get",), ("look",), "compare the Service with what it was before the drill"),
    Rule("target", "", "services", ("patch",), ("lease",), "write how to undo on it before the deed"),
    Rule("target", "", "pods", ("list",), ("look",), "find the service's pods and see whether they serve"),
    Rule(
        "target", "", "pods", ("watch",), ("evict", "delete", "recover", "inside"),
        "wait until a replaced pod serves",
    ),
    Rule("target", "", "pods/eviction", ("create",), ("evict",), "pod-kill and node-drain by eviction"),
    Rule("target", "", "pods", ("delete",), ("delete",), "pod-kill by deletion"),
    Rule("target", "apps", "deployments", ("list",), ("look",), "find what keeps the pods running"),
    Rule("target", "apps", "deployments", ("get",), ("look",), "compare it with what it was before the drill"),
    Rule("target", "apps", "deployments", ("watch",), ("scale", "rollout", "cordon"), "wait for the undo"),
    Rule("target", "apps", "deployments", ("patch",), ("rollout",), "bad-rollout and its undo"),
    Rule("target", "apps", "deployments/scale", ("get", "patch"), ("scale",), "scale-down and its undo"),
    Rule("target", "apps", "statefulsets", ("list",), ("look",), "find what keeps the pods running"),
    Rule("target", "apps", "statefulsets", ("get",), ("look",), "compare it with what it was before the drill"),
    Rule("target", "apps", "statefulsets", ("watch",), ("scale", "cordon"), "wait for the undo of scale-down"),
    Rule("target", "apps", "statefulsets/scale", ("get", "patch"), ("scale",), "scale-down and its undo"),
    Rule("target", "apps", "daemonsets", ("list",), ("look",), "say why a DaemonSet's service cannot be scaled"),
    Rule("target", "policy", "poddisruptionbudgets", ("list",), ("evict",), "say what a budget forbids"),
    Rule("target", "autoscaling", "horizontalpodautoscalers", ("list",), ("scale",), "see who scales too"),
    Rule("inside", "", "pods/ephemeralcontainers", ("patch",), ("inside",), "put an agent into the pod itself"),
    Rule("inside", "", "pods", ("get",), ("inside",), "see whether that agent runs"),
    Rule("inside", "", "pods/exec", ("get",), ("inside",), "speak to the agent in the pod"),
    Rule("inside", "", "pods/exec", ("create",), ("inside",), "the same from Kubernetes 1.35 on"),
    Rule(
        "system", "coordination.k8s.io", "leases", ("create", "get", "update", "patch", "delete"), ("lease",),
        "one drill per service at a time",
    ),
    Rule(
        "system", "coordination.k8s.io", "leases", ("list",), ("recover", "abort"),
        "recover and abort: see which drills live",
    ),
    Rule("system", "", "configmaps", ("get",), ("lease",), "see whether drills were stopped", ("drill-abort",)),
    Rule("system", "", "configmaps", ("create",), ("abort",), "abort: forbid new drills"),
    Rule("system", "", "configmaps", ("delete",), ("abort",), "abort --clear: allow them again", ("drill-abort",)),
    Rule(
        "system", "", "pods", ("create", "get", "list", "watch", "delete"), ("agents",),
        "a helper pod on each node that holds faults",
    ),
    Rule("system", "", "pods/exec", ("get",), ("agents",), "speak to the agents in the helper pods"),
    Rule("system", "", "pods/exec", ("create",), ("agents",), "the same from Kubernetes 1.35 on"),
    Rule("monitoring", "", "services", ("list",), ("door",), "find Prometheus, Alertmanager and the sink"),
    Rule("monitoring", "", "pods", ("list",), ("door",), "find a pod of theirs that is ready"),
    Rule("monitoring", "", "pods/portforward", ("get",), ("door",), "reach them through the API server"),
    Rule("monitoring", "", "pods/portforward", ("create",), ("door",), "the same from Kubernetes 1.35 on"),
)  # fmt: skip


def single() -> Iterator[Rule]:
    """Yield every right by itself, one verb each."""
    for rule in RULES:
        for verb in rule.verbs:
            yield Rule(rule.where, rule.group, rule.resource, (verb,), rule.needs, rule.why, rule.names)
