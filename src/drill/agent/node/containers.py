"""Which processes and cgroups belong to a container, told by ``/proc/PID/cgroup`` alone: no runtime is asked.

Knows the names that containerd and CRI-O give with either cgroup driver, in versions 1 and 2:

    cgroupfs, containerd or CRI-O   …/kubepods/burstable/pod<uid>/<id>
    systemd, containerd             …/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope
    systemd, CRI-O                  …/kubepods-burstable-pod<uid>.slice/crio-<id>.scope[/container]

In a slice's name the dashes of the uid are underscores. CRI-O's ``crio-conmon-<id>.scope`` holds its monitor, not
the container.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from drill.agent.hierarchies import parse_own

_NAMES_CONTAINER = re.compile(r"(?:(?P<kind>[a-z-]+)[-:])?(?P<id>[0-9a-f]{64})(?:\.scope)?$")
_MONITOR = "conmon"


@dataclass(frozen=True)
class Process:
    """One process of a container: its pid, its parent's, its start in clock ticks since boot, its state letter."""

    pid: int
    parent: int
    started: int
    state: str


@dataclass(frozen=True)
class Container:
    """One container with what was seen running in it. ``scopes`` maps a controller to the container's cgroup path.

    Version 2 stands under the empty name, as in ``/proc/PID/cgroup``. ``pod`` is the pod's cgroup path.
    """

    id: str
    pod: str
    scopes: Mapping[str, str]
    processes: tuple[Process, ...]

    @property
    def main(self) -> Process | None:
        """The first process: the oldest of those whose parent is none of the container's; None when all ended.

        What was put into the container later (``kubectl exec``) has a parent outside too, but is younger.
        """
        own = {process.pid for process in self.processes}
        outermost = [each for each in self.processes if each.parent not in own and each.state not in "ZX"]
        return min(outermost, key=lambda each: (each.started, each.pid), default=None)


def scope_of(path: str) -> tuple[str, str]:
    """Return the container id in cgroup *path* and the path up to the part that names it; both empty: none."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        found = _NAMES_CONTAINER.search(part)
        if found and _MONITOR not in (found["kind"] or ""):
            return found["id"], "/".join(parts[: index + 1])
    return "", ""


def pod_of(scope: str) -> str:
    """Return the pod's cgroup path of a container's *scope*.

    A runtime that was given slices but no systemd makes one name of all: ``…pod<uid>.slice:cri-containerd:<id>``.
    """
    parent, _, name = scope.rpartition("/")
    return f"{parent}/{name.partition(':')[0]}" if ":" in name else parent


def is_pod(path: str, uid: str) -> bool:
    """True when cgroup *path* is that of the pod *uid*."""
    name = path.rpartition("/")[2].removesuffix(".slice")
    return bool(uid) and name.endswith((f"pod{uid}", f"pod{uid.replace('-', '_')}"))


def containers(proc: Path = Path("/proc")) -> dict[str, Container]:
    """Return every container that has a process, by id; one pass over *proc*."""
    scopes: dict[str, Mapping[str, str]] = {}
    members: dict[str, list[Process]] = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            found, where = _placed((entry / "cgroup").read_text())
            if found:
                scopes.setdefault(found, where)
                members.setdefault(found, []).append(read_process(entry))
    return {
        each: Container(each, pod_of(next(iter(where.values()))), where, tuple(members[each]))
        for each, where in scopes.items()
        if each in members
    }


class Scans:
    """Passes over ``/proc`` that everybody shares who had asked before one began. May be called by many threads."""

    def __init__(self, scan: Callable[[], dict[str, Container]] = containers) -> None:
        self._scan = scan
        self._lock = threading.Lock()
        self._began = -1.0
        self._found: dict[str, Container] = {}

    def fresh(self) -> dict[str, Container]:
        """Return what :func:`containers` found in a pass that began after this call."""
        asked = time.monotonic()
        with self._lock:
            if self._began < asked:
                began = time.monotonic()
                self._began, self._found = began, self._scan()
            return self._found


@lru_cache(maxsize=4096)
def _placed(text: str) -> tuple[str, Mapping[str, str]]:
    """Return the container in a ``/proc/PID/cgroup`` and its scope for each controller."""
    name = ""
    where: dict[str, str] = {}
    for controller, path in parse_own(text).items():
        found, scope = scope_of(path)
        if found:
            name, where[controller] = found, scope
    return name, where


def read_process(entry: Path) -> Process:
    """Read ``/proc/PID/stat`` (proc(5)). Raises OSError, ValueError when it is gone."""
    words = (entry / "stat").read_text().rpartition(")")[2].split()
    return Process(int(entry.name), parent=int(words[1]), started=int(words[19]), state=words[0])


def of_pod(found: Iterable[Container], uid: str, container: str) -> list[Container]:
    """Return the containers of the pod *uid*, or of the pod that *container* is in; oldest first.

    The uid of a static pod's cgroup is not the one the API server shows: then only the container tells.
    """
    every = list(found)
    homes = {each.pod for each in every if each.id == container or is_pod(each.pod, uid)}
    return sorted((each for each in every if each.pod in homes), key=_born)


def _born(container: Container) -> int:
    return min((process.started for process in container.processes), default=0)
