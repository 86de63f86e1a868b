"""The process that does an activity for the runner and takes it back when the runner cannot.

``python -m drill.target.activities.guard`` reads one JSON line (the run's folder and the action), says ``ready``,
and waits for words, one a line: ``go`` does the action, ``beat`` says that the runner lives, ``undo`` takes it
back. When the words end (the runner died), stop for :data:`LEASE_S` (it was stopped), or ``hold_s`` is over, it
plays the undo unasked. It lives in its own session and ignores the signals that end the runner. Processes that the
action left running end with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from drill.core.actions import RunActivity, undo_of
from drill.core.errors import ActionFailed, Unavailable
from drill.target.activities import processes
from drill.target.activities.ledger import undo_once
from drill.target.sandbox import kernel

BEAT_S = 2.0
LEASE_S = 10.0
"""A runner that says nothing for this long is dead or stopped."""
TRIES = 5
"""How often an undo is tried when nobody is left to say what to do; pauses of 1, 2, 4 and 8 s between."""


class Guard:
    """One action, from ``go`` to its undo."""

    def __init__(self, folder: Path, action: RunActivity) -> None:
        self.folder, self.action = folder, action
        self._words = b""
        self._heard = time.monotonic()
        self._asked = False
        self._gone = ""

    def serve(self) -> None:
        """Wait for ``go``, do the action, hold it, take it back."""
        say(event="ready")
        if not self._await_go():
            return
        until = time.monotonic() + self.action.hold_s
        self._act()
        while not self._asked and not self._gone:
            self._listen(1.0)
            if time.monotonic() > until:
                self._gone = "its time is over"
        self._undo()
        processes.kill_all(psutil.Process().children(recursive=True))

    def _await_go(self) -> bool:
        while b"go" not in (heard := self._listen(1.0)):
            if self._gone or b"undo" in heard:
                return False
        return True

    def _act(self) -> None:
        """Do the action; kill it at its deadline, or when the runner goes away in the middle."""
        call = self.action.call
        process = processes.begin(call)
        assert process.stdout is not None
        said, until = b"", time.monotonic() + call.activity.timeout_s
        while True:
            self._listen(0, also=process.stdout.fileno(), wait_s=0.2)
            ready, _, _ = select.select([process.stdout], [], [], 0)
            piece = os.read(process.stdout.fileno(), 65536) if ready else b""
            said += piece
            if ready and not piece:
                break
            late = time.monotonic() > until
            if late or self._gone or self._asked:
                processes.end(process)
                if late:
                    say(event="failed", error=processes.too_late(call))
                return
        self._tell(said, process)

    def _tell(self, said: bytes, process: subprocess.Popen[bytes]) -> None:
        call = self.action.call
        try:
            answer = processes.answer_of(call, said, process.wait())
        except Unavailable as error:
            say(event="failed", error=str(error))
            return
        if answer.good:
            say(event="applied", at=answer.at, answer=processes.shortly(answer.output))
        else:
            what = processes.shortly(answer.output)
            say(event="failed", error=f"{processes.title(call)} failed: it answered {what}")

    def _undo(self) -> None:
        undo = undo_of(self.action)
        tries = 1 if self._asked and not self._gone else TRIES
        for attempt in range(tries):
            try:
                say(event="reverted", at=undo_once(self.folder, undo), reason=self._gone)  # type: ignore[arg-type]
                return
            except ActionFailed as error:
                say(event="not-reverted", error=str(error))
            if attempt + 1 < tries:
                time.sleep(2**attempt)

    def _listen(self, seconds: float, also: int = -1, wait_s: float = 0.0) -> list[bytes]:
        """Take in what the runner says within *seconds*; notice that it is gone."""
        watched = [0, also] if also >= 0 else [0]
        ready, _, _ = select.select([] if self._gone else watched, [], [], wait_s or seconds)
        words: list[bytes] = []
        if 0 in ready:
            piece = os.read(0, 65536)
            *words, self._words = (self._words + piece).split(b"\n")
            self._heard = time.monotonic()
            if not piece:
                self._gone = "the runner is gone"
        elif time.monotonic() - self._heard > LEASE_S:
            self._gone = f"the runner has been silent for {LEASE_S:g} s"
        self._asked = self._asked or b"undo" in words
        return words


def say(**event: object) -> None:
    """Tell the runner, if it is there to hear."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(event).encode() + b"\n")


def main() -> int:
    """Read the order and serve it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.name_process("drill-undo")
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            return 0
        line += piece
    order = json.loads(line)
    Guard(Path(order["folder"]), RunActivity.model_validate(order["action"])).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
