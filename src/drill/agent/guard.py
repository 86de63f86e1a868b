"""A second process that undoes the fault when the first one dies or hangs.

It is forked after ``prepare`` and before ``apply``, so it knows how to undo before there is anything to undo.
It lives in its own session (a Ctrl-C or a kill of the agent's process group does not reach it), ignores the
signals that end the agent, and ends with the agent. When both are killed together only what the kernel holds
by itself protects the victim: the nftables timeout, parent-death signals, unlinked files.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from pathlib import Path
from typing import NoReturn

from drill.agent.fault import Held
from drill.agent.kernel import boot_clock

PATIENCE_S = 40.0
"""How long ``apply`` and ``revert`` may take: a few commands at their own time limit of 10 s."""
SETTLE_S = 0.05
"""A command the agent had started may finish after its death; the undo is done once more after this."""
SHELTER_S = 5.0
BEAT, REVERTING, BYE = b"b", b"r", b"q"


class Guard:
    """The agent's end: starts the guard (again, when somebody killed it), feeds it beats, and dismisses it."""

    def __init__(self, fault: Held) -> None:
        self._fault = fault
        self._start()

    def _start(self) -> None:
        agent = os.pidfd_open(os.getpid())
        reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        settled, settler = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writer)
            _guard_main(self._fault, agent, reader, settler)
        for descriptor in (reader, agent, settler):
            os.close(descriptor)
        if self._fault.shelter():  # no fault before its guard is where it must be
            select.select([settled], [], [], SHELTER_S)
        os.close(settled)

    def beat(self) -> None:
        """Say that the agent lives."""
        if os.waitpid(self._pid, os.WNOHANG)[0]:
            os.close(self._writer)
            self._start()
        self._tell(BEAT)

    def reverting(self) -> None:
        """Say that the undo has begun and may take longer than a beat."""
        self._tell(REVERTING)

    def dismiss(self) -> None:
        """Say that nothing is left to guard, and wait for its end."""
        self._tell(BYE)
        os.close(self._writer)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._writer, word)


def _guard_main(fault: Held, agent: int, reader: int, settler: int) -> NoReturn:
    try:
        _leave_the_terminal()
        _take_shelter(fault.shelter())
        os.close(settler)
        verdict = _watch(fault, agent, reader)
        if verdict:
            if verdict == "agent-hung":
                signal.pidfd_send_signal(agent, signal.SIGKILL)
            _undo_and_say(fault, verdict)
    finally:
        os._exit(0)


def _leave_the_terminal() -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 2):
        os.dup2(nothing, descriptor)


def _take_shelter(directories: tuple[str, ...]) -> None:
    """Move into the victim's cgroups: who kills all processes of a helper pod finds them by its own cgroups."""
    for directory in directories:
        with contextlib.suppress(OSError):
            Path(directory, "cgroup.procs").write_text("0")


def _watch(fault: Held, agent: int, reader: int) -> str:
    """Wait for the agent's end. Returns ``''`` when it said good-bye, else what happened to it."""
    limit, heard = PATIENCE_S, boot_clock()
    poller = select.poll()
    poller.register(agent, select.POLLIN)
    poller.register(reader, select.POLLIN)
    while True:
        ready = dict(poller.poll(fault.guard_every * 1000))
        words = _read(reader) if reader in ready else b""
        if BYE in words:
            return ""
        if agent in ready:
            return "agent-killed"
        if words:
            heard = boot_clock()
            limit = PATIENCE_S if words.endswith(REVERTING) else max(1.0, fault.site.ttl)
        fault.guard_tick()
        if boot_clock() - heard > limit:
            return "agent-hung"


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except OSError:
        return b""


def _undo_and_say(fault: Held, reason: str) -> None:
    from drill.agent.hold import undo

    undo(fault)
    time.sleep(SETTLE_S)
    left = undo(fault)
    event = {"event": "reverted", "at": time.time(), "reason": reason, "clean": not left, "left": left}
    with contextlib.suppress(OSError):
        os.write(1, (json.dumps(event) + "\n").encode())
