"""``drill.agent serve``: answers one runner about all pods of this node, as JSON lines on stdin and stdout.

A request is ``{"id": N, "do": WHAT, …}``, its answer ``{"id": N, "ok": {…}}`` or ``{"id": N, "error": WORDS}``;
events of held faults come unasked: ``{"held": [INJECTION, POD], "event": {…}}``. Every line that arrives renews the
lease of everything held; silence, the end of stdin, SIGTERM and the end of the helper pod revert everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import select
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from drill.agent import prober
from drill.agent.errors import CannotApply
from drill.agent.holder import HoldRequest, read_stream
from drill.agent.node import meters, programs, stay
from drill.agent.node.containers import read_process
from drill.agent.node.holding import Holdings
from drill.agent.node.meters import Meters
from drill.agent.node.spot import Here, Node, PodPlace, Spot

PROTOCOL = 1
SILENCE_S = 6.0
"""A runner that says nothing for this long has died, or the way to it has."""
SECOND_LOOK_S = 0.5
DIE_S = 10.0
Message = dict[str, Any]
PROBE_S = 20.0


class Conductor:
    """One runner's conversation."""

    def __init__(self, node: Node | Here, send: Callable[[Message], None]) -> None:
        self._node, self._send = node, send
        self._meters = Meters(node)
        self._holdings = Holdings(node, self._meters, send)
        self._tasks: set[asyncio.Task[None]] = set()
        self.over = asyncio.Event()
        self._requests: Mapping[str, Callable[[Message], Awaitable[Message]]] = {
            "hold": self._hold,
            "release": self._release,
            "probe": self._probe,
            "snapshot": self._snapshot,
            "abilities": self._abilities,
            "signal": self._signal,
            "sweep": self._sweep,
            "bye": self._bye,
        }

    async def converse(self, lines: asyncio.StreamReader) -> str:
        """Answer until the runner is gone; return why. Nothing is held afterwards that could be let go."""
        self._send({"hello": self.about()})
        reason = await self._hear_all(lines)
        left = await self._holdings.let_all_go()
        self._send({"ended": reason, "left": left})
        return reason

    def about(self) -> Message:
        """What the runner checks before it asks anything."""
        version = 2 if "" in self._node.mounts and "memory" not in self._node.mounts else 1
        return {"protocol": PROTOCOL, "pid": os.getpid(), "kernel": platform.release(), "cgroup": version}

    async def _hear_all(self, lines: asyncio.StreamReader) -> str:
        ending = asyncio.create_task(self.over.wait())
        try:
            while True:
                line = asyncio.create_task(lines.readline())
                await asyncio.wait({line, ending}, timeout=SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
                if not line.done() and not ending.done():
                    # Was the runner silent, or this process without a CPU? What it was sent is here by now.
                    await asyncio.wait({line, ending}, timeout=SECOND_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                if not line.done():
                    line.cancel()
                    return "told to end" if ending.done() else "silence"
                if not (said := line.result()):
                    return "end of stdin"
                self._holdings.renew()
                self._hear(said)
        except (OSError, ValueError) as error:
            return str(error)
        finally:
            ending.cancel()

    def _hear(self, line: bytes) -> None:
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            if not isinstance(message, dict):
                return
            if message.get("do") == "beat":
                self._send({"beat": message.get("beat"), "held": self._holdings.held})
                return
            task = asyncio.create_task(self._answer(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Message) -> None:
        request = self._requests.get(str(message.get("do")))
        try:
            if request is None:
                raise CannotApply(f"unknown request {message.get('do')!r}")
            answer: Message = {"ok": await request(message)}
        except TimeoutError:
            answer = {"error": f"{message.get('do')} took too long"}
        except (CannotApply, OSError, ValueError, KeyError, TypeError) as error:
            answer = {"error": str(error) or type(error).__name__}
        self._send({"id": message.get("id"), **answer})

    async def _hold(self, message: Message) -> Message:
        return await self._holdings.hold(PodPlace.read(message["pod"]), HoldRequest.read(message))

    async def _release(self, message: Message) -> Message:
        pod = PodPlace.read(message["pod"])
        return await self._holdings.release(str(message["injection"]), str(message.get("kind", "")), pod)

    async def _sweep(self, message: Message) -> Message:
        return await self._holdings.sweep(PodPlace.read(message["pod"]))

    async def _bye(self, _: Message) -> Message:
        left = await self._holdings.let_all_go()
        self.over.set()
        return {"left": left}

    async def _probe(self, message: Message) -> Message:
        pod, kind = PodPlace.read(message["pod"]), str(message["kind"])
        async with asyncio.timeout(PROBE_S):
            if kind in prober.NETWORK_KINDS:
                peers = [PodPlace.read(each) for each in message.get("peers", ())]
                value = await meters.network(kind, pod, await self._from(peers), int(message["samples"]))
            else:
                value = await self._meters.read(kind, pod, await self._holdings.find(pod))
        return {"value": value, "at": time.time()}

    async def _from(self, peers: list[PodPlace]) -> list[str]:
        """The namespaces a probe is made from: the helper's own, or those of *peers*."""
        spots = [await self._holdings.find(peer) for peer in peers]
        return [spot.netns for spot in spots if spot.netns] or [f"/proc/{os.getpid()}/ns/net"]

    async def _snapshot(self, message: Message) -> Message:
        pod = PodPlace.read(message["pod"])
        spot = await self._holdings.find(pod)
        options = programs.place_options(spot, list(dict.fromkeys(spot.groups.values())))
        seen = await programs.once("snapshot", *options, *(("--path", pod.path) if pod.path and spot.pid else ()))
        return {"snapshot": named(seen, spot)}

    async def _abilities(self, _: Message) -> Message:
        found = await programs.once("abilities")
        found["cgroup-cpu"] = self._node.missing_for("cpu")
        found["cgroup-memory"] = self._node.missing_for("memory")
        return {"abilities": found, **self.about()}

    async def _signal(self, message: Message) -> Message:
        pod, number = PodPlace.read(message["pod"]), int(message["number"])
        spot = await self._holdings.find(pod)
        if not spot.pid:
            return {"at": time.time(), "pid": 0}
        return await meters.in_own_thread(lambda: send_signal(spot, number))


def send_signal(spot: Spot, number: int) -> Message:
    """Send *number* to the main process at *spot*, and to no other that got its pid; wait for the end it means."""
    handle = os.pidfd_open(spot.pid)
    try:
        if read_process(Path(f"/proc/{spot.pid}")).started != spot.started:
            raise CannotApply("the container has just been restarted")
        at = time.time()
        signal.pidfd_send_signal(handle, number)
        if number == signal.SIGKILL and not select.select([handle], [], [], DIE_S)[0]:
            raise CannotApply(f"process {spot.pid} does not die within {DIE_S:g} s")
        return {"at": at, "pid": spot.pid}
    finally:
        os.close(handle)


def named(seen: Message, spot: Spot) -> Message:
    """Name cgroups by their controller: a restarted container has another directory with the same limits."""
    names = {f"cgroup {directory}": f"cgroup {controller}" for controller, directory in spot.groups.items()}
    return {names.get(key, key): value for key, value in seen.items()}


class Voice:
    """Lines to the runner. A stream that nobody reads must not stop the undo: what is not taken waits in memory."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def send(self, message: Message) -> None:
        """Send one message, or nothing when the stream is closed."""
        if not self._transport.is_closing():
            self._transport.write(json.dumps(message).encode() + b"\n")


class _Output(asyncio.BaseProtocol):
    """Notices that the reader of stdout is gone."""

    def __init__(self, gone: Callable[[], None]) -> None:
        self._gone = gone

    def connection_lost(self, _exc: Exception | None) -> None:
        """End."""
        self._gone()


async def _serve(node: Node | Here) -> int:
    loop = asyncio.get_running_loop()
    lines = await read_stream(os.dup(0))
    conductor: Conductor | None = None

    def end() -> None:
        if conductor is not None:
            conductor.over.set()

    transport, _ = await loop.connect_write_pipe(lambda: _Output(end), os.fdopen(os.dup(1), "wb", buffering=0))
    conductor = Conductor(node, Voice(transport).send)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    with contextlib.closing(stay.register(loop, end)):
        await conductor.converse(lines)
    for _ in range(20):  # let the last line out, if anybody takes it
        if not transport.get_write_buffer_size():
            break
        await asyncio.sleep(0.01)
    transport.abort()
    node.leave()
    return 0


def serve(first: int) -> int:
    """Serve one runner on the node whose first process is *first* (0: in this pod alone); the exit status."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    code = asyncio.run(_serve(Node(first) if first else Here()))
    sys.stdout = None  # closed already: nothing to flush
    return code
