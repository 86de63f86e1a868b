"""A held fault as the process near the victim sees it: the agent, its successors, and where its events go.

With ``reapply`` the fault follows a restarted container: once the main process changed, an agent that lost its hold
is replaced. When agent and guard died together, or are stopped together, what they left is cleared up behind them.
The sandbox's init and the conductor of a node both hold faults by this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from drill.agent.kernel import process_state

REVERT_S = 15.0
"""How long an agent may take to revert before it is killed and cleared up behind."""
GUARD_S = 2.0
"""How long the guard of a dead agent may take to undo and say so."""
LOOK_S = 0.25
AGAIN_S = 1.0
"""After which a fault that could not be made anew at a restarted container is tried again."""

Adopt = Callable[["subprocess.Popen[bytes]"], "asyncio.Future[int]"]
"""Who reaps a started program: returns a future of its exit status."""


class Victim(Protocol):
    """The container at which a fault is held."""

    pid: int
    """Its main process; 0 while it is down."""
    changed: asyncio.Event
    """Set, and replaced, whenever ``pid`` changes."""
    moves: bool
    """True when a restarted container has other cgroups: an agent that works in the old ones must end at once."""

    def note_change(self) -> None:
        """Wake all who wait for a change."""


async def read_stream(fd: int) -> asyncio.StreamReader:
    """An asyncio reader on the read end of a pipe, which it then owns."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    pipe = os.fdopen(fd, "rb", buffering=0)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


@dataclass(frozen=True)
class HoldRequest:
    """What a client asks for; times in seconds, ``spec`` is the fault's JSON."""

    injection: str
    replica: str
    spec: str
    ttl: float
    deadline: float
    lease: float
    reapply: bool

    @staticmethod
    def read(message: dict[str, Any]) -> HoldRequest:
        """Read it from a message. Raises KeyError, ValueError."""
        return HoldRequest(
            injection=str(message["injection"]),
            replica=str(message["replica"]),
            spec=str(message["spec"]),
            ttl=float(message["ttl"]),
            deadline=float(message["deadline"]),
            lease=float(message["lease"]),
            reapply=bool(message.get("reapply", False)),
        )


