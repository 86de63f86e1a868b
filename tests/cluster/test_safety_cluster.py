"""Nothing left behind in a cluster: intents, leases, the abort marker, recovery from annotations alone."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import live
from cluster.ground import IMAGE, RUNNER, Ground
from drill.core.actions import ChangeTemplate, CordonNode, KillReplica, ScaleWorkload
from drill.core.errors import Refused, Unavailable
from drill.faults.bad_rollout import NO_IMAGE
from drill.target.kubernetes import leases, marks, objects, paths, stop
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.ports import NodeAgents
from drill.target.kubernetes.recover import Cleared, Recovery, opted_in

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


def no_agents() -> NodeAgents:
    raise Unavailable("nothing was held in pods")


def recover(ground: Ground) -> Cleared:
    cleared = Recovery(ground.api, no_agents).run([ground.namespace])
    cleared.removed = [text for text in cleared.removed if not text.startswith("helper pod ")]  # others' that ended
    return cleared


def test_all_that_a_killed_runner_left_is_undone_from_the_annotations_alone(healthy: Ground):
    """The runner dies (its target is forgotten without a word) with a scaled workload and a bad rollout in place."""
    scale = ScaleWorkload(injection="s", service="web", workload="Deployment/web", to=2, before=3)
    healthy.begun(scale).execute(scale)
    image = ChangeTemplate(
        injection="r", service="web", workload="Deployment/web", container="web", field="image",
        value=json.dumps(NO_IMAGE), before=json.dumps(IMAGE),
    )  # fmt: skip
    healthy.begun(image).execute(image)
    assert len(healthy.intents()) == 2
    cleared = recover(healthy)
    assert cleared.remaining == []
    assert len(cleared.removed) == 2
    assert healthy.intents() == []
    web = healthy.deployment()
    assert (web.spec.replicas, web.spec.template.spec.containers[0].image) == (3, IMAGE)
    assert recover(healthy) == Cleared(), "doing it twice finds nothing"


def test_recovering_twice_at_once_is_harmless(healthy: Ground):
    scale = ScaleWorkload(injection="s", service="web", workload="Deployment/web", to=2, before=3)
    healthy.begun(scale).execute(scale)
    found: list[Cleared] = []
    threads = [threading.Thread(target=lambda: found.append(recover(healthy))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.remaining for one in found] == [[], []]
    assert healthy.deployment().spec.replicas == 3
    assert healthy.intents() == []


def test_an_annotation_that_cannot_be_read_is_named_with_the_command_that_removes_it(healthy: Ground):
    path, key = paths.one("Service", healthy.namespace, "web"), f"{marks.INTENT}broken"
    healthy.admin.patch(path, {"metadata": {"annotations": {key: "{"}}})
    try:
        (text,) = recover(healthy).remaining
        assert f"annotate service web {key}-" in text
    finally:
        healthy.admin.patch(path, {"metadata": {"annotations": {key: None}}})


def test_what_a_living_run_holds_is_left_to_it(healthy: Ground):
    kill = KillReplica(injection="k", replica="web-0", mode="evict")
    with leases.leases(healthy.api, healthy.namespace, ["web"], "run-1 (here)", print):
        target = healthy.begun(kill)
        target.execute(kill)
        cleared = recover(healthy)
        assert cleared.removed == []
        assert "run-1 (here)" in cleared.living[0]
        assert len(healthy.intents()) == 1
    assert recover(healthy).remaining == []
    assert healthy.intents() == []


def test_a_node_that_a_dead_run_cordoned_is_given_back_also_without_an_intent(healthy: Ground, own_node: str):
    action = CordonNode(injection="n", service="web", node=own_node)
    target = healthy.begun(action)
    target.execute(action)
    target.settled("n")
    assert any(own_node in text for text in recover(healthy).removed)
    node = healthy.admin.get(paths.node(own_node), objects.Node)
    assert not node.spec.unschedulable


def test_a_namespace_that_goes_while_recover_looks_is_nothing_left_behind(ground: Ground):
    """One that was named is: whoever gave the wrong name must hear it."""
    gone = f"drill-gone-{secrets.token_hex(3)}"
    assert Recovery(ground.api, no_agents).run([gone], everything=True).remaining == []
    (text,) = Recovery(ground.admin, no_agents).run([gone]).remaining
    assert f"namespace {gone} is not there" in text


def test_only_namespaces_that_let_drills_in_are_looked_at(healthy: Ground):
    found = opted_in(healthy.api)
    assert healthy.namespace in found
    assert "kube-system" not in found


@pytest.fixture
def lease(ground: Ground) -> Iterator[str]:
    name = f"web-{secrets.token_hex(3)}"
    yield name
    ground.admin.delete(paths.one("Lease", paths.SYSTEM, leases.lease_name(ground.namespace, name)))


def test_a_second_run_of_a_service_is_refused_and_names_the_first(ground: Ground, lease: str):
    with (
        leases.leases(ground.api, ground.namespace, [lease], "first (machine a)", print),
        pytest.raises(Refused, match=r"is being drilled already, by first \(machine a\)"),
        leases.leases(ground.api, ground.namespace, [lease], "second", print),
    ):
        pass
    with leases.leases(ground.api, ground.namespace, [lease], "third", print):
        pass


def test_a_dead_holders_lease_is_taken_whatever_its_clock_said(ground: Ground, lease: str):
    """The dead one's clock was an hour ahead: its last renewal lies in the future, and nobody compares."""
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": leases.lease_name(ground.namespace, lease), "namespace": paths.SYSTEM},
        "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 2, "renewTime": "2099-01-01T00:00:00.000000Z"},
    }
    ground.admin.create(paths.all_of("Lease", paths.SYSTEM), body)
    with leases.leases(ground.api, ground.namespace, [lease], "next", print):
        held = leases.read(ground.api, paths.one("Lease", paths.SYSTEM, body["metadata"]["name"]))
        assert held is not None
        assert held.spec.holder_identity == "next"


