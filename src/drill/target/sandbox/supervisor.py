"""Keeps the replicas running the way a kubelet does: restart with backoff, the whole container on OOM.

A *container* is one replica under its name. A new pod under the same name is the same container with another
network namespace, empty disk and fresh counts: :mod:`drill.target.sandbox.workloads` decides when.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from drill.target.sandbox import children, kernel
from drill.target.sandbox.cgroups import Cgroups
from drill.target.sandbox.children import Children
from drill.target.sandbox.deployments import Revision, Template
from drill.target.sandbox.topology import Place

BACKOFF_CAP_S = 8.0
HEALTHY_S = 20.0
"""A replica that lived this long starts again with the shortest delay."""
OOM_POLL_S = 0.1
STOP_S = 10.0
"""A killed container is gone within this."""


def next_delay(first: float, last: float, lived_s: float) -> float:
    """Seconds until the next start: *first*, then doubling up to the cap; *last* 0 means no restart before."""
    if last <= 0 or lived_s >= HEALTHY_S:
        return first
    return min(BACKOFF_CAP_S, last * 2)


@dataclass(frozen=True)
class Happening:
    """One event: ``kind`` is Normal or Warning, ``about`` like ``pod/checkout-0``."""

    at: float
    kind: str
    reason: str
    about: str
    message: str


@dataclass(frozen=True)
class LastEnd:
    """How a container's process ended last: exit code as a shell counts it, and when (Unix seconds)."""

    code: int
    reason: str
    started_at: float
    at: float


