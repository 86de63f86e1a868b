"""A program of the sandbox in a pod: endpoints by name, and an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from drill.target.sandbox import pod
from drill.target.sandbox.routes import Routes


def test_a_name_that_cannot_be_answered_keeps_its_addresses_and_one_without_replicas_has_none() -> None:
    answers = {"cart": ["10.0.0.1"], "payment": None, "catalog": []}
    before = {"payment": ["10.0.0.7"], "catalog": ["10.0.0.8"]}
    found = asyncio.run(pod.look_up(answers, before, answers.__getitem__))
    assert found == {"cart": ["10.0.0.1"], "payment": ["10.0.0.7"], "catalog": []}


@pytest.mark.parametrize(
    ("error", "expected"),
    [(socket.EAI_NONAME, []), (socket.EAI_AGAIN, None), (socket.EAI_FAIL, None)],
)
def test_no_such_name_means_no_replica_and_a_silent_name_server_means_nothing(
    error: int, expected: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise socket.gaierror(error, "no")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert pod.addresses("cart") == expected


def test_what_is_followed_is_what_routes_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod, "look_up", _fixed)
    file = tmp_path / "endpoints.json"

    async def briefly() -> None:
        task = asyncio.ensure_future(pod.follow(["cart"], file))
        while not file.exists():
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(briefly())
    assert Routes(file, seed="x").pick("cart") == "10.0.0.1"


async def _fixed(*_: object) -> dict[str, list[str]]:
    return {"cart": ["10.0.0.1"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_pod_that_is_told_to_end_serves_on_for_a_moment(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process 1 of a container gets no signal that it does not handle: it would be killed half a minute later."""
    monkeypatch.setattr(pod, "DRAIN_S", 0.05)
    served: list[bool] = []

    async def program() -> None:
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.03)
        served.append(True)
        await asyncio.Event().wait()

    asyncio.run(pod.until_told(program()))
    assert served == [True]


def test_a_program_that_fails_takes_the_pod_with_it() -> None:
    async def program() -> None:
        raise OSError("the port is taken")

    with pytest.raises(OSError, match="the port is taken"):
        asyncio.run(pod.until_told(program(), asyncio.sleep(60)))


def test_only_the_demos_services_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pod.main(["service", "basket"])
    assert "checkout" in capsys.readouterr().err
