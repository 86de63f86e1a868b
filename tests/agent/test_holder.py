"""A held fault that follows its container over restarts, with programs that speak as agents do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from drill.agent import holder
from drill.agent.holder import AgentProcess, Holder, HoldRequest
from drill.agent.node.programs import adopt

SPEAK = """
import json, sys
for word in sys.argv[1:]:
    print(json.dumps({"event": word}), flush=True)
if sys.argv[1:] != ["failed"]:
    sys.stdin.read()
    print(json.dumps({"event": "reverted", "clean": True, "left": []}), flush=True)
"""


class Container:
    """A container that is where the test says."""

    moves = False

    def __init__(self) -> None:
        self.pid = 100
        self.changed = asyncio.Event()

    def note_change(self) -> None:
        event, self.changed = self.changed, asyncio.Event()
        event.set()

    def restarts(self) -> None:
        self.pid += 1
        self.note_change()


async def nothing_left() -> dict[str, Any]:
    return {"remains": []}


async def heard(words: Sequence[Sequence[str]], *, reapply: bool = True) -> list[str]:
    """Hold by one agent after the other, each saying its *words*; release the last. Returns all that was said."""
    container, said, turns = Container(), list[str](), iter(words)
    request = HoldRequest("i", "r", "{}", ttl=10, deadline=60, lease=6, reapply=reapply)
    all_in = asyncio.Event()

    def start() -> AgentProcess:
        return AgentProcess([sys.executable, "-S", "-c", SPEAK, *next(turns)], adopt, 2)

    def tell(event: dict[str, Any]) -> None:
        said.append(event["event"])
        if event["event"] == "lost":
            container.restarts()
        if len([word for word in said if word != "reverted"]) == sum(map(len, words)):
            all_in.set()

    held = Holder(request, container, start, nothing_left)
    run = asyncio.create_task(held.run(tell))
    async with asyncio.timeout(20):
        await asyncio.wait([run, asyncio.create_task(all_in.wait())], return_when=asyncio.FIRST_COMPLETED)
        held.release()
        await run
    return said


def test_a_fault_follows_a_container_that_restarted() -> None:
    said = asyncio.run(heard([["applied", "lost"], ["applied"]]))
    assert said == ["applied", "lost", "reverted", "applied", "reverted"]


def test_a_fault_that_could_not_be_made_anew_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that starts has processes of its runtime's, which are gone before the agent looks at them."""
    monkeypatch.setattr(holder, "AGAIN_S", 0.05)
    said = asyncio.run(heard([["applied", "lost"], ["failed"], ["failed"], ["applied"]]))
    assert [word for word in said if word != "reverted"] == ["applied", "lost", "failed", "failed", "applied"]
    assert said[-1] == "reverted"


def test_a_fault_that_was_never_in_force_is_not_tried_again() -> None:
    assert asyncio.run(heard([["failed"]]))[0] == "failed"


def test_without_reapply_a_lost_fault_is_not_made_anew() -> None:
    assert "reverted" in asyncio.run(heard([["applied", "lost"]], reapply=False))
