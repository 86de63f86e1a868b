"""A door on loopback to a port of a pod, through the API server: what `kubectl port-forward` does, without it.

Each connection that comes in gets a stream of its own to a pod that serves at that moment, so a door outlives the
pod it led to first. Nothing is written to disk; closing the door closes everything.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from drill.core.errors import DrillError
from drill.target.kubernetes import paths
from drill.target.kubernetes.api import Api

if TYPE_CHECKING:
    from websocket import WebSocket

DATA, ERROR = 0, 1
PIECE = 1 << 16
Find = Callable[[], tuple[str, str, int]]
"""Returns namespace, pod and port to go to; raises DrillError when there is none."""


class Door:
    """Listens on a port of loopback and forwards every connection."""

    def __init__(self, api: Api, find: Find) -> None:
        """Look for the pod once, so that a door that leads nowhere is never opened. Raises DrillError."""
        find()
        self._api, self.find = api, find
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open = True
        self.last_error = ""
        threading.Thread(target=self._accept, name="drill-door", daemon=True).start()

    @property
    def url(self) -> str:
        """The door's address."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _accept(self) -> None:
        while self._open:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="drill-door", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Join one connection with one stream; when the way is closed, so is the connection."""
        with connection:
            try:
                namespace, pod, port = self.find()
                path = paths.one("Pod", namespace, pod, "portforward")
                stream = self._api.stream(path, [("ports", str(port))])
            except DrillError as error:
                self.last_error = str(error)
                return
            back = threading.Thread(target=_backward, args=(stream, connection), name="drill-door", daemon=True)
            back.start()
            _forward(connection, stream)
            back.join(5)

    def close(self) -> None:
        """Close the door; connections that are open end with their users."""
        self._open = False
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def _forward(connection: socket.socket, stream: WebSocket) -> None:
    """Pass on what the user sends until either side ends."""
    with contextlib.suppress(Exception):
        while piece := connection.recv(PIECE):
            stream.send_binary(bytes([DATA]) + piece)
    with contextlib.suppress(Exception):
        stream.close(timeout=1)


def _backward(stream: WebSocket, connection: socket.socket) -> None:
    """Pass on what the pod sends. The first frame of each channel is the port's number and belongs to nobody."""
    begun: set[int] = set()
    with contextlib.suppress(Exception):
        while frame := stream.recv():
            data = frame if isinstance(frame, bytes) else frame.encode()
            channel, rest = data[0], data[1:]
            if channel not in begun and len(rest) == struct.calcsize("<H"):
                begun.add(channel)
            elif channel == DATA:
                connection.sendall(rest)
            elif channel == ERROR:
                break
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