def test_a_lease_that_was_taken_away_is_noticed(ground: Ground, lease: str):
    said: list[str] = []
    with leases.leases(ground.api, ground.namespace, [lease], "mine", said.append):
        path = paths.one("Lease", paths.SYSTEM, leases.lease_name(ground.namespace, lease))
        ground.admin.patch(path, {"spec": {"holderIdentity": "thief"}})
        ground.wait(lambda: bool(said), 3 * leases.RENEW_S + 20)
    assert "somebody else has taken it" in said[0]


def test_while_an_abort_is_in_force_nothing_starts_and_a_run_under_way_hears_it(ground: Ground):
    said: list[str] = []
    with stop.Ear(ground.api, said.append):
        stop.put(ground.api, "anna on laptop")
        try:
            stop.put(ground.api, "ben on desktop")  # twice is harmless, and the first one's name stays
            with pytest.raises(Refused, match="set by anna on laptop"):
                stop.check(ground.api)
            ground.wait(lambda: bool(said), 20)
        finally:
            assert stop.clear(ground.api)
    assert "anna on laptop" in said[0]
    assert not stop.clear(ground.api)
    stop.check(ground.api)


def test_the_tests_run_with_the_runners_rights_and_no_others(ground: Ground):
    assert ground.api.access.as_user == RUNNER


@pytest.mark.timeout(420)
def test_abort_ends_a_live_run_of_another_machine_and_lets_none_begin(
    admin: Access, admin_api: Api, tmp_path: Path
):
    """Two machines, told apart by their state folders, know of each other by the cluster alone."""
    here, there = tmp_path / "here", tmp_path / "there"
    cart = paths.one("Service", live.NAMESPACE, "cart")
    before = admin_api.get(cart, objects.Service).metadata.annotations
    words = ("--context", admin.context)
    try:
        long = live.scenario(tmp_path, "latency", "{delay: 400ms}")
        with live.running(here, admin.kubeconfig, admin.context, long, "--force") as run:
            run.until("injection-effective")
            assert admin_api.get(cart, objects.Service).metadata.annotations != before, "the intent stands there"
            aborted = live.drill(there, admin.kubeconfig, "abort", *words)
            code, said = run.end()
        assert (aborted.returncode, code) == (0, 4), aborted.stdout + aborted.stderr + said
        assert "aborted: " in aborted.stdout
        assert "aborted and undone" in said
        assert f"drill abort on {admin.context}" in said, "it says who ended it"
        assert [event["clean"] for event in run.events() if event["kind"] == "clean"] == [True]
        assert admin_api.get(cart, objects.Service).metadata.annotations == before
        refused = live.drill(
            here, admin.kubeconfig, "run", "latency-spike", *words, "--service", "cart",
            "--namespace", live.NAMESPACE, "--yes", "--out", str(here / "runs"),
        )  # fmt: skip
        assert refused.returncode == 4
        assert f"drill abort --context {admin.context} --clear" in refused.stdout + refused.stderr
    finally:
        cleared = live.drill(there, admin.kubeconfig, "abort", *words, "--clear")
    assert cleared.returncode == 0
    stop.check(admin_api)
