"""A prompt in which lines come in from elsewhere while somebody types; plain lines where there is no terminal.

Owns the terminal between two commands. prompt_toolkit draws; ``TERM=dumb`` and pipes get plain reading.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from drill.cli.console import Console
from drill.cli.training.screens import Line

POLL_S = 0.2


class Ended(Exception):
    """The session is over: nothing more is read."""


class Prompt:
    """Reads commands and prints lines. ``say`` may be called from any thread."""

    def __init__(self, words: Sequence[str], ask: str, below: Callable[[], str]) -> None:
        self._words, self._ask, self._below = words, ask, below
        self._over = threading.Event()
        self._held = threading.Event()
        self._queue: list[Line] = []
        self._lock = threading.Lock()
        self._app_exit: Callable[[], None] | None = None
        self.console = Console()
        self.fancy = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Take the terminal: what is printed while somebody types goes above the line they type in."""
        if not self.fancy:
            yield
            return
        from prompt_toolkit.patch_stdout import patch_stdout

        with patch_stdout(raw=True):
            self.console = Console()
            try:
                yield
            finally:
                self.console = Console(out=sys.__stdout__, err=sys.__stderr__)

    def say(self, lines: Sequence[Line], *, bell: bool = False, urgent: bool = False) -> None:
        """Print *lines*; later, when the terminal is somebody else's at the moment, unless it is urgent."""
        with self._lock:
            if self._held.is_set() and not urgent:
                self._queue += lines
                return
            for text, style in lines:
                self.console.say(text, style)
        if bell and self.fancy:
            with contextlib.suppress(OSError):
                os.write(1, b"\a")

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the terminal to a program (a shell, a pager); what is said meanwhile comes after it."""
        self._held.set()
        try:
            yield
        finally:
            with self._lock:
                self._held.clear()
                waiting, self._queue = self._queue, []
            self.say(waiting)

    def end(self) -> None:
        """Stop reading, from any thread."""
        self._over.set()
        if self._app_exit is not None:
            self._app_exit()

    def read(self) -> str:
        """Return the next line. Raises Ended when the session is over, EOFError at the end of the input."""
        if self._over.is_set():
            raise Ended
        line = self._read_fancy() if self.fancy else self._read_plain()
        if self._over.is_set():
            raise Ended
        return line.strip()

    def _read_plain(self) -> str:
        self.console.say(self._ask)
        while not self._over.is_set():
            if select.select([sys.stdin], [], [], POLL_S)[0]:
                line = sys.stdin.readline()
                if not line:
                    raise EOFError
                return line
        raise Ended

    def _read_fancy(self) -> str:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter

        if not hasattr(self, "_session"):
            self._session: PromptSession[str] = PromptSession(
                completer=WordCompleter(list(self._words), sentence=True),
                complete_while_typing=False,
                bottom_toolbar=self._below,
                refresh_interval=1.0,
                erase_when_done=False,
            )
        app = self._session.app

        def leave() -> None:
            if app.is_running and app.loop is not None:
                app.loop.call_soon_threadsafe(lambda: app.is_running and app.exit(result=""))

        self._app_exit = leave
        try:
            return self._session.prompt(self._ask, handle_sigint=True)
        finally:
            self._app_exit = None
