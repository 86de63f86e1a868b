"""The place of one container on this node, as paths an agent can use: process, network namespace, cgroups, root.

Owns how a pod's network namespace is entered: by its sandbox (the *pause* container), which outlives restarts of
the container, or by the name the runtime gave it where there is no sandbox process. Refuses the node's own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drill.agent.errors import CannotApply
from drill.agent.hierarchies import CgroupMount, parse_mounts, parse_own
from drill.agent.kernel import enter_namespace, namespace_identity
from drill.agent.node import containers
from drill.agent.node.containers import Container, Process

CLONE_NEWCGROUP = 0x02000000  # linux/sched.h
NODE = 1
"""With hostPID the node's first process."""
CONTROLLERS = ("cpu", "cpuacct", "memory")
NAMED_NAMESPACES = ("run/netns", "var/run/netns")
PROTECTED = ("", "tmp", "var", "var/lib/kubelet", "var/lib/containerd", "var/lib/containers", "var/log")
"""Places on the node whose file systems are never filled; the first is its root."""


@dataclass(frozen=True)
class PodPlace:
    """What the runner knows of a container: as the API server shows it."""

    container: str
    container_name: str = ""
    uid: str = ""
    name: str = ""
    address: str = ""
    port: int = 0
    path: str = ""

    @staticmethod
    def read(message: Mapping[str, object]) -> PodPlace:
        """Read it from a message. Raises KeyError, ValueError."""
        words = {name: str(message.get(name, "")) for name in ("container_name", "uid", "name", "address", "path")}
        return PodPlace(container=str(message["container"]), port=int(str(message.get("port", 0))), **words)


@dataclass(frozen=True)
class Spot:
    """Where faults at one container are made. ``pid`` 0: it does not run. Paths are those of this process."""

    container: str
    pid: int
    started: int
    netns: str
    joins: tuple[str, ...] = ()
    """Directories whose ``cgroup.procs`` a process that shares the container's limits is put into."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """The container's own directory by controller: its limits and counters."""
    shelter: tuple[str, ...] = ()
    """The container's directories in all hierarchies: a process in all of them is none of the helper's."""
    pod_memory: str = ""
    """The pod's directory of the memory controller."""
    family: tuple[str, ...] = ()
    """All containers of the pod that had processes, oldest first: the sandbox, if there is one."""

    @property
    def root(self) -> str:
        """The container's file system."""
        return f"/proc/{self.pid}/root" if self.pid else "/"


class Node:
    """This node: its cgroup hierarchies and namespaces, looked up once."""

    def __init__(self, first: int = NODE) -> None:
        """*first* is a process of the node itself: its namespaces and file systems are the node's."""
        self.first = first
        self.root = f"/proc/{first}/root"
        with contextlib.suppress(OSError):  # a kernel without cgroup namespaces has only one
            enter_namespace(f"/proc/{first}/ns/cgroup", CLONE_NEWCGROUP)
        self.mounts = controllers_of(parse_mounts(Path(f"/proc/{first}/mountinfo").read_text()))
        self.netns = namespace_identity(f"/proc/{first}/ns/net")
        self._scans = containers.Scans()

    def directory(self, controller: str, path: str) -> str:
        """Return where cgroup *path* of *controller* is seen from here; ``''`` when it is not."""
        mount = self.mounts.get(controller)
        found = mount.directory(path) if mount else None
        return f"{self.root}{found}" if found else ""

    def missing_for(self, controller: str) -> str:
        """Return why containers cannot be joined for *controller*; ``''`` when they can."""
        mount = self.mounts.get(controller) or self.mounts.get("")
        if mount is None:
            return f"no cgroup hierarchy with the controller {controller} is mounted on the node"
        if not os.access(f"{self.root}{mount.point}", os.W_OK):
            return f"the node's {mount.point} is not writable for the helper"
        return ""

    def leave(self) -> None:
        """Nothing: the helper pod's first process knows when to end."""

    def protected(self) -> list[str]:
        """Paths of the node whose file systems must not be filled."""
        roots = (f"{self.root}/{place}" for place in PROTECTED)
        return [place for place in roots if Path(place).exists()]

    def find(self, pod: PodPlace) -> Spot:
        """Return the spot of *pod*'s container. Raises CannotApply when neither it nor its pod is on this node."""
        family = containers.of_pod(self._scans.fresh().values(), pod.uid, pod.container)
        if not family:
            raise CannotApply(f"no process of {pod.name or pod.container} runs on this node")
        own = next((each for each in family if each.id == pod.container), None) or _only(family)
        return self.spot(own, own.main if own else None, family)

    def spot(self, own: Container | None, main: Process | None, family: Sequence[Container]) -> Spot:
        """Put together what is known of container *own* of the pod *family*."""
        others = [each for each in family if own is None or each.id != own.id]
        netns, names = self._netns(main, others), tuple(each.id for each in family)
        if own is None or main is None:
            return Spot(own.id if own else "", 0, 0, netns, family=names)
        leaves = parse_own(Path(f"/proc/{main.pid}/cgroup").read_text())
        joins = [self.directory(*each) for each in self._paths(leaves)]
        groups = {name or "cpu": self.directory(name, path) for name, path in self._paths(own.scopes)}
        if "" in self.mounts and "memory" not in groups and groups:
            groups["memory"] = groups["cpu"]  # version 2: one directory for all
        memory = str(Path(groups["memory"]).parent) if groups.get("memory") else ""
        every = tuple(self.directory(name, path) for name, path in leaves.items() if name in self.mounts)
        return Spot(
            own.id,
            main.pid,
            main.started,
            netns,
            joins=tuple(dict.fromkeys(joins)),
            groups=groups,
            shelter=tuple(dict.fromkeys(every)),
            pod_memory=memory,
            family=names,
        )

    def _paths(self, paths: Mapping[str, str]) -> list[tuple[str, str]]:
        """Controller and path where resources are really controlled: of version 1 if it has them, else of 2."""
        first = [(name, paths[name]) for name in CONTROLLERS if name in paths and name in self.mounts]
        return first or ([("", paths[""])] if "" in paths and "" in self.mounts else [])

    def _netns(self, main: Process | None, others: list[Container]) -> str:
        wanted = namespace_identity(f"/proc/{main.pid}/ns/net") if main else None
        for other in others:  # oldest first: the sandbox
            keeper = other.main
            if keeper and (here := namespace_identity(f"/proc/{keeper.pid}/ns/net")) and wanted in (None, here):
                return "" if here == self.netns else f"/proc/{keeper.pid}/ns/net"
        if main is None or wanted is None or wanted == self.netns:
            return ""
        return self._named(wanted) or f"/proc/{main.pid}/ns/net"

    def _named(self, wanted: tuple[int, int]) -> str:
        """Return the runtime's own name of a network namespace (CRI-O keeps no sandbox process), or ``''``."""
        for place in NAMED_NAMESPACES:
            with contextlib.suppress(OSError):
                for entry in Path(self.root, place).iterdir():
                    if namespace_identity(str(entry)) == wanted:
                        return str(entry)
        return ""

    def exempt(self, spot: Spot) -> list[str]:
        """Return what no network fault at *spot* may touch: the node's own addresses, the pod's gateway."""
        words = spot.netns.split("/")
        pid = words[2] if spot.netns.endswith("/ns/net") else str(spot.pid)
        routes = ""
        with contextlib.suppress(OSError):
            routes = Path("/proc", pid, "net/route").read_text()
        return sorted({*addresses_of(Path("/proc", str(self.first))), *gateways(routes)})


