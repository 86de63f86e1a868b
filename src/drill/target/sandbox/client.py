"""The runner's side of the control socket: requests, and the connections that are the leases of held faults."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from drill.core.errors import ActionFailed, Unavailable

Message = dict[str, Any]
_RENEW = b'{"renew":true}\n'


class Line:
    """One connection that carries JSON lines."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise Unavailable(f"the sandbox does not answer: {error}", hint="`drill sandbox status`") from error
        self._rest = b""

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send *data*. Raises OSError."""
        self._socket.sendall(data)

    def receive(self, timeout_s: float) -> Message | None:
        """The next line; None at the end. Raises TimeoutError, OSError."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self._socket.recv(65536)
            if not piece:
                return None
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def ask(path: Path, message: Message, timeout_s: float) -> Message:
    """Ask one thing. Raises Unavailable when the sandbox is gone or refuses."""
    line = Line(path, timeout_s)
    try:
        line.send(json.dumps(message).encode() + b"\n")
        answer = line.receive(timeout_s)
    except (OSError, ValueError) as error:
        raise Unavailable(f"the sandbox did not answer {message.get('do')!r} in time: {error}") from error
    finally:
        line.close()
    if answer is None:
        raise Unavailable(f"the sandbox ended while it was asked {message.get('do')!r}")
    if "error" in answer:
        raise Unavailable(str(answer["error"]))
    return answer


class Hold:
    """A held fault: the connection that is its lease, and the events its agent sent."""

    def __init__(self, path: Path, message: Message, timeout_s: float) -> None:
        self._line = Line(path, timeout_s)
        self._line.send(json.dumps(message).encode() + b"\n")
        self.events: deque[Message] = deque(maxlen=200)

    def until_applied(self, timeout_s: float) -> Message:
        """Wait for ``applied``. Raises ActionFailed with the agent's words."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self._line.receive(max(0.0, deadline - time.monotonic()))
            except (OSError, ValueError) as error:
                raise ActionFailed(f"the agent did not say that the fault is applied: {error}") from error
            if event is None:
                raise ActionFailed("the agent ended without a word; see the sandbox's log")
            self.events.append(event)
            if event.get("event") == "applied":
                return event
            if "error" in event:
                self._drain(max(0.0, deadline - time.monotonic()))
                raise ActionFailed(str(event["error"]))

    def _drain(self, timeout_s: float) -> None:
        """Wait until the agent has ended: only then is nothing left of what it began."""
        with contextlib.suppress(OSError, ValueError):
            while (event := self._line.receive(timeout_s)) is not None:
                self.events.append(event)

    def renew(self) -> bool:
        """Renew the lease and take in what the agent said; False when the connection is gone."""
        try:
            self._line.send(_RENEW)
            while True:
                event = self._line.receive(0.001)
                if event is None:
                    return False
                self.events.append(event)
        except TimeoutError:
            return True
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """End the lease."""
        self._line.close()


class Leases:
    """Renews all held faults from one daemon thread. A runner that hangs or dies renews nothing."""

    def __init__(self, lease_s: float) -> None:
        self._every = lease_s / 3
        self._holds: dict[tuple[str, str], Hold] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, key: tuple[str, str], hold: Hold) -> None:
        """Renew *hold* from now on; one that had its *key* is over, or the agent had refused this one."""
        with self._lock:
            over, self._holds[key] = self._holds.get(key), hold
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew_all, name="drill-leases", daemon=True)
                self._thread.start()
        if over is not None:
            over.close()

    def take(self, key: tuple[str, str]) -> Hold | None:
        """Stop renewing; the caller closes what is returned."""
        with self._lock:
            return self._holds.pop(key, None)

    def _renew_all(self) -> None:
        while not self._stop.wait(self._every):
            with self._lock:
                held = list(self._holds.items())
            for key, hold in held:
                if not hold.renew():
                    with self._lock:
                        if self._holds.get(key) is hold:
                            del self._holds[key]
                    hold.close()

    def close(self) -> None:
        """Stop, and end every lease."""
        self._stop.set()
        with self._lock:
            held, self._holds = list(self._holds.values()), {}
        if self._thread is not None:
            self._thread.join(timeout=2)
        for hold in held:
            with contextlib.suppress(OSError):
                hold.close()
