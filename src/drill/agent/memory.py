"""Memory taken by stress-ng inside the replica's own cgroup: below the limit, or beyond it again and again.

The cgroup's limit is what stops it, never the machine's memory: no limit, no fault. For an OOM kill the replica's
processes are made the kernel's first choice (oom_score_adj), since otherwise the greedy stress-ng itself would be
killed and the replica would not notice; those that survive get their old value back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from drill.agent import cgroups
from drill.agent.children import Child
from drill.agent.errors import CannotApply
from drill.agent.fault import Held, Site
from drill.agent.kernel import make_proc_read_only
from drill.agent.marks import is_ours
from drill.agent.spec import Memory
from drill.agent.stress import find_stress_ng, stress_command, wait_for_workers

HOST_SHARE = 0.8
"""Never more than this share of what the machine has available."""
SANE_OVERSHOOT = 8
"""An OOM kill needs a little more than the limit; a hundred times it is a mistake of units."""
HANG_S = 5
"""stress-ng writes all its memory anew this often; in between it sleeps and leaves the CPU to the replica."""
ROUND_S = 3.0
"""Least time between two starts, so that a replica that comes back is really up before it is killed again."""
SETTLE_S = 1.0
"""How long a replica must have been back."""
FIRST_CHOICE = 1000
"""oom_score_adj that makes the kernel prefer a process (proc(5))."""


def memory_fault(spec: Memory, site: Site) -> Held:
    """Return the fault for *spec*: the hog, or the killer."""
    return OomKiller(spec, site) if spec.oom else MemoryHog(spec, site)


class MemoryHog(Held):
    """Takes ``size_bytes`` and keeps them."""

    backend = "stress-ng"

    def __init__(self, spec: Memory, site: Site) -> None:
        super().__init__(site)
        self.spec = spec
        self.stress: Child | None = None
        self.program = ""
        self.limit = 0
        self.cgroups: tuple[str, ...] = ()
        """Only the one that limits memory: with version 1, stress-ng stays out of the replica's CPU quota."""

    def prepare(self) -> None:
        """Refuse sizes that would hurt more than the replica."""
        self.program = find_stress_ng(self.site.stress_ng)
        cgroups.require_joinable(self.site.cgroups)
        self.limit = cgroups.memory_limit(self.site.cgroups)
        self.cgroups = (cgroups.find(self.site.cgroups, cgroups.MEMORY_LIMITS)[0],)
        size, available = self.spec.size_bytes, cgroups.memory_available()
        if size < 1 << 20:
            raise CannotApply(f"{size} bytes are too few to matter: at least 1 MiB")
        if min(size, self.limit) > HOST_SHARE * available:
            raise CannotApply(f"{min(size, self.limit)} bytes are too much: the machine has {available} available")
        self._check_against_limit(size)

    def _check_against_limit(self, size: int) -> None:
        if size >= self.limit:
            raise CannotApply(
                f"{size} bytes do not fit in the cgroup's limit of {self.limit}: use oom to exceed it"
            )

    def start(self) -> Child:
        """Start stress-ng in the cgroup."""
        what = ("--vm", "1", "--vm-bytes", str(self.spec.size_bytes), "--vm-keep", "--vm-populate")
        how = ("--vm-method", "zero-one", "--vm-hang", str(HANG_S), "--oomable")
        command = stress_command(self.program, self.site, *what, *how)
        return Child(command, self.site.id, self.cgroups, self.in_child)

    def in_child(self) -> None:
        """Do what must be done in stress-ng's process before stress-ng."""

    def apply(self) -> Mapping[str, object]:
        """Start stress-ng and wait for its worker."""
        self.stress = self.start()
        wait_for_workers(self.stress, 1)
        return {"pid": self.stress.pid, "limit_bytes": self.limit, "size_bytes": self.spec.size_bytes}

    def watched(self) -> list[int]:
        """stress-ng."""
        return [] if self.stress is None else [self.stress.pidfd]

    def lost(self) -> str:
        """It must run; with ``--oomable`` it ends when the kernel kills its worker."""
        if self.stress is None or self.stress.running():
            return ""
        return f"stress-ng ended: {self.stress.output()[-200:] or 'killed, perhaps by the OOM killer'}"

    def revert(self) -> list[str]:
        """Kill it; the kernel frees its memory."""
        return [] if self.stress is None else self.stress.kill()


