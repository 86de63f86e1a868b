"""A headless Chromium for tests: what it asks for, what it says, and what goes wrong in it is written down."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
EXPECTED = ("net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE_CHUNKED_ENCODING", "net::ERR_EMPTY_RESPONSE")
"""What Chromium writes into its console by itself when a server goes away."""


@dataclass
class Watched:
    """A browser and all that was seen in it."""

    context: Any
    requests: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    """Errors of scripts, violations of the policy, refused requests, dialogs: none of them is ever right."""

    def open(self, url: str, size: dict[str, int] | None = None) -> Any:
        """A new page at *url*, whose mistakes count."""
        page = self.context.new_page()
        page.set_viewport_size(size or DESK)
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: self.mistakes.append(f"error: {error}"))
        page.on("console", lambda said: self._heard(said))
        page.on("dialog", lambda dialog: self._asked(dialog))
        page.goto(url)
        return page

    def _heard(self, said: Any) -> None:
        if said.type in ("error", "warning") and not any(known in said.text for known in EXPECTED):
            self.mistakes.append(f"{said.type}: {said.text}")

    def _asked(self, dialog: Any) -> None:
        self.mistakes.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    @property
    def strangers(self) -> list[str]:
        """Requests that left this machine."""
        local = ("127.0.0.1", "localhost", None, "")
        return [url for url in self.requests if urlsplit(url).hostname not in local]


@contextlib.contextmanager
def browser(where: Path, niceness: int = 0, **options: Any) -> Iterator[Watched]:
    """Debian's Chromium with an empty profile in *where*; skips the test where there is none.

    With *niceness* it lets others go first (40: as far as that goes, whatever this process has): beside a sandbox it
    would take the processors from the services.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    if niceness:
        program = _polite(program, niceness, where)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            where / "profile", executable_path=program, args=list(FLAGS), **options
        )
        watched = Watched(context)
        context.on("request", lambda request: watched.requests.append(request.url))
        try:
            yield watched
        finally:
            context.close()


def _polite(program: str, niceness: int, where: Path) -> str:
    where.mkdir(parents=True, exist_ok=True)
    script = where / "chromium"
    script.write_text(f'#!/bin/sh\nexec nice -n {niceness} {program} "$@"\n')
    script.chmod(0o700)
    return str(script)


def sticks_out(page: Any) -> int:
    """How many pixels of the page are wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


class Tunnel:
    """Another port of 127.0.0.1 that leads to *target*, as ``ssh -L`` does; leaving it cuts every connection."""

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Tunnel:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ends = (self._listener.accept()[0], socket.create_connection(("127.0.0.1", self._target)))
                self._open += ends
                for one, other in (ends, ends[::-1]):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
