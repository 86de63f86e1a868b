"""What people may ask of the sandbox's pods: look, scale, replace, roll back, relabel, exec.

These are the mitigations; the sandbox's `kubectl` and drill's own code call the same ones.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from drill.target.sandbox import kernel, toolbox
from drill.target.sandbox.supervisor import Container
from drill.target.sandbox.topology import SERVE_PORT
from drill.target.sandbox.workloads import Workloads
from drill.target.sandbox.world import World

Message = dict[str, Any]
EXEC_S = 15.0
USAGE_S = 0.5
LOG_BYTES = 512 * 1024
RECENT_BYTES = 4096


class Refusal(Exception):
    """A request that cannot be answered; its text goes to the client."""


class WorkloadRequests:
    """Handlers by name, for :class:`drill.target.sandbox.control.Control`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._workloads = Workloads(world)
        self.requests: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "workloads": self._look,
            "scale": self._scale,
            "restart": self._restart,
            "undo": self._undo,
            "limits": self._limits,
            "env": self._env,
            "label": self._label,
            "replace": self._replace,
            "logs": self._logs,
            "recent": self._recent,
            "usage": self._usage,
            "exec": self._exec,
        }

    def _container(self, message: Message) -> Container:
        container = self._world.supervisor.containers.get(str(message["replica"]))
        if container is None:
            raise Refusal(f'pods "{message["replica"]}" not found')
        return container

    def _service(self, message: Message) -> str:
        service = str(message["service"])
        if service not in self._workloads.deployments:
            raise Refusal(f'deployments.apps "{service}" not found')
        return service

    async def _look(self, _: Message) -> Message:
        """Everything `kubectl get` and `describe` show."""
        workloads = self._workloads
        return {
            "deployments": {
                name: {
                    "wanted": one.wanted,
                    "settled": workloads.settled(name),
                    "revisions": [dataclasses.asdict(revision) for revision in one.revisions],
                    "pods": [self._pod(container) for container in workloads.pods(name)],
                    "endpoints": self._world.endpoints[name],
                }
                for name, one in workloads.deployments.items()
            },
            "events": [dataclasses.asdict(event) for event in self._world.supervisor.events],
            "now": time.time(),
        }

    def _pod(self, container: Container) -> Message:
        end = container.last_end
        return {
            "name": container.place.name,
            "address": container.place.address,
            "app": container.app or container.place.service,
            "running": container.pid != 0,
            "serving": self._world.serves(container.place),
            "ending": container.ending,
            "born_at": container.born_at,
            "started_at": time.time() - (time.monotonic() - container.started_at),
            "restarts": container.restarts,
            "generation": container.generation,
            "revision": container.revision.number,
            "cpus": container.revision.template.cpus,
            "memory": container.revision.template.memory,
            "env": dict(container.revision.template.env),
            "last_end": dataclasses.asdict(end) if end else None,
        }

    async def _scale(self, message: Message) -> Message:
        service = self._service(message)
        self._workloads.deployments[service].scale(int(message["replicas"]))
        self._workloads.settle(service)
        return {}

    async def _restart(self, message: Message) -> Message:
        self._workloads.restart(self._service(message))
        return {}

    async def _undo(self, message: Message) -> Message:
        service = self._service(message)
        self._workloads.deployments[service].undo(int(message.get("to", 0)))
        self._workloads.settle(service)
        return {}

    async def _limits(self, message: Message) -> Message:
        service = self._service(message)
        cpus, memory = message.get("cpus"), message.get("memory")
        changed = self._workloads.deployments[service].limit(
            None if cpus is None else float(cpus), None if memory is None else int(memory)
        )
        self._workloads.settle(service)
        return {"changed": changed}

    async def _env(self, message: Message) -> Message:
        service = self._service(message)
        values = {str(name): None if value is None else str(value) for name, value in message["values"].items()}
        changed = self._workloads.deployments[service].set_env(values)
        self._workloads.settle(service)
        return {"changed": changed}

    async def _label(self, message: Message) -> Message:
        self._workloads.label(self._container(message), str(message["app"]))
        return {}

    async def _replace(self, message: Message) -> Message:
        await self._workloads.replace(self._container(message))
        return {}

    async def _logs(self, message: Message) -> Message:
        container, previous = self._container(message), bool(message.get("previous"))
        path = self._world.supervisor.log_of(container.place.name, previous)
        if previous and not path.exists():
            raise Refusal(f'previous terminated container in pod "{container.place.name}" not found')
        return {"text": _end_of(path, LOG_BYTES)}

    async def _recent(self, _: Message) -> Message:
        """The last whole lines of every pod's log, by replica, and the events: a screen is filled with them."""
        supervisor = self._world.supervisor
        ends = {name: _end_of(supervisor.log_of(name), RECENT_BYTES) for name in supervisor.containers}
        return {
            "lines": {name: text.splitlines()[len(text) >= RECENT_BYTES :] for name, text in ends.items()},
            "events": [dataclasses.asdict(event) for event in supervisor.events],
        }

    async def _usage(self, _: Message) -> Message:
        """CPUs used and bytes in the working set, by replica."""
        groups, names = self._world.inside.groups, list(self._world.supervisor.containers)
        if groups.missing:
            raise Refusal("Metrics API not available: " + "; ".join(dict.fromkeys(groups.missing.values())))
        before, began = {name: groups.cpu(name) for name in names}, time.monotonic()
        await asyncio.sleep(USAGE_S)
        took, found = time.monotonic() - began, {}
        for name in names:
            first, last = before[name], groups.cpu(name)
            ratio = groups.memory_ratio(name)
            container = self._world.supervisor.containers.get(name)
            if first is not None and last is not None and ratio is not None and container is not None:
                cpus = (last.usage_s - first.usage_s) / took
                found[name] = {"cpus": cpus, "memory": ratio * container.revision.template.memory}
        return {"usage": found}

    async def _exec(self, message: Message) -> Message:
        container, argv = self._container(message), [str(word) for word in message["argv"]]
        if not container.pid:
            raise Refusal(f"unable to upgrade connection: container of {container.place.name} is not running")
        pod = self._view(container)

        def main(out: int) -> None:
            kernel.enter_netns(container.netns)
            toolbox.run(pod, argv, out)

        try:
            text = await self._world.processes.told_by(main, self._world.log, EXEC_S, keep=[container.netns])
        except TimeoutError:
            raise Refusal(f"{argv[0]} did not end within {EXEC_S:g} s") from None
        code, output = json.loads(text or b'[1, "the command ended without a word; see the sandbox\'s log\\n"]')
        return {"code": code, "output": output}

    def _view(self, container: Container) -> toolbox.PodView:
        groups, template = self._world.inside.groups, container.revision.template
        name = container.place.name
        inside = {"SERVE_PORT": str(SERVE_PORT), "ENDPOINTS": json.dumps(self._world.endpoints)}
        pids = groups.pids(name) or {container.pid}
        return toolbox.PodView(
            name=name,
            data=self._world.data(name),
            pids=tuple(pids),
            env={**template.env, **inside},
            cpu=groups.cpu(name),
            cpus=template.cpus,
            memory=template.memory,
        )


def _end_of(path: Path, most: int) -> str:
    """At most the last *most* bytes of the file; empty when there is none."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - most))
            return stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
