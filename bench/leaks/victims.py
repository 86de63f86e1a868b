"""Who is killed, how, and what has to end the fault then."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

WITHOUT_CHILDREN = ("bandwidth", "partition", "disk-full", "pause")
KILL, STOP = signal.SIGKILL, signal.SIGSTOP


@dataclass(frozen=True)
class Victim:
    """Roles that get *number* at one moment; ``then`` are killed a little later."""

    name: str
    roles: tuple[str, ...]
    number: signal.Signals = KILL
    then: tuple[str, ...] = ()
    weight: float = 1.0

    def fits(self, fault: str) -> bool:
        """False when *fault* has no such process."""
        if "runner" in self.roles:
            return True
        if fault == "pod-kill":  # nobody holds it
            return False
        return self.roles != ("worker", "child") or fault not in WITHOUT_CHILDREN


OF_FAULTS = (
    Victim("runner", ("runner",), weight=2),
    Victim("runner stopped", ("runner",), STOP),
    Victim("agent", ("agent",), weight=2),
    Victim("agent stopped", ("agent",), STOP),
    Victim("guard, then runner", ("guard",), then=("runner",)),
    Victim("worker or child, then runner", ("worker", "child"), then=("runner",)),
    Victim("agent + guard", ("agent", "guard"), weight=2),
    Victim("agent + guard stopped, then runner", ("agent", "guard"), STOP, then=("runner",)),
    Victim("runner + agent", ("runner", "agent")),
    Victim("runner + agent + guard", ("runner", "agent", "guard")),
    Victim("all of one fault", ("runner", "agent", "guard", "worker", "child"), weight=2),
)
"""Killed in a sandbox that lives on."""

OF_SANDBOXES = (
    Victim("keeper", ("drill-keeper",)),
    Victim("init", ("drill-init",)),
    Victim("guard of init", ("drill-guard",)),
    Victim("janitor, then keeper", ("drill-janitor",), then=("drill-keeper",)),
    Victim("keeper + janitor", ("drill-keeper", "drill-janitor")),
    Victim("everything at once", ("all",), weight=2),
)
"""The sandbox ends with them."""

OF_STOPPED_SANDBOXES = (
    Victim("keeper stopped, then runners", ("drill-keeper",), STOP, then=("runner",)),
    Victim("init stopped, all faults' processes killed", ("drill-init",), STOP, then=("faults",)),
)
"""The sandbox is continued after the TTL: until then only the kernel and the agents can end a fault."""


def send(pids: Sequence[int], number: signal.Signals) -> int:
    """Signal all of *pids*; return how many were there."""
    hit = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            hit += 1
    return hit
