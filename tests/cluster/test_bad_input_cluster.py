"""What people get wrong at a cluster: a clear sentence with what to do, an exit code, and nothing is touched."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.ground import IMAGE, service
from cluster.shop import NAMESPACE, Said, Shop, shop
from drill.target.kubernetes import install, manifests, marks, objects, paths
from drill.target.kubernetes.api import Api
from testcluster import uml

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
KILL = ("run", "pod-kill", "--set", "mode=evict")
LATENCY = ("run", "latency-spike")


@pytest.fixture(scope="module")
def demo(admin_api: Api) -> Iterator[Shop]:
    yield from shop(admin_api)


@pytest.fixture(scope="module")
def own(admin_api: Api) -> Iterator[str]:
    """A namespace with Services called like the shop's, so that there are alerts for them: one without pods."""
    name = f"drill-bad-{secrets.token_hex(3)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {marks.ALLOWED: "true"}}}
    admin_api.create(paths.NAMESPACES, body)
    try:
        list(install.install(admin_api, manifests.Wanted((name,))))
        empty = service() | {"metadata": {"name": "cart"}}
        empty["spec"]["selector"] = {"app": "nobody"}
        admin_api.create(paths.all_of("Service", name), empty)
        yield name
    finally:
        admin_api.delete(paths.namespace(name))


def refused(
    demo: Shop, before: dict[str, Any], said: Said, code: int, *words: str, where: Sequence[str] = (NAMESPACE,)
) -> None:
    """It ended with *code*, said all of *words* and what to do, and the cluster is as before."""
    assert said.code == code, said
    for word in words:
        assert word in said.err, said
    assert "hint:" in said.err, said
    assert "Traceback" not in said.err
    assert demo.state(*where) == before
    assert demo.own() == set(), "a helper pod was started, and stays"


def test_an_unknown_context(demo: Shop, tmp_path: Path) -> None:
    before = demo.state(NAMESPACE)
    said = demo.call("drill", *KILL, "--service", "checkout", "--context", "kind-dril", cwd=tmp_path)
    refused(demo, before, said, 2, "no context 'kind-dril'", "did you mean 'kind-drill'")
    assert not (tmp_path / "runs").exists()


