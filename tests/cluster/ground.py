"""A namespace with a small service on the suite's own test cluster, as tests see it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drill.core.actions import AnyAction, undo_of
from drill.core.facts import Endpoints
from drill.target.kubernetes import manifests, marks, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.planned import Timing
from drill.target.kubernetes.podspec import HelperSettings
from drill.target.kubernetes.target import KubernetesTarget

IMAGE = "drill.dev/drill:0.1.0"
RUNNER = f"system:serviceaccount:{paths.SYSTEM}:{manifests.RUNNER}"
TIMING = Timing(
    scrape_interval_s=1, evaluation_interval_s=1, group_wait_s=1, group_interval_s=5, history_s=60, fast_forward=60
)
NOWHERE = Endpoints(prometheus="http://127.0.0.1:9", alertmanagers=())


@dataclass
class Ground:
    """A namespace with the Service ``web``, and who may drill there."""

    api: Api
    admin: Api
    namespace: str

    def target(self, *, api: Api | None = None, helpers: bool = False) -> KubernetesTarget:
        caller = api or self.api
        agents = (lambda: Helpers(caller, HelperSettings(image=helper_image()))) if helpers else None
        made = KubernetesTarget(caller, self.namespace, NOWHERE, TIMING, agents)
        made.facts()
        return made

    def begun(self, *actions: AnyAction, helpers: bool = False) -> KubernetesTarget:
        """A target that knows what is going to be done, with the undo of each action."""
        made = self.target(helpers=helpers)
        made.begin(f"run-{secrets.token_hex(3)}", [(one, undo_of(one)) for one in actions])
        return made

    def intents(self) -> list[str]:
        service = self.admin.get(paths.one("Service", self.namespace, "web"), objects.Service)
        return [key for key in service.metadata.annotations if key.startswith(marks.INTENT)]

    def deployment(self) -> objects.Workload:
        return self.admin.get(paths.one("Deployment", self.namespace, "web"), objects.Workload)

    def pods(self) -> list[objects.Pod]:
        listed = self.admin.list(paths.all_of("Pod", self.namespace), objects.Pod, labels="app=web")
        return [pod for pod in listed.items if pod.alive]

    def wait(self, holds: Callable[[], bool], within_s: float = 60.0) -> None:
        until = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < until, "it did not come about in time"
            time.sleep(0.3)

    def with_stateful_set(self) -> None:
        """Add the StatefulSet ``db`` with its Service."""
        one = deployment()
        one |= {"kind": "StatefulSet", "metadata": {"name": "db"}}
        one["spec"] |= {"replicas": 1, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}}
        one["spec"]["template"]["metadata"]["labels"] = {"app": "db"}
        front = service() | {"metadata": {"name": "db"}}
        front["spec"]["selector"] = {"app": "db"}
        for kind, body in (("StatefulSet", one), ("Service", front)):
            self.admin.create(paths.all_of(kind, self.namespace), body)

    def healthy(self) -> bool:
        pods = self.pods()
        return len(pods) == 3 and all(pod.ready for pod in pods)


def helper_image() -> str:
    """The image of helper pods: the shared one, or the one that was loaded with this tree's source."""
    return os.environ.get("DRILL_HELPER_IMAGE") or IMAGE


def service() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "annotations": {marks.TIER: "2", marks.CALLS: "store"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }


def deployment() -> dict[str, Any]:
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "http.server", "8080"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
        "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}, "requests": {"cpu": "10m", "memory": "16Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "nodeSelector": {"drill.dev/kernel": "host"},
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    }
