"""The demo on a real cluster: it comes up, users get answers, SLIs appear, doing it again changes nothing, nothing stays."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from testcluster.lifecycle import Options, find
from testcluster.steps import Steps

from drill.cli.demo import Chosen
from drill.core.errors import Refused, Unavailable
from drill.target.demo import deploy
from drill.target.demo.spec import IMAGE, MONITORING_IMAGE, DemoSpec
from drill.target.kubernetes import objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import NotThere

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Demo:
    """A demo of this suite's own, in namespaces of its own."""

    api: Api
    spec: DemoSpec
    took: deploy.Deployed

    def ask(self, server: str, path: str) -> bytes:
        """Ask a server of the demo through the API server."""
        return self.api.raw("GET", paths.one("Service", self.spec.monitoring, server, f"proxy/{path}"))


@pytest.fixture(scope="module")
def demo(admin_api: Api) -> Iterator[Demo]:
    name = f"demo-{secrets.token_hex(3)}"
    spec = Chosen(name, f"{name}-watch", IMAGE, MONITORING_IMAGE, 60.0).spec()
    try:
        yield Demo(admin_api, spec, deploy.deploy(admin_api, spec, print))
    finally:
        deploy.remove(admin_api, spec, print)
        for namespace in (spec.namespace, spec.monitoring):
            with pytest.raises(NotThere):
                admin_api.get(paths.namespace(namespace), objects.Thing)


def versions(demo: Demo) -> dict[str, int]:
    """Generation of every Deployment, and how many pods there were."""
    found = {}
    for name in (demo.spec.namespace, demo.spec.monitoring):
        for one in demo.api.list(paths.all_of("Deployment", name), objects.Workload).items:
            found[one.name] = one.metadata.generation
    return found


def test_users_get_answers_and_every_service_has_slis(demo: Demo) -> None:
    """That is what deploy waits for; here the names are looked at, which rules and runbooks use."""
    query = "api/v1/query?query=count%20by(job)(up%3D%3D1)"
    result = json.loads(demo.ask("prometheus:http", query))["data"]["result"]
    up = {one["metric"]["job"]: int(one["value"][1]) for one in result}
    assert up == {"edge": 1, **dict.fromkeys(("checkout", "payment", "catalog", "cart", "recommendations"), 3)}


def test_instances_are_called_by_their_pods(demo: Demo) -> None:
    targets = json.loads(demo.ask("prometheus:http", "api/v1/targets"))["data"]["activeTargets"]
    pods = {p.name for p in demo.api.list(paths.all_of("Pod", demo.spec.namespace), objects.Pod).items if p.alive}
    instances = {one["labels"]["instance"] for one in targets}
    assert instances == {"edge", *(name for name in pods if not name.startswith("edge-"))}


def test_prometheus_knows_its_alertmanager_and_all_rules(demo: Demo) -> None:
    known = json.loads(demo.ask("prometheus:http", "api/v1/alertmanagers"))["data"]["activeAlertmanagers"]
    assert [one["url"] for one in known] == [f"http://alertmanager.{demo.spec.monitoring}.svc:9093/api/v2/alerts"]
    groups = json.loads(demo.ask("prometheus:http", "api/v1/rules"))["data"]["groups"]
    assert len(groups) == len(yaml.safe_load(demo.spec.alerts.rules)["groups"])


def test_doing_it_again_replaces_nothing(demo: Demo) -> None:
    before = versions(demo)
    again = deploy.deploy(demo.api, demo.spec, print)
    assert versions(demo) == before
    assert again.ready_s < 10


def test_a_replica_that_goes_is_replaced_and_followed(demo: Demo) -> None:
    """The edge asks the cluster's names: an address that is gone gets no requests for long."""
    path = paths.all_of("Pod", demo.spec.namespace)
    victim = next(p for p in demo.api.list(path, objects.Pod, labels="app=cart").items if p.ready)
    demo.api.delete(paths.one("Pod", demo.spec.namespace, victim.name))
    deploy.deploy(demo.api, demo.spec, print)
    alive = [p for p in demo.api.list(path, objects.Pod, labels="app=cart").items if p.alive]
    assert len(alive) == 3
    assert victim.name not in {p.name for p in alive}


def test_an_image_that_is_not_there_is_named_soon(demo: Demo) -> None:
    name = f"{demo.spec.namespace}-bad"
    wrong = replace(demo.spec, namespace=name, monitoring=f"{name}-watch", image="drill.dev/absent:0")
    try:
        with pytest.raises(Unavailable, match=r"drill\.dev/absent:0") as caught:
            deploy.deploy(demo.api, wrong, print)
        assert "--image" in caught.value.hint
    finally:
        assert deploy.remove(demo.api, wrong, print)
    assert not deploy.remove(demo.api, wrong, print)


def test_a_namespace_of_somebody_else_is_not_touched(demo: Demo) -> None:
    foreign = replace(demo.spec, namespace="default")
    before = demo.api.get(paths.namespace("default"), objects.Thing)
    for act in (deploy.deploy, deploy.remove):
        with pytest.raises(Refused, match="default exists and is not the demo's"):
            act(demo.api, foreign, print)
    assert demo.api.get(paths.namespace("default"), objects.Thing) == before


@pytest.mark.parametrize(("folder", "fast_forward"), [("deploy/demo", 60.0), ("deploy/demo/real-time", 1.0)])
def test_kustomize_makes_the_same_objects_as_deploy(folder: str, fast_forward: float) -> None:
    cluster = find(Options(name="drill", export=False), Steps(quiet=True))
    made = list(yaml.safe_load_all(cluster.kubectl("kustomize", str(REPOSITORY / folder))))
    spec = Chosen("shop", "monitoring", IMAGE, MONITORING_IMAGE, fast_forward).spec()
    assert {_key(one): _without_empty(one) for one in made} == {
        _key(one): _without_empty(one) for one in deploy.objects(spec)
    }


def _key(one: object) -> str:
    assert isinstance(one, dict)
    return f"{one['kind']}/{one['metadata'].get('namespace', '')}/{one['metadata']['name']}"


def _without_empty(one: object) -> object:
    """Kustomize leaves out what is empty."""
    if isinstance(one, dict):
        return {key: _without_empty(value) for key, value in one.items() if value not in ({}, [])}
    return [_without_empty(value) for value in one] if isinstance(one, list) else one
