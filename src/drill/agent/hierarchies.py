"""Where cgroups are mounted and which ones a process is in: the texts of /proc, versions 1 and 2. Reads nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CgroupMount:
    """One mounted hierarchy: where, which part of it (``root``), and its controllers (empty for v2)."""

    point: Path
    root: str
    version: int
    options: frozenset[str] = frozenset()

    def directory(self, path: str) -> Path | None:
        """Where cgroup *path* is seen through this mount; None when it lies outside."""
        inside = os.path.relpath(path, self.root)
        return None if inside.startswith("..") else (self.point / inside)


def parse_mounts(mountinfo: str) -> list[CgroupMount]:
    """All cgroup hierarchies in ``/proc/self/mountinfo`` (format: proc(5))."""
    mounts = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) < 5 or len(after) < 3 or after[0] not in ("cgroup", "cgroup2"):
            continue
        version = 2 if after[0] == "cgroup2" else 1
        options = frozenset(after[2].split(",")) if version == 1 else frozenset()
        mounts.append(CgroupMount(Path(before[4]), before[3], version, options))
    return mounts


def parse_own(text: str) -> dict[str, str]:
    """``/proc/self/cgroup`` as controller to path; version 2 stands under the empty name."""
    own: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path
    return own
