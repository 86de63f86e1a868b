"""Appending to and reading from ``journal.jsonl``. Owns the file; knows nothing of what the events mean."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypeVar

from pydantic import ValidationError

from drill.core.redact import redacted
from drill.journal.events import EVENT, AnyEvent, Event

E = TypeVar("E", bound=Event)


class Journal:
    """The journal of one run. ``append`` returns only when the line is on disk (fsync).

    The file is locked (flock) while it is open: whoever finds it unlocked knows that its runner is dead.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._events: list[AnyEvent] = []
        self._listeners: list[Callable[[AnyEvent], None]] = []
        self._file = path.open("xb", buffering=0)
        self._size = 0
        with contextlib.suppress(OSError):  # a file system without locks: then only the live list protects
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, event: E) -> E:
        """Number and time *event*, write it, sync it, then tell the listeners. Raises OSError when it cannot."""
        with self._lock:
            stamped = without_secrets(event.with_(seq=len(self._events), at=event.at or self._clock()))
            line = stamped.model_dump_json().encode() + b"\n"
            self._put(line)
            self._events.append(stamped)  # type: ignore[arg-type]
        for listener in tuple(self._listeners):
            self._tell(listener, stamped)  # type: ignore[arg-type]
        return stamped

    def _put(self, line: bytes) -> None:
        """Write *line* whole or not at all: half a line would make the ones after it unreadable."""
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
                self._file.seek(self._size)
            raise
        self._size += len(line)

    def _tell(self, listener: Callable[[AnyEvent], None], event: AnyEvent) -> None:
        """A listener that fails is not called again: a mistake on the screen must never stop a run or its undo."""
        try:
            listener(event)
        except Exception:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def subscribe(self, listener: Callable[[AnyEvent], None]) -> None:
        """Call *listener* with every event written from now on, in the writer's thread."""
        self._listeners.append(listener)

    @property
    def events(self) -> Sequence[AnyEvent]:
        """All events written so far."""
        return tuple(self._events)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def without_secrets(event: E) -> E:
    """Return *event* with every text redacted; the same object when there was nothing to take out.

    Everything that is written, shown or judged comes from the journal, so this is the one place for it. Actions are
    left as they are: an undo must stay what it was, and they name addresses and paths only.
    """
    data = event.model_dump(mode="json", exclude={"action", "undo"})
    clean = redacted(data)
    if clean == data:
        return event
    return type(event).model_validate({**event.model_dump(include={"action", "undo"}), **clean})


def writer_lives(path: Path) -> bool:
    """True while somebody has the journal at *path* open for writing. Raises OSError when it cannot be opened."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def append_to(path: Path, event: E) -> E:
    """Append *event* to the journal of a dead runner, after its last whole line; what follows that is cut off.

    Raises BlockingIOError while somebody else writes to it, OSError when it cannot be written.
    """
    with path.open("r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        whole = read_journal(path)
        end = sum(len(line) for line, _ in zip(file.readlines(), whole.events, strict=False))
        stamped = without_secrets(event.with_(seq=len(whole.events), at=event.at or time.time()))
        file.truncate(end)
        file.seek(end)
        line = stamped.model_dump_json().encode() + b"\n"
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise
    return stamped


class ReadJournal:
    """A journal read back: the events up to the first line that cannot be read, and what is wrong with it."""

    def __init__(self, events: Sequence[AnyEvent], damage: str = "") -> None:
        self.events = tuple(events)
        self.damage = damage


def read_journal(path: Path) -> ReadJournal:
    """Read as much of *path* as is whole; a cut or damaged line ends the reading and is named in ``damage``.

    Raises OSError when the file cannot be opened.
    """
    events: list[AnyEvent] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return ReadJournal(events, f"{path}:{number}: the last line is cut off")
            try:
                event = EVENT.validate_json(line)
            except ValidationError as error:
                return ReadJournal(events, f"{path}:{number}: {error.errors()[0]['msg']}")
            if event.seq != number - 1:
                return ReadJournal(events, f"{path}:{number}: expected event {number - 1}, found {event.seq}")
            events.append(event)
    return ReadJournal(events)
