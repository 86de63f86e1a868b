"""chaostoolkit-kubernetes's actions as faults, on a real cluster: they act, are proven, and leave what was there."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from testcluster.engine import STATE
from testcluster.lifecycle import Options
from testcluster.steps import Missing, Steps

from drill.core.actions import RunActivity, UndoActivity, undo_of
from drill.core.errors import ActionFailed, Unavailable
from drill.core.facts import Facts, Replica, Service
from drill.core.probes import Measurement, Probe
from drill.faults.base import Site
from drill.faults.k8s import Driver, drivers
from drill.target.activities import Activities
from testcluster import lifecycle

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

NAMESPACE = f"drill-chaostoolkit-{os.getpid()}"
BY_NAME = {driver.function: driver for driver in drivers()}
PODS: dict[str, Any] = {
    "containers": [{"name": "idle", "image": "registry.k8s.io/pause:3.10.1", "imagePullPolicy": "Never"}],
    "terminationGracePeriodSeconds": 1,
    "nodeSelector": {"drill.dev/kernel": "host"},
}


@pytest.fixture(scope="module")
def context() -> Iterator[str]:
    """The context of the test cluster: the one that runs, else one that is made for these tests."""
    options = Options(export=False)
    kubeconfig = STATE / "clusters" / options.name / "kubeconfig"
    there = kubeconfig.is_file()
    try:
        name = f"kind-{options.name}" if there else lifecycle.up(options, Steps(quiet=True)).context
    except Missing as missing:
        pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        yield name
    if not there:
        lifecycle.down(options, Steps(quiet=True))


@pytest.fixture(scope="module")
def apps(context: str) -> Iterator[Any]:
    """A namespace that opted in, with a deployment of two pods; made once, since making one takes its time."""
    config.load_kube_config(context=context)
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    core.create_namespace({"metadata": {"name": NAMESPACE, "labels": {"drill.dev/allowed": "true"}}})
    labels = {"app": "idle"}
    apps.create_namespaced_deployment(
        NAMESPACE,
        {
            "metadata": {"name": "idle"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": PODS},
            },
        },
    )
    until(lambda: apps.read_namespaced_deployment("idle", NAMESPACE).status.ready_replicas == 2)
    yield apps
    core.delete_namespace(NAMESPACE)


def until(condition: Callable[[], bool], within_s: float = 120) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.3)


class Drilled:
    """One driver's action with its probe and undo, played as the engine plays them."""

    def __init__(self, driver: Driver, given: dict[str, Any], context: str, folder: Path) -> None:
        replica = Replica(name="idle-0", service="idle", address="10.0.0.1", port=1)
        service = Service(name="idle", tier=1, replicas=(replica,))
        facts = Facts(
            target=context, services=(service,), scrape_interval_s=1, evaluation_interval_s=1, group_wait_s=1,
            group_interval_s=1, history_s=1,
        )  # fmt: skip
        site = Site("one", facts, service, replica, 10)
        params = driver.params.model_validate(given)
        ((_, action),) = driver.actions(params, "api", site)
        assert isinstance(action, RunActivity)
        self.action, self.effect = action, driver.effect(params, "api", site)
        self.target = Activities(None, folder)  # type: ignore[arg-type]  # no action here is for the wrapped target

    def measure(self) -> Measurement:
        return self.target.measure(Probe(kind="activity", replica="idle-0", call=self.effect.call))

    def play(self) -> Measurement:
        assert self.measure().value == 0, "the effect must not show before anything is done"
        self.target.execute(self.action)
        end = time.monotonic() + self.effect.within_s
        found = Measurement(value=0, at=0)
        while not found.value and time.monotonic() < end:
            with contextlib.suppress(Unavailable):  # no answer in time is no effect yet, as for the engine
                found = self.measure()
        return found

    def undo(self) -> None:
        undo = undo_of(self.action)
        assert isinstance(undo, UndoActivity)
        self.target.execute(undo)


