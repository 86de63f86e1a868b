"""``gameday.jsonl``: append-only, every line on disk before the next thing happens, one writer at a time.

Owns the file and its lock: while a process holds the lock, the game day is under way; the kernel gives the lock
back when that process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from pydantic import ValidationError

from drill.core.errors import Refused, UsageError
from drill.gameday.events import EVENT, AnyEvent, Event, Progress, progress

FILE = "gameday.jsonl"
E = TypeVar("E", bound=Event)


class GamedayJournal:
    """The open journal of one game day. A half-written last line of a dead writer is cut off."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock
        self._mutex = threading.Lock()
        self._file = (folder / FILE).open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Refused(
                f"this game day is under way in another process: {folder.name}",
                hint="`drill gameday status` shows how far it is",
            ) from None
        self._events, whole = read_events(folder)
        self._file.truncate(whole)

    def append(self, event: E) -> E:
        """Number and time *event*, write it and sync it. Raises OSError when it cannot."""
        with self._mutex:
            stamped = event.with_(seq=len(self._events), at=event.at or self._clock())
            line = stamped.model_dump_json().encode() + b"\n"
            if self._file.write(line) != len(line):
                raise OSError(f"{self.folder / FILE}: a line could not be written whole: disk full?")
            os.fsync(self._file.fileno())
            self._events.append(stamped)  # type: ignore[arg-type]
        return stamped

    @property
    def progress(self) -> Progress:
        """How far it is, as its own writer sees it."""
        with self._mutex:
            return progress(self._events, alive=True)

    def close(self) -> None:
        """Close the file and give the lock back."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_events(folder: Path) -> tuple[list[AnyEvent], int]:
    """Return the events that are whole, and how many bytes they take. Raises UsageError without a readable file."""
    events: list[AnyEvent] = []
    whole = 0
    try:
        data = (folder / FILE).read_bytes()
    except OSError as error:
        raise UsageError(f"{folder} is not a game day: {FILE} cannot be read ({error.strerror})") from None
    for line in data.splitlines(keepends=True):
        try:
            event = EVENT.validate_json(line)
        except ValidationError:
            break
        if not line.endswith(b"\n") or event.seq != len(events):
            break
        events.append(event)
        whole += len(line)
    return events, whole


def is_alive(folder: Path) -> bool:
    """True while a process holds the journal's lock."""
    try:
        with (folder / FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_progress(folder: Path) -> Progress:
    """Return how far the game day in *folder* is. Raises UsageError."""
    return progress(read_events(folder)[0], alive=is_alive(folder))


def game_days(out: Path, name: str = "") -> list[Path]:
    """Return the game-day directories below *out* (of the drill *name*), newest first."""
    pattern = f"*-gameday-{name}*" if name else "*-gameday-*"
    found = [path for path in out.glob(pattern) if (path / FILE).is_file()] if out.is_dir() else []
    mine = [path for path in found if not name or _name(path) == name]
    return sorted(mine, key=lambda path: path.name, reverse=True)


def _name(path: Path) -> str:
    started = next(iter(read_events(path)[0]), None)
    return getattr(started, "drill", "")
