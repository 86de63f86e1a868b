"""Removing everything of drill's from a replica, without knowing what was done: after a crash, by ``recover``.

Ends agents that still hold something there, then what they would have undone. Doing it twice is harmless, and what
is not drill's is never touched: tables are known by name, qdiscs by handle, processes by their mark. With ``Only``
nothing of another injection at the same replica is touched either.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drill.agent import cgroups, ipset, tc
from drill.agent.disk import fillers, open_inside, remove_fillers
from drill.agent.errors import CannotApply
from drill.agent.kernel import command_line, enter_namespace, namespace_identity, parent_of, process_state
from drill.agent.marks import is_ours
from drill.agent.memory import forget_first_choice
from drill.agent.nft import PREFIX, delete_table, drill_tables, table_name
from drill.agent.pause import continue_all, replica_processes

AGENT_END_S = 3.0


@dataclass(frozen=True)
class Only:
    """One fault whose agent died without a word: its injection's id and the kind of its spec; empty: everything.

    ``oom_score`` is the oom_score_adj the replica's processes should have, where the caller knows it.
    """

    id: str = ""
    kind: str = ""
    oom_score: str = ""

    def may_have(self, *kinds: str) -> bool:
        """True when a fault of one of *kinds* is to be cleared."""
        return not self.kind or self.kind in kinds


EVERYTHING = Only()


class _Clearing:
    """Collects what was removed and what remains."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.remains: list[str] = []

    def step(self, name: str, work: Callable[[], tuple[list[str], list[str]]]) -> None:
        """Do *work*; an error means that its part remains."""
        try:
            removed, remains = work()
        except (CannotApply, OSError) as error:
            removed, remains = [], [f"{name}: {error}"]
        self.removed += removed
        self.remains += remains


def clear(
    netns: str, *, pid: int, root: str, path: str, directories: Sequence[str], only: Only = EVERYTHING
) -> tuple[list[str], list[str]]:
    """Remove everything of drill's, or of *only* one fault; return what was removed and what remains."""
    clearing = _Clearing()
    places = places_of(netns, pid, directories)
    clearing.step("agents", lambda: _agents(places, only.id))
    if netns:
        enter_namespace(netns)
        if only.may_have("packet", "http"):
            clearing.step("nft tables", lambda: _tables(only.id))
        if only.may_have("packet"):
            clearing.step("qdiscs", lambda: (tc.remove_ours(), tc.left()))
            clearing.step("ipsets", _sets)
    if only.may_have("http", "cpu", "memory"):
        clearing.step("processes", lambda: _children(netns, directories, only))
    if only.may_have("memory"):
        clearing.step("scores", lambda: (forget_first_choice(directories, only.oom_score), []))
    if only.may_have("pause") and (pid or directories):
        clearing.step("stopped processes", lambda: _stopped(pid, directories))
    if only.may_have("disk") and path:
        clearing.step("files", lambda: _files(root, path))
    return clearing.removed, clearing.remains


def _processes() -> list[int]:
    mine = {os.getpid(), os.getppid()}
    return [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) not in mine
    ]


def _holds_at(pid: int, places: set[tuple[str, str]], injection: str) -> bool:
    """True when *pid* is an agent that holds a fault (of *injection*) at one of *places* (option and value)."""
    words = command_line(pid)
    if "hold" not in words or not any("drill.agent" in word or "drill/agent" in word for word in words[:8]):
        return False
    if injection and injection not in words and f"--id={injection}" not in words:
        return False
    option = ""
    for word in words:
        if word.startswith("--"):
            option, _, word = word.partition("=")
        if word and (option, word) in places:
            return True
    return False


def agents_at(places: set[tuple[str, str]], injection: str = "") -> list[int]:
    """Return the agents that hold a fault (of *injection*) at one of *places*, each an option and its value."""
    found = {pid for pid in _processes() if _holds_at(pid, places, injection)}
    return sorted(pid for pid in found if parent_of(pid) not in found)  # its guard and worker end with it


def places_of(netns: str, pid: int, directories: Sequence[str]) -> set[tuple[str, str]]:
    """Return what an agent that works at this replica has on its command line."""
    places = {("--netns", netns), ("--pid", str(pid or "")), *(("--cgroup", name) for name in directories)}
    return {place for place in places if place[1]}


def _agents(places: set[tuple[str, str]], injection: str) -> tuple[list[str], list[str]]:
    agents = agents_at(places, injection)
    for number, patience in ((signal.SIGTERM, AGENT_END_S), (signal.SIGKILL, AGENT_END_S)):
        for pid in agents:
            with contextlib.suppress(ProcessLookupError):
                # One that somebody has stopped will never hear a SIGTERM.
                os.kill(pid, signal.SIGKILL if process_state(pid) == "T" else number)
        if _all_ended(agents, patience):
            break
    alive = [f"agent {pid}" for pid in agents if _lives(pid)]
    return [f"agent {pid}" for pid in agents if not _lives(pid)], alive


def _lives(pid: int) -> bool:
    return process_state(pid) not in ("", "Z", "X")


def _all_ended(pids: Sequence[int], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while any(_lives(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _tables(injection: str) -> tuple[list[str], list[str]]:
    names = _tables_of(injection)
    for name in names:
        delete_table(name)
    return [f"nft table {name}" for name in names], [f"nft table {name}" for name in _tables_of(injection)]


def _tables_of(injection: str) -> list[str]:
    return [name for name in drill_tables() if not injection or name.endswith(f" {table_name(injection)}")]


def _sets() -> tuple[list[str], list[str]]:
    names = ipset.names(PREFIX)
    for name in names:
        ipset.destroy(name)
    return [f"ipset {name}" for name in names], [f"ipset {name}" for name in ipset.names(PREFIX)]


def _children(netns: str, directories: Sequence[str], only: Only) -> tuple[list[str], list[str]]:
    """Kill marked processes (stress-ng, Envoy) in the cgroups and in the network namespace.

    stress-ng's workers lose the injection's name with their environment: of one fault, all of its kind's place go.
    """
    inside = set(cgroups.members(directories[:1])) if only.may_have("cpu", "memory") else set()
    netns = netns if only.may_have("http") else ""
    own = namespace_identity("/proc/self/ns/net") if netns else None
    found = []
    for pid in _processes():
        here = pid in inside or (own is not None and namespace_identity(f"/proc/{pid}/ns/net") == own)
        if here and _lives(pid) and is_ours(pid):
            found.append(pid)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _all_ended(found, 2.0)
    return _named(pid for pid in found if not _lives(pid)), _named(pid for pid in found if _lives(pid))


def _named(pids: Iterable[int]) -> list[str]:
    return [f"process {pid}" for pid in pids]


def _stopped(pid: int, directories: Sequence[str]) -> tuple[list[str], list[str]]:
    members = replica_processes(pid, directories)
    stopped = [member for member in members if process_state(member) == "T"]
    return [f"stop of process {member}" for member in stopped], continue_all(stopped)


def _files(root: str, path: str) -> tuple[list[str], list[str]]:
    directory = open_inside(root, path)
    try:
        names = fillers(directory)
        return names, remove_fillers(directory)
    finally:
        os.close(directory)