@dataclass
class Container:
    """One replica's container. ``pid`` is 0 while it is down."""

    place: Place
    netns: int
    revision: Revision = field(default_factory=lambda: Revision(1, Template()))
    """What its pod was made from."""
    pid: int = 0
    starts: int = 0
    started_at: float = 0.0
    delay: float = 0.0
    seen_oom_kills: int = 0
    oom_kills_told: int = 0
    born_at: float = field(default_factory=time.time)
    """When its pod was made (Unix seconds)."""
    starts_before: int = 0
    """Starts under this name that were another pod's."""
    generation: int = 1
    """Counts the pods of this name."""
    app: str = ""
    """The label ``app``; empty: the service's name. Anything else keeps it out of service."""
    ending: bool = False
    """Its pod is being removed: no restart."""
    last_end: LastEnd | None = None
    restart_timer: asyncio.TimerHandle | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, whenever a process starts or ends."""

    @property
    def restarts(self) -> int:
        """Restarts of this pod."""
        return max(0, self.starts - self.starts_before - 1)

    @property
    def in_service(self) -> bool:
        """True when its label says that it belongs to its service."""
        return self.app in ("", self.place.service)

    def note_change(self) -> None:
        """Wake all who wait for a change."""
        event, self.changed = self.changed, asyncio.Event()
        event.set()


class Supervisor:
    """Starts, watches and restarts the containers; must run inside init's event loop."""

    def __init__(
        self,
        groups: Cgroups,
        processes: Children,
        run_replica: Callable[[Container], None],
        log: Path,
        logs: Path,
        restart_delay_s: float,
    ) -> None:
        self._groups = groups
        self._processes = processes
        self._run_replica = run_replica
        self._log = log
        self._logs = logs
        self.events: deque[Happening] = deque(maxlen=200)
        self._delay = restart_delay_s
        self.containers: dict[str, Container] = {}

    def add(self, place: Place, netns: int, revision: Revision | None = None) -> Container:
        """Take *place* into care and start it; not to be called from a task (it forks)."""
        container = Container(place, netns, revision or Revision(1, Template()))
        self.containers[place.name] = container
        self.start(container)
        return container

    def log_of(self, replica: str, previous: bool = False) -> Path:
        """Where *replica* writes its log, or wrote it before its last restart."""
        return self._logs / f"{replica}{'.previous' if previous else ''}.log"

    def start(self, container: Container) -> None:
        """Start its process; not to be called from a task (it forks)."""

        def main() -> None:
            self._groups.join(container.place.name)
            kernel.enter_netns(container.netns)
            kernel.name_process(container.place.name)
            self._run_replica(container)

        name = container.place.name
        log = self.log_of(name)
        if log.exists():
            log.rename(self.log_of(name, previous=True))
        container.restart_timer = None
        container.pid = children.fork(main, log, keep=(container.netns,))
        container.starts += 1
        container.started_at = time.monotonic()
        self.note(name, "Started", f"Started container {container.place.service}")
        self._processes.watch(container.pid, lambda code: self._ended(container, code))
        container.note_change()

    def _ended(self, container: Container, code: int) -> None:
        lived = time.monotonic() - container.started_at
        container.pid = 0
        self.kill_container(container)  # when its first process dies, a container is dead
        self._note_end(container, code, lived)
        if container.ending:
            container.note_change()
            return
        container.delay = next_delay(self._delay, container.delay, lived)
        self.say(f"{container.place.name} ended ({code}) after {lived:.1f} s, restart in {container.delay:g} s")
        container.restart_timer = asyncio.get_running_loop().call_later(container.delay, self.start, container)
        container.note_change()

    def _note_end(self, container: Container, code: int, lived: float) -> None:
        name = container.place.name
        kills = self._groups.oom_kills(name) or 0
        killed_for_memory = kills > container.oom_kills_told
        container.oom_kills_told = kills
        shown = 128 - code if code < 0 else code
        reason = "OOMKilled" if killed_for_memory else "Completed" if shown == 0 else "Error"
        now = time.time()
        container.last_end = LastEnd(shown, reason, now - lived, now)
        if killed_for_memory:
            self.note(name, "OOMKilling", f"Memory cgroup out of memory: killed a process of {name}", "Warning")
        if container.ending:
            self.note(name, "Killing", f"Stopping container {container.place.service}")
        else:
            text = (
                f"Back-off restarting failed container {container.place.service} in pod {name}, exit code {shown}"
            )
            self.note(name, "BackOff", text, "Warning")

    async def stop(self, container: Container) -> None:
        """End its process and all that runs in its groups, and do not start it again."""
        container.ending = True
        if container.restart_timer is not None:
            container.restart_timer.cancel()
            container.restart_timer = None
        deadline = time.monotonic() + STOP_S
        while container.pid or self._groups.pids(container.place.name):
            self.kill_container(container)
            if time.monotonic() > deadline:
                raise OSError(f"{container.place.name} does not end")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(container.changed.wait(), 0.05)

    def renew(self, container: Container, netns: int, revision: Revision) -> None:
        """Make a stopped container a new pod of the same name."""
        container.netns, container.revision = netns, revision
        container.delay, container.app, container.ending = 0.0, "", False
        container.starts_before, container.born_at = container.starts, time.time()
        container.generation += 1
        container.last_end = None
        for previous in (False, True):
            self.log_of(container.place.name, previous).unlink(missing_ok=True)

    def note(self, replica: str, reason: str, message: str, kind: str = "Normal") -> None:
        """Remember something that happened at *replica*, as the cluster's events do."""
        self.events.append(Happening(time.time(), kind, reason, f"pod/{replica}", message))

    def kill_container(self, container: Container) -> None:
        """SIGKILL the main process and all that runs in the container's groups."""
        pids = self._groups.pids(container.place.name)
        children.kill(pids | ({container.pid} if container.pid else set()))

    def watch_memory(self) -> None:
        """On cgroup v1 do what v2's ``memory.oom.group`` does: an OOM kill takes the whole container."""
        for container in list(self.containers.values()):
            kills = self._groups.oom_kills(container.place.name) or 0
            if kills > container.seen_oom_kills:
                container.seen_oom_kills = kills
                self.say(f"{container.place.name} was killed for want of memory ({kills} kills so far)")
                if self._groups.version == 1:
                    self.kill_container(container)
        asyncio.get_running_loop().call_later(OOM_POLL_S, self.watch_memory)

    def say(self, text: str) -> None:
        """Write one line to the supervisor's log."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S', time.gmtime())}Z {text}\n")


def is_stopped(pid: int) -> bool:
    """True when *pid* is stopped by a signal (state T in /proc/PID/stat, proc(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in ("T", "t")


def free_bytes(path: str) -> int:
    """Bytes an ordinary user could still write at *path*. Raises OSError."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize
