"""A small HTTP server that misbehaves like an API server in trouble: for adversity only, never for meaning.

A script is a list of answers; each request takes the next one, the last one stays. What was asked is kept.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Answer = Callable[[socket.socket], None]


def status(code: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Answer:
    """A Kubernetes ``Status``."""
    return _whole(code, {"kind": "Status", "message": message, "code": code}, headers or {})


def ok(body: Any) -> Answer:
    return _whole(200, body, {})


def _whole(code: int, body: Any, headers: Mapping[str, str]) -> Answer:
    data = json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {code} X",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
        "Connection: close",
    ]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())])
    return lambda peer: peer.sendall(head.encode() + b"\r\n\r\n" + data)


def cut(peer: socket.socket) -> None:
    """Half an answer, then the end."""
    peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"metadata": {')


def silence(peer: socket.socket) -> None:
    """Hang until the other side has had enough."""
    peer.settimeout(20)
    try:
        peer.recv(1)
    except OSError:
        return


def hang_up(peer: socket.socket) -> None:
    """Close without a word."""


@dataclass
class Server:
    """The server; ``asked`` holds method and path of every request in order."""

    script: list[Answer]
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(*script: Answer) -> Iterator[Server]:
    server = Server(list(script))
    listening = socket.create_server(("127.0.0.1", 0))
    server.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=answer, args=(peer,), daemon=True))
            threads[-1].start()

    def answer(peer: socket.socket) -> None:
        with peer:
            head = _head(peer)
            if head:
                server.asked.append(" ".join(head.split()[:2]))
                turn = server.script.pop(0) if len(server.script) > 1 else server.script[0]
                turn(peer)

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join(5)
        for thread in threads:
            thread.join(1)


def _head(peer: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        if not piece:
            return ""
        data += piece
        if data[:1] == b"\x16":  # a TLS greeting: answered as Go's server does
            peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
            return ""
    head, _, rest = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    left = int(lengths[0]) - len(rest) if lengths else 0
    while left > 0 and (piece := peer.recv(65536)):
        left -= len(piece)
    return head.decode()


def kubeconfig(folder: Path, url: str, contexts: Sequence[str] = ("there",)) -> str:
    """Write a kubeconfig with a planted token for each context; return its path."""
    path = folder / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "elsewhere",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": "planted-token-4711"}}],
                "contexts": [{"name": one, "context": {"cluster": "c", "user": "u"}} for one in contexts],
            }
        )
    )
    return str(path)
