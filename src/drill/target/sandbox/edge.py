"""The users: an open-loop load generator that counts what it got, and an entrance for the curious.

Open loop: requests start on their schedule whatever became of the ones before, so that a slow service does
not slow its own measurement (coordinated omission). What users get is the SLI: a refused or cut connection
counts as 503, no answer within the client's timeout as 504.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram

from drill.agent import httpwire
from drill.target.sandbox.routes import Routes
from drill.target.sandbox.service import listen, metrics_handler
from drill.target.sandbox.topology import (
    BUCKETS,
    CLIENT_TIMEOUT_S,
    CODES,
    ENTRANCE_PORT,
    METRICS_PORT,
    SERVE_PORT,
    SERVICES,
)

JITTER = 0.2
"""Gaps between requests vary by this share, so that services are not hit in step."""


class Edge:
    """Sends requests and keeps the histogram ``http_request_duration_seconds{service,code}``."""

    def __init__(self, endpoints: Path, seed: int) -> None:
        self._routes = Routes(endpoints, seed=f"edge-{seed}")
        self._seed = seed
        self._flying: set[asyncio.Task[tuple[int, bytes]]] = set()
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time until a user had the answer or gave up",
            ["service", "code"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        for service in SERVICES:
            for code in CODES:
                self._seconds.labels(service.name, code)

    async def request(self, service: str, keep: bool = False) -> tuple[int, bytes]:
        """One user's request to *service*: the code counted, and the body where it is wanted."""
        began = time.perf_counter()
        code, body = 503, b""
        address = self._routes.pick(service)
        if address is not None:
            try:
                answer = await httpwire.get((address, SERVE_PORT), "/", CLIENT_TIMEOUT_S, keep=keep)
                code, body = answer.status, answer.body
            except TimeoutError:
                code = 504
            except OSError:
                code = 503
        self._seconds.labels(service, str(code)).observe(time.perf_counter() - began)
        return code, body

    async def load(self, service: str, rate: float) -> None:
        """Start *rate* requests a second to *service*, for ever."""
        if rate <= 0:
            return
        chance = random.Random(f"{self._seed}-{service}")
        due = time.monotonic() + chance.random() / rate
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self.request(service))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)
            due += chance.uniform(1 - JITTER, 1 + JITTER) / rate

    async def enter(self, request: web.Request) -> web.Response:
        """``GET /<service>``: a request like any user's, answered with what the service said."""
        service = request.match_info["service"]
        if all(each.name != service for each in SERVICES):
            raise web.HTTPNotFound(text=f"services: {', '.join(each.name for each in SERVICES)}\n")
        code, body = await self.request(service, keep=True)
        return web.Response(status=code, body=body)


async def live(endpoints: Path, rates: Mapping[str, float], seed: int) -> None:
    """Be the edge, for ever. Raises OSError when a port is taken."""
    edge = Edge(endpoints, seed)
    keep = [
        await listen(METRICS_PORT, {"/metrics": metrics_handler(edge.registry)}),
        await listen(ENTRANCE_PORT, {"/{service}": edge.enter}),
    ]
    await asyncio.gather(*(edge.load(service, rate) for service, rate in rates.items()))
    await asyncio.Event().wait()
    del keep


def run(endpoints: Path, rates: Mapping[str, float], seed: int) -> None:
    """Be the edge until killed."""
    asyncio.run(live(endpoints, rates, seed))
