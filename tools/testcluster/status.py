"""What runs, in words: nodes, versions, memory.

Owns the wording alone.
"""

from __future__ import annotations

from typing import Any

from testcluster import engine, processes, uml
from testcluster.kind import Cluster

_MIB = 1024  # /proc counts in KiB


def describe(cluster: Cluster) -> str:
    """Return a few lines about *cluster*."""
    nodes = cluster.get("nodes")["items"]
    assert isinstance(nodes, list)
    lines = [f"cluster {cluster.name}: context {cluster.context}, kubeconfig {cluster.kubeconfig}"]
    lines += [_node(node) for node in nodes]
    lines += [f"{what:<24} {kib // _MIB:>6} MiB" for what, kib in memory(cluster).items()]
    return "\n".join(lines)


def memory(cluster: Cluster) -> dict[str, int]:
    """Memory in KiB by part, the sum last. The private engine counts; one that ran before does not."""
    parts: dict[str, int] = {}
    own = engine.pid() if cluster.engine.private else None
    if own is not None:
        parts["container engine"] = processes.memory(processes.session(own))
    container = int(cluster.engine.docker("inspect", "-f", "{{.State.Pid}}", cluster.control_plane))
    parts["control plane node"] = processes.memory(processes.tree(container, processes.everything()))
    worker = uml.pid(cluster)
    if worker is not None:
        parts["user-mode-linux worker"] = processes.memory(processes.session(worker))
    return {**parts, "together": sum(parts.values())}


def _node(node: dict[str, Any]) -> str:
    info, name = node["status"]["nodeInfo"], node["metadata"]["name"]
    ready = next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
    state = "ready" if ready == "True" else "NOT READY"
    return f"node {name}: {state}, kubelet {info['kubeletVersion']}, kernel {info['kernelVersion']}"
