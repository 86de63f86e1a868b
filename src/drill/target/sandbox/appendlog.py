"""A service's journal on its data file system: each entry a whole block, so that a full disk shows at once."""

from __future__ import annotations

import os
from pathlib import Path

BLOCK = 4096
ROTATE_AT = 64 * BLOCK


class AppendLog:
    """Appends blocks and starts anew after 256 KiB, keeping one old file.

    Rotation frees space, so it happens only right after a write that succeeded: a full disk never heals itself
    by it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._old = path.with_suffix(".old")
        self._fd = -1

    def append(self, text: str) -> None:
        """Write one entry, synced. Raises OSError (ENOSPC when the file system is full)."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        block = text.encode()[: BLOCK - 1].ljust(BLOCK - 1) + b"\n"
        size = os.fstat(self._fd).st_size
        written = os.write(self._fd, block)
        if written < BLOCK:
            os.ftruncate(self._fd, size)
            raise OSError(28, "the file system is full")  # ENOSPC, as the next write would say
        os.fdatasync(self._fd)
        if size + BLOCK >= ROTATE_AT:
            self._rotate()

    def _rotate(self) -> None:
        os.close(self._fd)
        self._fd = -1
        self._path.replace(self._old)
