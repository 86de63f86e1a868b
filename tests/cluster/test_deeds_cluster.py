"""Every deed through the API, with exactly the rights of the runner: done, measured, undone, nothing left."""

from __future__ import annotations

import json
import time

import pytest

from cluster.ground import IMAGE, Ground
from drill.core.actions import AnyAction, ChangeTemplate, CordonNode, KillReplica, ScaleWorkload, undo_of
from drill.core.errors import ActionFailed
from drill.core.probes import Probe, ProbeKind
from drill.faults.bad_rollout import NEVER_READY, NO_IMAGE
from drill.target.kubernetes import objects, paths
from drill.target.kubernetes.target import KubernetesTarget

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
FIRST = "web-0"


def measured(target: KubernetesTarget, kind: ProbeKind, replica: str = FIRST) -> float:
    return target.measure(Probe(kind=kind, replica=replica)).value


def comes(target: KubernetesTarget, kind: ProbeKind, wanted: float, within_s: float = 40.0) -> None:
    until = time.monotonic() + within_s
    while (value := measured(target, kind)) != wanted:
        assert time.monotonic() < until, f"{kind} is {value}, not {wanted}"
        time.sleep(0.2)


def drill(ground: Ground, action: AnyAction, kind: ProbeKind, change: float) -> KubernetesTarget:
    """Do *action* between two snapshots as the engine does, and see that the second is the first again."""
    target = ground.begun(action)
    before, value = target.snapshot(FIRST), measured(target, kind)
    target.execute(action)
    assert len(ground.intents()) == 1, "the intent stands on the Service while the fault is in place"
    comes(target, kind, value + change)
    target.execute(undo_of(action))
    ground.wait(lambda: target.snapshot(FIRST) == before)
    target.settled(action.injection)
    assert ground.intents() == []
    return target


@pytest.mark.parametrize("mode", ["evict", "delete"])
def test_a_killed_pod_is_replaced_and_its_place_keeps_its_name(healthy: Ground, mode: str):
    before = {pod.metadata.uid for pod in healthy.pods()}
    kill = KillReplica.model_validate({"injection": "k", "replica": FIRST, "mode": mode})
    target = drill(healthy, kill, "starts", 1)
    after = {pod.metadata.uid for pod in healthy.pods()}
    assert len(after - before) == 1
    web = target.facts().service("web")
    assert web is not None
    assert [one.name for one in web.replicas] == ["web-0", "web-1", "web-2"]


def test_a_replica_that_is_down_from_the_kill_before_is_not_killed_again_but_waited_for(healthy: Ground):
    kill = KillReplica(injection="k", replica=FIRST)
    target = healthy.begun(kill, helpers=True)
    before, starts = target.snapshot(FIRST), measured(target, "starts")
    target.execute(kill)
    comes(target, "starts", starts + 1)
    healthy.wait(healthy.healthy)
    target.execute(kill)  # from the second time on kubelet waits 10 s and more
    comes(target, "starts", starts + 2)
    assert not healthy.healthy()
    target.execute(kill)
    target.execute(undo_of(kill))
    assert healthy.healthy()
    assert measured(target, "starts") == starts + 2
    assert target.snapshot(FIRST) == before
    target.settled("k")
    target.close()


def scaled(to: int, before: int = 3) -> ScaleWorkload:
    return ScaleWorkload(injection="s", service="web", workload="Deployment/web", to=to, before=before)


def test_a_workload_is_scaled_down_and_back(healthy: Ground):
    drill(healthy, scaled(1), "ready", -2)


def test_a_size_somebody_else_set_is_left_alone(healthy: Ground):
    target = healthy.begun(scaled(2, 5))
    with pytest.raises(ActionFailed, match="has 3 replicas now, neither 5 nor 2"):
        target.execute(scaled(2, 5))
    target.settled("s")


def changed(field: str, value: object, before: object) -> ChangeTemplate:
    said = {"injection": "r", "service": "web", "workload": "Deployment/web", "container": "web", "field": field}
    return ChangeTemplate.model_validate({**said, "value": json.dumps(value), "before": json.dumps(before)})


def test_an_image_nobody_can_pull_is_rolled_out_and_back(healthy: Ground):
    drill(healthy, changed("image", NO_IMAGE, IMAGE), "unavailable", 1)
    assert healthy.deployment().spec.template.spec.containers[0].image == IMAGE


def test_a_rollout_that_never_becomes_ready_is_taken_back(healthy: Ground):
    before = healthy.deployment().spec.template.spec.containers[0].readiness_probe
    drill(healthy, changed("readinessProbe", NEVER_READY, before), "unavailable", 1)
    assert healthy.deployment().spec.template.spec.containers[0].readiness_probe == before


def test_a_template_somebody_else_changed_is_left_alone(healthy: Ground):
    change = changed("image", NO_IMAGE, "another:tag")
    target = healthy.begun(change)
    with pytest.raises(ActionFailed, match="somebody else changed it"):
        target.execute(change)
    target.settled("r")


def test_a_drained_node_loses_only_the_services_pods_and_is_given_back(healthy: Ground, own_node: str):
    action = CordonNode(injection="n", service="web", node=own_node, drain=True)
    others = {pod.metadata.uid for pod in elsewhere(healthy, own_node)}
    target = healthy.begun(action)
    before = target.snapshot(FIRST)
    target.execute(action)
    assert healthy.admin.get(paths.node(own_node), objects.Node).spec.unschedulable
    comes(target, "starts", 1)
    target.execute(undo_of(action))
    ground_node = healthy.admin.get(paths.node(own_node), objects.Node)
    assert not ground_node.spec.unschedulable
    assert "drill.dev/cordoned-by" not in ground_node.metadata.annotations
    healthy.wait(lambda: target.snapshot(FIRST) == before)
    target.settled("n")
    assert others <= {pod.metadata.uid for pod in elsewhere(healthy, own_node)}, "no other pod was evicted"


def elsewhere(ground: Ground, node: str) -> list[objects.Pod]:
    pods = ground.admin.list("/api/v1/pods", objects.Pod).items
    return [pod for pod in pods if pod.spec.node_name == node and pod.metadata.namespace == "kube-system"]
