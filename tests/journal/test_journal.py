"""A journal can be cut anywhere and says so; what is whole is read, what is not is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from drill.journal.events import AbortRequested, PhaseEntered, TimelineStarted
from drill.journal.journal import Journal, read_journal


def written(path: Path) -> list[object]:
    with Journal(path, clock=lambda: 12.5) as journal:
        return [
            journal.append(PhaseEntered(phase="baseline")),
            journal.append(TimelineStarted()),
            journal.append(AbortRequested(by="user", reason="ctrl-c \n \u2028 ünïcode")),
        ]


def test_events_come_back_numbered_timed_and_equal(tmp_path: Path):
    events = written(tmp_path / "j")
    back = read_journal(tmp_path / "j")
    assert list(back.events) == events
    assert [event.seq for event in back.events] == [0, 1, 2]
    assert back.events[0].at == 12.5
    assert back.damage == ""


def test_cut_at_every_byte_it_reads_what_is_whole_and_names_the_damage(tmp_path: Path):
    events = written(tmp_path / "j")
    whole = (tmp_path / "j").read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:cut])
        back = read_journal(tmp_path / "cut")
        count = sum(1 for end in ends if end <= cut)
        assert list(back.events) == events[:count]
        assert bool(back.damage) == (cut not in (0, *ends))


@pytest.mark.parametrize(
    ("line", "says"),
    [(b'{"kind":"nonsense"}\n', ":2:"), (b"\xff\xfe\n", ":2:"), (b'{"seq":7,"kind":"t0"}\n', "expected event 1")],
)
def test_a_damaged_line_ends_the_reading_and_is_named(tmp_path: Path, line: bytes, says: str):
    (tmp_path / "j").write_bytes(b'{"seq":0,"at":1,"kind":"t0"}\n' + line + b'{"seq":2,"at":1,"kind":"t0"}\n')
    back = read_journal(tmp_path / "j")
    assert len(back.events) == 1
    assert says in back.damage


def test_a_journal_is_never_written_over(tmp_path: Path):
    written(tmp_path / "j")
    with pytest.raises(FileExistsError):
        Journal(tmp_path / "j")


def test_listeners_hear_what_is_on_disk(tmp_path: Path):
    heard: list[bytes] = []
    with Journal(tmp_path / "j") as journal:
        journal.subscribe(lambda _: heard.append((tmp_path / "j").read_bytes()))
        journal.append(TimelineStarted())
    assert heard == [(tmp_path / "j").read_bytes()]


def test_a_full_disk_raises_and_nothing_is_remembered(tmp_path: Path):
    """The line must be on disk or the caller must know: /dev/full answers every write as a full disk does."""
    journal = Journal(tmp_path / "j")
    journal.close()
    journal._file = Path("/dev/full").open("ab", buffering=0)
    with journal, pytest.raises(OSError, match="No space"):
        journal.append(TimelineStarted())
    assert journal.events == ()
