"""What drill reads of Kubernetes objects, as frozen values: the fields it uses and no others."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel


class Seen(BaseModel):
    """Part of an object as the API server shows it; unknown fields are nobody's mistake."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any, info: Any) -> Any:
        """Go's empty lists and maps may come as ``null``: they are the field's default."""
        if value is None:
            field = cls.model_fields[info.field_name]
            return value if field.is_required() else field.get_default(call_default_factory=True)
        return value


class ListMeta(Seen):
    """Metadata of a list."""

    resource_version: str = ""
    continue_: str = Field("", alias="continue")


T = TypeVar("T", bound=Seen)


class Listed(Seen, Generic[T]):
    """A list of objects with the version to watch from."""

    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] = ()


class Owner(Seen):
    """A reference to the object that owns another."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Meta(Seen):
    """Metadata of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[Owner, ...] = ()
    creation_timestamp: str = ""
    deletion_timestamp: str = ""


class Thing(Seen):
    """Any object: its metadata."""

    metadata: Meta = Meta()

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name


class Selector(Seen):
    """A label selector."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[dict[str, Any], ...] = ()

    def matches(self, labels: dict[str, str]) -> bool:
        """True when *labels* fit (expressions are taken as fitting only if they are simple ones that do)."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _fits(one, labels) for one in self.match_expressions
        )


def _fits(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = str(expression.get("key", "")), expression.get("values") or []
    there = key in labels
    return {
        "In": there and labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": there,
        "DoesNotExist": not there,
    }.get(str(expression.get("operator", "")), False)


class Port(Seen):
    """A port of a Service or of a container."""

    name: str = ""
    port: int = 0
    container_port: int = 0
    target_port: int | str = 0
    protocol: str = "TCP"


class ServiceSpec(Seen):
    """What a Service selects and serves."""

    selector: dict[str, str] = {}
    ports: tuple[Port, ...] = ()
    cluster_ip: str = Field("", alias="clusterIP")
    type: str = "ClusterIP"


class Service(Thing):
    """A Service."""

    spec: ServiceSpec = ServiceSpec()


class Mount(Seen):
    """Where a container mounts a volume."""

    name: str = ""
    mount_path: str = ""
    read_only: bool = False


class Resources(Seen):
    """A container's limits, in Kubernetes's quantities."""

    limits: dict[str, str | int | float] = {}


class Container(Seen):
    """One container of a pod's template or of a pod."""

    name: str = ""
    image: str = ""
    ports: tuple[Port, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[Mount, ...] = ()
    readiness_probe: dict[str, Any] = {}
    liveness_probe: dict[str, Any] = {}


class Volume(Seen):
    """A volume; only what tells a small file system of its own from others is read."""

    name: str = ""
    empty_dir: dict[str, Any] | None = None
    persistent_volume_claim: dict[str, Any] | None = None
    ephemeral: dict[str, Any] | None = None


class PodSpec(Seen):
    """A pod's specification."""

    node_name: str = ""
    host_network: bool = False
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()


class Condition(Seen):
    """A condition of a pod or a node."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class Waiting(Seen):
    """Why a container does not run."""

    reason: str = ""
    message: str = ""


class Ended(Seen):
    """How a container ended."""

    reason: str = ""


class ContainerState(Seen):
    """What a container does now, or did last."""

    waiting: Waiting | None = None
    terminated: Ended | None = None


class ContainerStatus(Seen):
    """One container's status."""

    name: str = ""
    container_id: str = Field("", alias="containerID")
    restart_count: int = 0
    ready: bool = False
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()

    @property
    def ends(self) -> int:
        """How often it ended so far: kubelet counts a restart only when it comes, which may be minutes later."""
        down = self.state.terminated or (self.state.waiting and self.last_state.terminated)
        return self.restart_count + bool(down)


class PodStatus(Seen):
    """A pod's status."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    """Why a pod failed that no container could say: refused by its node, evicted."""
    pod_ip: str = Field("", alias="podIP")
    host_ip: str = Field("", alias="hostIP")
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Thing):
    """A pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """True when it serves: its Ready condition holds and it is not being deleted."""
        return self.alive and any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)

    @property
    def alive(self) -> bool:
        """True unless it is being deleted or has ended."""
        return not self.metadata.deletion_timestamp and self.status.phase not in ("Succeeded", "Failed")

    @property
    def restarts(self) -> int:
        """How often its containers were restarted or wait to be, together."""
        return sum(one.ends for one in self.status.container_statuses)


class Template(Seen):
    """A workload's pod template."""

    metadata: Meta = Meta()
    spec: PodSpec = PodSpec()


class WorkloadSpec(Seen):
    """What a Deployment, StatefulSet, DaemonSet or ReplicaSet wants."""

    replicas: int = 1
    selector: Selector = Selector()
    template: Template = Template()


class WorkloadStatus(Seen):
    """How far a workload is."""

    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0


class Workload(Thing):
    """A Deployment, StatefulSet, DaemonSet or ReplicaSet."""

    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class NodeSpec(Seen):
    """A node's specification."""

    unschedulable: bool = False
    pod_cidr: str = Field("", alias="podCIDR")


class Address(Seen):
    """One address of a node."""

    type: str = ""
    address: str = ""


class NodeStatus(Seen):
    """A node's status."""

    addresses: tuple[Address, ...] = ()
    conditions: tuple[Condition, ...] = ()


class Node(Thing):
    """A node."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def ready(self) -> bool:
        """True when its kubelet reports it Ready."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its internal IPv4 addresses."""
        return tuple(
            one.address for one in self.status.addresses if one.type == "InternalIP" and "." in one.address
        )


class BudgetStatus(Seen):
    """A PodDisruptionBudget's status."""

    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0


class BudgetSpec(Seen):
    """Whom a PodDisruptionBudget protects."""

    selector: Selector = Selector()
    min_available: int | str | None = None
    max_unavailable: int | str | None = None


class DisruptionBudget(Thing):
    """A PodDisruptionBudget."""

    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()


class ScaleTarget(Seen):
    """What a HorizontalPodAutoscaler scales."""

    kind: str = ""
    name: str = ""


class AutoscalerSpec(Seen):
    """A HorizontalPodAutoscaler's specification."""

    scale_target_ref: ScaleTarget = ScaleTarget()
    min_replicas: int = 1
    max_replicas: int = 1


class Autoscaler(Thing):
    """A HorizontalPodAutoscaler."""

    spec: AutoscalerSpec = AutoscalerSpec()
