"""The port between the target, which speaks to the API server, and what holds faults inside pods.

The target finds pods and decides; whoever implements :class:`NodeAgents` starts one helper pod per node (or an
ephemeral container in the pod itself) and speaks to the agents in it. Neither knows the other's inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from drill.core.actions import HoldFault
from drill.core.facts import Ability
from drill.core.ports import Hindrance
from drill.core.probes import Measurement, Probe
from drill.core.values import Value


class PodRef(Value):
    """One pod as the target found it, and the container of it that serves. Addresses are IPv4."""

    namespace: str
    name: str
    uid: str
    node: str
    address: str
    port: int
    container: str
    container_id: str
    """As the container runtime knows it, without ``containerd://``."""
    host_network: bool = False
    data_path: str = ""
    """A small file system of its own the container writes to, as the container sees it; empty: none."""
    memory_limit_bytes: int = 0


class NodeAgents(Protocol):
    """Faults held inside pods, by agents near them.

    All methods block, may be called from several threads and have a time limit. They raise Unavailable or
    ActionFailed (``drill.core.errors``), never anything of Kubernetes's client.
    """

    def foresee(self, pods: Sequence[PodRef]) -> Sequence[Hindrance]:
        """Say what the API server would refuse of agents near *pods*; nothing is created. Raises Unavailable."""

    def prepare(self, nodes: Sequence[str]) -> None:
        """Make agents ready on *nodes*: afterwards no method waits for a pod to start. Raises Unavailable."""

    def abilities(self, node: str) -> Mapping[Ability, str]:
        """Return what cannot be done on *node*, each with the reason in words a user can act on."""

    def hold(self, action: HoldFault, pod: PodRef) -> float:
        """Hold *action*'s fault at *pod* until released, its deadline, or the loss of this process.

        Return the Unix time (this machine's clock) at which the agent said ``applied``.
        """

    def release(self, injection: str, pod: PodRef) -> float:
        """End the fault, or find that nothing of it is left; doing it twice is harmless."""

    def signal(self, pod: PodRef, number: int) -> float | None:
        """Send signal *number* to the main process of the pod's container, from outside its PID namespace.

        Returns when, None when the container does not run. Raises ActionFailed.
        """

    def measure(self, probe: Probe, pod: PodRef, peers: Sequence[PodRef] = ()) -> Measurement:
        """Answer *probe* at *pod*; from one of *peers* where the probe names a peer service, not ``users``."""

    def snapshot(self, pod: PodRef) -> Mapping[str, str]:
        """Describe what faults may change at *pod*, as :meth:`drill.core.ports.Target.snapshot` wants it."""

    def sweep(self, pods: Sequence[PodRef]) -> tuple[Sequence[str], Sequence[str]]:
        """Remove whatever faults no living runner holds at *pods*: what was removed, and what is still there."""

    def close(self) -> None:
        """Let go of everything and delete the helper pods. Raises UndoIncomplete, naming what is left."""
