"""Command-line sessions as text: each ``*.txt`` beside this file is played and must come out as it is written.

``$ drill …`` starts a command; what follows is its standard output, then its standard error, then ``[exit N]``
unless N is 0. A line ``...`` stands for any number of lines, ``<...>`` for any text within a line. Every session
starts in an empty directory with the files of ``files/``.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from drill.cli.app import main

HERE = Path(__file__).parent
SESSIONS = sorted(HERE.glob("*.txt"))


def commands(session: Path) -> list[tuple[str, list[str]]]:
    """Return the session's commands, each with the lines that must follow."""
    found: list[tuple[str, list[str]]] = []
    for line in session.read_text().splitlines():
        if line.startswith("$ drill"):
            found.append((line.removeprefix("$ drill"), []))
        elif found:
            found[-1][1].append(line)
    return found


def fits(expected: list[str], shown: str) -> bool:
    """True when *shown* is *expected*, wildcards considered; blank lines at the end do not count."""
    parts = []
    for line in expected:
        pattern = re.escape(line).replace(re.escape("<...>"), ".*")
        parts.append("(?:.*\n)*?" if line == "..." else f"{pattern}\n")
    return re.fullmatch("".join(parts), f"{text}\n" if (text := shown.rstrip("\n")) else "") is not None


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_session(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(HERE / "files", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for number, (arguments, expected) in enumerate(commands(session), 1):
        while expected and not expected[-1].strip():
            expected.pop()
        code = main(shlex.split(arguments))
        out, err = capsys.readouterr()
        shown = out + err + (f"[exit {code}]\n" if code else "")
        assert fits(expected, shown), f"command {number}: $ drill{arguments}\n{shown}"


def test_every_session_has_commands() -> None:
    assert SESSIONS
    assert all(commands(session) for session in SESSIONS)


def test_a_session_that_differs_does_not_fit() -> None:
    assert fits(["a", "...", "b<...>"], "a\nx\ny\nb12\n")
    assert not fits(["a", "b"], "a\nx\nb\n")
    assert not fits(["a"], "a\nb\n")
    assert not fits([], "a\n")
