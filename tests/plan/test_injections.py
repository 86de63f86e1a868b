"""All chosen replicas get the same backend: the first that every one of them can do, and the plan says why."""

from __future__ import annotations

from drill.core.facts import Ability
from drill.faults.registry import faults
from drill.plan.injections import choose_backend, missing_at
from faults.world import facts

LATENCY = faults()["latency"]
PARAMS = LATENCY.params.model_validate({"delay": "400ms"})


def chosen(missing: dict[str, dict[Ability, str]], names: tuple[str, ...]) -> tuple[str, str]:
    """Backend and reason for latency at the replicas *names*, of which some lack something."""
    checkout = facts().service("checkout")
    assert checkout is not None
    replicas = [one.with_(missing=missing.get(one.name, {})) for one in checkout.replicas if one.name in names]
    backend, why = choose_backend(LATENCY.backends(PARAMS), missing_at(replicas, facts()))
    assert backend is not None
    return backend.name, why


LACKS: dict[str, dict[Ability, str]] = {"checkout-1": {"netem": "no sch_netem in its kernel (node b)"}}


def test_the_best_backend_is_taken_where_every_replica_can_do_it():
    assert chosen(LACKS, ("checkout-0", "checkout-2"))[0] == "netem"


def test_one_replica_that_cannot_decides_for_all_and_its_node_is_named():
    backend, why = chosen(LACKS, ("checkout-0", "checkout-1"))
    assert backend == "nfqueue"
    assert "no netem: no sch_netem in its kernel (node b)" in why


def test_pod_kill_evicts_where_there_is_an_api_and_kills_where_there_is_none():
    fault = faults()["pod-kill"]
    ways = fault.backends(fault.params())
    assert [way.name for way in ways] == ["evict", "kill"]
    evict, _ = choose_backend(ways, {})
    kill, why = choose_backend(ways, {"evict": "the sandbox has no Kubernetes API"})
    assert evict is not None
    assert kill is not None
    assert (evict.name, kill.name) == ("evict", "kill")
    assert "no evict: the sandbox has no Kubernetes API" in why
