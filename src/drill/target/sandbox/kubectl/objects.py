"""The sandbox's pods, deployments, nodes and events in the shape the Kubernetes API gives them. Pure.

Only the fields that `kubectl` shows or that a runbook's custom columns name.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
NAMESPACE = "default"
NODE = "sandbox"
NODE_ADDRESS = "10.231.0.1"
REVISION = "deployment.kubernetes.io/revision"


def when(unix: float) -> str:
    """RFC 3339 in whole seconds, as the API writes it."""
    return datetime.datetime.fromtimestamp(int(unix), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def quantity(memory: float) -> str:
    """``64Mi``."""
    return f"{int(memory // 2**20)}Mi"


def cores(cpus: float) -> str:
    """``200m`` or ``1``."""
    return f"{cpus:g}" if cpus == int(cpus) else f"{round(cpus * 1000)}m"


def _limits(cpus: float, memory: float) -> Json:
    return {"limits": {"cpu": cores(cpus), "memory": quantity(memory)}, "requests": {"cpu": cores(cpus / 2)}}


def pod(service: str, told: Mapping[str, Any]) -> Json:
    """One pod from what init tells of it."""
    end = told["last_end"]
    running = {"running": {"startedAt": when(told["started_at"])}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff" if told["restarts"] or end else "ContainerCreating"}}
    last = {"terminated": {"reason": end["reason"], "exitCode": end["code"], "startedAt": when(end["started_at"]),
                           "finishedAt": when(end["at"])}} if end else {}  # fmt: skip
    state = running if told["running"] else waiting
    env = [{"name": name, "value": value} for name, value in told["env"].items()]
    status: Json = {
        "phase": "Running",
        "podIP": told["address"],
        "hostIP": NODE_ADDRESS,
        "startTime": when(told["born_at"]),
        "conditions": [{"type": "Ready", "status": str(bool(told["running"]))}],
        "containerStatuses": [
            {"name": service, "ready": bool(told["running"]), "restartCount": told["restarts"], "state": state,
             "lastState": last, "image": f"shop/{service}:r{told['revision']}"}
        ],
    }  # fmt: skip
    metadata: Json = {
        "name": told["name"],
        "namespace": NAMESPACE,
        "uid": f"{told['name']}-{told['generation']}",
        "creationTimestamp": when(told["born_at"]),
        "labels": {"app": told["app"], "pod-template-revision": str(told["revision"])},
    }
    if told["ending"]:
        metadata["deletionTimestamp"] = when(told["born_at"])
    container = {"name": service, "image": f"shop/{service}:r{told['revision']}", "env": env,
                 "ports": [{"containerPort": 8080}], "resources": _limits(told["cpus"], told["memory"]),
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}]}  # fmt: skip
    volumes = [{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}]
    spec = {"nodeName": NODE, "containers": [container], "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def deployment(service: str, told: Mapping[str, Any]) -> Json:
    """One deployment from what init tells of it."""
    newest = told["revisions"][-1]
    template = newest["template"]
    mine = [one for one in told["pods"] if one["app"] == service]
    ready = sum(bool(one["running"] and one["serving"]) for one in mine)
    updated = sum(one["revision"] == newest["number"] for one in mine)
    env = [{"name": name, "value": value} for name, value in template["env"].items()]
    container = {"name": service, "image": f"shop/{service}:r{newest['number']}", "env": env,
                 "resources": _limits(template["cpus"], template["memory"])}  # fmt: skip
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": service, "namespace": NAMESPACE, "labels": {"app": service},
                     "creationTimestamp": when(min((one["born_at"] for one in told["pods"]), default=0)),
                     "annotations": {REVISION: str(newest["number"])}},
        "spec": {"replicas": told["wanted"], "selector": {"matchLabels": {"app": service}},
                 "template": {"metadata": {"labels": {"app": service}}, "spec": {"containers": [container]}}},
        "status": {"replicas": len(mine), "readyReplicas": ready, "availableReplicas": ready,
                   "updatedReplicas": updated},
    }  # fmt: skip


def node() -> Json:
    """The one node."""
    conditions = [{"type": name, "status": "False"} for name in ("MemoryPressure", "DiskPressure", "PIDPressure")]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE, "labels": {}},
        "spec": {},
        "status": {"conditions": [*conditions, {"type": "Ready", "status": "True"}],
                   "addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}]},
    }  # fmt: skip


def event(told: Mapping[str, Any], number: int) -> Json:
    """One event."""
    kind, _, name = told["about"].partition("/")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{number}", "namespace": NAMESPACE},
        "type": told["kind"],
        "reason": told["reason"],
        "message": told["message"],
        "lastTimestamp": when(told["at"]),
        "involvedObject": {"kind": kind.capitalize(), "name": name, "namespace": NAMESPACE},
    }


def endpoint_slice(service: str, told: Mapping[str, Any]) -> Json:
    """The endpoints of one service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": service, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in told["endpoints"]],
    }


def service_object(service: str) -> Json:
    """The Service in front of a deployment."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service, "namespace": NAMESPACE, "labels": {"app": service}},
        "spec": {"type": "ClusterIP", "selector": {"app": service}, "ports": [{"port": 8080, "protocol": "TCP"}]},
    }
