"""drill as people call it at a cluster: as kubectl's plugin, and in a pod of the cluster itself without a kubeconfig."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.ground import helper_image
from cluster.shop import MONITORING, NAMESPACE, Shop, shop
from drill.target.kubernetes import manifests, objects, paths
from drill.target.kubernetes.api import Api

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def demo(admin_api: Api) -> Iterator[Shop]:
    yield from shop(admin_api)


def test_kubectl_knows_drill_as_a_plugin(demo: Shop, tmp_path: Path) -> None:
    assert "kubectl-drill" in demo.call("kubectl", "plugin", "list", cwd=tmp_path).out
    usage = demo.call("kubectl", "drill", "plan", "--help", cwd=tmp_path)
    assert usage.out.startswith("Usage: kubectl drill plan"), usage
    where = ("--context", demo.cluster.context, "--namespace", NAMESPACE)
    before = demo.state(NAMESPACE)
    said = demo.call(
        "kubectl", "drill", "plan", "pod-kill", "--service", "checkout", "--set", "mode=evict", *where, cwd=tmp_path
    )
    assert said.code in (0, 2), said  # 2: one eviction of three may be too little for a page, says the plan
    assert "pod-kill by evict, through the API" in said.out
    assert demo.state(NAMESPACE) == before


def in_cluster(name: str, *words: str) -> dict[str, Any]:
    """A pod that runs drill as ``drill-runner``, restricted as a pod can be."""
    container = {
        "name": "drill",
        "image": helper_image(),
        "args": [*words],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": paths.SYSTEM},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": manifests.RUNNER,
            "automountServiceAccountToken": True,
            "nodeSelector": {"drill.dev/kernel": "host"},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }


def test_a_pod_of_the_cluster_drills_it_with_nothing_but_its_serviceaccount(demo: Shop) -> None:
    """No kubeconfig, no port-forward: the pod's own token, and the servers by their Services' names."""
    name = f"drill-run-{secrets.token_hex(3)}"
    before = demo.state(NAMESPACE)
    words = ("run", "latency-spike", "--service", "checkout", "--context", "in-cluster", "--namespace", NAMESPACE)
    demo.admin.create(paths.all_of("Pod", paths.SYSTEM), in_cluster(name, *words, "--out", "/tmp/runs", "--yes"))
    path = paths.one("Pod", paths.SYSTEM, name)
    try:
        until = time.monotonic() + 300
        while (phase := demo.admin.get(path, objects.Pod).status.phase) not in ("Succeeded", "Failed"):
            assert time.monotonic() < until, f"it is still {phase}"
            time.sleep(1)
        said = demo.admin.raw("GET", f"{path}/log").decode()
    finally:
        demo.admin.delete(path)
    print(said)
    assert phase == "Succeeded", said
    assert "everything is as before" in said
    assert f"prometheus.{MONITORING}" in said or "127.0.0.1" not in said
    _gone(demo, name)
    assert demo.state(NAMESPACE) == before


def _gone(demo: Shop, name: str) -> None:
    until = time.monotonic() + 60
    while any(pod.name == name for pod in demo.admin.list(paths.all_of("Pod", paths.SYSTEM), objects.Pod).items):
        assert time.monotonic() < until
        time.sleep(0.5)
