"""What a demo is made with, and the labels by which its parts are known. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drill import __version__
from drill.target.sandbox.spec import SandboxSpec
from drill.target.sandbox.topology import CPU_LIMIT, SINK_PORT

Object = dict[str, object]
"""One Kubernetes object as JSON."""

PART_OF = {"app.kubernetes.io/part-of": "drill-demo"}
"""On every object of the demo, and on nothing else: what lacks it is never touched."""
SERVICE, MONITORING = "service", "monitoring"
COMPONENT = "app.kubernetes.io/component"
CONFIG_DIGEST = "drill.dev/config"
IMAGE = f"drill.dev/drill:{__version__}"
MONITORING_IMAGE = f"drill.dev/monitoring:{__version__}"


@dataclass(frozen=True)
class DemoSpec:
    """Everything that may differ between two demos. ``alerts`` is what the sandbox would be started with."""

    alerts: SandboxSpec
    namespace: str = "shop"
    monitoring: str = "monitoring"
    image: str = IMAGE
    monitoring_image: str = MONITORING_IMAGE
    node_selectors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By service: labels of the nodes its replicas may run on. A service that is not in it runs anywhere."""
    load: float = 1.0
    """Users' requests, as a multiple of the usual number."""
    cpu_limit: float = CPU_LIMIT
    """CPUs that a replica may use."""


def sink_url(monitoring: str) -> str:
    """Where Alertmanager sends notifications to: ``<this>/<receiver>``."""
    return f"http://sink.{monitoring}.svc:{SINK_PORT}"


def labels(app: str, component: str) -> dict[str, str]:
    """The labels of one part."""
    return {"app": app, COMPONENT: component, **PART_OF}
