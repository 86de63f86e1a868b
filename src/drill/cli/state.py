"""Where drill keeps what outlives a run on this machine: the abort marker and the list of live runs."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def state_dir() -> Path:
    """Return (and make) the user's state folder, mode 0700."""
    folder = Path(platformdirs.user_state_path("drill"))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def abort_marker() -> Path:
    """Return the file that forbids new runs while it exists."""
    return state_dir() / "abort.json"


def live_runs() -> Path:
    """Return the folder with one file per live run, named by its process id."""
    folder = state_dir() / "live"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder
