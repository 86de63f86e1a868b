"""The few Linux calls Python 3.11 lacks: unshare, setns, mount, prctl. Owns no policy.

Numbers are those of the kernel's uapi headers (sched.h, mount.h, prctl.h), equal on all architectures.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Leave the shared namespaces named by *flags*. Raises OSError."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def enter_netns(fd: int) -> None:
    """Move the calling thread into the network namespace *fd* refers to. Raises OSError."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(CLONE_NEWNET)), "setns")


@contextmanager
def inside_netns(fd: int, home: int) -> Iterator[None]:
    """Be inside the network namespace *fd* for the length of the block, then back in *home*."""
    enter_netns(fd)
    try:
        yield
    finally:
        enter_netns(home)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount as mount(2) does. Raises OSError naming the target."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Take the mount at *target* out of the tree; who still has files of it open keeps them. Raises OSError."""
    _check(_libc.umount2(target.encode(), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def prctl(option: int, value: int) -> None:
    """Call prctl(2) with one number. Raises OSError."""
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero), "prctl")


def name_process(name: str) -> None:
    """Set what ps and top show (15 bytes at most)."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _libc.prctl(ctypes.c_int(PR_SET_NAME), buffer, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def close_all_but(keep: set[int]) -> None:
    """Close every file descriptor of this process except those in *keep*."""
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208  # names, not paths
        fd = int(entry)
        if fd not in keep:
            try:
                os.close(fd)
            except OSError:
                continue  # the descriptor listdir itself used


def map_root(uid: int, gid: int) -> None:
    """Map *uid* and *gid* to 0 in the user namespace the caller has just made. Raises OSError."""
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{file}", "w", encoding="ascii") as out:  # noqa: PTH123  # /proc, right after unshare
            out.write(text)
