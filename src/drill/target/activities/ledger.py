"""Who played which undo: a file per undo in the run's folder, locked while somebody plays it.

The guard, the runner and `drill recover` may all want to play the same undo. Whoever holds the lock plays it; who
comes later reads that it was done. A folder that cannot be written is no reason to leave a fault in place.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from drill.core.actions import UndoActivity
from drill.core.errors import ActionFailed
from drill.target.activities.processes import do_call

FOLDER = "undone"
POLL_S = 0.05


def undo_once(folder: Path, undo: UndoActivity) -> float:
    """Play *undo* unless it was played; return the Unix time at which it was done. Raises ActionFailed."""
    with _locked(_path(folder, undo), undo.call.activity.timeout_s + 5) as file:
        done_at = _done_at(file)
        if done_at is not None:
            return done_at
        answer = do_call(undo.call)
        _write(file, answer.at)
        return answer.at


def _path(folder: Path, undo: UndoActivity) -> Path:
    return folder / FOLDER / f"{undo.injection}{f'.{undo.replica}' if undo.replica else ''}.json"


@contextmanager
def _locked(path: Path, patience_s: float) -> Iterator[IO[str] | None]:
    """The file of an undo, locked; None where there can be none. Raises ActionFailed without the lock."""
    try:
        path.parent.mkdir(exist_ok=True)
        file = path.open("a+")
    except OSError:
        yield None
        return
    with file:
        until = time.monotonic() + patience_s
        while not _lock(file):
            if time.monotonic() > until:
                raise ActionFailed(f"somebody else has been playing the undo for {patience_s:.0f} s")
            time.sleep(POLL_S)
        yield file


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def _done_at(file: IO[str] | None) -> float | None:
    if file is None:
        return None
    try:
        file.seek(0)
        return float(json.loads(file.read())["done_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: IO[str] | None, done_at: float) -> None:
    if file is None:
        return
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(json.dumps({"done_at": done_at, "by": os.getpid()}))
        file.flush()
        os.fsync(file.fileno())
