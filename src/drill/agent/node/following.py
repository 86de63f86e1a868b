"""A container that faults are held at, followed over restarts: seen from the node, without asking the API server.

A restarted container has a new id and a new cgroup beside the old ones in its pod's. It is the one that runs the
same command line; else the only one that was not there before, once it has stayed the same for a while: a runtime
puts programs of its own into a container before it starts the container's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from drill.agent.kernel import command_line
from drill.agent.node import containers
from drill.agent.node.containers import Container
from drill.agent.node.spot import Here, Node, PodPlace, Spot

LOOK_S = 0.2
"""How often a new container is looked for while the old one is gone."""
SETTLED_S = 3.0
"""How long a process that looks unlike the old one must have been there."""
RUNTIMES = ("runc", "crun", "youki", "containerd-shim", "conmon")


class Followed:
    """A :class:`drill.agent.holder.Victim`. ``spot`` is where the container is now, or where it was last."""

    moves = True

    def __init__(self, node: Node | Here, pod: PodPlace, spot: Spot, on_end: Callable[[Spot], None]) -> None:
        """*spot* is where the container is now; *on_end* hears at once that its main process ended."""
        self.spot = spot
        self._on_end = on_end
        self.pid = 0
        self.changed = asyncio.Event()
        self._node, self._pod = node, pod
        self._known = set(spot.family)
        self._command = command_line(spot.pid) if spot.pid else []
        self._pidfd = -1
        self._search: asyncio.Task[None] | None = None
        self._stranger: tuple[int, float] = (0, 0.0)
        """A process that may be the new one, and since when."""
        self._watch(spot)

    def note_change(self) -> None:
        """Wake all who wait for a change."""
        event, self.changed = self.changed, asyncio.Event()
        event.set()

    def close(self) -> None:
        """Follow no longer."""
        if self._search is not None:
            self._search.cancel()
        self._unwatch()

    def _watch(self, spot: Spot) -> None:
        self.spot = spot
        with contextlib.suppress(OSError):
            if spot.pid:
                self._pidfd = os.pidfd_open(spot.pid)
                self.pid = spot.pid
                asyncio.get_running_loop().add_reader(self._pidfd, self._ended)
        if not self.pid and self._known:
            self._look_out()
        self.note_change()

    def _unwatch(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _ended(self) -> None:
        self._unwatch()
        self._on_end(self.spot)
        self.pid = 0
        self.note_change()
        self._look_out()

    def _look_out(self) -> None:
        self._search = asyncio.get_running_loop().create_task(self._until_back())

    async def _until_back(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            found = await loop.run_in_executor(None, self._successor)
            if found is not None:
                self._watch(found)
                return

    def _successor(self) -> Spot | None:
        every = containers.containers().values()
        family = containers.of_pod(every, self._pod.uid, self._pod.container)
        new = [each for each in family if each.id not in self._known and _runs(each)]
        same = [each for each in new if each.main and command_line(each.main.pid) == self._command]
        chosen = same[0] if same else new[0] if len(new) == 1 and self._settled(new[0]) else None
        if chosen is None or isinstance(self._node, Here):
            return None
        try:
            spot = self._node.spot(chosen, chosen.main, family)
        except OSError:
            return None  # its process ended meanwhile: the next look finds what came after it
        self._known.add(chosen.id)
        return spot

    def _settled(self, container: Container) -> bool:
        pid = container.main.pid if container.main else 0
        if pid != self._stranger[0]:
            self._stranger = (pid, time.monotonic())
        return time.monotonic() - self._stranger[1] >= SETTLED_S


def _runs(container: Container) -> bool:
    """True once the container's own program runs, and not the runtime that starts it."""
    if container.main is None:
        return False
    try:
        program = str(Path(f"/proc/{container.main.pid}/exe").readlink())
    except OSError:
        return False
    return not any(name in program for name in RUNTIMES)
