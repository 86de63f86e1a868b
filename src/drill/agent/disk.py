"""A file system filled by a file that has no name, so that the kernel frees it when the agent dies.

Refuses the file system the agent itself runs on, those it is told to protect, and overlays, whose space is that of
the file system below: filling a node's disk hurts everybody on it. Because the
file has no name, tools that add up files (``du``) do not see it; ``statfs`` and every writer do.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from drill.agent.errors import CannotApply
from drill.agent.fault import Held, Site
from drill.agent.spec import Disk

PREFIX = ".drill-fill-"
SYS_OPENAT2 = 437  # asm-generic/unistd.h, the same number on every architecture since Linux 5.6
RESOLVE_IN_ROOT = 0x10  # linux/openat2.h
CHUNK = 1 << 20
OVERLAYFS = 0x794C7630  # linux/magic.h

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_inside(root: str, path: str) -> int:
    """Open the directory *path* as a process whose root is *root* would see it; links never lead outside.

    Raises OSError.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if os.path.normpath(root) == "/":
        return os.open(path, flags)
    base = os.open(root, flags)
    try:
        how = _OpenHow(flags, 0, RESOLVE_IN_ROOT)
        found = _libc.syscall(SYS_OPENAT2, base, path.encode(), ctypes.byref(how), ctypes.sizeof(how))
        if found < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{path} in {root}: {os.strerror(code)}")
        return int(found)
    finally:
        os.close(base)


class DiskFill(Held):
    """Fills until ``leave_bytes`` are free; 0 means until nothing more fits."""

    backend = "fallocate"

    def __init__(self, spec: Disk, site: Site) -> None:
        super().__init__(site)
        self.spec = spec
        self.directory = self.filler = -1

    def prepare(self) -> None:
        """Open the directory and refuse what must not be filled."""
        try:
            self.directory = open_inside(self.site.root, self.spec.path)
        except OSError as error:
            raise CannotApply(f"{self.spec.path} cannot be opened: {error}") from error
        if reason := self._refusal():
            raise CannotApply(f"{self.spec.path} is on {reason}: filling it is refused")
        if self._free() <= self.spec.leave_bytes:
            raise CannotApply(f"{self.spec.path}: only {self._free()} bytes are free already")

    def _refusal(self) -> str:
        """Return whose file system it is when others live on it too."""
        own = ("/", "/tmp", "/proc/self/exe", *self.site.protected)  # nosec B108 - only looked at
        if os.fstat(self.directory).st_dev in {Path(place).stat().st_dev for place in own}:
            return "the machine's own file system"
        state = ctypes.create_string_buffer(256)
        if _libc.fstatfs(self.directory, state) == 0 and int.from_bytes(state.raw[:4], sys.byteorder) == OVERLAYFS:
            return "an overlay, a container's part of the machine's own file system"
        return ""

    def _free(self) -> int:
        state = os.fstatvfs(self.directory)
        return state.f_bavail * state.f_frsize

    def apply(self) -> Mapping[str, object]:
        """Fill."""
        before = self._free()
        self.filler = self._nameless()
        fill(self.filler, lambda: self._free() - self.spec.leave_bytes)
        taken = os.fstat(self.filler).st_blocks * 512
        return {"free_before": before, "free_after": self._free(), "taken_bytes": taken}

    def _nameless(self) -> int:
        try:
            return os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=self.directory)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
        name = f"{PREFIX}{os.getpid()}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        filler = os.open(name, flags, 0o600, dir_fd=self.directory)
        os.unlink(name, dir_fd=self.directory)
        return filler

    def revert(self) -> list[str]:
        """Truncate and close; the space is free at once. In the guard there is nothing to close."""
        left = remove_fillers(self.directory)
        if self.filler >= 0:
            os.ftruncate(self.filler, 0)
            os.close(self.filler)
            self.filler = -1
        return left


def fill(filler: int, wanted: Callable[[], int]) -> None:
    """Grow *filler* by what *wanted* returns until that is nothing, or nothing more fits. Raises OSError."""
    size, step = os.fstat(filler).st_size, max(0, wanted())
    while step >= 4096 and (room := wanted()) > 0:
        step = min(step, room)
        try:
            _allocate(filler, size, step)
            size += step
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            step //= 2  # metadata takes space too


def _allocate(filler: int, start: int, length: int) -> None:
    offset = ctypes.c_int64
    if _libc.fallocate(filler, 0, offset(start), offset(length)) == 0:
        return
    code = ctypes.get_errno()
    if code != errno.EOPNOTSUPP:
        raise OSError(code, os.strerror(code))
    noise = os.urandom(CHUNK)  # incompressible, for file systems that compress
    for at in range(start, start + length, CHUNK):
        part = noise[: min(CHUNK, start + length - at)]
        if os.pwrite(filler, part, at) < len(part):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fillers(directory: int) -> list[str]:
    """Return the names of fillers in *directory* that an agent could not unlink any more."""
    names = (name for name in os.listdir(directory) if name.startswith(PREFIX))
    return sorted(n for n in names if stat.S_ISREG(os.stat(n, dir_fd=directory, follow_symlinks=False).st_mode))


def remove_fillers(directory: int) -> list[str]:
    """Remove them and return what is left."""
    left = []
    for name in fillers(directory):
        try:
            os.unlink(name, dir_fd=directory)
        except OSError as error:
            left.append(f"{name}: {error}")
    return left
