"""Probes answered on the node: connects and requests from outside the victim's namespace, counters of its cgroups.

Units are those of ``drill.core.probes``. Owns what must be remembered between two probes: CPU counters, and with
cgroup version 1 the OOM kills of containers that are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from drill.agent import cgroups, prober, usage
from drill.agent.disk import open_inside
from drill.agent.errors import CannotApply
from drill.agent.kernel import process_state
from drill.agent.node.spot import Here, Node, PodPlace, Spot
from drill.agent.usage import CpuSample

T = TypeVar("T")
PATIENCE = prober.Patience(quick=1.5, request=5.0)
"""A node's CPU may be slow and busy: only a lost SYN takes a second."""
FIRST_SAMPLE_S = 0.5
"""A first CPU probe has no earlier one to compare with: it waits this long, five CFS periods."""
LOGS = "var/log/pods"


async def in_own_thread(work: Callable[[], T]) -> T:
    """Run *work*, which may enter namespaces, in a thread that ends with it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            outcome, error = work(), None
        except BaseException as caught:  # it is raised where it is awaited
            outcome, error = None, caught
        loop.call_soon_threadsafe(settle, outcome, error)

    threading.Thread(target=run, daemon=True).start()
    return await done


async def network(kind: str, pod: PodPlace, namespaces: Sequence[str], samples: int) -> float:
    """Answer a network probe of *pod* from *namespaces*. Raises OSError."""
    count = prober.sockets_needed(kind, samples)
    sockets = await in_own_thread(lambda: prober.open_sockets(namespaces, count))
    return await prober.answer(kind, (pod.address, pod.port), sockets, PATIENCE)


class Meters:
    """Counters of containers."""

    def __init__(self, node: Node | Here) -> None:
        self._node = node
        self._cpu: dict[tuple[str, str], tuple[float, CpuSample]] = {}
        self._kills: dict[str, dict[str, int]] = {}

    async def read(self, kind: str, pod: PodPlace, spot: Spot) -> float:
        """Answer a probe of *kind*. Raises CannotApply, OSError when it cannot be."""
        match kind:
            case "throttled_ratio" | "cpu_cores":
                return await self._cpu_since_last(kind, spot)
            case "oom_kills":
                return float(self.oom_kills(pod, spot))
            case "memory_ratio":
                directory = _directory(spot, "memory")
                return usage.memory_used(Path(directory)) / cgroups.memory_limit([directory])
            case "free_bytes":
                return float(free_bytes(spot.root, pod.path))
            case "stopped":
                return float(process_state(_running(spot)) in ("T", "t"))
            case "starts":
                return float(starts(pod, self._node.root))
        raise CannotApply(f"unknown probe {kind!r}")

    async def _cpu_since_last(self, kind: str, spot: Spot) -> float:
        key = (kind, spot.container)
        before_at, before = self._cpu.get(key) or (time.monotonic(), _cpu_now(spot))
        if key not in self._cpu or time.monotonic() - before_at < FIRST_SAMPLE_S:
            await asyncio.sleep(FIRST_SAMPLE_S)
        now_at, now = time.monotonic(), _cpu_now(spot)
        self._cpu[key] = (now_at, now)
        if kind == "cpu_cores":
            return (now.usage_s - before.usage_s) / (now_at - before_at)
        return (now.throttled - before.throttled) / max(1, now.periods - before.periods)

    def oom_kills(self, pod: PodPlace, spot: Spot) -> int:
        """OOM kills of *pod* as far as they were seen: version 2 counts in the pod's group, version 1 forgets."""
        if Path(spot.pod_memory, "memory.events").exists():
            return usage.oom_kills(Path(spot.pod_memory))
        seen = self._kills.setdefault(pod.uid or pod.container, {})
        if directory := spot.groups.get("memory"):
            seen[spot.container] = max(seen.get(spot.container, 0), usage.oom_kills(Path(directory)))
        return sum(seen.values())

    def note_end(self, pod: PodPlace, spot: Spot) -> None:
        """Count what killed a container before the runtime removes its cgroup."""
        with contextlib.suppress(OSError):
            self.oom_kills(pod, spot)


def _directory(spot: Spot, controller: str) -> str:
    directory = spot.groups.get(controller, "")
    if not directory:
        raise CannotApply(f"the container has no {controller} cgroup")
    return directory


def _running(spot: Spot) -> int:
    if not spot.pid:
        raise CannotApply("the container does not run")
    return spot.pid


def _cpu_now(spot: Spot) -> CpuSample:
    accounts = spot.groups.get("cpuacct")
    return usage.cpu(Path(_directory(spot, "cpu")), Path(accounts) if accounts else None)


def free_bytes(root: str, path: str) -> int:
    """Bytes an ordinary user could still write at *path* below *root*. Raises CannotApply, OSError."""
    if not path:
        raise CannotApply("no file system of its own is known of this pod")
    directory = open_inside(root, path)
    try:
        state = os.fstatvfs(directory)
        return state.f_bavail * state.f_frsize
    finally:
        os.close(directory)


def starts(pod: PodPlace, root: str) -> int:
    """How often the container was started: the kubelet numbers its log files by it (``<container>/<n>.log``)."""
    highest = -1
    with contextlib.suppress(OSError):
        for folder in Path(root, LOGS).glob(f"*_{pod.name}_{pod.uid}/{pod.container_name}"):
            numbers = (entry.name.split(".")[0] for entry in folder.iterdir())
            highest = max([highest, *(int(number) for number in numbers if number.isdigit())])
    if highest < 0:
        raise CannotApply("the kubelet keeps no numbered logs here: restarts cannot be counted on the node")
    return highest + 1
