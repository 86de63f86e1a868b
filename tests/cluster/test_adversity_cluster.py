"""An API server in trouble between a drill and its undo: the undo still happens, or what is left is named.

A TLS proxy stands between drill and the real cluster (``troubled.py``). Deeds and faults are real, so is their undo;
what is true is asked of the cluster directly.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cluster import live
from cluster.ground import NOWHERE, TIMING, Ground, helper_image
from cluster.troubled import (
    BROKEN,
    CONTEXT,
    CUT,
    HANGS,
    TOO_MANY,
    Proxy,
    Trouble,
    certificate,
    every,
    none,
    proxy,
    token_of,
)
from drill.core.actions import CpuFault, HoldFault, PauseFault, ScaleWorkload, undo_of
from drill.core.errors import ActionFailed, DrillError
from drill.core.probes import Probe
from drill.target.kubernetes import api as api_module
from drill.target.kubernetes import manifests, objects, paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import LoginFailed
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.podspec import HelperSettings
from drill.target.kubernetes.ports import PodRef
from drill.target.kubernetes.recover import Recovery
from drill.target.kubernetes.target import KubernetesTarget

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
FIRST = "web-0"
SCALE = ScaleWorkload(injection="s", service="web", workload="Deployment/web", to=2, before=3)
TROUBLES = pytest.mark.parametrize(
    "trouble", [TOO_MANY, BROKEN, HANGS, CUT], ids=lambda one: one.name.replace(" ", "-")
)


@pytest.fixture
def between(tmp_path: Path, admin: Access) -> Iterator[Proxy]:
    with proxy(tmp_path, Path(admin.kubeconfig)) as made:
        yield made


@pytest.fixture
def troubled(between: Proxy, tmp_path: Path, healthy: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API server behind the proxy, as the runner's own account. A server that hangs is given up sooner here."""
    monkeypatch.setattr(api_module, "READ_S", 3.0)
    token = token_of(healthy.admin, paths.SYSTEM, manifests.RUNNER)
    made = Api(Access(CONTEXT, str(between.kubeconfig(tmp_path, token))))
    yield made
    between.choose = none
    made.close()


def begun(
    ground: Ground, api: Api, action: ScaleWorkload | HoldFault, agents: Helpers | None = None
) -> KubernetesTarget:
    maker = (lambda: agents) if agents is not None else None
    made = KubernetesTarget(api, ground.namespace, NOWHERE, TIMING, maker, concerned=("web",) if agents else ())
    made.facts()
    made.begin(f"run-{secrets.token_hex(3)}", [(action, undo_of(action))])
    return made


def recovered(ground: Ground) -> None:
    """`drill recover` from a place where the API server answers."""

    def agents() -> Helpers:
        return Helpers(ground.api, HelperSettings(image=helper_image()))

    cleared = Recovery(ground.api, agents).run([ground.namespace])
    assert cleared.remaining == []
    ground.wait(ground.healthy, 60)
    assert ground.intents() == []


@TROUBLES
def test_a_deed_and_its_undo_get_through(healthy: Ground, between: Proxy, troubled: Api, trouble: Trouble):
    """Every second request of the whole drill meets trouble."""
    target = begun(healthy, troubled, SCALE)
    before = target.snapshot(FIRST)
    between.choose = every(2, trouble)
    target.execute(SCALE)
    assert healthy.deployment().spec.replicas == 2
    target.execute(undo_of(SCALE))
    between.choose = none
    assert {line.split()[0] for line in between.hit} >= {"GET", "PATCH"}, "reads and changes met it"
    healthy.wait(lambda: target.snapshot(FIRST) == before)
    target.settled("s")
    assert healthy.intents() == []
    assert healthy.deployment().spec.replicas == 3


