"""Agents of this sandbox: one program (``python -m drill.agent``) per held fault, started and followed by init.

The connection that asked for a fault is its lease: lines on it are passed to the agent's stdin, and when it
closes, so does that stdin and the agent reverts. With ``reapply`` the fault follows a restarted container: once
the main process changed, an agent that lost its hold is replaced. When agent and guard died together, or are
stopped together, init clears up behind them: nothing waits for a `drill recover`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drill.target.sandbox import children, topology
from drill.target.sandbox.cgroups import Cgroups
from drill.target.sandbox.children import Children
from drill.target.sandbox.supervisor import Container, is_stopped

REVERT_S = 15.0
"""How long an agent may take to revert before it is killed and cleared up behind."""
RELEASE_S = REVERT_S + 10
"""An agent that does not revert is killed and cleared up behind within this."""
ONCE_S = 20.0
GUARD_S = 2.0
"""How long the guard of a dead agent may take to undo and say so."""
LOOK_S = 0.25


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


def place_options(container: Container, groups: Cgroups, root: str) -> list[str]:
    """Where the agent works: the pod's namespace, the main process, the container's groups and file systems."""
    options = ["--netns", f"/proc/1/fd/{container.netns}", "--pid", str(container.pid), "--root", root]
    for directory in groups.directories(container.place.name):
        options += ["--cgroup", str(directory)]
    return options


def hold_command(request: HoldRequest, container: Container, groups: Cgroups, root: str) -> list[str]:
    """The agent's command line for one held fault."""
    times = [f"--{name}={getattr(request, name):g}" for name in ("ttl", "deadline", "lease")]
    identity = f"{request.injection}.{request.replica}"
    head = [sys.executable, "-P", "-m", "drill.agent", "hold", "--id", identity, "--spec", request.spec]
    return [*head, *times, *place_options(container, groups, root)]


class Agent:
    """One running agent process."""

    def __init__(self, command: Sequence[str], processes: Children, log: int) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0, start_new_session=True
        )
        self.exit = processes.adopt(self._process)
        self.reader: asyncio.StreamReader | None = None

    async def lines(self) -> asyncio.StreamReader:
        """The agent's output."""
        assert self._process.stdout is not None
        if self.reader is None:
            self.reader = await children.read_stream(os.dup(self._process.stdout.fileno()))
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
        return not self.ended and is_stopped(self._process.pid)

    def kill(self) -> None:
        """SIGKILL it, if it still runs."""
        if self._process.returncode is None:
            children.kill([self._process.pid])


ClearUp = Callable[[], Awaitable[dict[str, Any]]]


class Holder:
    """One held fault of one client: the agent, its successors, and where its events go."""

    def __init__(
        self, request: HoldRequest, container: Container, start: Callable[[], Agent], clear_up: ClearUp
    ) -> None:
        self.request = request
        self.container = container
        self.done = asyncio.get_running_loop().create_future()
        self.last: dict[str, Any] = {}
        self._start = start
        self.clear_up = clear_up
        """Remove what this fault may have left, and nothing of others. Raises OSError."""
        self._agent: Agent | None = None
        self._released = False
        self._lost = False
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
        return self.request.reapply and not self._released and self._lost

    async def _new_process(self) -> None:
        while not self._released and self.container.pid in (0, self._pid):
            await self.container.changed.wait()

    async def _hold_once(self, tell: Callable[[dict[str, Any]], None]) -> None:
        self._pid, self._lost, self.last = self.container.pid, False, {}
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

    async def _hear_all(self, agent: Agent, tell: Callable[[dict[str, Any]], None]) -> None:
        """Until agent and guard have closed their output, and the agent's exit is known."""
        reader = await agent.lines()
        while line := await reader.readline():
            self._hear(line, tell)
        await asyncio.shield(agent.exit)

    async def _patiently(self, agent: Agent, hearing: asyncio.Task[None]) -> None:
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

    def _patience(self, agent: Agent) -> float | None:
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
        tell(event)

    async def _replace_when_restarted(self, agent: Agent) -> None:
        """End an agent that lost its hold once the container has a new process; ``run`` starts the next."""
        while True:
            changed = self.container.changed
            if self._lost and self.container.pid not in (0, self._pid):
                agent.let_go()
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), 0.1)