class Here:
    """In place of a :class:`Node`, where there is none: an ephemeral container, which sees its own pod alone."""

    mounts: Mapping[str, CgroupMount] = {}
    root = "/"

    def find(self, pod: PodPlace) -> Spot:
        """The pod's network namespace, which is ours; the container itself is out of reach."""
        return Spot(pod.container, 0, 0, "/proc/self/ns/net")

    def exempt(self, _: Spot) -> list[str]:
        """The gateway, where the kubelet's probes come from; the node's other addresses the runner names."""
        return gateways(Path("/proc/net/route").read_text())

    def protected(self) -> list[str]:
        """Nothing: no file system is filled from here."""
        return []

    def leave(self) -> None:
        """End the container: it was started for this conversation, and cannot be removed."""
        with contextlib.suppress(OSError):
            os.kill(1, signal.SIGTERM)

    def missing_for(self, controller: str) -> str:
        """Why there is no *controller*."""
        return f"an ephemeral container has cgroups of its own: the container's {controller} is out of reach"


def controllers_of(mounts: Iterable[CgroupMount]) -> dict[str, CgroupMount]:
    """Return the hierarchy of each controller (and other option of a mount); version 2 has the empty name."""
    found: dict[str, CgroupMount] = {}
    for mount in mounts:
        for name in mount.options if mount.version == 1 else ("",):
            found.setdefault(name, mount)
    return found


def _only(family: Iterable[Container]) -> Container | None:
    """The pod's one container beside its sandbox: what the runner knew may have been restarted since."""
    found = [each for each in family if not is_sandbox(each)]
    return found[0] if len(found) == 1 else None


def is_sandbox(container: Container) -> bool:
    """True for the container that only keeps the pod's namespaces."""
    with contextlib.suppress(OSError):
        if container.main is not None:
            return Path(f"/proc/{container.main.pid}/comm").read_text().strip() == "pause"
    return False


def addresses_of(process: Path) -> list[str]:
    """Return the IPv4 addresses in the namespace of *process* (``/proc/PID``): kubelet's probes come from one."""
    found: set[str] = set()
    address = ""
    with contextlib.suppress(OSError):
        for line in (process / "net/fib_trie").read_text().splitlines():
            words = line.split()
            if words[:1] == ["|--"]:
                address = words[1]
            elif "host LOCAL" in line and address and not address.startswith("127."):
                found.add(address)
    return sorted(found)


def gateways(routes: str) -> list[str]:
    """Return the gateways in a ``/proc/PID/net/route`` (hexadecimal, the machine's byte order)."""
    found: set[str] = set()
    for line in routes.splitlines()[1:]:
        words = line.split()
        if len(words) > 3 and int(words[3], 16) & 2:  # RTF_GATEWAY, linux/route.h
            found.add(socket.inet_ntoa(struct.pack("=I", int(words[2], 16))))
    return sorted(found)
