"""Mistakes of the user as values: collected, all at once, each with file, line, column and a hint."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in one file.

    ``line`` and ``column`` count from 1; both are 0 when the mistake has no place (an unreadable file, a
    command-line value). ``source_line`` is the offending line as it stands in the file, without its line end.
    ``width`` is the number of characters the caret underlines.
    """

    file: str
    line: int
    column: int
    message: str
    hint: str = ""
    source_line: str = ""
    width: int = 1

    @property
    def place(self) -> str:
        """``file:line:col``, or only the file when there is no place in it."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


MAX_SHOWN = 160


def render(problem: Problem) -> str:
    """Render *problem* as plain text: place and message, the line with a caret, the hint."""
    lines = [f"{problem.place}: {problem.message}"]
    if problem.source_line.strip():
        start = max(0, min(problem.column - 1 - MAX_SHOWN // 2, len(problem.source_line) - MAX_SHOWN))
        shown = problem.source_line[start : start + MAX_SHOWN].replace("\t", " ")
        shown = "".join(c if c.isprintable() else "�" for c in shown)
        caret_at = problem.column - 1 - start
        caret = "^" * max(1, min(problem.width, len(shown) - caret_at))
        lines += [f"    {shown}", f"    {' ' * caret_at}{caret}"]
    if problem.hint:
        lines.append(f"  hint: {problem.hint}")
    return "\n".join(lines)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the closest of *known*, else the list of what is known, else ``''``."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 24 else ""
