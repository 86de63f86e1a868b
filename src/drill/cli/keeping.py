"""Which sandboxes `drill sandbox up` started: one empty file each in the user's state folder.

A running sandbox may as well belong to a run or a test of the same user; only those listed here are ended without
being named.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from drill.cli.state import state_dir


def _folder() -> Path:
    folder = state_dir() / "kept"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def keep(name: str) -> None:
    """Note that the sandbox *name* was started to be kept."""
    (_folder() / name).touch()


def kept(running: Iterable[str]) -> list[str]:
    """Return those of *running* that are kept, and forget the ones that run no more."""
    alive = set(running)
    for entry in _folder().iterdir():
        if entry.name not in alive:
            entry.unlink(missing_ok=True)
    return sorted(entry.name for entry in _folder().iterdir())
