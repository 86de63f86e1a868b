"""A real terminal to type into: tmux, 80 columns by 24 lines, in a server of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

TMUX = shutil.which("tmux")
COLUMNS, LINES = 80, 24
HISTORY = 3000


class Terminal:
    """One program in one terminal. Its text is what a person would see, scrolled-out lines included."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._name = f"drill-test-{uuid.uuid4().hex[:8]}"
        given = [f"-e{name}={value}" for name, value in env.items()]
        self._tmux("-f/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), *given, "-c", str(cwd),
                   "cat")  # fmt: skip
        self._tmux("set-option", "-g", "history-limit", str(HISTORY))
        self._tmux("set-option", "-g", "remain-on-exit", "on")
        self._tmux("new-window", *given, "-c", str(cwd), *command)

    def _tmux(self, *words: str, check: bool = True) -> str:
        assert TMUX is not None
        environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
        done = subprocess.run(
            [TMUX, "-L", self._name, *words], capture_output=True, text=True, timeout=30, check=check,
            env={**environment, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}, close_fds=True,
        )  # fmt: skip
        return done.stdout

    def type(self, text: str) -> None:
        """Type a line."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, key: str) -> None:
        """Press one key by tmux's name for it."""
        self._tmux("send-keys", key)

    def text(self) -> str:
        """Everything that was shown and is not overwritten."""
        return self._tmux("capture-pane", "-p", "-J", "-S", f"-{HISTORY}", check=False)

    def screen(self) -> str:
        """What is on the screen now."""
        return self._tmux("capture-pane", "-p", check=False)

    def wait_for(self, *any_of: str, within_s: float) -> str:
        """Wait until one of *any_of* was shown; return the text. Raises AssertionError with the screen."""
        deadline = time.monotonic() + within_s
        while True:
            text = self.text()
            if any(wanted in text for wanted in any_of):
                return text
            if time.monotonic() > deadline:
                raise AssertionError(f"{' or '.join(any_of)} was not shown within {within_s:g} s:\n{text[-4000:]}")
            time.sleep(0.3)

    @property
    def pid(self) -> int:
        """The program's process id."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def close(self) -> None:
        """End the terminal and what still runs in it."""
        self._tmux("kill-server", check=False)
