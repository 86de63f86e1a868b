"""CPU burnt by stress-ng inside the replica's own cgroup, so that the replica really is throttled."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from shutil import which

from drill.agent import cgroups
from drill.agent.children import Child
from drill.agent.errors import CannotApply
from drill.agent.fault import Held, Site
from drill.agent.kernel import children_of
from drill.agent.spec import Cpu

START_S = 5.0
AFTER_S = 5
"""stress-ng ends by itself this long after the agent's deadline."""


def find_stress_ng(given: str) -> str:
    """Return the path of stress-ng: *given*, or on PATH. Raises CannotApply."""
    found = which(given or "stress-ng")
    if not found:
        raise CannotApply(f"{given or 'stress-ng'} is not installed (package stress-ng)")
    return found


def stress_command(program: str, site: Site, *what: str) -> list[str]:
    """Return stress-ng's command line for *what*, with its own end behind the agent's."""
    timeout = math.ceil(site.deadline) + AFTER_S
    return [program, *what, "--timeout", f"{timeout}s", "--temp-path", "/tmp", "--quiet"]  # nosec B108 - nothing is written


def wait_for_workers(stress: Child, count: int) -> None:
    """Wait until *count* workers run. Raises CannotApply with stress-ng's own words."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if not stress.running():
            raise CannotApply(f"stress-ng ended at once: {stress.output()[-400:]}")
        if len(children_of(stress.pid)) >= count:
            return
        time.sleep(0.01)
    raise CannotApply(f"stress-ng did not start {count} worker(s) in {START_S:g} s")


class CpuStress(Held):
    """``workers`` times ``load_percent`` of a CPU."""

    backend = "stress-ng"

    def __init__(self, spec: Cpu, site: Site) -> None:
        super().__init__(site)
        self.spec = spec
        self.stress: Child | None = None
        self.program = ""

    def prepare(self) -> None:
        """Find stress-ng and a cgroup to burn in."""
        self.program = find_stress_ng(self.site.stress_ng)
        cgroups.require_joinable(self.site.cgroups)

    def apply(self) -> Mapping[str, object]:
        """Start stress-ng in the cgroup and wait for its workers."""
        spec = self.spec
        what = ("--cpu", str(spec.workers), "--cpu-load", str(spec.load_percent), "--cpu-method", "int64")
        self.stress = Child(stress_command(self.program, self.site, *what), self.site.id, self.site.cgroups)
        wait_for_workers(self.stress, spec.workers)
        return {"pid": self.stress.pid, "workers": spec.workers, "machine_cpus": os.cpu_count()}

    def watched(self) -> list[int]:
        """stress-ng."""
        return [] if self.stress is None else [self.stress.pidfd]

    def lost(self) -> str:
        """It must run."""
        if self.stress is None or self.stress.running():
            return ""
        return f"stress-ng ended: {self.stress.output()[-200:] or 'killed, perhaps with its container'}"

    def revert(self) -> list[str]:
        """Kill it, and with it all it started."""
        return [] if self.stress is None else self.stress.kill()
