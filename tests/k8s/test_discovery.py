"""From a Service to its replicas: which pods, which container and port, which workload, what cannot be done there."""

from __future__ import annotations

from typing import Any

import pytest

from drill.core.actions import (
    ChangeTemplate,
    CordonNode,
    HoldFault,
    KillReplica,
    PauseFault,
    ScaleWorkload,
    undo_of,
)
from drill.core.facts import Facts, Replica
from drill.target.kubernetes import discovery, objects
from drill.target.kubernetes.discovery import World
from drill.target.kubernetes.foresee import needs_of
from drill.target.kubernetes.planned import Timing, facts_of
from drill.target.kubernetes.slots import Slots
from drill.target.kubernetes.view import RESTARTED, _wanted

TIMING = Timing(1, 1, 1, 5, 60, fast_forward=60, exempt=("10.0.0.9",))


def service(name: str = "web", *, ports: list[dict[str, Any]] | None = None, **annotations: str) -> objects.Service:
    usual = [{"name": "metrics", "port": 9100}, {"name": "http", "port": 80, "targetPort": "http"}]
    return objects.Service.model_validate(
        {
            "metadata": {"name": name, "annotations": {f"drill.dev/{k}": v for k, v in annotations.items()}},
            "spec": {"selector": {"app": name}, "ports": ports or usual},
        }
    )


def pod(name: str = "web-5d4-x", node: str = "a", owner: str = "ReplicaSet/web-5d4", **spec: Any) -> objects.Pod:
    kind, _, owner_name = owner.partition("/")
    containers = [
        {"name": "proxy", "ports": [{"name": "admin", "containerPort": 9901}]},
        {
            "name": "web",
            "image": "web:1",
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}},
            "volumeMounts": [{"name": "disk", "mountPath": "/disk"}, {"name": "data", "mountPath": "/data"}],
        },
    ]
    volumes = [{"name": "disk", "emptyDir": {}}, {"name": "data", "emptyDir": {"medium": "Memory"}}]
    return objects.Pod.model_validate(
        {
            "metadata": {
                "name": name, "uid": name, "namespace": "shop", "labels": {"app": "web", "extra": "1"},
                "ownerReferences": [{"kind": kind, "name": owner_name, "controller": True}],
            },
            "spec": {"nodeName": node, "containers": containers, "volumes": volumes, **spec},
            "status": {
                "phase": "Running", "podIP": "10.1.0.7", "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "web", "containerID": "containerd://abc", "restartCount": 2}],
            },
        }
    )  # fmt: skip


