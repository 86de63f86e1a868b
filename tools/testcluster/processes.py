"""Processes by /proc: who lives, who descends from whom, who belongs to a session, and how much memory they take.

Owns the reading of /proc and the ending of processes by their id. A zombie counts as ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testcluster.steps import wait_for

PROC = Path("/proc")
_KCMP, _KCMP_VM = 312, 1  # x86_64's number of kcmp; elsewhere nothing here runs


@dataclass(frozen=True)
class Process:
    """One live process and where it belongs. Source of the order of fields: proc(5), /proc/pid/stat."""

    pid: int
    parent: int
    session: int


def daemon(argv: Sequence[str], pid_file: Path, log: Path, env: Mapping[str, str] | None = None) -> int:
    """Start a program that outlives us, in a session of its own, and return its id, which *pid_file* keeps."""
    pid_file.unlink(missing_ok=True)
    script = 'echo $$ > "$0".new; mv "$0".new "$0"; exec "$@"'
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", script, str(pid_file), *argv], env=env,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", timeout=10, check=True,
        )  # fmt: skip
    wait_for(pid_file.exists, what=f"the start of {argv[0]}", timeout=10, every=0.02)
    return int(pid_file.read_text())


def parse(stat: str) -> Process | None:
    """Read one line of /proc/pid/stat; the name in it may hold blanks and brackets. None for a zombie."""
    pid, _, rest = stat.partition(" (")
    state, parent, _group, session, *_ = rest.rpartition(") ")[2].split()
    return None if state in "ZX" else Process(int(pid), int(parent), int(session))


def everything() -> Iterator[Process]:
    """Every live process."""
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            found = parse(stat.read_text())
        except OSError:
            continue  # ended while we looked
        if found is not None:
            yield found


def from_file(file: Path, mark: str) -> int | None:
    """Return the process whose id stands in *file*, if it lives and *mark* is in its command line."""
    try:
        number = int(file.read_text())
        command = (PROC / str(number) / "cmdline").read_bytes()  # empty for a zombie
    except (OSError, ValueError):
        return None
    return number if mark.encode() in command else None


def alive(pid: int) -> bool:
    """Whether this process lives."""
    try:
        return parse((PROC / str(pid) / "stat").read_text()) is not None
    except OSError:
        return False


def session(leader: int) -> list[int]:
    """The live processes of a session."""
    return [each.pid for each in everything() if each.session == leader]


def tree(root: int, among: Iterable[Process]) -> set[int]:
    """*root* and its descendants."""
    parents = {each.pid: each.parent for each in among}
    found: set[int] = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def memory(pids: Iterable[int]) -> int:
    """Memory of processes in KiB: the proportional set size, where shared pages are divided among their users.

    Processes that are one address space (user-mode-linux's kernel and its helpers) are counted once: each shows all
    of it as its own.
    """
    counted: list[int] = []
    total = 0
    for pid in pids:
        if not any(_one_address_space(pid, other) for other in counted):
            counted.append(pid)
            total += _pss(pid)
    return total


def kill(pids: Iterable[int]) -> None:
    """End processes at once."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself


def _one_address_space(one: int, other: int) -> bool:
    """kcmp(2) with KCMP_VM; False where it cannot be asked."""
    return ctypes.CDLL(None).syscall(_KCMP, one, other, _KCMP_VM, 0, 0) == 0


def _pss(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
