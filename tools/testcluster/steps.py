"""What the user sees, and how commands are run: every step says what it does, what it found and how long it took.

Owns the terminal and the calling of other programs. Refuses to wait for ever: each command has a timeout.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

_TAIL_LINES = 12
_QUIET_S = 10.0  # between two progress lines where no terminal rewrites them


class Failed(Exception):
    """Something in the world went wrong; the text says what, and what to do where that is known."""


class Missing(Failed):
    """This machine lacks what the test cluster needs; tests that need it skip with this text."""


@dataclass
class Steps:
    """A list of steps on a stream. ``quiet`` keeps only the failures."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    quiet: bool = False

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """Announce *what*, and say after it how it ended and how long it took."""
        step = Step(what, self)
        self.say(f"• {what} …")
        try:
            yield step
        except BaseException:
            self.say(f"  ✗ {what} after {step.seconds:.1f} s")
            raise
        self.say(f"  ✓ {step.outcome or 'done'} ({step.seconds:.1f} s)")

    def say(self, line: str) -> None:
        """Print one line, over any progress that stands there."""
        if not self.quiet:
            erase = "\r\x1b[K" if self.stream.isatty() else ""
            print(f"{erase}{line}", file=self.stream, flush=True)


@dataclass
class Step:
    """One step under way. Set ``outcome`` to what it came to."""

    what: str
    steps: Steps
    outcome: str = ""
    started: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.started

    def progress(self, text: str) -> None:
        """Show how far it is: in place on a terminal, now and then elsewhere."""
        if self.steps.quiet:
            return
        if self.steps.stream.isatty():
            print(f"\r\x1b[K  {text}"[:110], end="", file=self.steps.stream, flush=True)
        elif time.monotonic() - self._said >= _QUIET_S:
            self._said = time.monotonic()
            print(f"  {text} ({self.seconds:.0f} s)", file=self.steps.stream, flush=True)


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    text_in: str | None = None,
) -> str:
    """Run a program and return what it printed. Raises Failed with the end of its complaint, Missing if absent."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=text_in, capture_output=True, text=True, timeout=timeout, env=env, cwd=cwd, check=False
        )
    except FileNotFoundError as error:
        raise Missing(f"the program {words[0]} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"`{' '.join(words)}` did not end within {timeout:.0f} s") from error
    if done.returncode != 0:
        raise Failed(f"`{' '.join(words)}` ended with {done.returncode}:\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def succeeds(argv: Sequence[str | Path], *, timeout: float = 20.0, env: Mapping[str, str] | None = None) -> bool:
    """Whether a program runs and ends with 0."""
    try:
        run(argv, timeout=timeout, env=env)
    except Failed:
        return False
    return True


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    """Return the last *lines* lines of *text*, indented."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-lines:])


def wait_for(condition: Callable[[], bool], *, what: str, timeout: float, every: float = 0.2) -> None:
    """Ask until *condition* holds. Raises Failed naming *what* after *timeout* seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= end:
            raise Failed(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(every)
