"""All chosen replicas get the same backend: the first that every one of them can do, and the plan says why."""

from __future__ import annotations

import pytest

from drill.core.facts import Ability
from drill.faults.registry import faults, parameter_models
from drill.plan.injections import Planned, choose_backend, missing_at, plan_injections
from drill.scenario.library import find, shipped_roots
from drill.scenario.loader import load
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


def planned_on(missing: dict[str, dict[Ability, str]]) -> Planned:
    """Latency at every replica of checkout, of which some lack something."""
    world = facts()
    services = tuple(
        service.with_(replicas=tuple(one.with_(missing=missing.get(one.name, {})) for one in service.replicas))
        for service in world.services
    )
    loaded = load(
        find("latency-spike", shipped_roots()), faults=parameter_models(), overrides={"service": "checkout"}
    )
    assert loaded.scenario is not None
    return plan_injections(loaded.scenario, loaded.fault_params, world.with_(services=services), faults(), seed=1)


TWO_KERNELS: dict[str, dict[Ability, str]] = {
    "checkout-0": {"nfqueue": "no IPv4 in nf_tables", "envoy": "no redirect"},
    "checkout-1": {"netem": "no sch_netem"},
    "checkout-2": {"netem": "no sch_netem"},
}


def test_nodes_of_different_kernels_get_the_backend_each_can_do():
    (injection,) = planned_on(TWO_KERNELS).injections
    held = {step.action.replica: step.action.fault.backend for step in injection.steps}
    assert held == {"checkout-0": "netem", "checkout-1": "nfqueue", "checkout-2": "nfqueue"}
    assert injection.backend == "netem + nfqueue"
    assert "checkout-1" in injection.why
    assert "no sch_netem" in injection.why


def test_backends_of_different_effect_are_not_mixed():
    lacks = {**TWO_KERNELS, "checkout-1": {"netem": "no sch_netem", "nfqueue": "no nf_queue"}}
    planned = planned_on(lacks)
    assert not planned.injections
    (complaint,) = planned.complaints
    assert "would not be the same at all replicas" in complaint.message
    assert "checkout-1" in complaint.message


def test_a_replica_without_any_backend_is_named_with_its_reasons():
    lacks = {**TWO_KERNELS, "checkout-2": dict.fromkeys(("netem", "nfqueue", "envoy"), "nothing works here")}
    planned = planned_on(lacks)
    assert not planned.injections
    (complaint,) = planned.complaints
    assert "cannot be made on" in complaint.message
    assert "nothing works here" in complaint.message


@pytest.mark.parametrize(
    ("calls", "known", "complains"),
    [
        (("payment", "cart"), False, False),
        (("cart",), False, True),
        ((), False, False),  # nobody has said what it calls
        ((), True, True),
    ],
)
def test_a_caller_that_does_not_call_is_no_peer(calls: tuple[str, ...], known: bool, complains: bool) -> None:
    world = facts()
    services = tuple(one.with_(calls=calls) if one.name == "checkout" else one for one in world.services)
    loaded = load(find("dependency-down", shipped_roots()), faults=parameter_models())
    assert loaded.scenario is not None
    there = world.with_(services=services, knows_calls=known)
    planned = plan_injections(loaded.scenario, loaded.fault_params, there, faults(), seed=1)
    assert bool(planned.injections) is not complains
    said = [(one.path, one.message, one.hint) for one in planned.complaints]
    assert said == [
        (("injections", 0, "target", "peer"),
         "checkout does not call payment: nobody would notice that it cannot",
         "it calls cart" if calls else "it calls no other service"),
    ][: int(complains)]  # fmt: skip


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
