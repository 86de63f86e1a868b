"""The runner's side of one node's conductor: questions with answers, events of held faults, the lease of all.

One stream carries everything. Threads may share a :class:`Conversation`.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drill.core.errors import ActionFailed, Unavailable
from drill.target.kubernetes.lines import LineStream

Message = dict[str, Any]
PROTOCOL = 1
BEAT_S = 1.5
"""The conductor reverts everything after four of these without a word."""
DEAF_S = 10.0
"""A conductor that answers no beat for this long is dead, or the way to it is."""
HELLO_S = 90.0
EVENTS = 200


class Said(ActionFailed):
    """The conductor answered, and it was a refusal: asking again changes nothing."""


@dataclass
class _Asked:
    done: threading.Event = field(default_factory=threading.Event)
    answer: Message = field(default_factory=dict)


class Conversation:
    """What is said over one stream; *open_stream* opens it with our callbacks."""

    def __init__(self, node: str, open_stream: Callable[..., LineStream]) -> None:
        self.node = node
        self.hello: Message = {}
        self.events: deque[Message] = deque(maxlen=EVENTS)
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._lock = threading.Lock()
        self._greeted = threading.Event()
        self._heard = time.monotonic()
        self._ended = ""
        self._stream = open_stream(self._hear, self._end, self._beat, BEAT_S)
        try:
            self._until_hello()
        except BaseException:
            self._stream.close()
            raise

    def _until_hello(self) -> None:
        self._greeted.wait(HELLO_S)
        if self._ended or not self.hello:
            raise Unavailable(f"the helper on {self.node} does not answer: {self._ended or f'{HELLO_S:g} s'}")
        if self.hello.get("protocol") != PROTOCOL:
            raise Unavailable(
                f"the helper on {self.node} speaks version {self.hello.get('protocol')} of drill's protocol, not "
                f"{PROTOCOL}: its image is of another version of drill",
                hint="use the image of this version of drill",
            )

    @property
    def alive(self) -> bool:
        """False once the stream ended or its conductor fell silent."""
        return not self._ended and time.monotonic() - self._heard < DEAF_S

    def ask(self, message: Message, timeout_s: float) -> Message:
        """Ask one thing. Raises Said when it is refused, Unavailable when nobody answers any more."""
        number, asked = next(self._numbers), _Asked()
        with self._lock:
            if self._ended:
                raise Unavailable(f"the stream to the helper on {self.node} ended: {self._ended}")
            self._asked[number] = asked
        self._stream.send(json.dumps({"id": number, **message}).encode() + b"\n")
        answered = self._wait(asked, timeout_s)
        with self._lock:
            self._asked.pop(number, None)
        if not answered:
            raise Unavailable(
                f"the helper on {self.node} did not answer '{message.get('do')}': {self._why(timeout_s)}"
            )
        if "error" in asked.answer:
            raise Said(f"{self.node}: {asked.answer['error']}")
        return dict(asked.answer.get("ok") or {})

    def _wait(self, asked: _Asked, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while not asked.done.wait(min(1.0, max(0.0, until - time.monotonic()))):
            if time.monotonic() >= until or not self.alive:
                return False
        return "lost" not in asked.answer

    def _why(self, timeout_s: float) -> str:
        if self._ended:
            return self._ended
        return f"within {timeout_s:g} s" if self.alive else f"silent for {DEAF_S:g} s"

    def close(self) -> None:
        """End the stream: whatever is still held is reverted."""
        self._stream.close()

    # ---- called in the stream's thread ----

    def _beat(self) -> bytes:
        return json.dumps({"do": "beat"}).encode() + b"\n"

    def _hear(self, line: bytes) -> None:
        self._heard = time.monotonic()
        try:
            message = json.loads(line)
        except ValueError:
            return
        if "hello" in message:
            self.hello = message["hello"]
            self._greeted.set()
        elif "id" in message:
            with self._lock:
                asked = self._asked.get(message["id"])
            if asked is not None:
                asked.answer = message
                asked.done.set()
        elif "event" in message or "ended" in message:
            self.events.append(message)

    def _end(self, reason: str) -> None:
        with self._lock:
            self._ended = reason or "closed"
            waiting = list(self._asked.values())
        self._greeted.set()
        for asked in waiting:
            if not asked.done.is_set():
                asked.answer = {"lost": True}
                asked.done.set()
