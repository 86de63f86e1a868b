"""``training.jsonl``: the session's own events beside the run's journal, and the debrief made from both files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from drill.core.errors import UsageError
from drill.core.redact import redacted
from drill.journal.events import AnyEvent
from drill.journal.journal import read_journal
from drill.training import events as t
from drill.training.debrief import Debrief, ResponderCard, debrief_of, replay, responder_card
from drill.training.debrief_text import card, markdown
from drill.training.state import State

EVENTS = "training.jsonl"
TEXT = "debrief.md"
DATA = "debrief.json"


class Recorder:
    """Appends events, numbered; each is on disk before it counts. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self._next = 0
        self._file = path.open("xb", buffering=0)
        path.chmod(0o600)

    def write(self, event: t.AnyTrainingEvent) -> t.AnyTrainingEvent:
        """Write *event* without secrets and return it as written. Raises OSError."""
        clean = redacted(event.model_dump(mode="json"))
        if isinstance(event, t.SessionStarted):  # a session's name is no session's secret
            clean["script"]["session"] = event.script.session
        stamped = t.TRAINING_EVENT.validate_python({**clean, "seq": self._next})
        self._file.write(stamped.model_dump_json().encode() + b"\n")
        os.fsync(self._file.fileno())
        self._next += 1
        return stamped

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(folder: Path) -> list[t.AnyTrainingEvent]:
    """Return the events of the session in *folder*, up to the first line that is not whole. Raises UsageError."""
    try:
        lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    except OSError:
        raise UsageError(f"{folder} is not the folder of a training", hint="`drill runs` lists the runs") from None
    events: list[t.AnyTrainingEvent] = []
    for line in lines:
        try:
            event = t.TRAINING_EVENT.validate_json(line)
        except ValidationError:
            break
        if not line.endswith(b"\n") or event.seq != len(events):
            break
        events.append(event)
    return events


def replayed(folder: Path) -> State:
    """Return the state of the session in *folder* from its files alone. Raises UsageError."""
    events = read_events(folder)
    journals: dict[str, Sequence[AnyEvent]] = {"": _journal(folder)}
    for event in events:
        if isinstance(event, t.Escalated):
            journals[event.folder] = _journal(folder.parent / event.folder)
    state = replay(events, journals)
    if state is None:
        raise UsageError(f"{folder / EVENTS} does not begin with a session")
    return state


def _journal(folder: Path) -> Sequence[AnyEvent]:
    path = folder / "journal.jsonl"
    return read_journal(path).events if path.is_file() else ()


def write_debrief(folder: Path) -> tuple[Debrief, str]:
    """Make the debrief of the session in *folder* and write it down as Markdown and JSON. Raises UsageError."""
    debrief = debrief_of(replayed(folder))
    text = markdown(debrief)
    (folder / TEXT).write_text(text)
    (folder / DATA).write_text(debrief.model_dump_json(indent=1) + "\n")
    return debrief, text


def write_card(folder: Path, cards: Path) -> tuple[ResponderCard, str, Path]:
    """Write the responder's own card, readable for nobody else, below *cards*. Raises UsageError, OSError."""
    own = responder_card(replayed(folder))
    cards.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = cards / f"{folder.name}.md"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(card(own))
    return own, card(own), path
