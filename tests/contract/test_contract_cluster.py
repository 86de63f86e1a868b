"""The contract, kept by a namespace of the real cluster with exactly the rights that install gives."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import conftest as shared
from cluster.ground import NOWHERE, RUNNER, TIMING, helper_image
from contract import promises
from contract.cases import BY_API, CASES, HELD, Case, named
from contract.promises import SERVICE, Answer
from drill.cli.alertpath import alert_path
from drill.core.errors import DrillError
from drill.target.demo import shop
from drill.target.demo.spec import DemoSpec
from drill.target.kubernetes import install, manifests, marks, objects, paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.ephemeral import Ephemeral
from drill.target.kubernetes.failures import ApiFailed
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.podspec import HelperSettings
from drill.target.kubernetes.ports import NodeAgents
from drill.target.kubernetes.recover import Recovery
from drill.target.kubernetes.target import KubernetesTarget
from drill.target.sandbox import SINK_URL
from drill.target.sandbox.topology import ENTRANCE_PORT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
FAST_FORWARD = 60.0
admin, admin_api = shared.admin, shared.admin_api
"""Fixtures: the suite's own cluster."""
PARTS = (SERVICE, "edge")


class ClusterGround:
    """The sandbox's service and its users, in a namespace of their own; what is looked at is looked at as admin."""

    able = frozenset(case.name for case in CASES)
    way = "helper"
    found_within_s = 60.0

    def __init__(self, admin: Api, runner: Access, namespace: str) -> None:
        self.admin, self.namespace = admin, namespace
        self.api = Api(runner)
        self.agents: NodeAgents = Helpers(self.api, HelperSettings(image=helper_image()))
        self.again()

    def again(self) -> None:
        """Begin as a new run does, with the helpers that are there already."""
        self.target = KubernetesTarget(
            self.api, self.namespace, NOWHERE, replace(TIMING, agents=self.way), lambda: self.agents, (SERVICE,)
        )

    def ask(self) -> Answer:
        path = f"{paths.namespace(self.namespace)}/services/edge:{ENTRANCE_PORT}/proxy/{SERVICE}"
        began = time.monotonic()
        try:
            said, status = self.admin.raw("GET", path, patience_s=0), 200
        except ApiFailed as error:
            said, status = b"", error.status
        by = said.decode().partition(":")[0] if status == 200 else ""
        return Answer(by, status, time.monotonic() - began)

    def called(self, replica: str) -> str:
        try:
            return self.target.view(SERVICE).pod(replica).name
        except DrillError:
            return "nobody"

    def intended(self) -> bool:
        return bool(self._intents())

    def _intents(self) -> list[str]:
        service = self.admin.get(paths.one("Service", self.namespace, SERVICE), objects.Service)
        return [key for key in service.metadata.annotations if key.startswith(marks.INTENT)]

    def left(self) -> Sequence[str]:
        refs = self.target.view(SERVICE).refs()
        removed, remains = self.agents.sweep(refs)
        mine = [text for text in (*removed, *remains) if not text.startswith("helper pod ")]  # others' that ended
        cordoned = [node.name for node in self.nodes() if node.spec.unschedulable]
        return [*mine, *self._intents(), *cordoned]

    def nodes(self) -> Sequence[objects.Node]:
        return self.admin.list(paths.NODES, objects.Node).items

    def serving(self) -> bool:
        """True when every pod of every part serves, no other pod is there, and a user is answered."""
        pods = self.admin.list(paths.all_of("Pod", self.namespace), objects.Pod).items
        return len(pods) == 4 and all(pod.ready for pod in pods) and self.ask().status == 200

    def close(self) -> None:
        self.agents.close()
        self.api.close()


class InsideGround(ClusterGround):
    """The same with agents in the pods themselves, where PodSecurity lets them in: faults of the network."""

    able = frozenset(("latency", "packet-loss", "partition", "http-error", *(case.name for case in BY_API)))
    way = "ephemeral"

    def __init__(self, admin: Api, runner: Access, namespace: str) -> None:
        super().__init__(admin, runner, namespace)
        self.agents = Ephemeral(self.api, HelperSettings(image=helper_image()))


def parts(namespace: str, level: str) -> list[dict[str, Any]]:
    """The demo's objects for one service and the users, in *namespace*, on the node with the machine's own kernel."""
    spec = DemoSpec(
        alerts=alert_path(FAST_FORWARD, SINK_URL).sandbox_spec(FAST_FORWARD, 7),
        namespace=namespace,
        node_selectors={SERVICE: {"drill.dev/kernel": "host"}},
    )
    made: list[dict[str, Any]] = list(shop.objects(spec))
    made[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = level
    return [one for one in made if one["kind"] == "Namespace" or one["metadata"]["name"] in PARTS]


def opened(kind: type[ClusterGround], level: str, admin: Access, admin_api: Api) -> Iterator[ClusterGround]:
    namespace = f"drill-contract-{secrets.token_hex(3)}"
    wanted = manifests.Wanted((namespace,), (), nodes=True, ephemeral=kind is InsideGround)
    try:
        for one in parts(namespace, level):
            install.apply(admin_api, one)
        list(install.install(admin_api, wanted))
        made = kind(admin_api, replace(admin, as_user=RUNNER), namespace)
        until(120, made.serving)
        yield made
        made.close()
    finally:
        admin_api.delete(paths.namespace(namespace))


@pytest.fixture(scope="module")
def ground(admin: Access, admin_api: Api) -> Iterator[ClusterGround]:
    """A namespace as strict as the demo's: helpers need nothing of it."""
    yield from opened(ClusterGround, "restricted", admin, admin_api)


@pytest.fixture(scope="module")
def inside(admin: Access, admin_api: Api) -> Iterator[ClusterGround]:
    """A namespace that lets ephemeral containers in."""
    yield from opened(InsideGround, "privileged", admin, admin_api)


def until(within_s: float, true: Any) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"not within {within_s:g} s"
        time.sleep(0.3)


@pytest.fixture(autouse=True)
def _no_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite expects no alert, so it waits for none to resolve."""
    monkeypatch.setattr("drill.engine.decide.SETTLE_S", 0.0)


def fresh(ground: ClusterGround) -> ClusterGround:
    """Every test begins with all pods serving, and does not fail with the one before."""
    if ground.intended():
        Recovery(ground.admin, lambda: ground.agents).run([ground.namespace])
    until(180, ground.serving)
    ground.again()
    return ground


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_cluster_keeps_every_promise(case: Case, ground: ClusterGround, tmp_path: Path) -> None:
    promises.drills(fresh(ground), case, tmp_path)


def test_a_cluster_tells_the_truth(ground: ClusterGround) -> None:
    promises.tells_the_truth(fresh(ground))


def test_a_cluster_refuses_what_is_not_there_and_what_is_too_much(ground: ClusterGround) -> None:
    promises.refuses_what_is_not_there(fresh(ground))
    promises.refuses_too_much(ground)


@pytest.mark.parametrize("case", HELD, ids=named)
def test_agents_in_the_pods_themselves_keep_every_promise(
    case: Case, inside: ClusterGround, tmp_path: Path
) -> None:
    """Faults of the network; of all others they say that they cannot, and why, and do not."""
    promises.drills(fresh(inside), case, tmp_path)


def test_agents_in_the_pods_themselves_tell_the_truth(inside: ClusterGround) -> None:
    promises.tells_the_truth(fresh(inside))
    promises.refuses_what_is_not_there(inside)
    promises.refuses_too_much(inside)