def test_a_kubeconfig_that_cannot_be_read(demo: Shop, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("{")
    before = demo.state(NAMESPACE)
    said = demo.drill(*KILL, "--service", "checkout", cwd=tmp_path, env={"KUBECONFIG": str(tmp_path / "broken")})
    refused(demo, before, said, 2, "no context")


def test_rights_for_a_namespace_that_is_not_there(demo: Shop, tmp_path: Path) -> None:
    """Nothing is installed by halves: the role bindings of the one that is there are as before, too."""
    before = demo.state(NAMESPACE)
    words = ("k8s", "install", "--context", "kind-drill", "--namespace", NAMESPACE, "--monitoring", "observability")
    said = demo.call("drill", *words, cwd=tmp_path)
    refused(demo, before, said, 2, "no namespace observability in the cluster; nothing was changed", "--monitoring")


def kubeconfig(demo: Shop, folder: Path, token: str) -> Path:
    """The suite's kubeconfig with *token* in place of the administrator's certificate."""
    content = yaml.safe_load(demo.cluster.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": token}
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return file


def test_credentials_that_are_no_longer_good(demo: Shop, own: str, tmp_path: Path) -> None:
    """A real token, signed by the cluster itself, of a ServiceAccount that is gone: the server says 401."""
    name = f"gone-{secrets.token_hex(3)}"
    account = paths.one("ServiceAccount", own, name)
    demo.admin.create(
        paths.all_of("ServiceAccount", own),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
    )
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    token = json.loads(demo.admin.raw("POST", f"{account}/token", asked))["status"]["token"]
    demo.admin.delete(account)
    before = demo.state(NAMESPACE)
    environment = {"KUBECONFIG": str(kubeconfig(demo, tmp_path, token))}
    said = demo.drill(*KILL, "--service", "checkout", cwd=tmp_path, env=environment)
    refused(demo, before, said, 3, "does not accept the credentials", "log in again")


def test_an_api_server_that_does_not_answer(demo: Shop, tmp_path: Path) -> None:
    content = yaml.safe_load(demo.cluster.kubeconfig.read_text())
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    before, began = demo.state(NAMESPACE), time.monotonic()
    said = demo.drill(
        *KILL, "--service", "checkout", cwd=tmp_path, env={"KUBECONFIG": str(tmp_path / "kubeconfig")}
    )
    refused(demo, before, said, 3, "refuses connections", "is it running")
    assert time.monotonic() - began < 60


def test_a_namespace_that_is_not_there(demo: Shop, tmp_path: Path) -> None:
    before = demo.state(NAMESPACE)
    said = demo.drill(*KILL, "--service", "checkout", cwd=tmp_path, namespace="nowhere")
    refused(demo, before, said, 2, "has no namespace 'nowhere'", "--namespace")


def test_a_namespace_that_did_not_opt_in(demo: Shop, tmp_path: Path) -> None:
    before = demo.state(NAMESPACE, "default")
    said = demo.drill(*KILL, "--service", "checkout", cwd=tmp_path, namespace="default")
    words = ("does not let drills in", "kubectl label namespace default drill.dev/allowed=true")
    refused(demo, before, said, 4, *words, where=(NAMESPACE, "default"))


def test_a_protected_namespace(demo: Shop, tmp_path: Path) -> None:
    before = demo.state(NAMESPACE)
    said = demo.drill(*KILL, "--service", "kube-dns", cwd=tmp_path, namespace="kube-system")
    refused(demo, before, said, 4, "is protected")


def test_a_service_that_is_not_there(demo: Shop, tmp_path: Path) -> None:
    before = demo.state(NAMESPACE)
    said = demo.drill(*KILL, "--service", "chekout", cwd=tmp_path)
    refused(demo, before, said, 2, "has no service 'chekout'", "did you mean 'checkout'")


def test_a_service_without_pods(demo: Shop, own: str, tmp_path: Path) -> None:
    before = demo.state(NAMESPACE, own)
    said = demo.drill(*LATENCY, "--service", "cart", cwd=tmp_path, namespace=own)
    refused(demo, before, said, 2, "service 'cart' has no replica to break", where=(NAMESPACE, own))


def test_rights_that_are_missing(demo: Shop, own: str, tmp_path: Path) -> None:
    """An account that may do nothing is told what to ask for."""
    before = demo.state(NAMESPACE, own)
    account = f"system:serviceaccount:{own}:default"
    said = demo.drill(*KILL, "--service", "checkout", "--as", account, cwd=tmp_path)
    refused(demo, before, said, 3, "cannot get resource", "drill k8s doctor", where=(NAMESPACE, own))


@pytest.fixture
def far_pods(demo: Shop, own: str) -> Iterator[str]:
    """Three small pods called checkout on the netem node."""
    labels = {"app": "far"}
    container = {
        "name": "far", "image": IMAGE, "command": ["sleep", "3600"],
        "ports": [{"name": "http", "containerPort": 8080}],
    }  # fmt: skip
    pods = {
        "nodeSelector": {"drill.dev/kernel": "netem"}, "terminationGracePeriodSeconds": 1, "containers": [container],
    }  # fmt: skip
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "far"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels},
                 "template": {"metadata": {"labels": labels}, "spec": pods}},
    }  # fmt: skip
    front = service() | {"metadata": {"name": "checkout"}}
    front["spec"]["selector"] = labels
    for kind, body in (("Service", front), ("Deployment", deployment)):
        demo.admin.create(paths.all_of(kind, own), body)
    listed = paths.all_of("Pod", own)
    _until(120, lambda: sum(pod.ready for pod in demo.admin.list(listed, objects.Pod).items) == 2)
    yield own
    for kind, name in (("Deployment", "far"), ("Service", "checkout")):
        demo.admin.delete(paths.one(kind, own, name))


def test_a_node_that_is_not_ready(demo: Shop, far_pods: str, tmp_path: Path) -> None:
    """The kubelet of the netem node is stopped, not killed: its pods live on, and it goes on as it was."""
    node = paths.node(uml.node_name(demo.cluster))
    if not any(one.name == uml.node_name(demo.cluster) for one in demo.admin.list(paths.NODES, objects.Node).items):
        pytest.skip("the cluster was started without its second node")
    uml.execute(demo.cluster, "kill -STOP $(pidof kubelet)")
    try:
        _until(120, lambda: not demo.admin.get(node, objects.Node).ready)
        before = demo.state(NAMESPACE, far_pods)
        for words in (LATENCY, ("run", "pod-kill", "--set", "mode=kill")):
            said = demo.drill(*words, "--service", "checkout", cwd=tmp_path, namespace=far_pods)
            refused(demo, before, said, 2, "it is not Ready (node", where=(NAMESPACE, far_pods))
    finally:
        uml.execute(demo.cluster, "kill -CONT $(pidof kubelet)")
        _until(120, lambda: demo.admin.get(node, objects.Node).ready)


def _until(within_s: float, true: Any) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"not within {within_s:g} s"
        time.sleep(0.5)
