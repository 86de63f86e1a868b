"""A demo service: real HTTP, real CPU work, real calls to the services it depends on, a real journal on disk."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest

from drill.agent import httpwire
from drill.core.clock import rfc3339
from drill.target.sandbox.appendlog import AppendLog
from drill.target.sandbox.deployments import Template
from drill.target.sandbox.routes import Routes
from drill.target.sandbox.topology import (
    BUCKETS,
    BY_NAME,
    CODES,
    DEPENDENCY_TIMEOUT_S,
    METRICS_PORT,
    SERVE_PORT,
    DemoService,
    Place,
)

LINES_PER_S = 3
SLOW_S = 0.25
"""A call to another service that takes longer is worth a line."""
MAX_BLOB = 64 * 2**20
_CHUNK = bytes(65536)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Said:
    """The service's log on standard output: failures and slow calls, and no more than somebody can read."""

    def __init__(self) -> None:
        self._second = 0
        self._lines: dict[str, int] = {}

    def say(self, level: str, text: str) -> None:
        """Write one line, unless this second has had its share of *level*."""
        now = time.time()
        if int(now) != self._second:
            self._second, self._lines = int(now), {}
        self._lines[level] = self._lines.get(level, 0) + 1
        if self._lines[level] <= LINES_PER_S:
            with contextlib.suppress(OSError):
                os.write(1, f"{rfc3339(now)} {level} {text}\n".encode())


class Replica:
    """One replica of a demo service; ``GET /`` works, calls its dependencies, writes its journal.

    What its template tells it to do without is not called, and its answers say so.
    """

    def __init__(self, service: DemoService, name: str, data: Path, endpoints: Path, template: Template) -> None:
        self._service = service
        self._name = name
        without = template.without()
        self._calls = tuple(call for call in service.calls if call not in without)
        self._degraded = f" (degraded: without {', '.join(sorted(without))})" if without else ""
        self._rounds = template.rounds(service.work)
        self._said = Said()
        self._log = AppendLog(data / "journal.log")
        self._routes = Routes(endpoints, seed=name)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._seconds = Histogram(
            "http_server_request_duration_seconds",
            "Time to answer a request, as the service sees it",
            ["code"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        for code in CODES:
            self._seconds.labels(code)

    async def answer(self, _: web.Request) -> web.Response:
        """``GET /``: 200, or 503 when a dependency fails, or 500 when the journal cannot be written."""
        began = time.perf_counter()
        status, text = await self._work()
        took = time.perf_counter() - began
        self._seconds.labels(str(status)).observe(took)
        if status != 200:
            self._said.say("ERROR", f"GET / {status} in {1000 * took:.0f} ms: {text.strip()}")
        return web.Response(status=status, text=text)

    async def _work(self) -> tuple[int, str]:
        digest = hashlib.sha256()
        for _ in range(self._rounds):
            digest.update(_CHUNK)
        failed = [f"{name} ({why})" for name, why in await self._call_dependencies() if why]
        if failed:
            return 503, f"{self._name}: no answer from {', '.join(failed)}\n"
        try:
            self._log.append(f"{time.time():.3f} {self._name} {digest.hexdigest()}")
        except OSError as error:
            return 500, f"{self._name}: cannot write: {error.strerror}\n"
        return 200, f"{self._name}: {digest.hexdigest()[:16]}{self._degraded}\n"

    async def _call_dependencies(self) -> list[tuple[str, str]]:
        calls = self._calls
        if not calls:
            return []
        return list(zip(calls, await asyncio.gather(*(self._call(name) for name in calls)), strict=True))

    async def _call(self, service: str) -> str:
        """Call *service*; return why that failed, empty when it did not."""
        address = self._routes.pick(service)
        if address is None:
            return "no endpoints"
        began = time.perf_counter()
        try:
            answer = await httpwire.get((address, SERVE_PORT), "/", DEPENDENCY_TIMEOUT_S)
        except TimeoutError:
            return f"timeout after {DEPENDENCY_TIMEOUT_S:g} s, {address}"
        except OSError as error:
            return f"{(error.strerror or 'connection cut').lower()}, {address}"
        took = time.perf_counter() - began
        if took > SLOW_S:
            self._said.say("WARN", f"{service} answered after {1000 * took:.0f} ms, {address}")
        return "" if answer.status == 200 else f"answered {answer.status}, {address}"

    async def blob(self, request: web.Request) -> web.StreamResponse:
        """``GET /blob?bytes=N``: N bytes (at most 64 MiB), for measuring bandwidth."""
        try:
            size = min(MAX_BLOB, max(0, int(request.query.get("bytes", "1024"))))
        except ValueError:
            raise web.HTTPBadRequest(text="bytes is not a number\n") from None
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # a client that has seen enough hangs up
            while size > 0:
                await response.write(_CHUNK[:size])
                size -= len(_CHUNK)
        return response

    async def ready(self, _: web.Request) -> web.Response:
        """``GET /ready``: the process serves; nothing else is looked at."""
        return web.Response(text="ok\n")


def metrics_handler(registry: CollectorRegistry) -> Handler:
    """``GET /metrics`` in the text format 0.0.4."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    return metrics


async def listen(port: int, routes: dict[str, Handler], host: str | None = None) -> web.AppRunner:
    """Serve GET *routes* on *port*; the caller keeps what is returned."""
    app = web.Application()
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, host or "0.0.0.0", port, reuse_address=True, backlog=1024).start()  # nosec B104 - own netns
    return runner


async def live(service: DemoService, name: str, data: Path, endpoints: Path, template: Template) -> None:
    """Be the replica *name*, for ever. Raises OSError when a port is taken."""
    replica = Replica(service, name, data, endpoints, template)
    metrics = metrics_handler(replica.registry)
    keep = [
        await listen(METRICS_PORT, {"/metrics": metrics}),
        await listen(SERVE_PORT, {"/": replica.answer, "/blob": replica.blob, "/ready": replica.ready}),
    ]
    Said().say("INFO", f"{name} serves on port {SERVE_PORT}")
    await asyncio.Event().wait()
    del keep


def run(place: Place, data: Path, endpoints: Path, template: Template) -> None:
    """Be the replica at *place* until killed."""
    asyncio.run(live(BY_NAME[place.service], place.name, data, endpoints, template))
