"""Control groups of the replicas, cgroup v1 and v2 behind one interface.

Owns where the directories lie (``drill-sandbox-<id>/<replica>`` below the caller's own cgroup, or for v2 below
the nearest ancestor whose subtree may be controlled), their limits, counters and removal. Finding the place is
pure: it reads the texts of ``/proc/self/mountinfo`` and ``/proc/self/cgroup``.
Interface files: the kernel's ``admin-guide/cgroup-v1`` and ``admin-guide/cgroup-v2``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drill.target.sandbox.topology import CPU_LIMIT, CPU_PERIOD_US, MEMORY_LIMIT

DIRECTORY_PREFIX = "drill-sandbox-"
V1_CONTROLLERS = ("cpu", "cpuacct", "memory")
V1_SHARES = 262_144
V2_WEIGHT = 10_000
"""The largest weights the kernel takes."""
DELEGATE_HINT = "start drill with: systemd-run --user --scope -p Delegate=yes drill …, or as root"


@dataclass(frozen=True)
class CpuSample:
    """CFS counters: CPU seconds used, periods that passed, periods in which the group was throttled."""

    usage_s: float
    periods: int
    throttled: int


@dataclass(frozen=True)
class Cgroups:
    """The groups of one sandbox. ``bases`` maps a controller to the directory ``drill-sandbox-<id>``.

    In version 2 both controllers map to the same directory. A controller that is not in ``bases`` could not be
    had; ``missing`` then says why.
    """

    version: int = 0
    bases: Mapping[str, Path] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def directories(self, replica: str) -> list[Path]:
        """The directories whose ``cgroup.procs`` a process of *replica* must be in, without repeats."""
        return list(dict.fromkeys(base / replica for base in self.bases.values()))

    def join(self, replica: str) -> None:
        """Move the calling process into the groups of *replica*. Raises OSError."""
        for directory in self.directories(replica):
            (directory / "cgroup.procs").write_text("0")

    def add(self, replica: str) -> None:
        """Make the groups of one more *replica*, with the limits a new one has. Raises OSError."""
        for directory in self.directories(replica):
            directory.mkdir(exist_ok=True)
        self.limit(replica, CPU_LIMIT, MEMORY_LIMIT)

    def limit(self, replica: str, cpus: float, memory: int) -> None:
        """Set the limits of *replica*: CPUs, and bytes of memory. Raises OSError."""
        for controller, base in self.bases.items():
            write = limit_v2 if self.version == 2 else limit_v1
            write(controller, base / replica, cpus, memory)

    def remove(self, replica: str) -> None:
        """Remove the groups of *replica*, killing what still runs in them."""
        remove([base / replica for base in self.bases.values()])

    def pids(self, replica: str) -> set[int]:
        """All processes in the groups of *replica*, as the caller's PID namespace numbers them."""
        found: set[int] = set()
        for directory in self.directories(replica):
            with contextlib.suppress(OSError):
                found |= {int(pid) for pid in (directory / "cgroup.procs").read_text().split()}
        return found - {0}

    def oom_kills(self, replica: str) -> int | None:
        """How often the kernel killed for want of memory in *replica*'s group; None without the controller."""
        if "memory" not in self.bases:
            return None
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return _table(self.bases["memory"] / replica / name).get("oom_kill", 0)

    def cpu(self, replica: str) -> CpuSample | None:
        """CPU counters of *replica*; None without the controller."""
        if "cpu" not in self.bases:
            return None
        stat = _table(self.bases["cpu"] / replica / "cpu.stat")
        if self.version == 2:
            usage = stat.get("usage_usec", 0) / 1e6
        elif "cpuacct" in self.bases:
            usage = int((self.bases["cpuacct"] / replica / "cpuacct.usage").read_text()) / 1e9
        else:
            usage = 0.0
        return CpuSample(usage, stat.get("nr_periods", 0), stat.get("nr_throttled", 0))

    def memory_ratio(self, replica: str) -> float | None:
        """Working set (usage less inactive page cache, as the kubelet counts) by the limit, 0..1."""
        if "memory" not in self.bases:
            return None
        group = self.bases["memory"] / replica
        stat = _table(group / "memory.stat")
        if self.version == 2:
            usage, inactive = "memory.current", stat.get("inactive_file", 0)
        else:
            usage, inactive = "memory.usage_in_bytes", stat.get("total_inactive_file", 0)
        limit = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        return max(0, int((group / usage).read_text()) - inactive) / int((group / limit).read_text())


def _table(path: Path) -> dict[str, int]:
    """Read a ``name number`` file; an unreadable one is empty."""
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    except OSError:
        return {}


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


def v1_homes(mounts: Iterable[CgroupMount], own: Mapping[str, str]) -> dict[str, Path]:
    """The caller's own directory for each v1 controller that is mounted."""
    homes: dict[str, Path] = {}
    for mount in mounts:
        for controller in V1_CONTROLLERS:
            if mount.version == 1 and controller in mount.options and controller in own:
                directory = mount.directory(own[controller])
                if directory is not None:
                    homes[controller] = directory
    return homes


def v2_homes(mounts: Iterable[CgroupMount], own: Mapping[str, str]) -> list[Path]:
    """The caller's own v2 directory and its ancestors up to the mount point, nearest first."""
    for mount in mounts:
        directory = mount.directory(own.get("", "/")) if mount.version == 2 else None
        if directory is not None:
            return [directory, *(each for each in directory.parents if each.is_relative_to(mount.point))]
    return []


