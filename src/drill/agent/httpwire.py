"""One HTTP/1.1 GET on a connection of its own, as cheaply as Python can: edge, services and prober share it.

Refuses everything else: no keep-alive, no redirects, no TLS. Raises OSError (refused, reset, cut short) and
TimeoutError; both are what a user would have got.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

Address = tuple[str, int]


@dataclass(frozen=True)
class Answer:
    """Status code and size of the body in bytes; ``body`` is kept only when asked for."""

    status: int
    size: int
    body: bytes = b""


def open_socket() -> socket.socket:
    """A non-blocking TCP socket of the network namespace the caller is in."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


async def get(address: Address, path: str, timeout_s: float, keep: bool = False) -> Answer:
    """GET *path* from *address* within *timeout_s* seconds, connect included."""
    async with asyncio.timeout(timeout_s):
        return await exchange(open_socket(), address, path, keep=keep)


async def exchange(
    sock: socket.socket,
    address: Address,
    path: str,
    *,
    keep: bool = False,
    on_data: Callable[[int], bool] | None = None,
) -> Answer:
    """Connect *sock*, send one GET, read to the end, close *sock*.

    *on_data* hears the total of bytes after each piece and ends the reading by returning False.
    """
    loop = asyncio.get_running_loop()
    with sock:
        await loop.sock_connect(sock, address)
        host = f"{address[0]}:{address[1]}"
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n\r\n"
        await loop.sock_sendall(sock, request.encode())
        head, size, body = b"", 0, []
        while piece := await loop.sock_recv(sock, 65536):
            size += len(piece)
            if len(head) < 64:
                head += piece[:64]
            if keep:
                body.append(piece)
            if on_data is not None and not on_data(size):
                break
    whole = b"".join(body)
    return Answer(status_of(head), size, whole.partition(b"\r\n\r\n")[2] if keep else b"")


def status_of(head: bytes) -> int:
    """The status code in the first bytes of an answer. Raises ConnectionError when there is none."""
    parts = head.split(b" ", 2)
    if len(parts) < 2 or not head.startswith(b"HTTP/1.") or not parts[1][:3].isdigit():
        raise ConnectionResetError("the connection was closed before an answer")
    return int(parts[1][:3])
