"""From a Service to what can be broken: selector to pods, pods to nodes, containers, limits, and their workload.

Reads one namespace and the nodes, in parallel, once for each :func:`look`. Owns the choice of the container and
the port that serve; refuses to guess a workload that does not own the pods.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from drill.target.kubernetes import marks, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.ports import PodRef
from drill.target.kubernetes.quantity import quantity

BESIDE_USERS = ("metrics", "prometheus", "admin", "health", "debug")
"""Names of ports that are not the users' own."""


@dataclass(frozen=True)
class World:
    """One namespace as it was at one moment."""

    namespace: objects.Thing
    services: tuple[objects.Service, ...]
    pods: tuple[objects.Pod, ...]
    workloads: tuple[tuple[str, objects.Workload], ...]
    """``("Deployment", …)``: those whose size or template drill can change, and DaemonSets, which it cannot."""
    nodes: tuple[objects.Node, ...]

    def service(self, name: str) -> objects.Service | None:
        """Return the Service called *name*."""
        return next((one for one in self.services if one.name == name), None)

    def node(self, name: str) -> objects.Node | None:
        """Return the node called *name*."""
        return next((one for one in self.nodes if one.name == name), None)

    def pods_of(self, service: objects.Service) -> tuple[objects.Pod, ...]:
        """Return the living pods a Service selects; a Service without selector has none of its own."""
        wanted = service.spec.selector.items()
        if not wanted:
            return ()
        return tuple(pod for pod in self.pods if pod.alive and wanted <= pod.metadata.labels.items())

    def workload_of(self, pods: Sequence[objects.Pod]) -> tuple[str, objects.Workload] | None:
        """Return the one workload that owns all of *pods*, with its kind; None when there is none or several."""
        found = {self._owner(pod) for pod in pods}
        name = found.pop() if len(found) == 1 else None
        return next(((kind, one) for kind, one in self.workloads if (kind, one.name) == name), None)

    def _owner(self, pod: objects.Pod) -> tuple[str, str] | None:
        owner = next((one for one in pod.metadata.owner_references if one.controller), None)
        if owner is None:
            return None
        if owner.kind != "ReplicaSet":
            return owner.kind, owner.name
        # A Deployment names its ReplicaSets <deployment>-<hash>: reading them would be one right more.
        for kind, one in self.workloads:
            hash_ = owner.name.removeprefix(f"{one.name}-")
            fits = one.spec.selector.matches(pod.metadata.labels)
            if kind == "Deployment" and fits and hash_ != owner.name and "-" not in hash_:
                return kind, one.name
        return None


def look(api: Api, namespace: str) -> World:
    """Read the namespace. Raises NotThere, ApiFailed."""
    with ThreadPoolExecutor(7) as pool:
        about = pool.submit(api.get, paths.namespace(namespace), objects.Thing)
        services = pool.submit(api.list, paths.all_of("Service", namespace), objects.Service)
        pods = pool.submit(api.list, paths.all_of("Pod", namespace), objects.Pod)
        nodes = pool.submit(api.list, paths.NODES, objects.Node)
        kinds = {
            kind: pool.submit(api.list, paths.all_of(kind, namespace), objects.Workload)
            for kind in ("Deployment", "StatefulSet", "DaemonSet")
        }
        return World(
            namespace=about.result(),
            services=services.result().items,
            pods=pods.result().items,
            workloads=tuple((kind, one) for kind, found in kinds.items() for one in found.result().items),
            nodes=nodes.result().items,
        )


def serving_port(service: objects.Service) -> objects.Port | None:
    """Return the port users come by: as annotated, else the first that is not named for something else."""
    named = service.metadata.annotations.get(marks.PORT, "")
    tcp = [port for port in service.spec.ports if port.protocol == "TCP"]
    if named:
        return next((port for port in tcp if named in (port.name, str(port.port))), None)
    users = [port for port in tcp if port.name not in BESIDE_USERS]
    return next(iter([*users, *tcp]), None)


def container_of(pod: objects.Pod, port: objects.Port) -> tuple[objects.Container, int] | None:
    """Return the container of *pod* that serves the Service's *port*, and its port's number."""
    wanted = port.target_port or port.port
    for container in pod.spec.containers:
        for own in container.ports:
            if wanted in (own.name, own.container_port) or str(own.container_port) == str(wanted):
                return container, own.container_port
    if isinstance(wanted, int) and pod.spec.containers:  # a port nobody declared: the first container's, as usual
        return pod.spec.containers[0], wanted
    return None


def pod_ref(pod: objects.Pod, service: objects.Service) -> PodRef | None:
    """Return *pod* as those near it want it; None when no container of it serves the Service's port."""
    port = serving_port(service)
    serving = container_of(pod, port) if port else None
    if serving is None:
        return None
    container, number = serving
    status = next((one for one in pod.status.container_statuses if one.name == container.name), None)
    return PodRef(
        namespace=pod.metadata.namespace,
        name=pod.name,
        uid=pod.metadata.uid,
        node=pod.spec.node_name,
        address=pod.status.pod_ip,
        port=number,
        container=container.name,
        container_id=status.container_id.partition("://")[2] if status else "",
        host_network=pod.spec.host_network,
        data_path=data_path(pod, container),
        memory_limit_bytes=int(quantity(container.resources.limits.get("memory", 0))),
    )


def data_path(pod: objects.Pod, container: objects.Container) -> str:
    """Return where the container has a file system of its own that may be filled; empty when there is none.

    An emptyDir on the node's disk is the node's: filling it would harm everybody there.
    """
    own = {
        volume.name
        for volume in pod.spec.volumes
        if volume.persistent_volume_claim is not None
        or volume.ephemeral is not None
        or (volume.empty_dir is not None and volume.empty_dir.get("medium") == "Memory")
    }
    found = (mount for mount in container.volume_mounts if mount.name in own and not mount.read_only)
    return next((mount.mount_path for mount in found), "")
