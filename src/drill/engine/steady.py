"""Unix seconds that never jump: the wall clock once, then the time since boot, sleep of the machine included."""

from __future__ import annotations

import threading
import time

JUMP_S = 2.0
"""A wall clock that is further off than this was set: NTP slews by half a millisecond per second."""
BEAT_S = 0.5
STALL_S = 5.0
"""A process that was silent for this long was stopped; a lease (6 s) may be over."""


class SteadyClock:
    """Call it for Unix seconds as they would be had nobody touched the wall clock since it was made."""

    def __init__(self) -> None:
        self._offset = time.time() - _boot_clock()

    def __call__(self) -> float:
        """Return the time."""
        return _boot_clock() + self._offset

    def jump_s(self) -> float:
        """Return by how much the wall clock was set since then, in seconds."""
        return time.time() - self()


def _boot_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Pulse:
    """Notices that the whole process was stopped: SIGSTOP, a closed laptop, a starved machine.

    A thread that does nothing but beat, because a slow answer in another one is no stop.
    """

    def __init__(self) -> None:
        self.missed_s = 0.0
        """The longest time without a beat that was too long; 0 when there was none."""
        self._end = threading.Event()

    def start(self) -> None:
        """Begin to beat."""
        threading.Thread(target=self._beat, name="drill-pulse", daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._end.set()

    def _beat(self) -> None:
        last = _boot_clock()
        while not self._end.wait(BEAT_S):
            now = _boot_clock()
            if now - last > STALL_S:
                self.missed_s = max(self.missed_s, now - last)
            last = now
