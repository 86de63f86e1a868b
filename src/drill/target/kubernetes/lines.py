"""One command in a pod, as lines in and lines out: a websocket through the API server, owned by one thread.

Neither the package's websocket nor TLS may be used from two threads, so everything that is sent is queued and sent
by the thread that reads. Protocol: Kubernetes's ``v4.channel.k8s.io``, the first byte of a frame is its channel.
"""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from drill.core.redact import redact

STDIN, STDOUT, STDERR, ERROR = 0, 1, 2, 3
FRAME_S = 10.0
"""How long one frame may take to come or go once it has begun."""


def exec_query(container: str, command: Sequence[str]) -> list[tuple[str, str]]:
    """Return the query that runs *command* in *container* with lines both ways."""
    query = [("container", container), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
    return query + [("command", word) for word in command]


class LineStream:
    """Lines to and from the command. *on_line* and *on_end* are called in the stream's own thread.

    Every *beat_s* seconds *beat* gives a line to send. *on_end* gets why it ended, once.
    """

    def __init__(
        self,
        sock: Any,
        on_line: Callable[[bytes], None],
        on_end: Callable[[str], None],
        beat: Callable[[], bytes],
        beat_s: float,
    ) -> None:
        sock.settimeout(FRAME_S)
        self._sock, self._on_line, self._on_end, self._beat, self._beat_s = sock, on_line, on_end, beat, beat_s
        self._queue: deque[bytes] = deque()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._closing = False
        self._stderr = b""
        self._thread = threading.Thread(target=self._run, name="drill-stream", daemon=True)
        self._thread.start()

    def send(self, line: bytes) -> None:
        """Send *line* soon; after the stream's end nothing happens."""
        self._queue.append(line)
        self._wake()

    def close(self) -> None:
        """End the stream, which is the end of the command's stdin."""
        self._closing = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(FRAME_S)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._waker, b"x")

    def _run(self) -> None:
        reason = "closed"
        try:
            reason = self._until_over()
        except Exception as error:
            # Whatever ended it (the server, TLS, the network): whoever waits for an answer must hear of it.
            reason = f"{type(error).__name__}: {redact(str(error))[:200]}"
        finally:
            with contextlib.suppress(Exception):
                self._sock.close(timeout=0)
            waker, self._waker = self._waker, -1
            os.close(waker)
            os.close(self._woken)
            self._on_end(reason)

    def _until_over(self) -> str:
        poller = select.poll()
        poller.register(self._sock.fileno(), select.POLLIN)
        poller.register(self._woken, select.POLLIN)
        next_beat, rest = time.monotonic(), b""
        while not self._closing:
            if time.monotonic() >= next_beat:
                self._put(self._beat())
                next_beat = time.monotonic() + self._beat_s
            ready = {fd for fd, _ in poller.poll(max(0.0, next_beat - time.monotonic()) * 1000 + 1)}
            if self._woken in ready:
                os.read(self._woken, 4096)
            while self._queue:
                self._put(self._queue.popleft())
            if self._sock.fileno() in ready:
                rest, end = self._take(rest)
                if end:
                    return end
        while self._queue:
            self._put(self._queue.popleft())
        return "closed"

    def _put(self, line: bytes) -> None:
        self._sock.send_binary(bytes((STDIN,)) + line)

    def _take(self, rest: bytes) -> tuple[bytes, str]:
        """Read the frames that are there; return what is left of a line, and why the stream ended, if it did."""
        from websocket import ABNF

        while True:
            code, frame = self._sock.recv_data_frame(True)
            if code == ABNF.OPCODE_CLOSE:
                return rest, f"the stream was closed: {self._last_words()}"
            if code in (ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT) and frame.data:
                channel, data = frame.data[0], frame.data[1:]
                if channel == STDOUT:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._on_line(line)
                elif channel == STDERR:
                    self._stderr = (self._stderr + data)[-2000:]
                elif channel == ERROR and data:
                    return rest, f"the command ended: {self._last_words() or data.decode(errors='replace')[:300]}"
            if not self._pending():
                return rest, ""

    def _pending(self) -> bool:
        """True when TLS has taken more off the socket than was asked for: poll does not see that."""
        inner = self._sock.sock
        return bool(isinstance(inner, ssl.SSLSocket) and inner.pending())

    def _last_words(self) -> str:
        return " ".join(self._stderr.decode(errors="replace").split())[-300:]
