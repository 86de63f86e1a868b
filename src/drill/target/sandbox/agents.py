"""Agents of this sandbox: one program (``python -m drill.agent``) per held fault, started and followed by init.

The connection that asked for a fault is its lease: lines on it are passed to the agent's stdin, and when it
closes, so does that stdin and the agent reverts. What follows and replaces agents is ``drill.agent.holder``.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from drill.agent.holder import REVERT_S, AgentProcess, Holder, HoldRequest, read_stream, said_clean
from drill.target.sandbox import children, topology
from drill.target.sandbox.cgroups import Cgroups
from drill.target.sandbox.children import Children
from drill.target.sandbox.supervisor import Container

RELEASE_S = REVERT_S + 10
"""An agent that does not revert is killed and cleared up behind within this."""
ONCE_S = 20.0


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

        def start() -> AgentProcess:
            command = hold_command(request, container, self._groups, self._root)
            return AgentProcess(command, self._processes.adopt, self._log)

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
        readers = [await read_stream(os.dup(pipe.fileno())) for pipe in (process.stdout, process.stderr)]
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
