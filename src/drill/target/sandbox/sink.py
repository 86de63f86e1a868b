"""The notification sink: stands for PagerDuty, Slack and the log, and keeps all they would have got.

``POST /<receiver>`` takes Alertmanager's webhook JSON (version 4), ``GET /notifications?since=T`` gives a JSON
list with the fields of :class:`drill.core.observations.Notification`.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from aiohttp import web

from drill.core.clock import parse_rfc3339
from drill.target.sandbox.topology import SINK_PORT

KEEP = 50_000
"""Notified alerts kept; the oldest go first."""


def read_webhook(body: dict[str, Any], receiver: str, at: float) -> list[dict[str, Any]]:
    """Turn one webhook message into notifications, one for each alert in it. Raises KeyError, ValueError."""
    return [
        {
            "at": at,
            "receiver": receiver,
            "status": alert["status"],
            "labels": dict(alert["labels"]),
            "starts_at": parse_rfc3339(alert["startsAt"]) if alert.get("startsAt") else 0.0,
        }
        for alert in body["alerts"]
    ]


class Sink:
    """Holds the notifications in memory."""

    def __init__(self) -> None:
        self._kept: list[dict[str, Any]] = []

    async def receive(self, request: web.Request) -> web.Response:
        """``POST /<receiver>``."""
        at = time.time()
        try:
            self._kept += read_webhook(json.loads(await request.read()), request.match_info["receiver"], at)
        except (ValueError, KeyError, TypeError) as error:
            raise web.HTTPBadRequest(text=f"not an Alertmanager webhook: {error}\n") from None
        del self._kept[:-KEEP]
        return web.Response(text="ok\n")

    async def notifications(self, request: web.Request) -> web.Response:
        """``GET /notifications?since=T``: those that arrived at or after Unix time T."""
        try:
            since = float(request.query.get("since", "0"))
        except ValueError:
            raise web.HTTPBadRequest(text="since is not a number\n") from None
        return web.json_response([each for each in self._kept if each["at"] >= since])


def application() -> web.Application:
    """The sink as an aiohttp application."""
    sink = Sink()
    app = web.Application(client_max_size=16 * 2**20)
    app.add_routes([web.get("/notifications", sink.notifications), web.post("/{receiver}", sink.receive)])
    return app


async def live(host: str = "127.0.0.1") -> None:
    """Be the sink on *host*, for ever. Raises OSError when the port is taken."""
    runner = web.AppRunner(application(), access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, host, SINK_PORT, reuse_address=True).start()
    await asyncio.Event().wait()


def run() -> None:
    """Be the sandbox's sink until killed."""
    asyncio.run(live())
