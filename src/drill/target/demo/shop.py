"""The shop: five services and their users, as Kubernetes objects made from the sandbox's topology. Pure."""

from __future__ import annotations

from drill.core.units import prometheus_duration
from drill.target.demo import parts
from drill.target.demo.parts import Workload
from drill.target.demo.spec import SERVICE, DemoSpec, Object
from drill.target.kubernetes.marks import ALLOWED, CALLS, CLIENT_TIMEOUT, FAST_FORWARD, TIER
from drill.target.sandbox.topology import (
    CLIENT_TIMEOUT_S,
    DATA_BYTES,
    ENTRANCE_PORT,
    MEMORY_LIMIT,
    METRICS_PORT,
    REPLICAS,
    SERVE_PORT,
    SERVICES,
    DemoService,
)

PROGRAM = ("python3", "-m", "drill.target.sandbox.pod")
_MIB = 2**20
_SCRATCH: Object = {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
_OWN_PYTHON = 64 * _MIB
"""A replica of the sandbox is a fork and shares its interpreter; one in a pod has it for itself."""


def objects(spec: DemoSpec) -> list[Object]:
    """The namespace and all that is in it."""
    found = [_namespace(spec)]
    for service in SERVICES:
        found += parts.objects(_replicas(service, spec))
    return [*found, *parts.objects(_edge(spec))]


def _namespace(spec: DemoSpec) -> Object:
    annotations = {
        FAST_FORWARD: f"{spec.alerts.fast_forward:g}",
        CLIENT_TIMEOUT: prometheus_duration(CLIENT_TIMEOUT_S),
    }
    return parts.namespace(spec.namespace, {ALLOWED: "true"}, annotations)


def _replicas(service: DemoService, spec: DemoSpec) -> Workload:
    published = {TIER: str(service.tier), CALLS: ",".join(service.calls)}
    nodes = spec.node_selectors.get(service.name)
    where = {"nodeSelector": dict(nodes)} if nodes else parts.steady()
    return Workload(
        name=service.name,
        namespace=spec.namespace,
        component=SERVICE,
        image=spec.image,
        command=[*PROGRAM, "service", service.name],
        ports={"http": SERVE_PORT, "metrics": METRICS_PORT},
        ready=("http", "/ready"),
        resources={
            "requests": {"cpu": "20m", "memory": "48Mi"},
            "limits": {"cpu": f"{spec.cpu_limit * 1000:g}m", "memory": f"{(MEMORY_LIMIT + _OWN_PYTHON) // _MIB}Mi"},
        },
        replicas=REPLICAS,
        # a file system of its own, in memory: a full one is full for this replica alone
        volumes={
            "/data": {"emptyDir": {"medium": "Memory", "sizeLimit": f"{DATA_BYTES // _MIB}Mi"}},
            "/run/demo": _SCRATCH,
        },
        published={name: value for name, value in published.items() if value},
        headless=True,  # its clients share the requests out themselves, replica by replica, as the sandbox's do
        pod=where,
    )


def _edge(spec: DemoSpec) -> Workload:
    return Workload(
        name="edge",
        namespace=spec.namespace,
        component="users",
        image=spec.image,
        command=[*PROGRAM, "edge", *(["--load", f"{spec.load:g}"] if spec.load != 1 else [])],
        ports={"entrance": ENTRANCE_PORT, "metrics": METRICS_PORT},
        ready=("metrics", "/metrics"),
        # no limit of CPU: a throttled user would call the services slow
        resources={"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "192Mi"}},
        volumes={"/run/demo": _SCRATCH},
        pod=parts.steady(),
    )
