"""A journal whose disk fills: no half line stays, what was written stays readable, and room lets it go on."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path
from typing import Any

import pytest

from drill.journal.events import PhaseEntered, Recovered, TimelineStarted
from drill.journal.journal import Journal, append_to, read_journal, writer_lives


class Disk:
    """The journal's own file with room for a few more bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = data[: self.room]
        self.room -= len(part)
        return int(self.file.write(part))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1, 20])
def test_half_a_line_never_stays(tmp_path: Path, room: int) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(TimelineStarted())
        whole = journal._file
        journal._file = Disk(whole, room)  # type: ignore[assignment]
        with pytest.raises(OSError, match="No space left"):
            journal.append(PhaseEntered(phase="hold"))
        assert len(journal.events) == 1
        journal._file = whole
        journal.append(PhaseEntered(phase="recover"))
    back = read_journal(tmp_path / "j")
    assert back.damage == ""
    assert [event.seq for event in back.events] == [0, 1]


def test_an_open_journal_is_known_to_live_and_cannot_be_appended_to(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(TimelineStarted())
        assert writer_lives(tmp_path / "j")
        with pytest.raises(BlockingIOError):
            append_to(tmp_path / "j", Recovered(undone=()))
    assert not writer_lives(tmp_path / "j")
    append_to(tmp_path / "j", Recovered(undone=("x",)))
    with (tmp_path / "j").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert [event.kind for event in read_journal(tmp_path / "j").events] == ["t0", "recovered"]
