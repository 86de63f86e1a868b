"""The replica's cgroup, in version 1 (one directory per controller) or version 2 (one directory): reading only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from drill.agent.errors import CannotApply

MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes")
MEMORY_USAGES = ("memory.current", "memory.usage_in_bytes")
CPU_LIMITS = ("cpu.max", "cpu.cfs_quota_us")
LIMIT_FILES = (
    "cpu.max", "cpu.weight", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares", "memory.max", "memory.high",
    "memory.swap.max", "memory.limit_in_bytes", "memory.oom.group", "cgroup.freeze", "freezer.state", "pids.max",
)  # fmt: skip
UNLIMITED = 1 << 60
"""Version 1 writes ``no limit`` as the largest multiple of a page; anything near it is none."""


def read(directory: str, name: str) -> str:
    """Return the stripped content of a control file, ``''`` when it is not there."""
    try:
        return Path(directory, name).read_text().strip()
    except OSError:
        return ""


def find(cgroups: Sequence[str], names: Sequence[str]) -> tuple[str, str]:
    """Return directory and name of the first control file of *names* that exists, or two empty strings."""
    for directory in cgroups:
        for name in names:
            if Path(directory, name).exists():
                return directory, name
    return "", ""


def require_joinable(cgroups: Sequence[str]) -> None:
    """Raise CannotApply unless there are cgroups and a process may be put into each."""
    if not cgroups:
        raise CannotApply("no cgroup of the replica is known: outside it the whole machine would be stressed")
    for directory in cgroups:
        if not os.access(Path(directory, "cgroup.procs"), os.W_OK):
            raise CannotApply(f"{directory} cannot be joined")


def members(cgroups: Sequence[str]) -> list[int]:
    """Return the pids in the first of *cgroups* that can be read."""
    for directory in cgroups:
        text = read(directory, "cgroup.procs")
        if text:
            return [int(word) for word in text.split() if word != "0"]
    return []


def memory_limit(cgroups: Sequence[str]) -> int:
    """Return the memory limit in bytes. Raises CannotApply when there is none."""
    directory, name = find(cgroups, MEMORY_LIMITS)
    text = read(directory, name) if directory else ""
    if not text.isdigit() or int(text) >= UNLIMITED:
        raise CannotApply("the replica's cgroup has no memory limit: only the machine's memory would stop it")
    return int(text)


def memory_available() -> int:
    """Return the bytes the machine can give without swapping (MemAvailable)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
