"""Every process of the replica stopped by SIGSTOP, continued by SIGCONT.

Nothing in the kernel ends a stop by itself. The guard continues the processes when the agent dies or hangs. In a
helper pod it lives in the victim's cgroups, so that the end of the pod is not its end; if agent and guard are
killed together all the same, the processes stay stopped until ``clear`` continues them: the sandbox's init and a
node's conductor ask for it at once, elsewhere `drill recover` does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence

from drill.agent import cgroups
from drill.agent.errors import CannotApply
from drill.agent.fault import Held, Site
from drill.agent.kernel import gone, process_state, tree_of
from drill.agent.marks import is_ours

ROUNDS = 20
"""A process may fork while it is looked for; it is looked for again until nothing new is found."""
STOP_S = 2.0
DYING_S = 0.05
"""A stopped process that is killed runs for a moment before it is gone: it was not continued."""


def replica_processes(pid: int, directories: Sequence[str]) -> list[int]:
    """Return the replica's processes: its main process and descendants, and what else is in its cgroup."""
    found = tree_of(pid) if pid else []
    mine = {os.getpid(), os.getppid()}
    found += [member for member in cgroups.members(directories) if member not in found and not is_ours(member)]
    return [member for member in found if member not in mine and member > 1]


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """Send *number* to each that is still there. Raises CannotApply when it is not allowed."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise CannotApply(f"process {pid} may not be signalled: {error.strerror}") from error


def continue_all(pids: Sequence[int]) -> list[str]:
    """Continue the stopped ones of *pids* and return those that stay stopped."""
    for _ in range(ROUNDS):
        stopped = [pid for pid in pids if process_state(pid) == "T"]
        if not stopped:
            return []
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.01)
    return [f"process {pid} is stopped" for pid in pids if process_state(pid) == "T"]


class Paused(Held):
    """All processes of the replica, main process first, so that it starts no new ones."""

    backend = "signals"
    guard_every = 0.2

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._main = -1
        self._stopped_before: frozenset[int] = frozenset()

    def _processes(self) -> list[int]:
        return [
            pid for pid in replica_processes(self.site.pid, self.site.cgroups) if pid not in self._stopped_before
        ]

    def prepare(self) -> None:
        """Find the processes, and remember which somebody else has stopped."""
        if not self.site.pid and not self.site.cgroups:
            raise CannotApply("neither the replica's main process nor its cgroup is known")
        pids = self._processes()
        if not pids:
            raise CannotApply("the replica has no process that could be stopped")
        self._stopped_before = frozenset(pid for pid in pids if process_state(pid) == "T")
        self._main = os.pidfd_open(self.site.pid or pids[0])

    def apply(self) -> Mapping[str, object]:
        """Stop all, until no new one turns up, and wait until they stand still."""
        seen: set[int] = set()
        for _ in range(ROUNDS):
            new = [pid for pid in self._processes() if pid not in seen]
            if not new:
                break
            send(new, signal.SIGSTOP)
            seen.update(new)
        until = time.monotonic() + STOP_S
        while time.monotonic() < until:
            if all(process_state(pid) in ("T", "t", "", "Z", "X") for pid in seen):
                return {"processes": len(seen)}
            time.sleep(0.005)
        raise CannotApply(f"a process of the replica does not stop within {STOP_S:g} s (waits for a disk?)")

    def shelter(self) -> tuple[str, ...]:
        """The replica's cgroups: nothing in the kernel ends a stop by itself."""
        return self.site.shelter

    def watched(self) -> list[int]:
        """The main process."""
        return [self._main]

    def lost(self) -> str:
        """The main process must still be there and stopped."""
        if not self._died() and self.site.pid and process_state(self.site.pid) not in ("T", "t"):
            time.sleep(DYING_S)
            if not self._died() and process_state(self.site.pid) not in ("T", "t"):
                return "somebody continued the replica"
        return "the stopped process died; what replaced it runs" if self._died() else ""

    def _died(self) -> bool:
        return gone(self._main) or bool(self.site.pid and process_state(self.site.pid) in ("Z", "X", ""))

    def revert(self) -> list[str]:
        """Continue what we stopped."""
        return continue_all(self._processes())