class OomKiller(MemoryHog):
    """Exceeds the limit, waits for the replica to come back, exceeds it again."""

    def __init__(self, spec: Memory, site: Site) -> None:
        super().__init__(spec, site)
        self.rounds = 0
        self._started = 0.0
        self._back_since = 0.0
        self._scores: dict[int, str] = {}

    @property
    def beat(self) -> float:
        """Often: replicas come back at any time."""
        return min(0.2, super().beat)

    def _check_against_limit(self, size: int) -> None:
        if size <= self.limit:
            raise CannotApply(f"{size} bytes do not exceed the cgroup's limit of {self.limit}: no OOM kill")
        if size > SANE_OVERSHOOT * self.limit:
            raise CannotApply(
                f"{size} bytes are more than {SANE_OVERSHOOT} times the cgroup's limit of {self.limit}"
            )

    def in_child(self) -> None:
        """Keep stress-ng from making itself the kernel's first choice, which it always does."""
        own = Path("/proc/self/oom_score_adj")
        with contextlib.suppress(OSError):
            if int(own.read_text()) > 0:
                own.write_text("0")
        make_proc_read_only()

    def victims(self) -> list[int]:
        """Return the replica's processes: those of the cgroup that are not ours."""
        return [pid for pid in cgroups.members(self.cgroups) if not is_ours(pid)]

    def prepare(self) -> None:
        """Remember the scores the undo gives back, the guard's undo included."""
        super().prepare()
        for pid in self.victims():
            self._remember(pid)

    def _remember(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            self._scores.setdefault(pid, Path(f"/proc/{pid}/oom_score_adj").read_text().strip())

    def apply(self) -> Mapping[str, object]:
        """Start the first round."""
        if not self.victims():
            raise CannotApply("no process of the replica is in its cgroup: there is nothing to kill")
        self._round()
        return {"limit_bytes": self.limit, "size_bytes": self.spec.size_bytes}

    def _round(self) -> None:
        for pid in self.victims():
            self.prefer(pid)
        self.stress = self.start()
        self._started, self._back_since = time.monotonic(), 0.0
        self.rounds += 1

    def prefer(self, pid: int) -> None:
        """Make *pid* the kernel's first choice."""
        self._remember(pid)
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/oom_score_adj").write_text(str(FIRST_CHOICE))

    def refresh(self) -> None:
        """Start the next round once the replica has been back for a while; end a round whose victim is dead."""
        victims, now = self.victims(), time.monotonic()
        self._back_since = (self._back_since or now) if victims else 0.0
        if self.stress is not None and self.stress.running():
            if victims:
                for pid in victims:
                    self.prefer(pid)
            else:  # room for the replica to come back
                self.stress.kill()
            return
        settled = self._back_since and now - self._back_since >= SETTLE_S
        if settled and now - self._started >= ROUND_S:
            self._round()

    def watched(self) -> list[int]:
        """Nothing: stress-ng's end is part of the fault."""
        return []

    def lost(self) -> str:
        """Between two rounds the fault goes on; the rounds are in the report."""
        return ""

    def report(self) -> Mapping[str, object]:
        """How many times the limit was exceeded."""
        return {"rounds": self.rounds}

    def revert(self) -> list[str]:
        """Kill stress-ng and give surviving processes their old score."""
        left = super().revert()
        for pid in self.victims():
            path = Path(f"/proc/{pid}/oom_score_adj")
            with contextlib.suppress(OSError):
                if path.read_text().strip() == str(FIRST_CHOICE):
                    path.write_text(self._scores.get(pid, "0"))
        return left


def forget_first_choice(directories: Sequence[str], score: str) -> list[str]:
    """Give the replica's processes that are still the kernel's first choice *score*; return what was done.

    Without *score* nothing is done: only the dead agent knew the old one, and 1000 may well be it.
    """
    done = []
    for pid in cgroups.members(directories) if score else []:
        path = Path(f"/proc/{pid}/oom_score_adj")
        with contextlib.suppress(OSError):
            if path.read_text().strip() == str(FIRST_CHOICE) and not is_ours(pid):
                path.write_text(score)
                done.append(f"oom_score_adj of process {pid}")
    return done
