"""What a cgroup has used: CPU time, throttled periods, memory, OOM kills. Versions 1 and 2; reading only.

Interface files: the kernel's ``admin-guide/cgroup-v1`` and ``admin-guide/cgroup-v2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CpuSample:
    """CFS counters: CPU seconds used, periods that passed, periods in which the group was throttled."""

    usage_s: float
    periods: int
    throttled: int


def cpu(group: Path, accounts: Path | None = None) -> CpuSample:
    """CPU counters of *group*; with version 1 the time used is counted in the directory *accounts* (cpuacct)."""
    stat = table(group / "cpu.stat")
    if "usage_usec" in stat:
        used = stat["usage_usec"] / 1e6
    elif accounts is not None:
        used = int((accounts / "cpuacct.usage").read_text()) / 1e9
    else:
        used = 0.0
    return CpuSample(used, stat.get("nr_periods", 0), stat.get("nr_throttled", 0))


def oom_kills(group: Path) -> int:
    """How often the kernel killed for want of memory in *group*: with version 2 also below it."""
    for name in ("memory.events", "memory.oom_control"):
        found = table(group / name)
        if found:
            return found.get("oom_kill", 0)
    return 0


def memory_used(group: Path) -> int:
    """Working set in bytes: usage less inactive page cache, as the kubelet counts. Raises OSError."""
    stat = table(group / "memory.stat")
    current = group / "memory.current"
    if current.exists():
        usage, inactive = current, stat.get("inactive_file", 0)
    else:
        usage, inactive = group / "memory.usage_in_bytes", stat.get("total_inactive_file", 0)
    return max(0, int(usage.read_text()) - inactive)


def table(path: Path) -> dict[str, int]:
    """Read a ``name number`` file; an unreadable one is empty."""
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    except OSError:
        return {}
