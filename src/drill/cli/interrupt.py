"""Ctrl-C and SIGTERM: the first asks the engine to abort, none of them skips the undo."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from drill.core.actions import AwaitReplica, HoldFault, UndoActivity
from drill.plan.model import Plan

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNDO_S = 5.0
"""A release is a fraction of a second; this is how long its checks may take on a busy machine."""


def undo_within_s(plan: Plan) -> float:
    """Return how long the undo of *plan* takes at most, in seconds: the longest lease or wait in it."""
    longest = 0.0
    for injection in plan.injections:
        for step in injection.steps:
            if isinstance(step.action, HoldFault):
                longest = max(longest, step.action.ttl_s)
            if isinstance(step.undo, AwaitReplica):
                longest = max(longest, step.undo.within_s)
            if isinstance(step.undo, UndoActivity):
                longest = max(longest, step.undo.call.activity.timeout_s)
    return longest + UNDO_S


class AbortOnSignal:
    """While entered, signals set *abort* and call *tell* with what to print; the former handlers come back."""

    def __init__(
        self,
        abort: threading.Event,
        tell: Callable[[str], None],
        undo_within: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._abort, self._tell, self._undo_within, self._clock = abort, tell, undo_within, clock
        self._asked_at: float | None = None
        self._former: dict[int, object] = {}

    def handle(self, _number: int = signal.SIGINT, _frame: FrameType | None = None) -> None:
        """Take one signal."""
        if self._asked_at is None:
            self._asked_at = self._clock()
            self._abort.set()
            self._say("aborting: the fault is undone, then the report is written; this takes a few seconds")
            return
        left = max(1.0, self._undo_within - (self._clock() - self._asked_at))
        self._say(f"the undo is under way and is not skipped: at most {left:.0f} s left")

    def _say(self, text: str) -> None:
        # The signal may have interrupted a write to the same stream, which Python refuses to nest.
        with contextlib.suppress(RuntimeError):
            self._tell(text)

    def __enter__(self) -> AbortOnSignal:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self.handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)  # type: ignore[arg-type]
