"""The faults held on this node for one runner: started, renewed together, followed, released, cleared up behind."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from drill.agent.clear import agents_at, places_of
from drill.agent.errors import CannotApply
from drill.agent.holder import REVERT_S, AgentProcess, Holder, HoldRequest, said_clean
from drill.agent.node import programs
from drill.agent.node.following import Followed
from drill.agent.node.meters import Meters
from drill.agent.node.spot import Here, Node, PodPlace, Spot

Event = dict[str, Any]
Key = tuple[str, str]
"""Injection and pod: its uid."""
AT_ONCE = 3 * (os.cpu_count() or 1)
"""Agents that start at the same time: each waits for the kernel half of its time; more are only in the way."""
RELEASE_S = REVERT_S + 10
"""An agent that does not revert is killed and cleared up behind within this."""
OTHERS_S = 8.0
"""How long agents of a runner that just died may take to notice it: a lease."""
NETWORK = ("packet", "http")
IN_CONTAINER = ("cpu", "memory", "pause", "disk")


class Holdings:
    """All faults that this conductor holds."""

    def __init__(self, node: Node | Here, meters: Meters, tell: Callable[[Event], None]) -> None:
        self._node, self._meters = node, meters
        self._tell = tell
        self._held: dict[Key, Holder] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Semaphore(AT_ONCE)

    @property
    def held(self) -> list[list[str]]:
        """Injection and pod of every fault held now."""
        return [list(key) for key in self._held]

    def renew(self) -> None:
        """The runner is alive."""
        for holder in list(self._held.values()):
            holder.renew(b"\n")

    async def hold(self, pod: PodPlace, request: HoldRequest) -> Event:
        """Hold a fault; return what its agent said when it was applied. Raises CannotApply, OSError."""
        key = (request.injection, pod.uid)
        if key in self._held:
            raise CannotApply(f"{request.injection} already holds a fault at {pod.name}")
        spot = await self.find(pod)
        spec = prepared(request.spec, spot, self._node.exempt(spot))
        victim = Followed(self._node, pod, spot, lambda last: self._meters.note_end(pod, last))
        applied: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

        def start() -> AgentProcess:
            command = programs.hold_command(request, json.dumps(spec), victim.spot, self._node.protected())
            return AgentProcess(command, programs.adopt, 2, programs.environment())

        def clear_up() -> Awaitable[Event]:
            return self.clear(pod, victim.spot, request.injection, str(spec["kind"]))

        def tell(event: Event) -> None:
            if not applied.done() and event.get("event") not in ("lost", "again"):
                applied.set_result(event)
            else:
                self._tell({"held": list(key), "event": event})

        holder = self._held[key] = Holder(request, victim, start, clear_up)
        async with self._starting:
            run = asyncio.create_task(self._run(key, holder, victim, tell))
            self._runs.add(run)
            run.add_done_callback(self._runs.discard)
            run.add_done_callback(lambda _: applied.cancel())
            await asyncio.wait({applied})
        return await self._first_word(applied, run)

    async def _run(self, key: Key, holder: Holder, victim: Followed, tell: Callable[[Event], None]) -> None:
        try:
            await holder.run(tell)
        except (CannotApply, OSError) as error:  # of an agent that was to be started anew
            tell({"event": "failed", "error": str(error)})
        finally:
            victim.close()
            if self._held.get(key) is holder:
                del self._held[key]

    @staticmethod
    async def _first_word(applied: asyncio.Future[Event], run: asyncio.Task[None]) -> Event:
        event = {} if applied.cancelled() else applied.result()
        if event.get("event") == "applied":
            return event
        await run  # only then is nothing left of what it began
        raise CannotApply(str(event.get("error") or event.get("reason") or "the agent ended without a word"))

    async def find(self, pod: PodPlace) -> Spot:
        """Where *pod*'s container is. Raises CannotApply when it is not on this node."""
        return await asyncio.to_thread(self._node.find, pod)

    async def release(self, injection: str, kind: str, pod: PodPlace) -> Event:
        """End a fault, or find that nothing of it is left. Raises CannotApply, OSError."""
        holder = self._held.get((injection, pod.uid))
        if holder is None:
            return await self._leftovers(injection, kind, pod)
        holder.release()
        await asyncio.wait([holder.done], timeout=RELEASE_S)
        event = holder.last
        return {"event": event} if said_clean(event) else {"event": event, "cleared": await holder.clear_up()}

    async def _leftovers(self, injection: str, kind: str, pod: PodPlace) -> Event:
        try:
            spot = await self.find(pod)
        except CannotApply as gone:
            return {"event": {}, "gone": str(gone)}
        return {"event": {}, "cleared": await self.clear(pod, spot, injection, kind)}

    async def clear(self, pod: PodPlace, spot: Spot, injection: str = "", kind: str = "") -> Event:
        """Have the agent remove what it finds at *spot*, of one injection or of all. Raises CannotApply."""
        options = programs.place_options(spot, spot.joins)
        if injection:
            options += ["--id", programs.identity(injection, pod.name)]
        if kind:
            options += ["--kind", kind]
        if pod.path and spot.pid:
            options += ["--path", pod.path]
        return await programs.once("clear", *options)

    async def sweep(self, pod: PodPlace) -> Event:
        """Remove at *pod* whatever nobody holds any more; ``busy`` when somebody's agent works there."""
        try:
            spot = await self.find(pod)
        except CannotApply as gone:
            return {"removed": [], "remains": [], "gone": str(gone)}
        if any(uid == pod.uid for _, uid in self._held) or not await self._left_alone(spot):
            return {"removed": [], "remains": [], "busy": True}
        return await self.clear(pod, spot)

    @staticmethod
    async def _left_alone(spot: Spot) -> bool:
        """True when no agent works at *spot*, or those that did end within a lease."""
        places = places_of(spot.netns, spot.pid, spot.joins)
        deadline = asyncio.get_running_loop().time() + OTHERS_S
        while await asyncio.to_thread(agents_at, places):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.25)
        return True

    async def let_all_go(self) -> list[str]:
        """Release everything and wait; return what is left."""
        for holder in list(self._held.values()):
            holder.release()
        if self._runs:
            await asyncio.wait(set(self._runs), timeout=RELEASE_S)
        return [f"{injection} at {pod}" for injection, pod in self._held]


def prepared(spec: str, spot: Spot, exempt: Sequence[str]) -> Event:
    """Return the fault to hold at *spot*, with *exempt* never touched by it. Raises CannotApply, ValueError."""
    fault = json.loads(spec)
    kind = fault.get("kind")
    if kind in NETWORK:
        if not spot.netns:
            raise CannotApply("the pod is in the node's own network namespace (hostNetwork): refused")
        fault["exempt"] = sorted({*fault.get("exempt", ()), *exempt})
    if kind in IN_CONTAINER and not spot.pid:
        raise CannotApply("the container does not run")
    return dict(fault)
