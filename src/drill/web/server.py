"""The web pages of a training: a small server on 127.0.0.1, in a thread of its own.

It shows what the stage says and hands on what people do; it decides nothing, and knows no engine and no target. What a
role may see and do is the stage's answer to that role alone: there is no way from the trainee's door to the
facilitator's methods.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from aiohttp import web

from drill.training.stage import Stage
from drill.web.access import COOKIE, HEADERS, Door, Role, doors, from_elsewhere, refusal
from drill.web.asking import CommandRefused, carry_out, view_of
from drill.web.feed import Feed, Listener

BEAT_S = 5.0
"""How often a page hears that the server is there; it calls the connection lost after three times that."""
MOST_PAGES = 16
"""Open pages of one role."""
MOST_BYTES = 64 * 1024
PAGES: dict[Role, str] = {"trainee": "trainee.html", "facilitator": "facilitator.html"}
TYPES = {"css": "text/css", "js": "text/javascript", "html": "text/html", "svg": "image/svg+xml"}
DOOR = web.RequestKey("door", Door) if hasattr(web, "RequestKey") else "door"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Served:
    """Where the pages are. Each address is a secret: whoever has it plays that role."""

    trainee_url: str
    facilitator_url: str
    port: int


@contextlib.contextmanager
def serve(stage: Stage, *, port: int = 0) -> Iterator[Served]:
    """Serve the pages of *stage* on 127.0.0.1 until the block is left; *port* 0 takes a free one.

    Open pages are told that it is over, after the last view. Raises OSError when the port cannot be had.
    """
    server = _Server(stage)
    with server.running(port):
        yield server.served()


class _Server:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._doors = doors()
        self._assets = _assets()
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._feed = Feed(self._loop, lambda role: view_of(stage, role), stage.wait_for_change)
        self._hands = ThreadPoolExecutor(4, thread_name_prefix="drill-web-hand")
        self._streams: set[asyncio.Task[Any]] = set()

    def served(self) -> Served:
        urls = {door.role: door.url(self._port) for door in self._doors.values()}
        return Served(urls["trainee"], urls["facilitator"], self._port)

    @contextlib.contextmanager
    def running(self, port: int) -> Iterator[None]:
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=2.0, handle_signals=False)
        thread = threading.Thread(target=self._loop.run_forever, name="drill-web", daemon=True)
        thread.start()
        try:
            self._call(self._open(runner, port))
            self._feed.start()
            try:
                yield
            finally:
                self._call(self._say_goodbye())
                self._feed.join()
        finally:
            self._call(runner.cleanup())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()
            self._hands.shutdown(wait=False, cancel_futures=True)

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, runner: web.AppRunner, port: int) -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self._port = runner.addresses[0][1]

    async def _say_goodbye(self) -> None:
        self._feed.end()
        if self._streams:
            await asyncio.wait(self._streams, timeout=2.0)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[self._guard])
        app.router.add_get("/{place}/", self._page)
        app.router.add_get("/{place}/assets/{name}", self._asset)
        app.router.add_post("/{place}/enter", self._enter)
        app.router.add_get("/{place}/view", self._view)
        app.router.add_get("/{place}/events", self._events)
        app.router.add_post("/{place}/do", self._do)
        return app
