"""Shows that the cluster is what it claims: pods on both kinds of node, a Service between them, names, real netem.

Owns a namespace of its own, which it removes. Raises Failed at the first claim that does not hold.
"""

from __future__ import annotations

from itertools import pairwise

import yaml

from testcluster import uml
from testcluster.kind import Cluster
from testcluster.nodeimage import SMOKE_REF
from testcluster.steps import Failed, Steps

NAMESPACE = "testcluster-smoke"
DELAY_MS = 200
_READY = "90s"
_REQUESTS = 4
_ASKS = 12  # two pods per Service: all twelve at one pod has a chance of 1 in 2048


def manifests(kernels: tuple[str, ...]) -> str:
    """Return the namespace, and per kernel a Deployment of two pods with its Service, as YAML."""
    objects: list[dict[str, object]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    for kernel in kernels:
        labels = {"app": "web", "kernel": kernel}
        objects += [_deployment(f"web-{kernel}", labels), _service(f"web-{kernel}", labels)]
    return yaml.safe_dump_all(objects)


def run(cluster: Cluster, steps: Steps) -> None:
    """Run the whole smoke test; the image must be loaded."""
    kernels = ("host", "netem") if uml.pid(cluster) is not None else ("host",)
    try:
        with steps.step(f"Two pods on each kind of node ({', '.join(kernels)})"):
            cluster.kubectl("apply", "-f", "-", text_in=manifests(kernels))
            for kernel in kernels:
                cluster.kubectl(
                    "rollout",
                    "status",
                    f"deployment/web-{kernel}",
                    "-n",
                    NAMESPACE,
                    f"--timeout={_READY}",
                    timeout=120,
                )
        for client in kernels:
            _reach_all(cluster, client, kernels, steps)
        if "netem" in kernels:
            _delay(cluster, steps)
    finally:
        with steps.step("Remove the smoke test's namespace"):
            cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=60s", timeout=90)


def _reach_all(cluster: Cluster, client: str, kernels: tuple[str, ...], steps: Steps) -> None:
    with steps.step(f"From a pod on the {client} kernel: every Service by name, every pod behind it") as step:
        pod = _pods(cluster, client)[0]
        for kernel in kernels:
            expected = set(_pods(cluster, kernel))
            answered = _ask(cluster, pod, f"web-{kernel}")
            if answered != expected:
                raise Failed(f"of {expected} behind web-{kernel} only {answered} answered")
        step.outcome = f"{len(kernels) * 2} pods answered"


def _delay(cluster: Cluster, steps: Steps) -> None:
    """A new connection pays the delay twice: once for its handshake's answer, once for the answer itself."""
    target, client = _pods(cluster, "netem")[0], _pods(cluster, "host")[0]
    address = cluster.kubectl("get", "pod", target, "-n", NAMESPACE, "-o", "jsonpath={.status.podIP}")
    with steps.step(f"netem delay {DELAY_MS} ms in a pod on the netem kernel") as step:
        before = _measure(cluster, client, address)
        _in_pod(cluster, target, "tc", "qdisc", "replace", "dev", "eth0", "root", "netem", "delay", f"{DELAY_MS}ms")
        during = _measure(cluster, client, address)
        _in_pod(cluster, target, "tc", "qdisc", "delete", "dev", "eth0", "root")
        after = _measure(cluster, client, address)
        step.outcome = f"an answer took {before:.2f} s before, {during:.2f} s during, {after:.2f} s after"
        added = during - min(before, after)
        if added < DELAY_MS / 1000 * 1.5:
            raise Failed(f"the delay is not to be seen: {step.outcome}")


def _measure(cluster: Cluster, client: str, address: str) -> float:
    """Seconds of the quickest of a few requests, timed in the client's pod by the kernel's uptime (10 ms grain).

    A delay is a floor under all of them; what a busy machine adds is not.
    """
    request = f"wget -q -O /dev/null http://{address}:8080/; cat /proc/uptime"
    script = "; ".join(["cat /proc/uptime", *[request] * _REQUESTS])
    times = [float(line.split()[0]) for line in _in_pod(cluster, client, "sh", "-c", script).splitlines()]
    return min(end - start for start, end in pairwise(times))


def _ask(cluster: Cluster, pod: str, service: str) -> set[str]:
    """Names of the pods that answer. One exec for all: on user-mode-linux starting a process is what takes long.

    No -T for wget: Debian's busybox 1.35 dies of it.
    """
    script = f"for i in {' '.join('x' * _ASKS)}; do wget -q -O - http://{service}/ || exit 1; done"
    return set(_in_pod(cluster, pod, "sh", "-c", script).split())


def _in_pod(cluster: Cluster, pod: str, *words: str) -> str:
    return cluster.kubectl("exec", "-n", NAMESPACE, pod, "--", *words, timeout=60)


def _pods(cluster: Cluster, kernel: str) -> list[str]:
    names = "{.items[*].metadata.name}"
    return cluster.kubectl(
        "get", "pods", "-n", NAMESPACE, "-l", f"kernel={kernel}", "-o", f"jsonpath={names}"
    ).split()


def _service(name: str, selector: dict[str, str]) -> dict[str, object]:
    ports = [{"port": 80, "targetPort": 8080}]
    metadata = {"name": name, "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": selector, "ports": ports},
    }


def _deployment(name: str, labels: dict[str, str]) -> dict[str, object]:
    container = {
        "name": "web",
        "image": SMOKE_REF,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "hostname > /www/index.html; exec httpd -f -p 8080 -h /www"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}},
        "resources": {"limits": {"cpu": "200m", "memory": "32Mi"}},
    }
    pod = {
        "nodeSelector": {"drill.dev/kernel": labels["kernel"]},
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