@pytest.mark.parametrize("trouble", [BROKEN, HANGS], ids=["500", "hangs"])
def test_an_undo_that_finds_no_server_is_named_and_waits_for_recover(
    healthy: Ground, between: Proxy, troubled: Api, trouble: Trouble
):
    target = begun(healthy, troubled, SCALE)
    target.execute(SCALE)
    between.choose = every(1, trouble)
    troubled._patience_s = 4.0  # else the test waits as long as the run does
    with pytest.raises(ActionFailed) as caught:
        target.execute(undo_of(SCALE))
    assert trouble.name in str(caught.value) or "did not answer in time" in str(caught.value)
    assert len(healthy.intents()) == 1, "the intent stays, so that anybody can undo it"
    recovered(healthy)


def test_nothing_is_done_when_the_intent_cannot_be_written(healthy: Ground, between: Proxy, troubled: Api):
    target = begun(healthy, troubled, SCALE)
    between.choose = every(1, BROKEN, lambda method, path: method == "PATCH" and "/services/" in path)
    troubled._patience_s = 1.0
    with pytest.raises(ActionFailed, match="the undo cannot be written down"):
        target.execute(SCALE)
    assert healthy.deployment().spec.replicas == 3
    assert not any("/scale" in line for line in between.asked)


def test_a_new_certificate_in_the_middle_is_named_and_recover_undoes(
    healthy: Ground, between: Proxy, troubled: Api, tmp_path: Path
):
    target = begun(healthy, troubled, SCALE)
    target.execute(SCALE)
    between.wear(certificate(tmp_path, "somebody-else"))
    between.hang_up()
    with pytest.raises(ActionFailed, match="shows a certificate that this kubeconfig's authority did not sign"):
        target.execute(undo_of(SCALE))
    recovered(healthy)


def test_rights_taken_away_in_the_middle_are_named_and_recover_undoes(
    healthy: Ground, between: Proxy, troubled: Api
):
    target = begun(healthy, troubled, SCALE)
    target.execute(SCALE)
    path = paths.one("RoleBinding", healthy.namespace, "drill-target")
    binding = healthy.admin.raw_json("GET", path)
    healthy.admin.delete(path)
    try:
        with pytest.raises(ActionFailed, match=r"cannot .* in the namespace") as caught:
            target.execute(undo_of(SCALE))
        assert f"drill k8s doctor --context {CONTEXT}" in caught.value.hint
    finally:
        kept = {key: binding["metadata"][key] for key in ("name", "labels") if key in binding["metadata"]}
        body = {key: binding[key] for key in ("apiVersion", "kind", "subjects", "roleRef")}
        healthy.admin.create(paths.all_of("RoleBinding", healthy.namespace), body | {"metadata": kept})
    recovered(healthy)


def test_credentials_that_end_in_the_middle_are_named_and_recover_undoes(
    healthy: Ground, between: Proxy, tmp_path: Path
):
    """The token is bound to an object, and ends with it; the server remembers good tokens for ten seconds."""
    api = bound(healthy, between, tmp_path)
    target = begun(healthy, api, SCALE)
    target.execute(SCALE)
    unbind(healthy, api)
    with pytest.raises(ActionFailed, match="does not accept the credentials") as caught:
        target.execute(undo_of(SCALE))
    assert "log in again" in caught.value.hint
    assert len(healthy.intents()) == 1
    recovered(healthy)


BOUND = "drill-test-bound"


