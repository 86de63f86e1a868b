"""A namespace with small services on the test cluster: some for faults held in pods, some for deeds by the API."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bench.leaks.cluster.nodes import HOST, NETEM, cluster

from drill.core.errors import DrillError
from drill.target.kubernetes import install, manifests, marks, objects, paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api

IMAGE = "drill.dev/drill:0.1.0"
RUNNER = f"system:serviceaccount:{paths.SYSTEM}:{manifests.RUNNER}"
USERS = "users"
READY_S = 240.0
SERVER = """
import socketserver
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        while (line := self.rfile.readline()) and line.strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 64
    def handle_error(self, *_):
        pass
Server(("0.0.0.0", 8080), Answer).serve_forever()
"""


@dataclass(frozen=True)
class Place:
    """One service with its Deployment: where it runs; more than one pod means deeds by the API."""

    name: str
    kernel: str
    replicas: int = 1

    @property
    def held(self) -> bool:
        """True when faults are held in its one pod."""
        return self.replicas == 1


PLACES = (
    *(Place(f"held-{letter}", HOST) for letter in "abcdef"),
    Place("emulated", NETEM),
    Place("deed-a", HOST, 2),
    Place("deed-b", HOST, 2),
)


class Ground:
    """The namespace as its administrator sees it, and the access that runners get."""

    def __init__(self, admin: Access, namespace: str, places: Sequence[Place]) -> None:
        self.access, self.namespace, self.places = replace(admin, as_user=RUNNER), namespace, tuple(places)
        self.admin = Api(admin, patience_s=5.0)
        self.kernels = sorted({place.kernel for place in places})
        self._last: dict[str, tuple[str, str]] = {}

    def pod_of(self, place: Place) -> tuple[str, str]:
        """Return uid and address of a pod of *place*, as last known when the API server is away; empty: none."""
        try:
            found = self.pods(place.name)
        except DrillError:
            return self._last.get(place.name, ("", ""))
        if not found:
            return "", ""
        newest = max(found, key=lambda one: one.metadata.creation_timestamp)
        self._last[place.name] = newest.metadata.uid, newest.status.pod_ip
        return self._last[place.name]

    def pods(self, app: str) -> list[objects.Pod]:
        """Return the living pods of a service. Raises DrillError."""
        listed = self.admin.list(paths.all_of("Pod", self.namespace), objects.Pod, labels=f"app={app}")
        return [pod for pod in listed.items if pod.alive]

    def users_uid(self) -> str:
        """Uid of the pod that plays the users."""
        return self.pods(USERS)[0].metadata.uid

    def ready(self) -> bool:
        """True when every service has all its pods, ready."""
        try:
            counts = {place.name: [pod.ready for pod in self.pods(place.name)] for place in self.places}
        except DrillError:
            return False
        return all(counts[place.name] == [True] * place.replicas for place in self.places)


@contextmanager
def ground(kernels: Sequence[str]) -> Iterator[Ground]:
    """Make the namespace with its services; remove it at the end. Raises Failed, Missing, DrillError."""
    admin = Access(cluster().context, str(cluster().kubeconfig))
    places = [place for place in PLACES if place.kernel in kernels]
    made = Ground(admin, f"drill-leaks-{secrets.token_hex(3)}", places)
    labels = {marks.ALLOWED: "true", "pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace, "labels": labels}}
    made.admin.create(paths.NAMESPACES, body)
    try:
        list(install.install(made.admin, manifests.Wanted((made.namespace,), (), nodes=True)))
        for place in (*places, Place(USERS, HOST)):
            made.admin.create(paths.all_of("Deployment", made.namespace), deployment(place))
        for place in places:
            made.admin.create(paths.all_of("Service", made.namespace), service(place))
        wait(made.ready, READY_S, "the services do not serve")
        yield made
    finally:
        made.admin.delete(paths.namespace(made.namespace))
        made.admin.close()


def wait(holds: Callable[[], bool], within_s: float, otherwise: str) -> None:
    """Wait until something holds. Raises RuntimeError."""
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            raise RuntimeError(f"{otherwise} within {within_s:g} s")
        time.sleep(0.5)


def service(place: Place) -> dict[str, Any]:
    """The Service of *place*."""
    ports = [{"name": "http", "port": 8080, "targetPort": "http"}]
    spec = {"clusterIP": "None", "selector": {"app": place.name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": place.name}, "spec": spec}


def deployment(place: Place) -> dict[str, Any]:
    """The Deployment of *place*, as PodSecurity ``restricted`` wants it."""
    container = {
        "name": "web",
        "image": IMAGE,
        "command": ["python3", "-S", "-c", SERVER],
        "ports": [{"name": "http", "containerPort": 8080}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "200m", "memory": "64Mi"}},
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 3},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "nodeSelector": {"drill.dev/kernel": place.kernel},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}],
    }
    template = {"metadata": {"labels": {"app": place.name}}, "spec": spec}
    selector = {"matchLabels": {"app": place.name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": place.name},
        "spec": {"replicas": place.replicas, "selector": selector, "template": template},
    }
