"""The web pages of a training: a small server on 127.0.0.1, in a thread of its own.

It shows what the stage says and hands on what people do; it decides nothing, and knows no engine and no target.
What a role may see and do is the stage's answer to that role alone: there is no way from the trainee's door to the
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
from drill.web.asking import CommandRefused, carry_out, prose_of, view_of
from drill.web.feed import Feed, Listener
from drill.web.prose import tree

BEAT_S = 5.0
"""How often a page hears that the server is there; it calls the connection lost after three times that."""
MOST_PAGES = 16
"""Open pages of one role."""
MOST_BYTES = 64 * 1024
PAGES: dict[Role, str] = {"trainee": "trainee.html", "facilitator": "facilitator.html"}
TYPES = {"css": "text/css", "js": "text/javascript", "html": "text/html", "svg": "image/svg+xml"}
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
        await self._by_hand(self._feed.stop)
        self._feed.end()
        if self._streams:
            await asyncio.wait(self._streams, timeout=2.0)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[self._guard])
        app.router.add_get("/{place}/", self._page)
        app.router.add_get("/{place}/assets/{name}", self._asset)
        app.router.add_post("/{place}/enter", self._enter)
        app.router.add_get("/{place}/prose/{name}", self._prose)
        app.router.add_get("/{place}/events", self._events)
        app.router.add_post("/{place}/do", self._do)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what must not be looked at, and dress every answer in the headers that keep the page to itself."""
        try:
            if why := refusal(request.method, request.headers):
                return _said(403, why)
            return await handler(request)
        except web.HTTPException as error:
            return _said(error.status, error.reason)

    def _door(self, request: web.Request) -> Door:
        """The door of this address. Raises HTTPNotFound."""
        door = self._doors.get(request.match_info["place"])
        if door is None:
            raise web.HTTPNotFound
        return door

    def _inside(self, request: web.Request) -> Door:
        """The door, which this request came through. Raises HTTPNotFound, HTTPForbidden, HTTPUnauthorized."""
        door = self._door(request)
        if from_elsewhere(request.headers):
            raise web.HTTPForbidden(reason="another page may not ask for this")
        if not door.kept_open_by(request.cookies.get(COOKIE)):
            raise web.HTTPUnauthorized(reason="this page needs the whole address that drill has printed")
        return door

    async def _page(self, request: web.Request) -> web.Response:
        return self._file(PAGES[self._door(request).role])

    async def _asset(self, request: web.Request) -> web.Response:
        self._door(request)
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.Response:
        if name not in self._assets:
            raise web.HTTPNotFound
        kind = TYPES[name.rpartition(".")[2]]
        return web.Response(body=self._assets[name], content_type=kind, charset="utf-8", headers=HEADERS)

    async def _enter(self, request: web.Request) -> web.Response:
        door = self._door(request)
        if from_elsewhere(request.headers) or not door.opened_by(await _token(request)):
            raise web.HTTPForbidden(reason="this is not the address that drill has printed for this session")
        answer = _said(200, "welcome")
        answer.set_cookie(COOKIE, door.session, path=door.path, httponly=True, samesite="Strict")
        return answer

    async def _prose(self, request: web.Request) -> web.Response:
        self._inside(request)
        try:
            text = await self._by_hand(prose_of, self._stage, request.match_info["name"])
        except KeyError as error:
            raise web.HTTPNotFound from error
        return web.json_response(tree(text), headers=HEADERS)

    async def _do(self, request: web.Request) -> web.Response:
        door = self._inside(request)
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType
        body = await request.read()
        try:
            answer = await self._by_hand(carry_out, self._stage, door.role, body)
        except CommandRefused as error:
            return web.json_response({"ok": False, "text": str(error)}, status=400, headers=HEADERS)
        return web.json_response(answer.model_dump(), headers=HEADERS)

    async def _by_hand(self, work: Callable[..., Any], *args: Any) -> Any:
        """Ask the stage in a thread: it may take a moment, and the other pages must not wait for it."""
        return await self._loop.run_in_executor(self._hands, work, *args)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        door = self._inside(request)
        if self._feed.count(door.role) >= MOST_PAGES:
            raise web.HTTPServiceUnavailable(reason="too many pages are open")
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        listener = self._feed.listen(door.role)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            listener.put(*await self._by_hand(self._feed.now, door.role))
            await self._stream(response, listener)
        except ConnectionResetError:
            pass  # the page was closed
        finally:
            self._streams.discard(task)
            self._feed.leave(listener)
        return response

    async def _stream(self, response: web.StreamResponse, listener: Listener) -> None:
        await response.write(b"retry: 1000\n\n")
        while True:
            new = await listener.get(BEAT_S)
            if new is not None:
                await response.write(_event("view", new[1], str(new[0])))
            else:
                await response.write(_event("beat", "ok" if self._feed.healthy else "stuck"))
            if listener.ended:
                await response.write(_event("end", "over"))
                return


async def _token(request: web.Request) -> object:
    try:
        said = json.loads(await request.read())
    except ValueError:
        return None
    return said.get("token") if isinstance(said, dict) else None


def _event(name: str, data: str, number: str = "") -> bytes:
    """One server-sent event. Data has no line breaks: it is JSON, or one word of ours."""
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


def _said(status: int, why: str) -> web.Response:
    return web.json_response({"ok": status < 400, "text": why}, status=status, headers=HEADERS)


def _assets() -> dict[str, bytes]:
    """Everything in ``static/``, read once, and the palette that the reports have too."""
    folder = files("drill.web") / "static"
    found = {item.name: item.read_bytes() for item in folder.iterdir() if item.name.rpartition(".")[2] in TYPES}
    found["palette.css"] = (files("drill.report") / "templates" / "palette.css").read_bytes()
    return found
