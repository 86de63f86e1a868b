"""Finding Prometheus, Alertmanager and the notification sink in a cluster, and the way to them from here.

By the labels their charts, operators and manifests give them, or by their usual names. From outside, every way is
a door through the API server; inside the cluster, the Service's and the pods' own addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drill.core.errors import Unavailable
from drill.core.facts import Endpoints
from drill.target.kubernetes import discovery, objects, paths
from drill.target.kubernetes.access import IN_CLUSTER
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import Forbidden, NotThere
from drill.target.kubernetes.forward import Door
from drill.target.kubernetes.watching import selector

USUAL_NAMESPACES = ("monitoring", "prometheus", "observability")
"""Where they are looked for besides the target's own namespace."""


@dataclass(frozen=True)
class Kind:
    """How one kind of server is known: labels (any of them), names of Services (in order), and its port."""

    name: str
    labels: tuple[tuple[str, str], ...]
    services: tuple[str, ...]
    port: int
    ports: tuple[str, ...] = ("web", "http", "http-web")


PROMETHEUS = Kind(
    "prometheus",
    (
        ("operated-prometheus", "true"),
        ("app.kubernetes.io/name", "prometheus"),
        ("app", "kube-prometheus-stack-prometheus"),
        ("app", "prometheus"),
    ),
    ("prometheus", "prometheus-operated", "prometheus-k8s", "prometheus-server"),
    9090,
)
ALERTMANAGER = Kind(
    "alertmanager",
    (
        ("operated-alertmanager", "true"),
        ("app.kubernetes.io/name", "alertmanager"),
        ("app", "kube-prometheus-stack-alertmanager"),
        ("app", "alertmanager"),
    ),
    ("alertmanager", "alertmanager-operated", "alertmanager-main"),
    9093,
)
SINK = Kind("sink", (("app.kubernetes.io/name", "drill-sink"),), ("sink",), 9095)


@dataclass
class Servers:
    """The ways to the servers; :meth:`close` closes the doors."""

    prometheus: str = ""
    alertmanagers: tuple[str, ...] = ()
    sink: str = ""
    notes: tuple[str, ...] = ()
    """Which Service each of them is, in words."""
    doors: list[Door] = field(default_factory=list)

    @property
    def endpoints(self) -> Endpoints:
        """The same as the observer takes it."""
        return Endpoints(
            prometheus=self.prometheus,
            alertmanagers=self.alertmanagers,
            sink=self.sink,
            passing=tuple(door.url for door in self.doors),
        )

    def close(self) -> None:
        """Close every door."""
        for door in self.doors:
            door.close()


def find_servers(api: Api, namespaces: Sequence[str], wanted: Sequence[Kind]) -> Servers:
    """Return the ways to the *wanted* servers in the first of *namespaces* that has one each; none where none has.

    Namespaces this identity may not look into are passed over, and named. Raises ApiFailed.
    """
    servers, notes = Servers(), list[str]()
    services = {name: _services(api, name, notes) for name in dict.fromkeys((*namespaces, *USUAL_NAMESPACES))}
    for kind in wanted:
        service = next((one for found in services.values() for one in _known(found, kind)), None)
        if service is None:
            continue
        notes.append(f"{kind.name} is Service {service.metadata.namespace}/{service.name}")
        ways = _ways(api, service, kind, servers)
        if kind is PROMETHEUS:
            servers.prometheus = ways[0]
        elif kind is ALERTMANAGER:
            servers.alertmanagers = tuple(ways)
        else:
            servers.sink = ways[0]
    servers.notes = tuple(notes)
    return servers


def _services(api: Api, namespace: str, notes: list[str]) -> Sequence[objects.Service]:
    try:
        return api.list(paths.all_of("Service", namespace), objects.Service).items
    except NotThere:
        return ()
    except Forbidden:
        notes.append(f"namespace {namespace} may not be looked into")
        return ()


def _known(services: Iterable[objects.Service], kind: Kind) -> Iterator[objects.Service]:
    """Yield the Services of this kind, the surest first: a label that fits, then a usual name."""
    candidates = [one for one in services if one.spec.selector and _port(one, kind)]
    for key, value in kind.labels:
        yield from (one for one in candidates if one.metadata.labels.get(key) == value)
    for name in kind.services:
        yield from (one for one in candidates if one.name == name)


def _port(service: objects.Service, kind: Kind) -> objects.Port | None:
    by_number = (port for port in service.spec.ports if port.port == kind.port)
    by_name = (port for port in service.spec.ports if port.name in kind.ports)
    return next(by_number, None) or next(by_name, None)


def _ways(api: Api, service: objects.Service, kind: Kind, servers: Servers) -> list[str]:
    """One way to the Service, for Alertmanager one to each of its pods: peers do not share their alerts."""
    port = _port(service, kind)
    assert port is not None, "only Services with the port are known"
    if api.context == IN_CLUSTER:
        if kind is not ALERTMANAGER:
            return [f"http://{service.name}.{service.metadata.namespace}.svc:{port.port}"]
        return [f"http://{pod.status.pod_ip}:{number}" for pod, number in _ready(api, service, port)]
    count = len(_ready(api, service, port)) if kind is ALERTMANAGER else 1
    doors = [Door(api, _find(api, service, port, index)) for index in range(max(1, count))]
    servers.doors += doors
    return [door.url for door in doors]


def _find(api: Api, service: objects.Service, port: objects.Port, index: int) -> Callable[[], tuple[str, str, int]]:
    def find() -> tuple[str, str, int]:
        ready = _ready(api, service, port)
        if not ready:
            raise Unavailable(f"no pod of Service {service.metadata.namespace}/{service.name} is ready")
        pod, number = ready[index % len(ready)]
        return pod.metadata.namespace, pod.name, number

    return find


def _ready(api: Api, service: objects.Service, port: objects.Port) -> list[tuple[objects.Pod, int]]:
    labels: Mapping[str, str] = service.spec.selector
    listed = api.list(paths.all_of("Pod", service.metadata.namespace), objects.Pod, labels=selector(dict(labels)))
    found = []
    for pod in sorted((one for one in listed.items if one.ready), key=lambda one: one.name):
        serving = discovery.container_of(pod, port)
        if serving is not None:
            found.append((pod, serving[1]))
    return found
