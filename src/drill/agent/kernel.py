"""Calls into the kernel that Python 3.11 has no name for: namespaces, parent-death signals, the boot clock."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000  # linux/sched.h
CLONE_NEWPID = 0x20000000
CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 1 << 18  # linux/mount.h
PR_SET_PDEATHSIG, PR_SET_TIMERSLACK = 1, 29  # linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def boot_clock() -> float:
    """Seconds since boot, sleep of the machine included: a deadline passes even while a laptop is shut."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def enter_namespace(path: str, kind: int = CLONE_NEWNET) -> None:
    """Move this thread into the namespace at *path* (``/proc/PID/ns/net``). Raises OSError.

    Being there already needs no right: an ephemeral container has none but its pod's network.
    """
    if kind == CLONE_NEWNET and Path(path).samefile("/proc/thread-self/ns/net"):
        return
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.setns(handle, kind), f"enter {path}")
    finally:
        os.close(handle)


def unshare(flags: int) -> None:
    """Leave the namespaces named by *flags* for new ones. Raises OSError."""
    _checked(_libc.unshare(flags), "unshare")


def make_proc_read_only() -> None:
    """Give this process and what it starts a /proc it cannot write to. Raises OSError."""
    unshare(CLONE_NEWNS)
    for source, place, flags in (
        (None, b"/", MS_REC | MS_PRIVATE),
        (b"/proc", b"/proc", MS_BIND | MS_REC),
        (None, b"/proc", MS_BIND | MS_REMOUNT | MS_RDONLY),
    ):
        _checked(_libc.mount(source, place, None, ctypes.c_ulong(flags), None), f"mount {place.decode()}")


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send *number* to this process when the thread that forked it ends."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0), "PR_SET_PDEATHSIG")


def fine_timers() -> None:
    """Wake up exactly: the usual timer slack of 50 µs is too coarse for delayed packets."""
    _checked(_libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0), "PR_SET_TIMERSLACK")


def gone(pidfd: int) -> bool:
    """True when the process behind *pidfd* has ended."""
    return bool(select.select([pidfd], [], [], 0)[0])


def process_state(pid: int) -> str:
    """Return the state letter of *pid* (``R``, ``S``, ``T``, …; proc(5)), or ``''`` when there is none."""
    return _status(pid)[0]


def parent_of(pid: int) -> int:
    """Return the pid of the parent of *pid*, 0 when there is none."""
    return int(_status(pid)[1])


def _status(pid: int) -> tuple[str, str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", "0"
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, parent


def command_line(pid: int) -> list[str]:
    """Return the arguments of *pid*; empty when it has none or cannot be read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def children_of(pid: int) -> list[int]:
    """Return the pids of the children of *pid*, of all its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in task.read_text().split()]
        except OSError:
            continue
    return found


def tree_of(pid: int) -> list[int]:
    """Return *pid* and all its descendants, parents first; empty when *pid* does not run."""
    tree = [pid] if process_state(pid) not in ("", "Z", "X") else []
    for member in tree:
        tree += children_of(member)
    return tree


def namespace_identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of a namespace, None when it is gone."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