class AgentProcess:
    """One running agent process."""

    def __init__(
        self, command: Sequence[str], adopt: Adopt, log: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            start_new_session=True,
            env=environment,
        )
        self.exit = adopt(self._process)
        self.reader: asyncio.StreamReader | None = None

    async def lines(self) -> asyncio.StreamReader:
        """The agent's output."""
        assert self._process.stdout is not None
        if self.reader is None:
            self.reader = await read_stream(os.dup(self._process.stdout.fileno()))
            self._process.stdout.close()
        return self.reader

    def renew(self, line: bytes) -> None:
        """Pass a line to the agent; one that has ended is past renewing."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                os.write(self._process.stdin.fileno(), line)

    def let_go(self) -> None:
        """End its lease."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    @property
    def ended(self) -> bool:
        """True once it has ended; its guard may still be at work."""
        return self.exit.done()

    @property
    def stopped(self) -> bool:
        """True while a signal keeps it from running."""
        return not self.ended and process_state(self._process.pid) in ("T", "t")

    def kill(self) -> None:
        """SIGKILL it, if it still runs."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)


ClearUp = Callable[[], Awaitable[dict[str, Any]]]


class Holder:
    """One held fault of one client: the agent, its successors, and where its events go."""

    def __init__(
        self, request: HoldRequest, container: Victim, start: Callable[[], AgentProcess], clear_up: ClearUp
    ) -> None:
        self.request = request
        self.container = container
        self.done = asyncio.get_running_loop().create_future()
        self.last: dict[str, Any] = {}
        self._start = start
        self.clear_up = clear_up
        """Remove what this fault may have left, and nothing of others. Raises OSError."""
        self._agent: AgentProcess | None = None
        self._released = False
        self._lost = False
        self._applied = False
        """It was in force once."""
        self._failed = False
        """It was, and could not be made anew."""
        self._pid = 0

    def renew(self, line: bytes) -> None:
        """The client is alive."""
        if self._agent is not None:
            self._agent.renew(line)

    def release(self) -> None:
        """Let the fault go; ``done`` is set when it is gone."""
        self._released = True
        if self._agent is not None:
            self._agent.let_go()
        self.container.note_change()

    async def run(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """Hold until released or ended; every event of every agent goes to *tell*."""
        try:
            while not self._released:
                await self._hold_once(tell)
                if not self._follows():
                    break
                await self._new_process()
        finally:
            if not self.done.done():
                self.done.set_result(None)

    def _follows(self) -> bool:
        return self.request.reapply and not self._released and (self._lost or self._failed)

    async def _new_process(self) -> None:
        past = (0,) if self._failed else (0, self._pid)
        if self._failed:  # a container that starts has processes that come and go
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.container.changed.wait(), AGAIN_S)
        while not self._released and self.container.pid in past:
            await self.container.changed.wait()

    async def _hold_once(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._pid, self._lost, self._failed, self.last = self.container.pid, False, False, {}
        agent = self._agent = self._start()
        follower = asyncio.create_task(self._replace_when_restarted(agent)) if self.request.reapply else None
        hearing = asyncio.create_task(self._hear_all(agent, tell))
        try:
            await self._patiently(agent, hearing)
        finally:
            hearing.cancel()
            agent.let_go()
            agent.kill()
            if follower is not None:
                follower.cancel()
        if not said_clean(self.last):
            await self._end_by_force(tell)

    async def _hear_all(self, agent: AgentProcess, tell: Callable[[dict[str, Any]], None]) -> None:
        """Until agent and guard have closed their output, and the agent's exit is known."""
        reader = await agent.lines()
        while line := await reader.readline():
            self._hear(line, tell)
        await asyncio.shield(agent.exit)

    async def _patiently(self, agent: AgentProcess, hearing: asyncio.Task[None]) -> None:
        """Wait for the agent's end, and not for ever where it cannot come: dead, stopped, or told to let go."""
        since, last = 0.0, None
        while not (await asyncio.wait({hearing}, timeout=LOOK_S))[0]:
            limit = self._patience(agent)
            if limit is None or limit != last:
                since, last = time.monotonic(), limit
            elif time.monotonic() - since > limit:
                if agent.ended:
                    return
                agent.kill()  # its guard, if it lives, now undoes the fault and says so

    def _patience(self, agent: AgentProcess) -> float | None:
        if agent.ended:
            return GUARD_S
        if agent.stopped:  # what cannot renew its lease has none
            return GUARD_S if self._released else self.request.lease
        return REVERT_S if self._released else None

    async def _end_by_force(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """Clear up behind an agent that ended without saying that nothing is left."""
        try:
            cleared = await self.clear_up()
        except OSError as error:
            cleared = {"remains": [str(error)]}
        left = cleared.get("remains") or []
        self.last = {"event": "reverted", "at": time.time(), "reason": "cleared", "clean": not left, "left": left}
        tell(self.last)

    def _hear(self, line: bytes, tell: Callable[[dict[str, Any]], None]) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        self.last = event
        self._lost = event.get("event") == "lost" or (self._lost and event.get("event") != "again")
        self._failed = event.get("event") == "failed" and self._applied
        self._applied = self._applied or event.get("event") == "applied"
        tell(event)

    async def _replace_when_restarted(self, agent: AgentProcess) -> None:
        """End an agent that lost its hold once the container has a new process; ``run`` starts the next."""
        while True:
            changed = self.container.changed
            moved = self.container.moves and self.container.pid != self._pid
            if moved or (self._lost and self.container.pid not in (0, self._pid)):
                self._lost = True
                agent.let_go()
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), 0.1)


def said_clean(event: dict[str, Any]) -> bool:
    """True when *event* is an agent's last word and says that nothing is left."""
    return event.get("event") in ("reverted", "failed") and not event.get("left")
