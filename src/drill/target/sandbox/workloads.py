"""What a cluster's controllers do here: new pods for old ones, more and fewer of them, in and out of service.

A new pod gets a fresh network namespace, an empty disk, the limits of its template and a new process; its name and
address stay (as with a StatefulSet), so that everybody finds it. Whatever fault was held at the old pod ends with
it, as it would on Kubernetes: its agent is released while the pod terminates, undoes what it did where it did it,
and does not follow to the new one. Removing a pod waits for the requests it is answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from drill.core.clock import rfc3339
from drill.target.sandbox import children, httpwire, network
from drill.target.sandbox.deployments import Deployment
from drill.target.sandbox.supervisor import Container, Happening
from drill.target.sandbox.topology import (
    CLIENT_TIMEOUT_S,
    MAX_REPLICAS,
    METRICS_PORT,
    REPLICAS,
    SERVE_PORT,
    SERVICES,
    Place,
)
from drill.target.sandbox.world import World

DRAIN_S = CLIENT_TIMEOUT_S + 0.2
"""No request outlives this: its user has given up."""
QUIET_S = 0.5
"""A pod without connections for so long has answered all; a packet on a slow way takes less."""
READY_S = 15.0
TRIES = 5
"""How often a step that failed is tried again."""
_STEP_S = 0.05


class Workloads:
    """The deployments of one sandbox and the work of making the pods what they say."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.deployments = {service.name: Deployment(service) for service in SERVICES}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._locks = {service.name: asyncio.Lock() for service in SERVICES}

    def pods(self, service: str) -> list[Container]:
        """All containers of *service*, those in quarantine included, by their number."""
        found = (one for one in self._world.supervisor.containers.values() if one.place.service == service)
        return sorted(found, key=lambda one: one.place.index)

    def settle(self, service: str) -> None:
        """Begin to make the pods of *service* what its deployment says, unless that is under way."""
        task = self._tasks.get(service)
        if task is None or task.done():
            self._tasks[service] = asyncio.create_task(self._settle(service))

    def settled(self, service: str) -> bool:
        """True when every pod in service is of the newest revision, and there are as many as wanted."""
        task = self._tasks.get(service)
        return (task is None or task.done()) and self._next_step(service) is None

    def label(self, container: Container, app: str) -> None:
        """Set its label ``app``: with another than its service's it is out of service, and another takes over."""
        container.app = "" if app == container.place.service else app
        self._world.route(container.place, container.in_service)
        self.settle(container.place.service)

    async def replace(self, container: Container) -> None:
        """Make it a new pod; return when it serves. Raises OSError."""
        async with self._locks[container.place.service]:
            await self._replace(container)
        self.settle(container.place.service)

    async def _settle(self, service: str) -> None:
        failures = 0
        while True:
            async with self._locks[service]:
                step = self._next_step(service)
                if step is None:
                    return
                what, container = step
                try:
                    if what == "add":
                        await self._add(service)
                    elif what == "remove" and container is not None:
                        await self._remove(container)
                    elif container is not None:
                        await self._replace(container)
                except OSError as error:
                    self._note(service, "Warning", "FailedCreate", str(error))
                    failures += 1
            if failures > TRIES:
                return
            await asyncio.sleep(_STEP_S if not failures else 1.0)

    def _next_step(self, service: str) -> tuple[str, Container | None] | None:
        """The next thing to do: ``add``, ``remove`` or ``replace`` a pod; None when all is as it should be."""
        deployment, pods = self.deployments[service], self.pods(service)
        serving = [one for one in pods if one.in_service]
        if len(serving) < deployment.wanted and len(pods) < MAX_REPLICAS:
            return "add", None
        extra = [one for one in serving if one.place.index >= REPLICAS]
        if len(serving) > deployment.wanted and extra:
            return "remove", extra[-1]
        old = [one for one in serving if one.revision.number != deployment.current.number]
        return ("replace", old[0]) if old else None

    async def _add(self, service: str) -> None:
        taken = {one.place.index for one in self.pods(service)}
        place = next(Place(service, index) for index in range(MAX_REPLICAS) if index not in taken)
        revision = self.deployments[service].current
        world = self._world
        world.inside.groups.add(place.name)
        world.inside.groups.limit(place.name, revision.template.cpus, revision.template.memory)
        world.fresh_data(place.name)
        netns = network.add(world.inside.launch.ip, world.home, place.address)
        container = await children.in_callback(lambda: world.supervisor.add(place, netns, revision))
        self._note(service, "Normal", "SuccessfulCreate", f"Created pod: {place.name}")
        world.write_targets(service)
        await self._into_service(container)

    async def _remove(self, container: Container) -> None:
        world, place = self._world, container.place
        await self._end(container)
        self._leave_network(container)
        world.drop_data(place.name)
        world.inside.groups.remove(place.name)
        del world.supervisor.containers[place.name]
        world.write_targets(place.service)
        self._note(place.service, "Normal", "SuccessfulDelete", f"Deleted pod: {place.name}")

    async def _replace(self, container: Container) -> None:
        world, name = self._world, container.place.name
        await self._end(container)
        revision = self.deployments[container.place.service].current
        self._leave_network(container)
        netns = network.add(world.inside.launch.ip, world.home, container.place.address)
        world.fresh_data(name)
        world.inside.groups.limit(name, revision.template.cpus, revision.template.memory)
        world.supervisor.renew(container, netns, revision)
        await children.in_callback(lambda: world.supervisor.start(container))
        self._note(container.place.service, "Normal", "SuccessfulCreate", f"Created pod: {name} (replaced)")
        await self._into_service(container)

    def _leave_network(self, container: Container) -> None:
        if container.netns >= 0:  # below 0 after a step that failed behind this one
            network.remove(self._world.inside.launch.ip, container.place.address, container.netns)
            container.netns = -1

    async def _end(self, container: Container) -> None:
        """Take it out of service, let every fault held there go, and stop it when its requests are answered."""
        world = self._world
        served = world.serves(container.place)
        world.route(container.place, False)
        faults = [world.agents.let_go(holder) for holder in world.agents.held_at(container.place.name)]
        await asyncio.gather(_drained(container) if served else asyncio.sleep(0), *faults)
        await world.supervisor.stop(container)

    async def _into_service(self, container: Container) -> None:
        deadline = time.monotonic() + READY_S
        while not await _answers(container):
            if time.monotonic() > deadline:
                raise OSError(f"{container.place.name} does not become ready")
            await asyncio.sleep(_STEP_S)
        self._world.route(container.place, container.in_service)

    def _note(self, service: str, kind: str, reason: str, text: str) -> None:
        self._world.supervisor.events.append(Happening(time.time(), kind, reason, f"deployment/{service}", text))

    def restart(self, service: str) -> None:
        """New pods for all, one after the other."""
        self.deployments[service].restart(rfc3339(time.time()))
        self.settle(service)


async def _answers(container: Container) -> bool:
    """True when its process answers: asked at its metrics port, which no fault touches."""
    if not container.pid:
        return False
    with contextlib.suppress(OSError):
        address = (container.place.address, METRICS_PORT)
        return (await httpwire.get(address, "/metrics", 1.0)).status == 200
    return False


async def _drained(container: Container) -> None:
    """Wait until nobody is connected to its serving port, and not longer than anybody waits for an answer."""
    began = quiet_since = time.monotonic()
    while time.monotonic() - began < DRAIN_S:
        if not container.pid:
            return
        if connections(container.pid):
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= QUIET_S:
            return
        await asyncio.sleep(_STEP_S)


def connections(pid: int) -> int:
    """How many peers are connected to the serving port in the network namespace of *pid* (proc_net_tcp)."""
    try:
        rows = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return 0
    fields = (row.split() for row in rows)
    return sum(one[1].endswith(f":{SERVE_PORT:04X}") and one[3] in ("01", "03") for one in fields if len(one) > 3)
