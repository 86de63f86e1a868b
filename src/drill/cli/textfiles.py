"""Reading and writing the files that a command line names, with errors a person can act on."""

from __future__ import annotations

from pathlib import Path

from drill.core.errors import UsageError

LARGEST = 1 << 20


def read_bytes(path: Path) -> bytes:
    """Return the content of *path*, at most a little over :data:`LARGEST`. Raises UsageError."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Write *text* to *path*. Raises UsageError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", hint="choose another -o") from None
