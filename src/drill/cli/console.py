"""The only printer. Results go to standard output, talk to standard error when the output is for machines.

rich is imported when something is first printed on a terminal; a pipe gets plain text. ``NO_COLOR`` and
``--quiet`` are honoured; errors are printed even when quiet.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType

STYLES = {
    "pass": "bold green",
    "fail": "bold red",
    "unknown": "bold yellow",
    "aborted": "bold magenta",
    "✓": "green",
    "✗": "red",
    "!": "yellow",
}
"""Words and marks that have a colour wherever a table shows them."""


class Console:
    """Where a command's output goes. ``machine`` true: standard output is for data only."""

    def __init__(
        self, *, quiet: bool = False, machine: bool = False, out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self.quiet = quiet
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._talk = self._err if machine else self._out

    @property
    def is_terminal(self) -> bool:
        """True when talk goes to a terminal that can redraw."""
        return self._talk.isatty() and os.environ.get("TERM") != "dumb"

    @cached_property
    def rich(self) -> RichConsole:
        """The rich console of the talk; plain on anything but a terminal."""
        from rich.console import Console as RichConsole

        width = None if self.is_terminal else 1000
        return RichConsole(file=self._talk, highlight=False, emoji=False, markup=False, width=width)

    def say(self, text: str = "", style: str = "") -> None:
        """Print a line of talk unless quiet."""
        if self.quiet:
            return
        if style and self.is_terminal:
            self.rich.print(
                text, style=style, soft_wrap="://" in text
            )  # an address stays whole for whoever copies it
        else:
            _write(self._talk, text)

    def show(self, renderable: RenderableType) -> None:
        """Print something rich can render, unless quiet."""
        if not self.quiet:
            self.rich.print(renderable)

    def data(self, text: str) -> None:
        """Print a result to standard output, quiet or not."""
        _write(self._out, text)

    def warn(self, text: str) -> None:
        """Print to standard error, quiet or not."""
        _write(self._err, text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table to standard output: rich on a terminal, aligned text elsewhere, quiet or not."""
        if self.is_terminal and self._talk is self._out:
            self._rich_table(columns, rows)
        else:
            _write(self._out, plain_table(columns, rows))

    def _rich_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
        self.rich.print(table)

    def markdown(self, text: str) -> None:
        """Print Markdown to standard output: rendered on a terminal, as it stands elsewhere."""
        if not self.is_terminal:
            self.data(text.rstrip("\n"))
            return
        from rich.markdown import Markdown

        self.rich.print(Markdown(text))


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align *rows* under *columns* (upper case) with two spaces between; no trailing spaces."""
    from itertools import zip_longest

    table = [[column.upper() for column in columns], *rows]
    widths = [max(len(cell) for cell in column) for column in zip_longest(*table, fillvalue="")]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in table]
    return "\n".join(line.rstrip() for line in lines)


def _write(stream: TextIO, text: str) -> None:
    from drill.core.redact import redact

    text = redact(text)
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:  # a terminal in a C locale must not end a drill
        encoding = stream.encoding or "ascii"
        stream.write((text + "\n").encode(encoding, "replace").decode(encoding))
    stream.flush()


def quiet_libraries() -> None:
    """Keep libraries' warnings (urllib3's retries) off the screen; what matters comes back as an error."""
    import logging

    logging.getLogger("urllib3").setLevel(logging.ERROR)
