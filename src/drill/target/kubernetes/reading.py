"""Probes that the cluster's own state answers; what remains is for agents near the pod."""

from __future__ import annotations

import time

from drill.core.probes import Measurement, Probe
from drill.target.kubernetes import objects, paths
from drill.target.kubernetes.view import ServiceView


def measure_by_api(view: ServiceView, probe: Probe) -> Measurement | None:
    """Answer *probe* from what the API server shows, None for a probe it cannot answer. Raises Unavailable."""
    match probe.kind:
        case "starts":
            return _now(view.starts(probe.replica))
        case "ready":
            return _now(view.ready())
        case "unavailable":
            workload = view.seen_workload()
            return _now(_unavailable(workload) if workload else 0)
        case "unschedulable":
            node = view.api.get(paths.node(view.pod(probe.replica).spec.node_name), objects.Node)
            return _now(node.spec.unschedulable)
        case _:
            return None


def _unavailable(workload: objects.Workload) -> int:
    """Replicas of the last change that do not serve; 0 while the controller has not seen that change yet."""
    status = workload.status
    if status.observed_generation < workload.metadata.generation:
        return 0
    return max(status.unavailable_replicas, workload.spec.replicas - status.available_replicas, 0)


def _now(value: float) -> Measurement:
    return Measurement(value=float(value), at=time.time())