def create(sandbox: str, replicas: Iterable[str], proc: Path = Path("/proc/self")) -> Cgroups:
    """Make the groups of sandbox id *sandbox* with their limits; what cannot be had is in ``missing``."""
    mounts = parse_mounts((proc / "mountinfo").read_text())
    own = parse_own((proc / "cgroup").read_text())
    name, names = DIRECTORY_PREFIX + sandbox, tuple(replicas)
    homes = v1_homes(mounts, own)
    if {"cpu", "memory"} <= homes.keys():
        return _create_v1(homes, name, names)
    return _create_v2(v2_homes(mounts, own), name, names)


def _create_v1(homes: Mapping[str, Path], name: str, replicas: tuple[str, ...]) -> Cgroups:
    bases: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for controller, home in homes.items():
        base = home / name
        try:
            for replica in replicas:
                (base / replica).mkdir(parents=True)
                limit_v1(controller, base / replica, CPU_LIMIT, MEMORY_LIMIT)
            if controller == "cpu":
                _prefer(base / "cpu.shares", V1_SHARES)
            bases[controller] = base
        except OSError as error:
            remove_tree(base)
            missing[controller] = f"cgroup v1 controller {controller} is not writable ({error}): run as root"
    return Cgroups(1, bases, missing)


def _prefer(file: Path, weight: int) -> None:
    """Let the replicas run before the host's other work: their quotas are small, and what others do would show
    in the SLI as if the services were slow.
    """
    with contextlib.suppress(OSError):
        file.write_text(str(weight))


def limit_v1(controller: str, group: Path, cpus: float, memory: int) -> None:
    """Write the limits one v1 controller keeps. Raises OSError."""
    if controller == "cpu":
        (group / "cpu.cfs_period_us").write_text(str(CPU_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(int(cpus * CPU_PERIOD_US)))
    elif controller == "memory":
        both = group / "memory.memsw.limit_in_bytes"
        with contextlib.suppress(OSError):  # first where the limit grows: it may not be above this one
            both.write_text(str(memory))
        (group / "memory.limit_in_bytes").write_text(str(memory))
        with contextlib.suppress(OSError):  # only with swap accounting; without swap it changes nothing
            both.write_text(str(memory))


def _create_v2(homes: Iterable[Path], name: str, replicas: tuple[str, ...]) -> Cgroups:
    reason = "no cgroup hierarchy with the cpu and memory controllers is mounted"
    for home in homes:
        base = home / name
        try:
            delegate(home)
            base.mkdir()
            delegate(base)
            for replica in replicas:
                (base / replica).mkdir()
                limit_v2("cpu", base / replica, CPU_LIMIT, MEMORY_LIMIT)
                limit_v2("memory", base / replica, CPU_LIMIT, MEMORY_LIMIT)
            _prefer(base / "cpu.weight", V2_WEIGHT)
            return Cgroups(2, {"cpu": base, "memory": base})
        except OSError as error:
            remove_tree(base)
            reason = f"no writable cgroup v2 subtree ({error}): {DELEGATE_HINT}"
    return Cgroups(0, {}, {"cpu": reason, "memory": reason})


def delegate(home: Path) -> None:
    """Let children of *home* have the cpu and memory controllers. Raises OSError when that cannot be.

    The kernel refuses it (EBUSY) where *home* itself holds processes: "no internal processes".
    """
    available = (home / "cgroup.controllers").read_text().split() if (home / "cgroup.controllers").exists() else []
    if not {"cpu", "memory"} <= set(available):
        raise OSError(f"{home} lacks the controllers cpu and memory")
    if not os.access(home / "cgroup.procs", os.W_OK):
        raise PermissionError(f"{home}/cgroup.procs is not writable")
    control = home / "cgroup.subtree_control"
    if not {"cpu", "memory"} <= set(control.read_text().split()):
        control.write_text("+cpu +memory")


def limit_v2(controller: str, group: Path, cpus: float, memory: int) -> None:
    """Write one v2 controller's limits; an OOM kills the whole group, as kubelets since 1.28 do. Raises OSError."""
    if controller == "cpu":
        (group / "cpu.max").write_text(f"{int(cpus * CPU_PERIOD_US)} {CPU_PERIOD_US}")
        return
    (group / "memory.max").write_text(str(memory))
    (group / "memory.oom.group").write_text("1")
    with contextlib.suppress(OSError):  # absent without swap
        (group / "memory.swap.max").write_text("0")


def remove_tree(base: Path) -> None:
    """Remove *base* and the groups below it; what is busy stays."""
    for directory, _, _ in os.walk(base, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(directory)  # noqa: PTH106  # cgroupfs: files vanish with their directory


def remove(bases: Iterable[Path], within_s: float = 5.0) -> list[Path]:
    """Remove all *bases*, killing what still runs in them; return those still there after *within_s*."""
    left = list(dict.fromkeys(bases))
    deadline = time.monotonic() + within_s
    while True:
        for base in left:
            remove_tree(base)
        left = [base for base in left if base.exists()]
        if not left or time.monotonic() > deadline:
            return left
        for base in left:
            _kill_all(base)
        time.sleep(0.02)


def _kill_all(base: Path) -> None:
    for procs in base.rglob("cgroup.procs"):
        with contextlib.suppress(OSError, ValueError):
            for pid in procs.read_text().split():
                os.kill(int(pid), signal.SIGKILL)


def existing(proc: Path = Path("/proc/self")) -> Iterator[Path]:
    """All ``drill-sandbox-*`` directories at the places where this caller would make them."""
    mounts = parse_mounts((proc / "mountinfo").read_text())
    own = parse_own((proc / "cgroup").read_text())
    for home in dict.fromkeys([*v1_homes(mounts, own).values(), *v2_homes(mounts, own)]):
        with contextlib.suppress(OSError):
            yield from home.glob(f"{DIRECTORY_PREFIX}*")
