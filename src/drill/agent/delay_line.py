"""Which packet leaves when: pure, no clock, no socket.

Jitter without reordering. Drawing a delay per packet and forbidding overtaking drifts to the maximum, since every
long delay holds up all that follow. Here the delay itself is a function of time, linear between random knots and
never falling faster than time passes, so order is kept and the mean is exactly the delay asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

GRAIN_S = 100e-6
"""Neighbours due within this leave together, with one verdict."""
KNOT_S = 0.05
"""Least distance of two knots of the jitter."""


@dataclass(frozen=True)
class Shape:
    """What happens to packets; seconds, and shares from 0 to 1. ``delay`` is at least ``jitter`` in effect."""

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0


class WanderingDelay:
    """A delay that wanders evenly within ``delay ± jitter`` (never below 0), slower than packets could overtake."""

    def __init__(self, shape: Shape, random: Callable[[], float]) -> None:
        self._delay, self._random = shape.delay, random
        self._jitter = min(shape.jitter, shape.delay)
        # From one extreme to the other within a step: the slope stays above -1.
        self._step = max(KNOT_S, 2.5 * self._jitter)
        self._from_at, self._from, self._to = 0.0, shape.delay, shape.delay

    def _draw(self) -> float:
        return self._delay + self._jitter * (2 * self._random() - 1)

    def at(self, now: float) -> float:
        """Return the delay of a packet that arrives at *now*; calls must go forward in time."""
        if not self._jitter:
            return self._delay
        if now >= self._from_at + 2 * self._step:  # nothing came for long: start anew
            self._from_at, self._from, self._to = now, self._draw(), self._draw()
        elif now >= self._from_at + self._step:
            self._from_at, self._from, self._to = self._from_at + self._step, self._to, self._draw()
        return self._from + (self._to - self._from) * (now - self._from_at) / self._step


class DelayLine:
    """Packets by id, in the order they came, each with the time it leaves and whether it survives."""

    def __init__(self, shape: Shape, random: Callable[[], float]) -> None:
        self._shape, self._random = shape, random
        self._delay = WanderingDelay(shape, random)
        self._waiting: deque[list[float | int | bool]] = deque()
        self._last_due = 0.0

    def put(self, now: float, packet: int) -> bool | None:
        """Take *packet*. Returns whether it survives when it leaves at once (reordered), None when it waits."""
        shape = self._shape
        lives = not (shape.loss and self._random() < shape.loss)
        if shape.reorder and self._random() < shape.reorder:
            return lives
        self._last_due = due = max(self._last_due, now + self._delay.at(now))
        waiting = self._waiting
        if waiting and waiting[-1][2] == lives and due - waiting[-1][0] < GRAIN_S:
            waiting[-1][1] = packet
        else:
            waiting.append([due, packet, lives])
        return None

    def due(self, now: float) -> list[tuple[int, bool]]:
        """Take out all that are due: each entry stands for that packet and every older one still held."""
        waiting, out = self._waiting, []
        while waiting and waiting[0][0] <= now:
            _, packet, lives = waiting.popleft()
            while waiting and waiting[0][0] <= now and waiting[0][2] == lives:
                packet = waiting.popleft()[1]
            out.append((int(packet), bool(lives)))
        return out

    def next_due(self) -> float | None:
        """Return when the next packet leaves, or None."""
        return float(self._waiting[0][0]) if self._waiting else None
