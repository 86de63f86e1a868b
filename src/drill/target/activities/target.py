"""A target that can do activities as well: everything else is the wrapped target's.

Owns the guards of the activities that are in place, and the answers their probes gave before the fault.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drill.core.actions import AnyAction, RunActivity, UndoActivity
from drill.core.errors import ActionFailed, Unavailable
from drill.core.facts import Endpoints, Facts
from drill.core.ports import Remembering, Target
from drill.core.probes import Measurement, Probe
from drill.target.activities.guard import BEAT_S
from drill.target.activities.ledger import undo_once
from drill.target.activities.processes import run_call, shortly

GUARD = "drill.target.activities.guard"
START_S = 20.0
SLACK_S = 15.0
Place = tuple[str, str]


class Activities:
    """A target beside which activities are done. ``folder`` is the run's: there the undos are booked."""

    def __init__(self, inner: Target, folder: Path) -> None:
        self._inner, self._folder = inner, folder.resolve()
        self._guards: dict[Place, GuardProcess] = {}
        self._before: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The wrapped target's."""
        return self._inner.name

    def facts(self) -> Facts:
        """The wrapped target's."""
        return self._inner.facts()

    def endpoints(self) -> Endpoints:
        """The wrapped target's."""
        return self._inner.endpoints()

    def snapshot(self, replica: str) -> Mapping[str, str]:
        """The wrapped target's."""
        return self._inner.snapshot(replica)

    def log_lines(self) -> Sequence[str]:
        """The wrapped target's."""
        return self._inner.log_lines()

    def begin(self, run_id: str, steps: Sequence[tuple[AnyAction, AnyAction]]) -> None:
        """Pass on what is going to be done, where the wrapped target keeps it for others."""
        if isinstance(self._inner, Remembering):
            self._inner.begin(run_id, steps)

    def settled(self, injection: str) -> None:
        """Let the wrapped target forget what *injection* had to undo: a run may mix its faults with activities."""
        if isinstance(self._inner, Remembering):
            self._inner.settled(injection)

    def execute(self, action: AnyAction) -> float:
        """Do an activity or its undo here, any other action there. Raises ActionFailed."""
        match action:
            case RunActivity():
                return self._run(action)
            case UndoActivity():
                return self._undo(action)
            case _:
                return self._inner.execute(action)

    def _run(self, action: RunActivity) -> float:
        guard = GuardProcess(self._folder, action)
        with self._lock:
            self._guards[action.injection, action.replica] = guard
        return guard.go(action.call.activity.timeout_s + SLACK_S)

    def _undo(self, undo: UndoActivity) -> float:
        """Ask the guard that holds it; where that is gone, play it from here."""
        with self._lock:
            guard = self._guards.pop((undo.injection, undo.replica), None)
        if guard is not None:
            with contextlib.suppress(Unavailable):
                return guard.undo(undo.call.activity.timeout_s + SLACK_S)
        return undo_once(self._folder, undo)

    def measure(self, probe: Probe) -> Measurement:
        """Answer a probe of kind ``activity`` by running it; its first answer is the one from before the fault."""
        if probe.call is None:
            return self._inner.measure(probe)
        key = f"{probe.replica} {probe.call.model_dump_json()}"
        try:
            answer = run_call(probe.call)
        except Unavailable as error:
            if key in self._before:
                raise
            self._before[key] = None  # a probe that fails is not within its tolerance
            return Measurement(value=0.0, at=time.time(), detail=str(error))
        before = self._before.setdefault(key, answer.output)
        holds = answer.good and differs(probe.call.activity.tolerance, before, answer.output)
        return Measurement(value=float(holds), at=answer.at, detail=shortly(answer.output))


def differs(tolerance: Any, before: Any, now: Any) -> bool:
    """Judge the tolerances that compare with the answer from before; True for all others."""
    if not isinstance(tolerance, dict):
        return True
    if tolerance.get("type") == "changed":
        return bool(before != now)
    if tolerance.get("type") == "gone":
        missing = [item for item in before or () if item not in (now or ())]
        return len(missing) >= int(tolerance.get("at_least", 1))
    return True


class GuardProcess:
    """A guard, seen from the runner; a thread tells it that the runner lives. Raises ActionFailed, Unavailable."""

    def __init__(self, folder: Path, action: RunActivity) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._rest = b""
        self._write = threading.Lock()
        self._over = threading.Event()
        order = {"folder": str(folder), "action": action.model_dump(mode="json")}
        self._say(json.dumps(order))
        try:
            self._hear(START_S)
        except Unavailable as error:
            self._end()
            raise ActionFailed(f"nothing was done: {error}") from None
        threading.Thread(target=self._beat, name="drill-beat", daemon=True).start()

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    def go(self, within_s: float) -> float:
        """Have the action done; return when it was. Raises ActionFailed."""
        self._say("go")
        try:
            event = self._hear(within_s)
        except Unavailable as error:
            raise ActionFailed(str(error)) from None
        if event.get("event") != "applied":
            raise ActionFailed(str(event.get("error", "its guard said nothing")))
        return float(event["at"])

    def undo(self, within_s: float) -> float:
        """Have it undone; return when it was. Raises ActionFailed, or Unavailable when the guard is gone."""
        self._say("undo")
        try:
            event = self._hear(within_s)
            while event.get("event") not in ("reverted", "not-reverted"):
                event = self._hear(within_s)  # an `applied` that nobody waited for any more
        finally:
            self._end()
        if event["event"] == "not-reverted":
            raise ActionFailed(str(event["error"]))
        return float(event["at"])

    def _say(self, words: str) -> None:
        assert self._process.stdin is not None
        with self._write, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(words.encode() + b"\n")
            self._process.stdin.flush()

    def _hear(self, within_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        until = time.monotonic() + within_s
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            piece = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                raise Unavailable("the guard of the activity " + ("ended" if ready else "does not answer"))
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            self._say("beat")

    def _end(self) -> None:
        self._over.set()
        with self._write:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        try:
            self._process.wait(SLACK_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
