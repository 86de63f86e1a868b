"""A whole sandbox dies: what of it can still be seen in /proc, namespaces, cgroups, files, mounts and ports."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.leaks.results import Result
from bench.leaks.trial import TTL_S, Held, recover
from bench.leaks.victims import KILL, Victim, send
from bench.leaks.world import World, everybody

from drill.target.sandbox import Sandbox, leftovers

AFTER_RECOVER_S = 5.0


@dataclass(frozen=True)
class Print:
    """What a living sandbox shows from outside; numbers of namespaces are used again, so their holders count."""

    id: str
    namespaces: frozenset[str]
    holders: frozenset[int]
    places: tuple[Path, ...]
    ports: tuple[int, ...]


def _spaces(pids: Sequence[int]) -> frozenset[str]:
    found = set()
    for pid in pids:
        for kind in ("net", "pid", "mnt"):
            with contextlib.suppress(OSError):
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return frozenset(found)


def take_print(sandbox: Sandbox, world: World) -> Print:
    """Remember what must vanish."""
    pids = leftovers.processes(sandbox.id)
    ends = sandbox.endpoints()
    ports = [int(url.rpartition(":")[2]) for url in (ends.prometheus, *ends.alertmanagers, ends.sink)]
    holders = frozenset(each.pid for each in everybody())
    places = (*world.groups, world.directory)
    return Print(sandbox.id, _spaces(pids) - _spaces([os.getpid()]), holders, places, tuple(ports))


def left(seen: Print) -> list[str]:
    """Return what is still there."""
    found = [f"process {pid}" for pid in leftovers.processes(seen.id)]
    still = [each.pid for each in everybody() if each.pid in seen.holders and each.pid != os.getpid()]
    found += sorted(_spaces(still) & seen.namespaces)
    found += [str(path) for path in seen.places if path.exists()]
    for port in seen.ports:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                found.append(f"port {port}")
    return [*found, "a mount"] if seen.id in Path("/proc/self/mountinfo").read_text() else found


def kill_sandbox(number: int, sandbox: Sandbox, world: World, helds: Sequence[Held], victim: Victim) -> Result:
    """Kill a first process while faults are held, and tell what was left after the TTL and a recover."""
    seen = take_print(sandbox, world)
    world.close()
    roles = [*victim.roles, *victim.then]
    everyone = [*(held.pid for held in helds), *leftovers.processes(sandbox.id)]
    began = time.monotonic()
    for role in roles:
        send(everyone if role == "all" else [world.heads[role]], KILL)
    seconds, remains = _wait(seen, began, 3.0)  # what ends by itself ends at once; the rest is for `recover`
    result = Result(number, "+".join(held.fault for held in helds), victim.name, seconds)
    for held in helds:
        held.end()
    if remains:
        recover()
        result.recovered = True
        result.seconds, result.left = _wait(seen, began, TTL_S + AFTER_RECOVER_S)
    return result


def _wait(seen: Print, began: float, within_s: float) -> tuple[float, list[str]]:
    while True:
        remains = left(seen)
        now = time.monotonic() - began
        if not remains or now > within_s:
            return now, remains
        time.sleep(0.05)
