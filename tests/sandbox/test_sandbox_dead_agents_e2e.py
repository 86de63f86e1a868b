"""Agent and guard die together, or are stopped together: init ends the fault, and a sweep finds nothing more.

``bench/leaks`` does this hundreds of times at random points; here it is done once for each way a fault is held.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drill.core.actions import CpuFault, HeldFault, HoldFault, HttpFault, PacketFault, PauseFault, ReleaseFault
from drill.target.sandbox import Sandbox, SandboxSpec

pytestmark = pytest.mark.e2e

SPEC = SandboxSpec(
    rules="groups: []\n",
    alertmanager="route: {receiver: log}\nreceivers: [{name: log}]\n",
    rates={"checkout": 2.0, "payment": 2.0, "catalog": 2.0, "cart": 2.0, "recommendations": 2.0},
)
FAULTS: dict[str, HeldFault] = {
    "pause": PauseFault(),
    "partition": PacketFault(backend="nft", port=8080, drop="drop", exempt=("10.231.0.1",)),
    "bandwidth": PacketFault(backend="htb", port=8080, rate_bit=64_000, exempt=("10.231.0.1",)),
    "http-error": HttpFault(port=8080, abort_percent=100),
    "cpu": CpuFault(workers=1),
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SPEC) as started:
        yield started


def agents(identity: str) -> list[int]:
    """All processes that carry the injection's id on their command line: agent, guard, worker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if identity.encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def within(seconds: float, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def hold(sandbox: Sandbox, name: str, replica: str) -> str:
    sandbox.execute(HoldFault(injection=name, replica=replica, fault=FAULTS[name], deadline_s=60))
    assert agents(f"{name}.{replica}")
    return f"{name}.{replica}"


@pytest.mark.parametrize("name", FAULTS)
def test_init_clears_up_behind_an_agent_that_died_with_its_guard(sandbox: Sandbox, name: str) -> None:
    before = sandbox.snapshot("catalog-1")
    identity = hold(sandbox, name, "catalog-1")
    assert sandbox.snapshot("catalog-1") != before
    for pid in agents(identity):
        with contextlib.suppress(ProcessLookupError):  # the worker ends with its agent
            os.kill(pid, signal.SIGKILL)
    within(10, lambda: sandbox.snapshot("catalog-1") == before)
    assert sandbox.sweep() == ([], [])
    sandbox.execute(ReleaseFault(injection=name, replica="catalog-1"))


def test_an_agent_stopped_together_with_its_guard_is_ended_by_a_missed_lease(sandbox: Sandbox) -> None:
    before = sandbox.snapshot("cart-1")
    for pid in agents(hold(sandbox, "partition", "cart-1")):
        os.kill(pid, signal.SIGSTOP)
    within(20, lambda: sandbox.snapshot("cart-1") == before)
    assert agents("partition.cart-1") == []


def test_clearing_up_one_fault_leaves_another_at_the_same_replica_alone(sandbox: Sandbox) -> None:
    before = sandbox.snapshot("payment-1")
    partition, pause = hold(sandbox, "partition", "payment-1"), hold(sandbox, "pause", "payment-1")
    for pid in agents(pause):
        os.kill(pid, signal.SIGKILL)
    within(10, lambda: "stopped 0" in sandbox.snapshot("payment-1")["processes"])
    assert agents(partition), "the agent of the other fault"
    assert "drill_partition" in sandbox.snapshot("payment-1")["nft"]
    assert sandbox.sweep() == ([], []), "a fault that somebody holds is not swept"
    assert agents(partition)
    sandbox.execute(ReleaseFault(injection="partition", replica="payment-1"))
    assert sandbox.snapshot("payment-1") == before
