"""What the runner may ask of a running sandbox: JSON lines over a unix socket, one request per connection.

An answer is one line, ``{"ok": true, …}`` or ``{"error": …}``; a ``hold`` keeps its connection and gets a line
for every event of its agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from drill.agent import prober
from drill.agent.holder import HoldRequest
from drill.agent.usage import CpuSample
from drill.target.sandbox import children, probing, supervisor
from drill.target.sandbox.supervisor import Container
from drill.target.sandbox.topology import CPU_PERIOD_US, REPLICAS, SERVICES
from drill.target.sandbox.workload_requests import Refusal, WorkloadRequests
from drill.target.sandbox.world import World

Message = dict[str, Any]
PROBE_S = 15.0
FIRST_SAMPLE_S = 0.2
AWAIT_STEP_S = 0.05


class Control:
    """Answers requests about one :class:`World`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cpu: dict[tuple[str, str], tuple[float, CpuSample]] = {}
        self._victims: dict[tuple[str, str], int] = {}
        """Which pod of a name a kill was aimed at first: a new pod of the same name is not its victim."""
        self._requests: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "status": self._status,
            "probe": self._probe,
            "kill": self._kill,
            "await": self._await,
            "release": self._release,
            "snapshot": self._snapshot,
            "abilities": self._abilities,
            "route": self._route,
            "sweep": self._sweep,
            **WorkloadRequests(world).requests,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        try:
            line = await reader.readline()
            if not line:
                return
            message = json.loads(line)
            if message.get("do") == "hold":
                await self._hold(message, reader, writer)
                return
            request = self._requests.get(str(message.get("do")))
            if request is None:
                raise Refusal(f"unknown request {message.get('do')!r}")
            _tell(writer, {"ok": True, **await request(message)})
        except (Refusal, OSError, ValueError, KeyError, TypeError) as error:
            _tell(writer, {"error": str(error) or type(error).__name__})
        finally:
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

    def _container(self, message: Message) -> Container:
        container = self._world.supervisor.containers.get(str(message["replica"]))
        if container is None:
            raise Refusal(f"there is no replica {message['replica']!r}")
        return container

    async def _status(self, _: Message) -> Message:
        containers = self._world.supervisor.containers.values()
        return {
            "ready": self._world.ready,
            "replicas": {
                each.place.name: {
                    "pid": each.pid,
                    "starts": each.starts,
                    "restarts": each.restarts,
                    "born_at": each.born_at,
                    "generation": each.generation,
                    "in_service": each.in_service and self._world.serves(each.place),
                }
                for each in containers
            },
            "held": [list(key) for key in self._world.agents.held],
            "missing": dict(self._world.inside.groups.missing),
            "endpoints": self._world.endpoints,
        }

    async def _hold(self, message: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        container = self._container(message)
        holder = self._world.agents.hold(HoldRequest.read(message), container)

        async def lease() -> None:
            with contextlib.suppress(OSError, ValueError):
                while line := await reader.readline():
                    holder.renew(line)
            holder.release()

        task = asyncio.create_task(lease())
        try:
            await holder.run(lambda event: _tell(writer, event))
        finally:
            task.cancel()

    async def _release(self, message: Message) -> Message:
        container = self._container(message)
        holder = self._world.agents.held.get((str(message["injection"]), container.place.name))
        if holder is None:
            return {"event": {}, "held": False}
        return await self._world.agents.let_go(holder)

    async def _sweep(self, _: Message) -> Message:
        """Clear the replicas at which nobody holds a fault any more: what is found there belongs to the dead."""
        agents, found = self._world.agents, {}
        busy = {replica for _, replica in agents.held}
        for name in sorted(agents.touched - busy):
            found[name] = await agents.clear(self._world.supervisor.containers[name])
            if not found[name].get("remains"):
                agents.touched.discard(name)
        return {"found": found, "busy": sorted(busy)}

    async def _kill(self, message: Message) -> Message:
        container = self._container(message)
        aim = (str(message.get("injection", "")), container.place.name)
        if aim[0] and self._victims.setdefault(aim, container.generation) != container.generation:
            return {"at": time.time(), "pid": 0}  # somebody replaced the pod: its victim is dead already
        deadline = time.monotonic() + 10
        while container.pid == 0 and time.monotonic() < deadline:
            await _wait(container.changed, 0.5)
        if (pid := container.pid) == 0:
            raise Refusal(f"{container.place.name} is down already")
        at = time.time()
        children.kill([pid])
        while container.pid == pid and time.monotonic() < deadline:
            await _wait(container.changed, 0.5)
        return {"at": at, "pid": pid}

    async def _await(self, message: Message) -> Message:
        container = self._container(message)
        deadline = time.monotonic() + float(message["within_s"])
        while True:
            if container.pid and (answer := await self._measure(container, "serves", "users", 1))["value"]:
                return answer
            if time.monotonic() >= deadline:
                raise Refusal(f"{container.place.name} does not serve within {message['within_s']:g} s")
            await asyncio.sleep(AWAIT_STEP_S)

    async def _snapshot(self, message: Message) -> Message:
        container = self._container(message)
        path = self._world.seen_data(container.place.name)
        said = await self._world.agents.once("snapshot", container, "--path", path)
        return {"snapshot": {name: self._as_configured(container, name, text) for name, text in said.items()}}

    def _as_configured(self, container: Container, name: str, text: object) -> object:
        """Say *as configured* of limits that are what the pod's template says: people may change that."""
        if not name.startswith("cgroup ") or not isinstance(text, str):
            return text
        template = container.revision.template
        known = {
            f"cpu.cfs_quota_us {int(template.cpus * CPU_PERIOD_US)}",
            f"cpu.max {int(template.cpus * CPU_PERIOD_US)} {CPU_PERIOD_US}",
            f"memory.max {template.memory}",
            f"memory.limit_in_bytes {template.memory}",
        }
        lines = text.splitlines()
        return "\n".join(f"{line.split()[0]} as configured" if line in known else line for line in lines)

    async def _abilities(self, message: Message) -> Message:
        container = self._container(message)
        path = self._world.seen_data(container.place.name)
        return {"abilities": await self._world.agents.once("abilities", container, "--path", path)}

    async def _route(self, message: Message) -> Message:
        self._world.route(self._container(message).place, bool(message["serving"]))
        return {"endpoints": self._world.endpoints}

    async def _probe(self, message: Message) -> Message:
        container, kind = self._container(message), str(message["kind"])
        if kind in prober.NETWORK_KINDS:
            return await self._measure(container, kind, str(message["peer"]), int(message["samples"]))
        return {"value": await self._look(container, kind), "at": time.time()}

    def _from(self, peer: str) -> list[int]:
        """The network namespaces a probe is made from."""
        if peer in ("users", ""):
            return [self._world.edge_netns]
        containers = self._world.supervisor.containers
        if any(service.name == peer for service in SERVICES):
            return [containers[f"{peer}-{index}"].netns for index in range(REPLICAS)]
        if peer not in containers:
            raise Refusal(f"there is neither a service nor a replica {peer!r}")
        return [containers[peer].netns]

    async def _measure(self, container: Container, kind: str, peer: str, samples: int) -> Message:
        namespaces = self._from(peer)
        address = container.place.address

        def main(out: int) -> None:
            probing.run(kind, address, namespaces, samples, out)

        try:
            text = await self._world.processes.told_by(main, self._world.log, PROBE_S, keep=namespaces)
        except TimeoutError:
            raise Refusal(f"the probe {kind} at {container.place.name} did not end") from None
        if not text:
            raise Refusal(f"the probe {kind} at {container.place.name} failed; see the sandbox's log")
        answer: Message = json.loads(text)
        return answer

    async def _look(self, container: Container, kind: str) -> float:
        """Probes that read counters and states."""
        name, groups = container.place.name, self._world.inside.groups
        match kind:
            case "throttled_ratio" | "cpu_cores":
                return await self._cpu_since_last(name, kind)
            case "oom_kills":
                return _have(groups.oom_kills(name), groups.missing.get("memory", ""))
            case "memory_ratio":
                return _have(groups.memory_ratio(name), groups.missing.get("memory", ""))
            case "free_bytes":
                return float(supervisor.free_bytes(self._world.data(name)))
            case "stopped":
                return float(supervisor.is_stopped(container.pid))
            case "starts":
                return float(container.starts)
        raise Refusal(f"unknown probe {kind!r}")

    async def _cpu_since_last(self, name: str, kind: str) -> float:
        before_at, before = self._cpu.get((name, kind)) or (time.monotonic(), self._cpu_now(name))
        if (name, kind) not in self._cpu or time.monotonic() - before_at < FIRST_SAMPLE_S:
            await asyncio.sleep(FIRST_SAMPLE_S)
        now_at, now = time.monotonic(), self._cpu_now(name)
        self._cpu[name, kind] = (now_at, now)
        if kind == "cpu_cores":
            return (now.usage_s - before.usage_s) / (now_at - before_at)
        return (now.throttled - before.throttled) / max(1, now.periods - before.periods)

    def _cpu_now(self, name: str) -> CpuSample:
        sample = self._world.inside.groups.cpu(name)
        if sample is None:
            raise Refusal(self._world.inside.groups.missing.get("cpu", "there is no cpu cgroup"))
        return sample


def _have(value: float | None, reason: str) -> float:
    if value is None:
        raise Refusal(reason or "there is no memory cgroup")
    return float(value)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)


def _tell(writer: asyncio.StreamWriter, message: Message) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.write(json.dumps(message).encode() + b"\n")
