"""The closed union of what drill can do to a target, each with what it touches, as serialisable data.

A fault (``drill.faults``) turns parameters and facts into actions and knows no target; a target executes
actions and knows no fault. The undo of an action is an action, written to the journal before the deed.

A *held* fault is described by one of the ``…Fault`` records below. They are exactly what the agent
(``drill.agent``) takes as its ``--spec`` JSON, in the sandbox, in a helper pod and in an ephemeral container.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from drill.core.activities import Call, describe_call
from drill.core.values import Value

PacketBackend = Literal["netem", "nfqueue", "nft", "htb"]
"""netem: kernel qdisc; nfqueue: packets held in user space; nft: dropped or rejected; htb: shaped."""


class PacketFault(Value):
    """Packets of a replica's serving port are delayed, lost, shaped, dropped or rejected.

    Only packets of TCP ``port`` are faulted, selected by an nftables set whose elements carry the TTL.
    ``peers`` limits the fault to those IPv4 addresses (empty: every peer), ``exempt`` names addresses that are
    never faulted (Prometheus's scrapes, kubelet's probes). ``direction`` is ``ingress`` for packets that
    arrive at ``port``, ``egress`` for packets the replica itself sends to ``port`` of ``peers``.
    """

    kind: Literal["packet"] = "packet"
    backend: PacketBackend
    port: int
    direction: Literal["ingress", "egress"] = "ingress"
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_percent: float = 0.0
    reorder_percent: float = 0.0
    duplicate_percent: float = 0.0
    rate_bit: int = 0
    drop: Literal["", "drop", "reject"] = ""
    peers: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()


class HttpFault(Value):
    """A share of the HTTP requests to ``port`` is answered with ``status`` and/or delayed, by a real Envoy.

    ``abort_percent`` and ``delay_percent`` are 0 to 100; ``status`` is used only where ``abort_percent`` > 0.
    """

    kind: Literal["http"] = "http"
    port: int
    abort_percent: float = 0.0
    status: int = 503
    delay_percent: float = 0.0
    delay_ms: float = 0.0
    exempt: tuple[str, ...] = ()


class CpuFault(Value):
    """stress-ng burns ``workers`` CPUs at ``load_percent`` inside the replica's own cgroup."""

    kind: Literal["cpu"] = "cpu"
    workers: int
    load_percent: int = 100


class MemoryFault(Value):
    """stress-ng allocates and keeps touching ``size_bytes`` inside the replica's own cgroup.

    ``oom`` true: the allocation is meant to exceed the cgroup's limit, so the kernel's OOM killer acts.
    """

    kind: Literal["memory"] = "memory"
    size_bytes: int
    oom: bool = False


class DiskFault(Value):
    """The file system at ``path`` (as the replica sees it) is filled until ``leave_bytes`` are free."""

    kind: Literal["disk"] = "disk"
    path: str
    leave_bytes: int = 0


class PauseFault(Value):
    """Every process of the replica is stopped (SIGSTOP) and continued (SIGCONT) at the end."""

    kind: Literal["pause"] = "pause"


HeldFault = Annotated[
    PacketFault | HttpFault | CpuFault | MemoryFault | DiskFault | PauseFault, Field(discriminator="kind")
]


class HoldFault(Value):
    """Start an agent at ``replica`` that holds ``fault`` until released, its deadline, or a missed lease.

    ``ttl_s`` is the life of the kernel-held part once nobody refreshes it; ``deadline_s`` the longest the
    agent holds the fault by its own monotonic clock. With ``reapply`` the fault follows the replica: a
    restarted container gets it again.
    """

    do: Literal["hold"] = "hold"
    injection: str
    replica: str
    fault: HeldFault
    ttl_s: float = 10.0
    deadline_s: float
    reapply: bool = False

    def touches(self) -> frozenset[str]:
        """Resources that no other action of the same time may touch, as ``replica/resource``."""
        resource = {"packet": "net", "http": "net"}.get(self.fault.kind, self.fault.kind)
        return frozenset({f"{self.replica}/{resource}"})


class ReleaseFault(Value):
    """End the fault that ``injection`` holds at ``replica``; doing it twice is harmless."""

    do: Literal["release"] = "release"
    injection: str
    replica: str

    def touches(self) -> frozenset[str]:
        """Nothing: an undo never conflicts."""
        return frozenset()