def workload(kind: str = "Deployment", name: str = "web", replicas: int = 1) -> tuple[str, objects.Workload]:
    template = {"spec": {"containers": [{"name": "web", "image": "web:1", "readinessProbe": {"periodSeconds": 2}}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return kind, objects.Workload.model_validate({"metadata": {"name": name}, "spec": spec})


def node(name: str, *, cidr: str = "10.1.0.0/24", address: str = "192.0.2.1") -> objects.Node:
    return objects.Node.model_validate(
        {
            "metadata": {"name": name},
            "spec": {"podCIDR": cidr},
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
    )


def world(*pods: objects.Pod, services: tuple[objects.Service, ...] = (service(),), **given: Any) -> World:
    namespace = objects.Thing.model_validate(
        {"metadata": {"name": "shop", "annotations": {"drill.dev/client-timeout": "2s"}}}
    )
    return World(namespace, services, pods, given.get("workloads", (workload(),)), (node("a"), node("b")))


def facts(of: World, missing: dict[str, dict[str, str]] | None = None) -> Facts:
    here = {one.name: Slots(one.name).see(of.pods_of(one), grow=True) for one in of.services}
    return facts_of(of, "kind-drill", TIMING, here, lambda name: (missing or {}).get(name, {}))


def only_replica(of: Facts) -> Replica:
    ((replica,),) = [one.replicas for one in of.services]
    return replica


def test_a_pod_becomes_a_replica_with_the_limits_and_the_port_of_the_container_that_serves():
    found = only_replica(facts(world(pod())))
    assert (found.name, found.address, found.port, found.node) == ("web-0", "10.1.0.7", 8080, "a")
    assert (found.cpu_limit, found.memory_limit_bytes) == (0.25, 64 * 2**20)
    assert found.place == "pod web-5d4-x on node a"


def test_only_a_file_system_of_the_pods_own_is_filled():
    """The emptyDir on the node's disk comes first in the container, and is the node's."""
    assert only_replica(facts(world(pod()))).data_path == "/data"


def test_the_ref_for_agents_names_the_container_as_the_runtime_knows_it():
    ref = discovery.pod_ref(pod(), service())
    assert ref is not None
    assert (ref.container, ref.container_id, ref.namespace) == ("web", "abc", "shop")


@pytest.mark.parametrize(
    ("ports", "annotations", "port"),
    [
        ([{"name": "metrics", "port": 9100}, {"name": "http", "port": 80, "targetPort": "http"}], {}, 8080),
        ([{"port": 80, "targetPort": 8080}], {}, 8080),
        ([{"port": 8080}], {}, 8080),
        (
            [{"name": "a", "port": 1, "targetPort": 9901}, {"name": "b", "port": 2, "targetPort": 8080}],
            {"port": "b"},
            8080,
        ),
        ([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "x", "port": 80, "targetPort": 8080}], {}, 8080),
    ],
)
def test_the_serving_port_is_found(ports: list[dict[str, Any]], annotations: dict[str, str], port: int):
    ref = discovery.pod_ref(pod(), service(ports=ports, **annotations))
    assert ref is not None
    assert ref.port == port


def test_a_service_without_a_selector_or_with_a_port_nobody_serves_has_no_replica():
    bare = service().model_copy(update={"spec": objects.ServiceSpec()})
    unserved = service("other", ports=[{"port": 80, "targetPort": "grpc"}])
    assert world(pod()).pods_of(bare) == ()
    assert discovery.pod_ref(pod(), unserved) is None


def test_pods_that_end_are_no_replicas():
    ending = pod().model_copy(update={"metadata": pod().metadata.model_copy(update={"deletion_timestamp": "now"})})
    assert world(ending).pods_of(service()) == ()


def test_the_deployment_is_found_through_the_name_of_its_replica_set():
    found = facts(world(pod(), workloads=(workload(name="web-5d4"), workload()))).services[0].workload
    assert found is not None
    assert (found.name, found.container, found.image) == ("Deployment/web", "web", "web:1")
    assert found.readiness == '{"periodSeconds": 2}'


@pytest.mark.parametrize(
    ("owner", "workloads", "lacks"),
    [
        ("ReplicaSet/web-5d4", (workload(),), set()),
        ("StatefulSet/web", (workload("StatefulSet"),), {"rollout"}),
        ("DaemonSet/web", (workload("DaemonSet"),), {"scale", "rollout"}),
        ("ReplicaSet/stranger", (workload(),), {"scale", "rollout"}),
    ],
)
def test_what_a_workload_of_another_kind_cannot_be_asked_is_said(owner: str, workloads: Any, lacks: set[str]):
    assert set(only_replica(facts(world(pod(owner=owner), workloads=workloads))).missing) == lacks


def test_a_pod_on_its_nodes_network_gets_no_network_fault():
    missing = only_replica(facts(world(pod(hostNetwork=True)))).missing
    assert "shares its node's network" in missing["netem"]
    assert "stress-ng" not in missing


def test_what_a_node_cannot_do_stands_at_its_replicas_with_the_nodes_name():
    of = facts(world(pod(), pod("web-5d4-y", "b")), {"b": {"netem": "no sch_netem in this kernel"}})
    first, second = of.services[0].replicas
    assert first.missing == {}
    assert second.missing == {"netem": "no sch_netem in this kernel (node b)"}


def test_without_helpers_nothing_is_held_at_their_node():
    missing = only_replica(facts(world(pod()), {"a": {"*": "the helper pod is not allowed"}})).missing
    assert {"netem", "stress-ng", "signals"} <= set(missing)
    assert "evict" not in missing


def test_probes_of_the_platform_are_never_faulted():
    assert set(facts(world(pod())).exempt) == {"10.0.0.9", "192.0.2.1", "10.1.0.1"}


def test_what_a_service_says_of_itself_is_read():
    found = facts(world(pod(), services=(service(tier="2", calls="payment, cart"),)))
    assert (found.services[0].tier, found.services[0].calls) == (2, ("payment", "cart"))
    assert found.client_timeout_s == 2


def test_the_rights_a_drill_needs_follow_from_what_it_does():
    hold = HoldFault(injection="x", replica="web-0", fault=PauseFault(), deadline_s=5)
    scale = ScaleWorkload(injection="x", service="web", workload="Deployment/web", to=1, before=2)
    drain = CordonNode(injection="x", service="web", node="a", drain=True)
    image = ChangeTemplate(
        injection="x",
        service="web",
        workload="Deployment/web",
        container="web",
        field="image",
        value='"a"',
        before='"b"',
    )
    kill = KillReplica(injection="x", replica="web-0", mode="delete")
    assert needs_of([kill, undo_of(kill)]) == {"look", "lease", "delete", "recover"}
    assert needs_of([hold]) == {"look", "lease", "agents"}
    assert needs_of([scale, image]) == {"look", "lease", "scale", "rollout"}
    assert needs_of([drain]) == {"look", "lease", "cordon", "evict"}


def test_a_restart_by_people_is_nothing_a_fault_left_behind() -> None:
    """`kubectl rollout restart` writes a time into the template; every other change of it still counts."""
    pods = {"containers": [{"name": "web", "image": "web:1"}]}
    before = {"replicas": 3, "template": {"metadata": {"labels": {"app": "web"}}, "spec": pods}}
    noted = {"labels": {"app": "web"}, "annotations": {RESTARTED: "2026-11-25T07:23:12Z"}}
    assert _wanted({**before, "template": {"metadata": noted, "spec": pods}}) == _wanted(
        {**before, "template": {"metadata": {**noted, "annotations": {}}, "spec": pods}}
    )
    other = {**noted, "annotations": {**noted["annotations"], "team": "x"}}
    assert _wanted({**before, "template": {"metadata": other, "spec": pods}}) != _wanted(before)