@pytest.fixture
def drilled(context: str, apps: Any, tmp_path: Path) -> Iterator[Callable[..., Drilled]]:
    made: list[Drilled] = []

    def make(function: str, **given: Any) -> Drilled:
        made.append(Drilled(BY_NAME[function], given, context, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.undo()


def test_deleted_pods_are_proven_by_their_uids_and_the_undo_waits_for_new_ones(
    drilled: Callable[..., Drilled], apps: Any
) -> None:
    drill = drilled("terminate_pods", label_selector="app=idle", ns=NAMESPACE, qty=1)
    assert drill.play().value == 1
    drill.undo()
    assert apps.read_namespaced_deployment("idle", NAMESPACE).status.ready_replicas == 2


def test_an_action_that_matches_nothing_has_no_effect_although_the_driver_reports_success(
    drilled: Callable[..., Drilled],
) -> None:
    drill = drilled("terminate_pods", label_selector="app=nobody", ns=NAMESPACE)
    assert drill.measure().value == 0
    drill.target.execute(drill.action)  # no failure: that is the driver's answer
    assert drill.measure().value == 0


def test_a_scaled_deployment_gets_the_count_it_had(drilled: Callable[..., Drilled], apps: Any) -> None:
    drill = drilled("scale_deployment", name="idle", replicas=0, ns=NAMESPACE)
    assert drill.play().value == 1
    drill.undo()
    found = apps.read_namespaced_deployment("idle", NAMESPACE)
    assert (found.spec.replicas, found.status.ready_replicas) == (2, 2)
    assert "drill.dev/chaostoolkit-before" not in (found.metadata.annotations or {})


def test_the_undo_of_what_was_never_done_changes_nothing(drilled: Callable[..., Drilled], apps: Any) -> None:
    drilled("scale_deployment", name="idle", replicas=0, ns=NAMESPACE).undo()
    assert apps.read_namespaced_deployment("idle", NAMESPACE).spec.replicas == 2


def test_a_policy_is_removed_again_but_never_somebody_elses(drilled: Callable[..., Drilled], apps: Any) -> None:
    network = client.NetworkingV1Api()
    drill = drilled("deny_all_ingress", ns=NAMESPACE)
    assert drill.play().value == 1
    drill.undo()
    assert network.list_namespaced_network_policy(NAMESPACE).items == []
    theirs = {"metadata": {"name": "theirs"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    network.create_namespaced_network_policy(NAMESPACE, theirs)
    mine = drilled("create_network_policy", spec=theirs, ns=NAMESPACE)
    with pytest.raises(ActionFailed, match="already, and not by drill"):
        mine.target.execute(mine.action)
    mine.undo()
    assert [one.metadata.name for one in network.list_namespaced_network_policy(NAMESPACE).items] == ["theirs"]


def test_a_restart_of_a_deployment_replaces_its_pods(drilled: Callable[..., Drilled], apps: Any) -> None:
    assert drilled("rollout_deployment", name="idle", ns=NAMESPACE).play().value == 1


def test_a_cordoned_node_is_given_back(drilled: Callable[..., Drilled]) -> None:
    core = client.CoreV1Api()
    name = core.list_node(label_selector="drill.dev/kernel=host").items[0].metadata.name
    drill = drilled("cordon_node", name=name)
    try:
        assert drill.play().value == 1
    finally:
        drill.undo()
    found = core.read_node(name)
    assert not found.spec.unschedulable
    assert "drill.dev/chaostoolkit-before" not in (found.metadata.annotations or {})


def test_a_namespace_that_did_not_opt_in_is_left_alone(drilled: Callable[..., Drilled]) -> None:
    drill = drilled("terminate_pods", label_selector="k8s-app=kube-dns", ns="kube-system")
    with pytest.raises(ActionFailed, match="has not opted in"):
        drill.target.execute(drill.action)
    drill.target._guards.clear()  # its undo would wait for kube-system to be ready, which is not ours to judge


def test_without_a_context_nothing_is_touched(apps: Any, context: str, tmp_path: Path) -> None:
    drill = Drilled(BY_NAME["terminate_pods"], {"label_selector": "app=idle", "ns": NAMESPACE}, context, tmp_path)
    around = drill.action.call.surroundings.with_(context="")
    nowhere = drill.action.with_(call=drill.action.call.with_(surroundings=around), undo=drill.action.undo)
    with pytest.raises(ActionFailed, match="no Kubernetes context was named"):
        drill.target.execute(nowhere)
    drill.undo()
