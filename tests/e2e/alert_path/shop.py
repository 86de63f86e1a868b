"""A shop with real users and a real notification sink, in one thread: what a case of the table breaks on purpose.

The users send real HTTP requests to the shop at a steady rate and count the answers; Prometheus scrapes those
counts. The sink is the sandbox's own; the *door* before it is where a webhook can be slow, refuse or have an
expired certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from drill.target.sandbox.sink import application

METRIC = "http_request_duration_seconds_count"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


@dataclass
class Shop:
    """``failing`` holds the replicas a fault is at; ``refused`` is a scrape endpoint that answers 503."""

    rate: float = 20.0
    zero_init: bool = True
    certificate: tuple[str, str] = ("", "")
    failing: set[str] = field(default_factory=set)
    share: float = 1.0
    """Share of the requests that fail, evenly spread."""
    scrape_down: bool = False
    webhook_status: int = 200
    webhook_delay_s: float = 0.0

    def __post_init__(self) -> None:
        self.counts: dict[str, int] = {"200": 0, "500": 0} if self.zero_init else {"200": 0}
        self._asked = 0
        self.ports: dict[str, int] = {}
        self._ready = threading.Event()
        self._end: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="shop", daemon=True)

    def start(self) -> None:
        """Serve, and let the users begin."""
        self._thread.start()
        assert self._ready.wait(20), "the shop did not start"

    def close(self) -> None:
        """End everything; the ports are free afterwards."""
        if self._loop is not None and self._end is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)

    def url(self, site: str) -> str:
        """Base URL of ``shop`` (service and scrape), ``sink`` (to read) or ``door`` (to be notified at)."""
        scheme = "https" if site == "door" and self.certificate[0] else "http"
        return f"{scheme}://127.0.0.1:{self.ports[site]}"

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        shop = web.Application()
        shop.add_routes([web.get("/metrics", self._metrics), web.get("/shop", self._answer)])
        sink = application()
        sink.middlewares.append(self._before_the_sink())
        context = None
        if self.certificate[0]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
        runners = [web.AppRunner(each, access_log=None, shutdown_timeout=0.2) for each in (shop, sink)]
        for runner in runners:
            await runner.setup()
        await self._listen("shop", runners[0])
        await self._listen("sink", runners[1])
        await self._listen("door", runners[1], context)
        self._ready.set()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as users:
            crowd = asyncio.create_task(self._crowd(users))
            await self._end.wait()
            crowd.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await crowd
        for runner in runners:
            await runner.cleanup()

    async def _listen(self, name: str, runner: web.AppRunner, context: ssl.SSLContext | None = None) -> None:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        assert site._server is not None
        self.ports[name] = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def _crowd(self, users: aiohttp.ClientSession) -> None:
        due = time.monotonic()
        while True:
            if self.rate <= 0:
                await asyncio.sleep(0.05)
                due = time.monotonic()
                continue
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            async with users.get(self.url("shop") + "/shop") as answer:
                code = str(answer.status)
            self.counts[code] = self.counts.get(code, 0) + 1

    async def _answer(self, _: web.Request) -> web.Response:
        if not self.failing:
            return web.Response(text="ok\n")
        self._asked += 1
        fails = int(self._asked * self.share) > int((self._asked - 1) * self.share)
        return web.Response(status=500 if fails else 200, text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        if self.scrape_down:
            return web.Response(status=503, text="no\n")
        rows = [f'{METRIC}{{service="shop",code="{code}"}} {count}' for code, count in self.counts.items()]
        return web.Response(text="\n".join([f"# TYPE {METRIC} counter", *rows, ""]), content_type="text/plain")

    def _before_the_sink(self) -> Middleware:
        @web.middleware
        async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method == "POST":
                await asyncio.sleep(self.webhook_delay_s)
                if self.webhook_status != 200:
                    return web.Response(status=self.webhook_status, text="no\n")
            return await handler(request)

        return door
