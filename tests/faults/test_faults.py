"""Each fault turns parameters and facts into exactly these actions, this proof, this expectation."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from drill.core.actions import (
    CpuFault,
    DiskFault,
    HoldFault,
    HttpFault,
    KillReplica,
    MemoryFault,
    PacketFault,
    PauseFault,
    describe,
    is_deed,
    place_of,
    undo_of,
)
from drill.faults.base import Outcome, Site
from drill.faults.registry import faults
from faults.world import facts

EXEMPT = ("10.231.0.1",)
FAULTS = faults()


def site(peer: str = "") -> Site:
    world = facts()
    checkout = world.service("checkout")
    assert checkout
    return Site("x", world, checkout, checkout.replicas[0], 20.0, peer)


def held(name: str, given: dict[str, Any], backend: str, peer: str = "") -> Any:
    fault = FAULTS[name]
    ((at_s, action),) = fault.actions(fault.params.model_validate(given), backend, site(peer))
    assert at_s == 0.0
    assert isinstance(action, HoldFault)
    assert action.deadline_s == 40.0, "the agent's own deadline lies behind the plan's end"
    return action.fault


@pytest.mark.parametrize(
    ("name", "given", "backend", "fault"),
    [
        ("latency", {"delay": "400ms", "jitter": "20ms"}, "netem",
         PacketFault(backend="netem", port=8080, delay_ms=400, jitter_ms=20, exempt=EXEMPT)),
        ("latency", {"delay": "1s"}, "nfqueue",
         PacketFault(backend="nfqueue", port=8080, delay_ms=1000, exempt=EXEMPT)),
        ("latency", {"delay": "300ms"}, "envoy",
         HttpFault(port=8080, delay_percent=100, delay_ms=300, exempt=EXEMPT)),
        ("packet-loss", {"loss": "30%"}, "nft", PacketFault(backend="nft", port=8080, loss_percent=30, exempt=EXEMPT)),
        ("bandwidth", {"rate": "256kbit"}, "htb",
         PacketFault(backend="htb", port=8080, rate_bit=256_000, exempt=EXEMPT)),
        ("partition", {}, "nft", PacketFault(backend="nft", port=8080, drop="drop", exempt=EXEMPT)),
        ("http-error", {"percent": "50%", "status": 500}, "envoy",
         HttpFault(port=8080, abort_percent=50, status=500, exempt=EXEMPT)),
        ("cpu-stress", {"workers": 4, "load": 80}, "stress-ng", CpuFault(workers=4, load_percent=80)),
        ("memory-hog", {"fill": "50%"}, "stress-ng", MemoryFault(size_bytes=32 * 2**20)),
        ("oom-kill", {}, "stress-ng", MemoryFault(size_bytes=96 * 2**20, oom=True)),
        ("disk-full", {"leave": "1Mi"}, "fallocate", DiskFault(path="/data/checkout-0", leave_bytes=2**20)),
        ("pause", {}, "signals", PauseFault()),
    ],
)  # fmt: skip
def test_a_held_fault_is_exactly_this_record(name: str, given: dict[str, Any], backend: str, fault: Any):
    assert held(name, given, backend) == fault


def test_a_partition_from_one_peer_names_all_its_addresses():
    assert held("partition", {"mode": "reject"}, "nft", peer="cart").peers == (
        "10.231.4.1",
        "10.231.4.2",
        "10.231.4.3",
    )


def test_a_pod_is_killed_as_often_as_asked_at_fast_forwarded_times():
    fault = FAULTS["pod-kill"]
    timed = fault.actions(fault.params.model_validate({"times": 3, "every": "2m"}), "kill", site())
    assert timed == tuple((at, KillReplica(injection="x", replica="checkout-0")) for at in (0.0, 2.0, 4.0))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("latency", {"delay": "400"}),
        ("latency", {"delay": "0s"}),
        ("latency", {"delay": "400ms", "delya": "1s"}),
        ("packet-loss", {"loss": "120%"}),
        ("http-error", {"status": 200}),
        ("memory-hog", {"fill": "95%"}),
        ("cpu-stress", {"workers": 0}),
        ("pod-kill", {"times": 0}),
        ("bandwidth", {"rate": "fast"}),
    ],
)
def test_impossible_parameters_are_refused(name: str, given: dict[str, Any]):
    with pytest.raises(ValidationError):
        FAULTS[name].params.model_validate(given)


@pytest.mark.parametrize("name", sorted(name for name in FAULTS if "/" not in name and name != "chaostoolkit"))
def test_every_action_has_an_undo_that_touches_nothing_and_every_effect_a_bound(name: str):
    fault = FAULTS[name]
    given = {"latency": {"delay": "1s"}, "packet-loss": {"loss": "30%"}, "bandwidth": {"rate": "1mbit"}}.get(
        name, {}
    )
    params = fault.params.model_validate(given)
    for backend in fault.backends(params):
        for _, action in fault.actions(params, backend.name, site()):
            assert undo_of(action).touches() == frozenset()
            assert undo_of(undo_of(action)) == undo_of(action)
            assert action.touches()
            assert describe(action).startswith(f"{place_of(action)}: ")
            assert is_deed(action)
            assert not is_deed(undo_of(action))
        effect = fault.effect(params, backend.name, site())
        assert effect.low <= effect.expected <= effect.high
        outcome = fault.outcome(params, backend.name, site())
        assert isinstance(outcome, Outcome)
        for low, high in (outcome.failed, outcome.slowed):
            assert 0 <= low <= high <= 1


def test_a_forced_backend_is_the_only_one():
    latency = FAULTS["latency"]
    backends = latency.backends(latency.params.model_validate({"delay": "1s", "backend": "nfqueue"}))
    assert [backend.name for backend in backends] == ["nfqueue"]
