"""Which processes are drill's: those an agent put beside a victim, and what they started.

Two marks, since either may be lost: a variable in the environment (stress-ng's workers overwrite theirs with their
title) and a standard output that goes to a memory file of ours. An agent's own line is known by its command.
"""

from __future__ import annotations

import os
from pathlib import Path

from drill.agent.kernel import command_line, parent_of, process_state

VARIABLE = "DRILL_AGENT"
OUTPUT = "drill-"
"""How the name of the memory file begins."""


def _marked(pid: int) -> bool:
    try:
        if f"{VARIABLE}=".encode() in Path(f"/proc/{pid}/environ").read_bytes():
            return True
        if str(Path(f"/proc/{pid}/fd/1").readlink()).startswith(f"/memfd:{OUTPUT}"):
            return True
        return {"drill.agent", "hold"} <= set(command_line(pid))
    except OSError:
        return False


def is_ours(pid: int) -> bool:
    """True when *pid* or one of its ancestors is marked, or it is gone; False for this process's own line."""
    if process_state(pid) in ("", "Z", "X"):
        return True
    while pid > 1 and pid != os.getpid():
        if _marked(pid):
            return True
        pid = parent_of(pid)
    return False
