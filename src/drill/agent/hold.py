"""The contract: apply, say so, hold while the lease is renewed, revert, say so.

Owns the agent's stdin (lease), stdout (events), signals and exit status. Knows no kind of fault.

The fault ends on EOF or a missed lease on stdin, SIGTERM, SIGINT, SIGHUP, the deadline and a closed stdout; and,
by the guard (``drill.agent.guard``), when this process dies or hangs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from types import FrameType

from drill.agent.errors import CannotApply
from drill.agent.fault import Held, Site
from drill.agent.guard import Guard
from drill.agent.kernel import boot_clock

CLEAN, APPLY_FAILED, LEFT = 0, 3, 5
STDIN, STDOUT = 0, 1
ENDING = {signal.SIGTERM: "sigterm", signal.SIGINT: "sigint", signal.SIGHUP: "sighup"}


class Voice:
    """Events as JSON lines on stdout. A closed stdout is not an error but the end of the fault."""

    def __init__(self) -> None:
        self.closed = False

    def say(self, event: str, **fields: object) -> None:
        """Print one event."""
        line = json.dumps({"event": event, **fields}) + "\n"
        try:
            os.write(STDOUT, line.encode())
        except OSError:
            self.closed = True


class Signals:
    """Remembers the first ending signal and wakes the loop; a second one never interrupts the undo."""

    def __init__(self) -> None:
        self.reason = ""
        self.wake, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in ENDING:
            signal.signal(number, self._remember)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.reason = self.reason or ENDING[signal.Signals(number)]


class Lease:
    """Lines on stdin. ``over`` names why it ended: ``eof``, or ``lease`` when no line came in time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.ends = boot_clock() + seconds
        self.closed = False

    def read(self) -> None:
        """Take what has arrived; every line renews."""
        try:
            data = os.read(STDIN, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.closed = not data
        if b"\n" in data:
            self.ends = boot_clock() + self.seconds

    def over(self, now: float) -> str:
        """Return why it ended, or ``''``. What arrived while a slow machine applied or refreshed still counts."""
        if now >= self.ends and select.select([STDIN], [], [], 0)[0]:
            self.read()
        return "eof" if self.closed else "lease" if now >= self.ends else ""


class Holding:
    """One applied fault until it must end."""

    def __init__(self, fault: Held, guard: Guard, lease: Lease, signals: Signals, voice: Voice) -> None:
        self.fault, self.guard, self.lease, self.signals, self.voice = fault, guard, lease, signals, voice
        self.started = boot_clock()
        self.missing = ""

    def until_over(self) -> str:
        """Hold the fault; return the reason why it must end."""
        poller = select.poll()
        poller.register(STDIN, select.POLLIN)
        poller.register(STDOUT, 0)  # only errors: the reader is gone
        poller.register(self.signals.wake, select.POLLIN)
        next_beat = 0.0
        while not (reason := self._over(now := boot_clock())):
            if now >= next_beat:
                self._keep()
                next_beat = boot_clock() + self.fault.beat
            for descriptor, _ in self._wait(poller, next_beat):
                self._notice(descriptor)
        return reason

    def _over(self, now: float) -> str:
        late = "deadline" if now >= self.started + self.fault.site.deadline else ""
        return self.signals.reason or self.lease.over(now) or late or ("stdout" if self.voice.closed else "")

    def _wait(self, poller: select.poll, next_beat: float) -> list[tuple[int, int]]:
        watched = [] if self.missing else self.fault.watched()
        for descriptor in watched:
            poller.register(descriptor, select.POLLIN)
        until = min(next_beat, self.lease.ends, self.started + self.fault.site.deadline)
        ready = poller.poll(max(0.0, until - boot_clock()) * 1000 + 1)
        for descriptor in watched:
            poller.unregister(descriptor)
        return ready

    def _notice(self, descriptor: int) -> None:
        if descriptor == STDIN:
            self.lease.read()
        elif descriptor == STDOUT:
            self.voice.closed = True
        elif descriptor == self.signals.wake:
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, 4096)
        else:
            self._check()

    def _keep(self) -> None:
        self.guard.beat()
        try:
            self.fault.refresh()
        except (CannotApply, OSError) as error:
            self._report(str(error))
        else:
            self._check()

    def _check(self) -> None:
        try:
            self._report(self.fault.lost())
        except (CannotApply, OSError) as error:
            self._report(str(error))

    def _report(self, missing: str) -> None:
        if missing and not self.missing:
            self.voice.say("lost", at=time.time(), error=missing)
        elif self.missing and not missing:
            self.voice.say("again", at=time.time())
        self.missing = missing


def undo(fault: Held) -> list[str]:
    """Revert *fault* and return what is left; an error of the undo itself is something left."""
    try:
        return fault.revert()
    except Exception as error:
        # Whatever it was: somebody must hear that the undo did not finish.
        return [f"the undo failed: {type(error).__name__}: {error}"]


def hold(site: Site, spec: str, netns: str) -> int:
    """Hold the fault *spec* at *site* in the network namespace *netns* and return the exit status."""
    voice, signals, lease = Voice(), Signals(), Lease(site.lease)
    try:
        fault = _prepared(site, spec, netns)
    except (CannotApply, OSError) as error:
        voice.say("failed", error=str(error))
        return APPLY_FAILED
    guard = Guard(fault)
    holding = Holding(fault, guard, lease, signals, voice)
    try:
        detail = fault.apply()
    except Exception as error:
        left = undo(fault)
        guard.dismiss()
        voice.say("failed", error=str(error) or type(error).__name__, left=left)
        return LEFT if left else APPLY_FAILED
    reason = "error"
    try:
        guard.beat()
        voice.say("applied", at=time.time(), backend=fault.backend, detail=dict(detail))
        reason = holding.until_over()
    finally:
        guard.reverting()
        left = undo(fault)
        guard.dismiss()
        voice.say("reverted", at=time.time(), reason=reason, clean=not left, left=left, **fault.report())
    return LEFT if left else CLEAN


def _prepared(site: Site, spec: str, netns: str) -> Held:
    from drill.agent.kernel import enter_namespace
    from drill.agent.kinds import fault_for
    from drill.agent.spec import parse_spec

    parsed = parse_spec(spec)
    if netns:
        enter_namespace(netns)
    fault = fault_for(parsed, site)
    fault.prepare()
    return fault
