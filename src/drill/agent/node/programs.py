"""Starting the agent's own program beside the conductor: to hold a fault, or once for an answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from drill.agent.errors import CannotApply
from drill.agent.holder import HoldRequest
from drill.agent.node.spot import Spot

ONCE_S = 40.0
"""``clear`` gives agents seconds to end by themselves, and a small node's one CPU is slow."""
AGENT = (sys.executable, "-S", "-P", "-m", "drill.agent")
"""Without ``site``: nothing of it is needed, and it costs half of the time Python takes to start."""


def environment() -> dict[str, str]:
    """The environment in which the program finds what this process finds."""
    return {**os.environ, "PYTHONPATH": ":".join(place for place in sys.path if place)}


def adopt(process: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    """Return a future of *process*'s exit status; the kernel tells by its pidfd."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    pidfd = os.pidfd_open(process.pid)

    def take() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        code = process.wait()
        if not ended.done():
            ended.set_result(code)

    loop.add_reader(pidfd, take)
    return ended


def place_options(spot: Spot, directories: Sequence[str]) -> list[str]:
    """Where the agent works."""
    options = ["--netns", spot.netns] if spot.netns else []
    if spot.pid:
        options += ["--pid", str(spot.pid), "--root", spot.root]
    for directory in directories:
        options += ["--cgroup", directory]
    return options


def hold_command(request: HoldRequest, spec: str, spot: Spot, protected: Sequence[str]) -> list[str]:
    """The agent's command line for one held fault."""
    times = [f"--{name}={getattr(request, name):g}" for name in ("ttl", "deadline", "lease")]
    head = [*AGENT, "hold", "--id", identity(request.injection, request.replica), "--spec", spec, *times]
    extra = [f"--shelter={place}" for place in spot.shelter] + [f"--protect={place}" for place in protected]
    return [*head, *place_options(spot, spot.joins), *extra]


def identity(injection: str, pod: str) -> str:
    """The id under which the agent knows a fault: nft tables and processes are named by it."""
    return f"{injection}.{pod}"


async def once(command: str, *options: str) -> dict[str, Any]:
    """Run ``abilities``, ``snapshot`` or ``clear`` and return its JSON. Raises CannotApply with its words."""
    process = await asyncio.create_subprocess_exec(
        *AGENT, command, *options,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(), limit=2**22,
    )  # fmt: skip
    try:
        async with asyncio.timeout(ONCE_S):
            out, error = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise CannotApply(f"drill.agent {command} did not answer within {ONCE_S:g} s") from None
    try:
        answer = json.loads(out)
    except ValueError:
        words = error.decode(errors="replace").strip().splitlines()
        raise CannotApply(f"drill.agent {command}: {words[-1] if words else 'no output'}") from None
    return answer if isinstance(answer, dict) else {}