class KillReplica(Value):
    """Kill ``replica`` once: ``kill`` is SIGKILL to its main process; ``delete`` and ``evict`` ask the API."""

    do: Literal["kill"] = "kill"
    injection: str
    replica: str
    mode: Literal["kill", "delete", "evict"] = "kill"
    back_within_s: float = 60.0
    """How long the undo waits for the replica, or the one in its place."""

    def touches(self) -> frozenset[str]:
        """The replica's life."""
        return frozenset({f"{self.replica}/life"})


class AwaitReplica(Value):
    """Wait until ``replica`` (or its replacement) serves again, at most ``within_s`` seconds."""

    do: Literal["await"] = "await"
    injection: str
    replica: str
    within_s: float = 60.0

    def touches(self) -> frozenset[str]:
        """Nothing: an undo never conflicts."""
        return frozenset()


class ScaleWorkload(Value):
    """Set the replica count of a service's workload from ``before`` to ``to``; ``back`` marks the undo.

    ``workload`` is ``Deployment/checkout``. The undo waits until all replicas serve again, at most ``within_s``.
    """

    do: Literal["scale"] = "scale"
    injection: str
    service: str
    workload: str
    to: int
    before: int
    back: bool = False
    within_s: float = 120.0

    def touches(self) -> frozenset[str]:
        """The workload's size; nothing as an undo."""
        return frozenset() if self.back else frozenset({f"{self.service}/scale", f"{self.service}/template"})


class ChangeTemplate(Value):
    """Change one field of a container in a workload's pod template: a rollout begins; ``back`` marks the undo.

    ``value`` and ``before`` are JSON text (``"image:tag"`` in quotes, a probe as an object, ``null`` for none).
    """

    do: Literal["template"] = "template"
    injection: str
    service: str
    workload: str
    container: str
    field: Literal["image", "readinessProbe"]
    value: str
    before: str
    back: bool = False
    within_s: float = 180.0

    def touches(self) -> frozenset[str]:
        """The workload's template and size; nothing as an undo."""
        return frozenset() if self.back else frozenset({f"{self.service}/scale", f"{self.service}/template"})


class CordonNode(Value):
    """Make a node unschedulable, with ``drain`` also evict the pods of ``service`` from it; ``back`` is the undo.

    Only the service's own pods are evicted: a drill does not empty a node of what it was not asked about. The
    undo makes the node schedulable again and waits until the service has all its replicas.
    """

    do: Literal["cordon"] = "cordon"
    injection: str
    service: str
    node: str
    drain: bool = False
    back: bool = False
    within_s: float = 180.0

    def touches(self) -> frozenset[str]:
        """The node; nothing as an undo."""
        return frozenset() if self.back else frozenset({f"node {self.node}/schedulable"})


class RunActivity(Value):
    """Run a Chaos Toolkit activity once. ``undo`` stands beside it so that its guard can play it unasked.

    ``replica`` is empty when the activity acts on the service as a whole. ``hold_s`` is how long the undo may be
    away before the guard plays it by its own clock.
    """

    do: Literal["activity"] = "activity"
    injection: str
    replica: str = ""
    service: str
    call: Call
    undo: Call
    hold_s: float

    def touches(self) -> frozenset[str]:
        """What the activity is said to act on; drill cannot know more of it."""
        return frozenset({f"{self.replica or self.service}/activity"})


class UndoActivity(Value):
    """Run the activity that takes back what a RunActivity of ``injection`` did; it must bear being played twice."""

    do: Literal["undo-activity"] = "undo-activity"
    injection: str
    replica: str = ""
    call: Call

    def touches(self) -> frozenset[str]:
        """Nothing: an undo never conflicts."""
        return frozenset()


AnyAction = (
    HoldFault
    | ReleaseFault
    | KillReplica
    | AwaitReplica
    | ScaleWorkload
    | ChangeTemplate
    | CordonNode
    | RunActivity
    | UndoActivity
)
Action = Annotated[AnyAction, Field(discriminator="do")]
ACTION: TypeAdapter[AnyAction] = TypeAdapter(Action)