def bound(ground: Ground, between: Proxy, folder: Path) -> Api:
    """Access as the runner's account that ends when :func:`unbind` says so. The object is empty."""
    path = f"/api/v1/namespaces/{paths.SYSTEM}/secrets"
    with suppress(DrillError):
        ground.admin.delete(f"{path}/{BOUND}")
    made = ground.admin.create(path, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": BOUND}})
    token = token_of(ground.admin, paths.SYSTEM, manifests.RUNNER, {"name": BOUND, "uid": made["metadata"]["uid"]})
    return Api(Access(CONTEXT, str(between.kubeconfig(folder, token))))


def unbind(ground: Ground, api: Api) -> None:
    ground.admin.delete(f"/api/v1/namespaces/{paths.SYSTEM}/secrets/{BOUND}")

    def refused() -> bool:
        try:
            api.raw("GET", paths.all_of("Service", ground.namespace))
        except LoginFailed:
            return True
        return False

    ground.wait(refused, 40)


# ---- faults that are held in pods ----


def held(fault: CpuFault | PauseFault) -> HoldFault:
    return HoldFault(injection=f"h{secrets.token_hex(3)}", replica=FIRST, fault=fault, deadline_s=120)


@pytest.fixture
def agents(troubled: Api) -> Iterator[Helpers]:
    made = Helpers(troubled, HelperSettings(image=helper_image()))
    yield made
    made.close()


def stopped(ground: Ground, pod: PodRef) -> float:
    """Asked over a way of its own, without the proxy."""
    own = Helpers(ground.api, HelperSettings(image=helper_image()))
    try:
        own.prepare([pod.node])
        return own.measure(Probe(kind="stopped", replica=FIRST), pod).value
    finally:
        own.close()


@TROUBLES
def test_a_held_fault_is_released_through_trouble(
    healthy: Ground, between: Proxy, troubled: Api, agents: Helpers, trouble: Trouble
):
    """The stream ends under the release, and the way to a new one is troubled."""
    action = held(PauseFault())
    target = begun(healthy, troubled, action, agents)
    before = target.snapshot(FIRST)
    target.execute(action)
    assert target.measure(Probe(kind="stopped", replica=FIRST)).value == 1
    between.choose = every(2, trouble, lambda _, path: "/exec" not in path)
    between.hang_up()
    target.execute(undo_of(action))
    between.choose = none
    assert target.measure(Probe(kind="stopped", replica=FIRST)).value == 0
    assert target.snapshot(FIRST) == before
    target.settled(action.injection)
    assert healthy.intents() == []


def test_a_held_fault_ends_by_itself_when_nobody_gets_through(
    healthy: Ground, between: Proxy, troubled: Api, agents: Helpers
):
    action = held(PauseFault())
    target = begun(healthy, troubled, action, agents)
    pod = target.view("web").ref(FIRST)
    target.execute(action)
    between.choose = every(1, BROKEN)
    between.hang_up()
    troubled._patience_s = 2.0
    with pytest.raises(ActionFailed):
        target.execute(undo_of(action))
    assert stopped(healthy, pod) == 0
    between.choose = none
    troubled._patience_s = api_module.PATIENCE_S
    recovered(healthy)


def test_a_held_fault_is_released_although_the_credentials_have_ended(
    healthy: Ground, between: Proxy, tmp_path: Path
):
    """The stream was opened with good ones; the intent on the Service is all that stays, and is named."""
    api = bound(healthy, between, tmp_path)
    agents = Helpers(api, HelperSettings(image=helper_image()))
    action = held(PauseFault())
    target = begun(healthy, api, action, agents)
    pod = target.view("web").ref(FIRST)
    target.execute(action)
    unbind(healthy, api)
    target.execute(undo_of(action))
    with pytest.raises(ActionFailed, match=r"annotation drill.dev/intent-.* of Service web cannot be removed"):
        target.settled(action.injection)
    assert stopped(healthy, pod) == 0
    with pytest.raises(DrillError, match="left in the cluster: helper pod"):
        agents.close()
    recovered(healthy)
    for name in agents.names:
        healthy.admin.delete(paths.one("Pod", paths.SYSTEM, name))


# ---- `drill run` itself ----


@pytest.fixture
def account(admin_api: Api) -> Iterator[str]:
    """The namespace of a ServiceAccount called ``boss`` that may do everything, for as long as a test lasts."""
    name = f"drill-boss-{secrets.token_hex(3)}"
    rbac = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    admin_api.create(paths.NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    admin_api.create(paths.all_of("ServiceAccount", name), {"metadata": {"name": "boss"}})
    subject = {"kind": "ServiceAccount", "name": "boss", "namespace": name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    admin_api.create(rbac, {"metadata": {"name": name}, "subjects": [subject], "roleRef": role})
    yield name
    admin_api.delete(f"{rbac}/{name}")
    admin_api.delete(paths.namespace(name))


@pytest.mark.timeout(500)
def test_a_run_whose_credentials_end_exits_5_and_the_command_it_names_undoes(
    admin_api: Api, between: Proxy, account: str, tmp_path: Path
):
    secret = f"/api/v1/namespaces/{account}/secrets"
    made = admin_api.create(secret, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": BOUND}})
    ends_with = {"name": BOUND, "uid": made["metadata"]["uid"]}
    kubeconfig = between.kubeconfig(tmp_path, token_of(admin_api, account, "boss", ends_with))
    scenario = live.scenario(tmp_path, "scale-down", "{}")
    cart = paths.one("Deployment", live.NAMESPACE, "cart")
    before = admin_api.get(cart, objects.Workload).spec.replicas
    with live.running(tmp_path / "here", str(kubeconfig), CONTEXT, scenario, "--force") as run:
        run.until("injection-effective")
        admin_api.delete(f"{secret}/{BOUND}")
        code, said = run.end()
    assert code == 5, said
    assert admin_api.get(cart, objects.Workload).spec.replicas == before - 1
    command = f"drill recover --all --context {CONTEXT} --namespace {live.NAMESPACE}"
    assert command in said.strip().splitlines()[-1], "last and loudest"
    assert "log in again" in said
    fresh = between.kubeconfig(tmp_path, token_of(admin_api, account, "boss"))
    undone = live.drill(tmp_path / "here", str(fresh), *command.split()[1:])
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert admin_api.get(cart, objects.Workload).spec.replicas == before


@pytest.mark.timeout(500)
def test_a_run_through_an_api_server_in_trouble_undoes_everything(
    admin_api: Api, between: Proxy, account: str, tmp_path: Path
):
    """From the moment the fault is in force every third request meets 429 or 500, until the end of the run."""
    kubeconfig = between.kubeconfig(tmp_path, token_of(admin_api, account, "boss"))
    cart = paths.one("Service", live.NAMESPACE, "cart")
    before = admin_api.get(cart, objects.Service).metadata.annotations
    words = ("--set", "service=cart", "--force")
    with live.running(tmp_path / "here", str(kubeconfig), CONTEXT, "latency-spike", *words) as run:
        run.until("injection-effective")
        busy, broken = every(6, TOO_MANY, unproxied), every(3, BROKEN, unproxied)
        between.choose = lambda method, path: busy(method, path) or broken(method, path)
        code, said = run.end()
    assert code in (0, 1, 3), said
    assert between.hit
    assert all(event["clean"] for event in run.events() if event["kind"] == "clean")
    assert [event["undo_complete"] for event in run.events() if event["kind"] == "run-finished"] == [True]
    assert admin_api.get(cart, objects.Service).metadata.annotations == before


def unproxied(_method: str, path: str) -> bool:
    """True for what is asked of the API server itself, not through it."""
    return "/proxy/" not in path and "/portforward" not in path


def test_the_proxy_lets_through_what_it_is_not_told_to_trouble(between: Proxy, troubled: Api, healthy: Ground):
    """The control of this file."""
    assert troubled.raw_json("GET", paths.all_of("Service", healthy.namespace))["items"]
    assert between.hit == []
    between.choose = every(1, TOO_MANY)
    with pytest.raises(DrillError):
        troubled.raw("GET", paths.all_of("Service", healthy.namespace), patience_s=0)
    between.choose = none
    between.wear(between.authority.with_name("proxy.pem"))
    troubled.raw("GET", paths.all_of("Service", healthy.namespace))
