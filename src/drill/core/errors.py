"""Failures of the world, in one tree, each mapped once to an exit code.

Mistakes of the user in a file are not exceptions but values (:mod:`drill.core.problems`).

::

    DrillError
    ├── UsageError            2   the command line or a file cannot be used; nothing was touched
    │   └── ProblemsFound     2   carries the problems of files, each with line and column
    ├── Unavailable           3   something drill needs to look at did not answer: the verdict is unknown
    ├── ActionFailed          3   a target could not do an action; nothing was left by that action
    ├── Refused               4   a guardrail, lease or abort file forbids the start
    ├── Aborted               4   the run was ended early and undone, and there is no report to say so
    └── UndoIncomplete        5   something is left behind; carries what, and how to remove it by hand
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drill.core.problems import Problem


class ExitCode(IntEnum):
    """What the process's exit status says; the higher the worse."""

    PASS = 0
    FAIL = 1
    USAGE = 2
    UNKNOWN = 3
    ABORTED = 4
    UNDO_INCOMPLETE = 5


class DrillError(Exception):
    """Base of all failures drill reports by itself; ``hint`` says what to do about it."""

    exit_code: ExitCode = ExitCode.UNKNOWN

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(DrillError):
    """The command line or a file cannot be used; nothing was touched."""

    exit_code = ExitCode.USAGE


class ProblemsFound(UsageError):
    """One or more files have mistakes; ``problems`` holds all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problem{'s' if len(problems) != 1 else ''} found")
        self.problems = tuple(problems)


class Unavailable(DrillError):
    """A server or a fact that drill must see did not answer; never a pass."""

    exit_code = ExitCode.UNKNOWN


class ActionFailed(DrillError):
    """A target could not do an action; what it had begun it has undone."""

    exit_code = ExitCode.UNKNOWN


class Refused(DrillError):
    """A guardrail, a lease or an abort marker forbids the start; nothing was touched."""

    exit_code = ExitCode.ABORTED


class Aborted(DrillError):
    """The run was ended early, everything is undone, but the report that would say so could not be written."""

    exit_code = ExitCode.ABORTED


class UndoIncomplete(DrillError):
    """Something is left behind; ``hint`` holds the exact command that removes it by hand."""

    exit_code = ExitCode.UNDO_INCOMPLETE