def undo_of(action: AnyAction) -> AnyAction:
    """Return the action that takes *action* back; the undo of an undo is itself."""
    match action:
        case HoldFault():
            return ReleaseFault(injection=action.injection, replica=action.replica)
        case KillReplica():
            return AwaitReplica(injection=action.injection, replica=action.replica, within_s=action.back_within_s)
        case ScaleWorkload() if not action.back:
            return action.with_(to=action.before, before=action.to, back=True)
        case ChangeTemplate() if not action.back:
            return action.with_(value=action.before, before=action.value, back=True)
        case CordonNode():
            return action.with_(back=True)
        case RunActivity():
            return UndoActivity(injection=action.injection, replica=action.replica, call=action.undo)
        case _:
            return action


def is_deed(action: AnyAction) -> bool:
    """True for an action that does a fault, False for one that takes it back."""
    return undo_of(action) != action


def place_of(action: AnyAction) -> str:
    """Say where *action* acts: the replica, the workload or the node."""
    match action:
        case ScaleWorkload() | ChangeTemplate():
            return action.workload
        case CordonNode():
            return f"node {action.node}"
        case RunActivity():
            return action.replica or action.service
        case _:
            return action.replica


def describe(action: AnyAction) -> str:
    """Say in one line what *action* does, the way `drill plan` prints it."""
    match action:
        case HoldFault():
            return f"{action.replica}: {describe_fault(action.fault)}"
        case ReleaseFault():
            return f"{action.replica}: remove the fault and verify that nothing is left"
        case KillReplica():
            return f"{action.replica}: {'SIGKILL' if action.mode == 'kill' else action.mode} the replica"
        case AwaitReplica():
            return f"{action.replica}: wait until it serves again (at most {action.within_s:g} s)"
        case RunActivity() | UndoActivity():
            return f"{f'{action.replica}: ' if action.replica else ''}{describe_call(action.call)}"
        case ScaleWorkload():
            wait = f" and wait until all serve (at most {action.within_s:g} s)" if action.back else ""
            return f"{action.workload}: scale from {action.before} to {action.to} replicas{wait}"
        case ChangeTemplate():
            wait = f" and wait for the rollout (at most {action.within_s:g} s)" if action.back else ""
            return f"{action.workload}: set {action.field} of {action.container} to {_short(action.value)}{wait}"
        case CordonNode():
            if action.back:
                wait = f"wait until {action.service} has all its replicas (at most {action.within_s:g} s)"
                return f"node {action.node}: uncordon, and {wait}"
            return f"node {action.node}: cordon" + (f", evict the pods of {action.service}" if action.drain else "")


def _short(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:57]}…"


def describe_fault(fault: PacketFault | HttpFault | CpuFault | MemoryFault | DiskFault | PauseFault) -> str:
    """Say in one line what a held fault is."""
    match fault:
        case PacketFault():
            return _describe_packet(fault)
        case HttpFault():
            parts = []
            if fault.abort_percent:
                parts.append(f"answer {fault.abort_percent:g} % of requests with {fault.status}")
            if fault.delay_percent:
                parts.append(f"delay {fault.delay_percent:g} % of requests by {fault.delay_ms:g} ms")
            return f"{' and '.join(parts)} (Envoy in front of port {fault.port})"
        case CpuFault():
            return f"burn {fault.workers} CPU(s) at {fault.load_percent} % in its cgroup (stress-ng)"
        case MemoryFault():
            end = " until the kernel's OOM killer acts" if fault.oom else ""
            return f"allocate {fault.size_bytes // 2**20} MiB in its cgroup{end} (stress-ng)"
        case DiskFault():
            return f"fill {fault.path} until {fault.leave_bytes} bytes are free"
        case PauseFault():
            return "stop every process (SIGSTOP)"


def _describe_packet(fault: PacketFault) -> str:
    parts = []
    if fault.delay_ms:
        jitter = f" ± {fault.jitter_ms:g} ms" if fault.jitter_ms else ""
        parts.append(f"delay by {fault.delay_ms:g} ms{jitter}")
    for name in ("loss", "reorder", "duplicate"):
        percent = getattr(fault, f"{name}_percent")
        if percent:
            parts.append(f"{name} {percent:g} %")
    if fault.rate_bit:
        parts.append(f"shape to {fault.rate_bit / 1000:g} kbit/s")
    if fault.drop:
        parts.append(fault.drop)
    where = f"to port {fault.port}" + (f" of {', '.join(fault.peers)}" if fault.peers else "")
    return f"{' and '.join(parts)} packets {fault.direction} {where} ({fault.backend})"