def said_clean(event: dict[str, Any]) -> bool:
    """True when *event* is an agent's last word and says that nothing is left."""
    return event.get("event") in ("reverted", "failed") and not event.get("left")


class Agents:
    """All held faults of this sandbox, and the agent's one-shot commands."""

    def __init__(self, processes: Children, groups: Cgroups, root: str, log: int) -> None:
        self._processes = processes
        self._root = root
        self._groups = groups
        self._log = log
        self.held: dict[tuple[str, str], Holder] = {}
        self.touched: set[str] = set()
        """Replicas at which a fault was held since they were last swept."""
        self._score = Path("/proc/self/oom_score_adj").read_text().strip()

    def hold(self, request: HoldRequest, container: Container) -> Holder:
        """Prepare to hold a fault; ``run`` of what is returned does it. Raises ValueError when it is held."""
        key = (request.injection, request.replica)
        if key in self.held:
            raise ValueError(f"{request.injection} already holds a fault at {request.replica}")

        self.touched.add(request.replica)

        def start() -> Agent:
            return Agent(hold_command(request, container, self._groups, self._root), self._processes, self._log)

        def clear_up() -> Awaitable[dict[str, Any]]:
            kind = str(json.loads(request.spec).get("kind", ""))
            return self.clear(container, "--id", f"{request.injection}.{request.replica}", "--kind", kind)

        holder = self.held[key] = Holder(request, container, start, clear_up)
        holder.done.add_done_callback(lambda _: self.held.pop(key, None))
        return holder

    async def let_go(self, holder: Holder) -> dict[str, Any]:
        """Release a held fault and wait for its end; what an agent could not undo is cleared up behind it.

        Returns the agent's last ``event``, and what was ``cleared``. Raises OSError.
        """
        holder.release()
        await asyncio.wait([holder.done], timeout=RELEASE_S)
        event = holder.last
        if said_clean(event):
            return {"event": event, "held": True}
        return {"event": event, "held": True, "cleared": await holder.clear_up()}

    def held_at(self, replica: str) -> list[Holder]:
        """All faults that are held at *replica* now."""
        return [holder for (_, name), holder in self.held.items() if name == replica]

    async def clear(self, container: Container, *options: str) -> dict[str, Any]:
        """Have the agent remove what it finds at *container*; returns its JSON. Raises OSError."""
        path = topology.data_path(container.place.name)
        return await self.once("clear", container, "--path", path, "--oom-score", self._score, *options)

    async def once(self, command: str, container: Container, *options: str) -> dict[str, Any]:
        """Run ``abilities``, ``snapshot`` or ``clear`` and return its JSON. Raises OSError with its words."""
        arguments = [
            sys.executable,
            "-P",
            "-m",
            "drill.agent",
            command,
            *place_options(container, self._groups, self._root),
        ]
        process = subprocess.Popen(
            [*arguments, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        ended = self._processes.adopt(process)
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [await children.read_stream(os.dup(pipe.fileno())) for pipe in (process.stdout, process.stderr)]
        process.stdout.close()
        process.stderr.close()
        try:
            async with asyncio.timeout(ONCE_S):
                out, error = await asyncio.gather(*(reader.read() for reader in readers))
                await ended
        except TimeoutError:
            children.kill([process.pid])
            raise OSError(f"drill.agent {command} did not answer within {ONCE_S:g} s") from None
        try:
            answer = json.loads(out)
        except ValueError:
            words = error.decode(errors="replace").strip().splitlines()
            raise OSError(f"drill.agent {command}: {words[-1] if words else 'no output'}") from None
        return answer if isinstance(answer, dict) else {}
