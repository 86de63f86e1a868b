"""What the pages see, as it changes: one thread asks the stage, every open page gets the newest view.

A page that is slow misses views in between, never the last one. Views are rendered once for a role, not once for
each page, and not at all while nobody looks. Rendering takes at most a sixth of the time: a drill runs beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from drill.web.access import ROLES, Role

ASK_S = 1.0
"""How long the stage may keep the thread waiting: the end of the server is noticed after this at the latest."""
APART_S = 0.25
"""Views of one role come at least this far apart: nobody reads faster, and a phone has a battery."""
REST = 5.0
"""After rendering, the thread rests for this many times as long as it took."""


@dataclass(eq=False)
class Listener:
    """One open page. ``newest`` is the view it has not got yet, with its version."""

    role: Role
    newest: tuple[int, str] | None = None
    version: int = -1
    ended: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, version: int, view: str) -> None:
        """Replace the view that waits, unless this one is older than what the page has."""
        if version >= self.version:
            self.newest, self.version = (version, view), version
            self.changed.set()

    async def get(self, timeout_s: float) -> tuple[int, str] | None:
        """Wait for a view the page has not got yet; None after *timeout_s*, and at the end."""
        try:
            await asyncio.wait_for(self.changed.wait(), timeout_s)
        except TimeoutError:
            return None
        self.changed.clear()
        newest, self.newest = self.newest, None
        return newest


class Feed:
    """Renders views in a thread of its own and hands them to the listeners in the server's loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        view: Callable[[Role], str],
        wait: Callable[[int, float], int],
    ) -> None:
        self._loop = loop
        self._view = view
        self._wait = wait
        self._listeners: set[Listener] = set()
        self._stop = threading.Event()
        self._open = dict.fromkeys(ROLES, 0)
        self.healthy = True
        """False while the stage cannot say what is going on: what the pages show is old then, and they say so."""
        self._thread = threading.Thread(target=self._run, name="drill-web-feed", daemon=True)

    def start(self) -> None:
        """Begin to follow the stage."""
        self._thread.start()

    def listen(self, role: Role) -> Listener:
        """Return a new listener, which gets what changes from now on; see :meth:`now`. In the loop."""
        listener = Listener(role)
        self._listeners.add(listener)
        self._open[role] += 1
        return listener

    def now(self, role: Role) -> tuple[int, str]:
        """Render the view of *role* now: the first of a new page. In any thread but the loop's."""
        version = self._wait(-1, 0.0)
        return version, self._view(role)

    def leave(self, listener: Listener) -> None:
        """Forget a listener. In the loop."""
        self._listeners.discard(listener)
        self._open[listener.role] -= 1

    def count(self, role: Role) -> int:
        """How many pages of *role* are open."""
        return self._open[role]

    def stop(self) -> None:
        """Follow the stage no more, but for one last look. In any thread but the loop's."""
        self._stop.set()
        self._thread.join(5 * ASK_S)  # it may be rendering, on a busy machine
        if self._thread.is_alive():
            return  # the stage hangs; asking it once more would hang here too
        with contextlib.suppress(Exception):
            self._look(self._wait(-1, 0.0))

    def end(self) -> None:
        """Tell every listener that nothing more will come, after what it has not got yet. In the loop."""
        for listener in self._listeners:
            listener.ended = True
            listener.changed.set()

    def _run(self) -> None:
        version = -1
        while not self._stop.is_set():
            try:
                version = self._follow(version)
                self.healthy = True
            except Exception:
                # A mistake in the stage must not leave a page that looks alive and never changes again.
                if self.healthy:
                    logging.getLogger(__name__).exception("the stage cannot say what is going on")
                self.healthy = False
                self._stop.wait(ASK_S)

    def _follow(self, version: int) -> int:
        new = self._wait(version, ASK_S)
        began = time.monotonic()
        if new != version:
            self._look(new)
        self._stop.wait(max(APART_S, REST * (time.monotonic() - began)))
        return new

    def _look(self, version: int) -> None:
        views = {role: self._view(role) for role in ROLES if self._open[role]}
        self._loop.call_soon_threadsafe(self._hand_out, version, views)

    def _hand_out(self, version: int, views: dict[Role, str]) -> None:
        for listener in self._listeners:
            if listener.role in views:
                listener.put(version, views[listener.role])
