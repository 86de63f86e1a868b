"""Keeps the replicas running the way a kubelet does: restart with backoff, the whole container on OOM."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from drill.target.sandbox import children, kernel
from drill.target.sandbox.cgroups import Cgroups
from drill.target.sandbox.children import Children
from drill.target.sandbox.topology import Place

BACKOFF_CAP_S = 8.0
HEALTHY_S = 20.0
"""A replica that lived this long starts again with the shortest delay."""
OOM_POLL_S = 0.1


def next_delay(first: float, last: float, lived_s: float) -> float:
    """Seconds until the next start: *first*, then doubling up to the cap; *last* 0 means no restart before."""
    if last <= 0 or lived_s >= HEALTHY_S:
        return first
    return min(BACKOFF_CAP_S, last * 2)


@dataclass
class Container:
    """One replica's container. ``pid`` is 0 while it is down."""

    place: Place
    netns: int
    pid: int = 0
    starts: int = 0
    started_at: float = 0.0
    delay: float = 0.0
    seen_oom_kills: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced, whenever a process starts or ends."""
    moves: bool = False
    """A restarted process joins the same groups."""

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
        run_replica: Callable[[Place], None],
        log: Path,
        restart_delay_s: float,
    ) -> None:
        self._groups = groups
        self._processes = processes
        self._run_replica = run_replica
        self._log = log
        self._delay = restart_delay_s
        self.containers: dict[str, Container] = {}

    def add(self, place: Place, netns: int) -> None:
        """Take *place* into care and start it; not to be called from a task (it forks)."""
        container = Container(place, netns)
        self.containers[place.name] = container
        self._start(container)

    def _start(self, container: Container) -> None:
        def main() -> None:
            self._groups.join(container.place.name)
            kernel.enter_netns(container.netns)
            kernel.name_process(container.place.name)
            self._run_replica(container.place)

        container.pid = children.fork(main, self._log, keep=(container.netns,))
        container.starts += 1
        container.started_at = time.monotonic()
        self._processes.watch(container.pid, lambda code: self._ended(container, code))
        container.note_change()

    def _ended(self, container: Container, code: int) -> None:
        lived = time.monotonic() - container.started_at
        container.pid = 0
        self.kill_container(container)  # when its first process dies, a container is dead
        container.delay = next_delay(self._delay, container.delay, lived)
        self.say(f"{container.place.name} ended ({code}) after {lived:.1f} s, restart in {container.delay:g} s")
        asyncio.get_running_loop().call_later(container.delay, self._start, container)
        container.note_change()

    def kill_container(self, container: Container) -> None:
        """SIGKILL the main process and all that runs in the container's groups."""
        pids = self._groups.pids(container.place.name)
        children.kill(pids | ({container.pid} if container.pid else set()))

    def watch_memory(self) -> None:
        """On cgroup v1 do what v2's ``memory.oom.group`` does: an OOM kill takes the whole container."""
        for container in self.containers.values():
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
