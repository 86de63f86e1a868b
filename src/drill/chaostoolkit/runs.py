"""The drills an experiment has started: each a process of its own, read by its journal.

Owns the names an experiment gives its drills. Chaos Toolkit hands nothing from one activity to the next, so they
are remembered here, in the experiment's process.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from chaoslib.exceptions import ActivityFailed

from drill.journal.events import AnyEvent, InjectionEffective, RunFinished, RunStarted
from drill.journal.journal import read_journal
from drill.plan.model import Plan
from drill.verify.judge import judge
from drill.verify.model import Verdict

POLL_S = 0.2
RUNS: dict[str, HeldRun | None] = {}
"""By name; None: the start of it failed."""


class HeldRun:
    """One drill that an experiment started. ``folder`` is where its journal and report are, once it has begun."""

    def __init__(self, arguments: Sequence[str], out: Path) -> None:
        self.out = out
        self.folder: Path | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the run
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "drill.chaostoolkit.held", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,
        )

    @property
    def ended(self) -> bool:
        """True when its process has ended."""
        return self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """drill's exit code, None while it runs."""
        return self._process.poll()

    def events(self) -> Sequence[AnyEvent]:
        """What its journal says so far."""
        if self.folder is None:
            self.folder = self._find()
        if self.folder is None:
            return ()
        with contextlib.suppress(OSError):
            return read_journal(self.folder / "journal.jsonl").events
        return ()

    def _find(self) -> Path | None:
        for path in self.out.glob("*/journal.jsonl"):
            with contextlib.suppress(OSError, ValueError, KeyError), path.open("rb") as journal:
                if json.loads(journal.readline())["pid"] == self._process.pid:
                    return path.parent
        return None

    def verdict(self) -> Verdict | None:
        """The judgement of what is known now, None before anything is."""
        events = self.events()
        if self.folder is None or not events:
            return None
        plan = Plan.model_validate_json((self.folder / "plan.json").read_bytes())
        return judge(plan, events)

    def effective(self) -> bool:
        """True when every injection was shown to be in effect."""
        events = self.events()
        if self.folder is None:
            return False
        plan = Plan.model_validate_json((self.folder / "plan.json").read_bytes())
        shown = {event.injection for event in events if isinstance(event, InjectionEffective)}
        return shown >= {injection.id for injection in plan.injections}

    def wait(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait until *condition* holds, the run has ended, or the time is over; return whether it holds."""
        until = time.monotonic() + within_s
        while not condition():
            if self.ended or time.monotonic() > until:
                return condition()
            time.sleep(POLL_S)
        return True

    def finish(self, within_s: float) -> bool:
        """Wait for its end; True when it came in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        return self.ended

    def abort(self) -> None:
        """Ask it to undo everything and to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def complaint(self) -> str:
        """The last lines it printed as errors."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return " ".join(line.strip() for line in lines[-3:])

    def summary(self) -> dict[str, Any]:
        """What an experiment's journal should keep: the folder, the verdict and its reasons."""
        verdict = self.verdict()
        if verdict is None:
            return {"run": str(self.folder or ""), "outcome": "unknown", "reasons": [self.complaint()]}
        return {
            "run": str(self.folder),
            "outcome": verdict.outcome,
            "undone": verdict.undo_complete,
            "reasons": list(verdict.reasons),
            "alerts": {
                " ".join(f"{k}={v}" for k, v in one.match.items()): str(one.verdict) for one in verdict.alerts
            },
        }


def start(name: str, arguments: Sequence[str], out: Path) -> HeldRun:
    """Start a drill under *name*. Raises ActivityFailed when one of that name is under way."""
    earlier = RUNS.get(name)
    if earlier is not None and not earlier.ended:
        raise ActivityFailed(
            f"the drill '{name}' is still under way: revert it first, or give this one another name"
        )
    RUNS[name] = None
    run = HeldRun(arguments, out)
    RUNS[name] = run
    return run


def is_over(events: Sequence[AnyEvent]) -> bool:
    """True when a journal's run has ended."""
    return any(isinstance(event, RunFinished) for event in events)


def started(events: Sequence[AnyEvent]) -> bool:
    """True when a journal has begun."""
    return any(isinstance(event, RunStarted) for event in events)


def flags(parameters: Mapping[str, Any] | None) -> list[str]:
    """Return scenario parameters as options of the command line."""
    return [word for key, value in (parameters or {}).items() for word in ("--set", f"{key}={value}")]
