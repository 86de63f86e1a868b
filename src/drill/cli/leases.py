"""One drill per target service: a lock that dies with its holder, and words about who holds it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from drill.cli.state import state_dir
from drill.core.errors import Refused


@contextmanager
def leases(places: Iterable[str], run_id: str) -> Iterator[None]:
    """Hold the lease of every one of *places* (``sandbox 1a2b/checkout``) while inside.

    The kernel ends a lease with the process that holds it, so a dead holder blocks nobody. Raises Refused, naming
    the holder.
    """
    with ExitStack() as stack:
        for place in sorted(set(places)):
            stack.enter_context(_lease(place, run_id))
        yield


@contextmanager
def _lease(place: str, run_id: str) -> Iterator[None]:
    path = _folder() / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"{place} is being drilled already, by {_holder(path)}",
                hint="wait for its end, or end it: `drill abort` and then `drill abort --clear`",
            ) from None
        _describe(file, {"place": place, "run": run_id, "pid": os.getpid()})
        try:
            yield
        finally:
            file.truncate(0)


def _folder() -> Path:
    folder = state_dir() / "leases"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def _describe(file: IO[str], words: dict[str, object]) -> None:
    file.truncate(0)
    file.write(json.dumps(words))
    file.flush()


def _holder(path: Path) -> str:
    try:
        words = json.loads(path.read_text())
        return f"the run {words['run']} (process {words['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"


def held_by(prefix: str) -> list[str]:
    """Return the ids of the runs that hold a lease now on a place whose name begins with *prefix*."""
    found = []
    for path in sorted(_folder().glob("*.json")):
        try:
            words = json.loads(path.read_text())
            if str(words["place"]).startswith(prefix) and _is_held(path):
                found.append(str(words["run"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return list(dict.fromkeys(found))


def _is_held(path: Path) -> bool:
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
