"""``drill.agent stay``: the helper pod's first process. It does nothing but end at the right moment.

Conductors, which the runner starts beside it, keep a connection to it. It ends when none was connected for a while,
at its deadline, or when the pod is deleted (SIGTERM): then it hangs up, the conductors revert what they hold, and
it waits for them, so that the pod's end is the faults' end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

GRACE_S = 20.0
"""How long conductors may take to let everything go once it hangs up."""


def address() -> str:
    """The abstract socket of this container: it leaves no file, and exists in its network namespace only.

    Several containers may share that; they do not share a mount namespace.
    """
    return f"\0drill-helper-{Path('/proc/self/ns/mnt').stat().st_ino}"


def stay(idle_s: float, deadline_s: float) -> int:
    """Stay until idle for *idle_s* seconds, for *deadline_s* at most, or until SIGTERM; return the exit status."""
    told, teller = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(teller, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _nothing)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(address())
        door.listen()
        conductors = _until_over(door, told, idle_s, time.monotonic() + deadline_s)
    _hang_up(conductors)
    return 0


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The wakeup descriptor has the news."""


def _until_over(door: socket.socket, told: int, idle_s: float, deadline: float) -> list[socket.socket]:
    conductors: list[socket.socket] = []
    idle_since = time.monotonic()
    while (now := time.monotonic()) < deadline and (conductors or now - idle_since < idle_s):
        until = deadline if conductors else min(deadline, idle_since + idle_s)
        watched = [told, door.fileno(), *(each.fileno() for each in conductors)]
        ready = select.select(watched, [], [], max(0.0, until - now))[0]
        if told in ready:
            break
        for each in [each for each in conductors if each.fileno() in ready and not _says_something(each)]:
            conductors.remove(each)
            idle_since = time.monotonic()
        if door.fileno() in ready:
            conductors.append(door.accept()[0])
    return conductors


def _says_something(connection: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        if connection.recv(4096):
            return True
    connection.close()
    return False


def _hang_up(conductors: list[socket.socket]) -> None:
    """Tell all conductors to end by closing our half, and wait until each has closed its own."""
    deadline = time.monotonic() + GRACE_S
    for each in conductors:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_WR)
    for each in conductors:
        each.settimeout(max(0.01, deadline - time.monotonic()))
        with contextlib.suppress(OSError):
            while each.recv(4096):
                pass
        each.close()


class Registration:
    """A conductor's connection to the first process; closed when the conductor has let everything go."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hung_up: Callable[[], None]) -> None:
        self._loop = loop
        self._line: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._hung_up = hung_up
        try:
            self._line.connect(address())
        except OSError:  # nobody stays here: the conductor runs alone
            self._line.close()
            self._line = None
            return
        loop.add_reader(self._line, self._heard)

    def _heard(self) -> None:
        if self._line is not None:
            self._loop.remove_reader(self._line)
            self._hung_up()

    def close(self) -> None:
        """Say that nothing is held any more."""
        if self._line is not None:
            self._loop.remove_reader(self._line)
            self._line.close()
            self._line = None


def register(loop: asyncio.AbstractEventLoop, hung_up: Callable[[], None]) -> Registration:
    """Connect to the first process of this pod; *hung_up* is called when it wants everybody to end."""
    return Registration(loop, hung_up)
