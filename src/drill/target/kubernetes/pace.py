"""At most so many API calls a second, for all threads together, and never before the server's Retry-After."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CALLS_PER_S = 50.0
"""As `safety rules in code` ask for; client-go's own default is 5, kubectl's 50 with a burst of 300."""
BURST = 300


class Pace:
    """A token bucket. ``wait`` blocks until a call is allowed."""

    def __init__(
        self,
        per_s: float = CALLS_PER_S,
        burst: int = BURST,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_s, self._burst, self._clock, self._sleep = per_s, burst, clock, sleep
        self._lock = threading.Lock()
        self._tokens, self._at, self._not_before = float(burst), clock(), 0.0
        self.calls = 0
        """How many calls were let through."""

    def wait(self) -> None:
        """Take one token; a call that has none waits its turn."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
            self._at = now
            self._tokens -= 1
            self.calls += 1
            delay = max(-self._tokens / self._per_s if self._tokens < 0 else 0.0, self._not_before - now)
        if delay > 0:
            self._sleep(delay)

    def hold_off(self, seconds: float) -> None:
        """Let nobody call for *seconds*: the server asked for it."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)
