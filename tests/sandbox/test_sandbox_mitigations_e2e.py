"""Mitigations on a real sandbox: they end what users suffer, end faults only where Kubernetes would, leave nothing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from drill.core.actions import CpuFault, DiskFault, HoldFault, KillReplica, PacketFault, ReleaseFault
from drill.core.errors import ActionFailed
from drill.core.probes import Probe, ProbeKind
from drill.target.sandbox import SINK_URL, Sandbox, SandboxSpec

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

RULES = "groups: [{name: always, rules: [{alert: Watchdog, expr: vector(1), labels: {severity: log}}]}]\n"
ALERTMANAGER = f"""
route: {{receiver: log, group_wait: 100ms, group_interval: 1s}}
receivers: [{{name: log, webhook_configs: [{{url: "{SINK_URL}/log"}}]}}]
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(SandboxSpec(rules=RULES, alertmanager=ALERTMANAGER)) as started:
        yield started


@pytest.fixture(autouse=True)
def tidy(sandbox: Sandbox) -> Iterator[None]:
    """Every test hands over a sandbox as it found it."""
    yield
    for name, one in sandbox.mitigations.look()["deployments"].items():
        for pod in one["pods"]:
            if pod["app"] != name:
                sandbox.mitigations.label(pod["name"], name)
        sandbox.mitigations.scale(name, 3)
        sandbox.mitigations.until_settled(name)


def until(condition: Callable[[], Any], within_s: float, what: str) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


def measured(sandbox: Sandbox, kind: ProbeKind, replica: str) -> float:
    return sandbox.measure(Probe(kind=kind, replica=replica)).value


def query(sandbox: Sandbox, promql: str) -> dict[str, float]:
    url = f"{sandbox.endpoints().prometheus}/api/v1/query"
    answer = requests.get(url, params={"query": promql}, timeout=5).json()["data"]["result"]
    return {row["metric"].get("instance", ""): float(row["value"][1]) for row in answer}


def kubectl(sandbox: Sandbox, *words: str) -> subprocess.CompletedProcess[str]:
    environment = sandbox.shell_environment()
    return subprocess.run(["kubectl", *words], env=environment, capture_output=True, text=True, timeout=60)


def failed_requests(sandbox: Sandbox) -> float:
    found = query(sandbox, 'sum(http_request_duration_seconds_count{job="edge",code!="200"})')
    return sum(found.values())


def slow() -> PacketFault:
    return PacketFault(backend="nfqueue", port=8080, delay_ms=300, exempt=("10.231.0.1",))


def hold(sandbox: Sandbox, replica: str, fault: Any, reapply: bool = False) -> None:
    held = HoldFault(injection="i1", replica=replica, fault=fault, deadline_s=120, reapply=reapply)
    sandbox.execute(held)


def test_a_rolling_restart_ends_a_network_fault_and_costs_no_request(sandbox: Sandbox) -> None:
    before = {name: dict(sandbox.snapshot(name)) for name in ("cart-0", "cart-1")}
    failed = failed_requests(sandbox)
    for replica in before:
        hold(sandbox, replica, slow())
    assert measured(sandbox, "connect_ms", "cart-0") > 250
    done = kubectl(sandbox, "rollout", "restart", "deploy/cart")
    assert done.stdout == "deployment.apps/cart restarted\n"
    assert "successfully rolled out" in kubectl(sandbox, "rollout", "status", "deploy/cart").stdout
    assert measured(sandbox, "connect_ms", "cart-0") < 100
    assert sandbox.status()["held"] == []
    for replica in before:  # the plan's undo still comes, finds nothing, and the check tells the truth
        sandbox.execute(ReleaseFault(injection="i1", replica=replica))
        assert dict(sandbox.snapshot(replica)) == before[replica]
    time.sleep(2.5)  # two scrapes
    assert failed_requests(sandbox) == failed


def test_a_fault_that_follows_restarts_does_not_follow_to_a_new_pod(sandbox: Sandbox) -> None:
    if "cpu" in sandbox.status()["missing"]:
        pytest.skip("no cpu cgroup")
    hold(sandbox, "catalog-1", CpuFault(workers=2), reapply=True)
    until(lambda: measured(sandbox, "throttled_ratio", "catalog-1") > 0.5, 10, "the fault shows")
    assert 'pod "catalog-1" deleted' in kubectl(sandbox, "delete", "pod", "catalog-1").stdout
    time.sleep(1)
    measured(sandbox, "throttled_ratio", "catalog-1")
    time.sleep(0.5)
    assert measured(sandbox, "throttled_ratio", "catalog-1") < 0.2
    assert "stress" not in kubectl(sandbox, "exec", "catalog-1", "--", "ps", "aux").stdout
    sandbox.execute(ReleaseFault(injection="i1", replica="catalog-1"))


def test_a_replica_in_quarantine_keeps_its_fault_and_another_takes_its_place(sandbox: Sandbox) -> None:
    hold(sandbox, "payment-0", slow())
    kubectl(sandbox, "label", "pod", "payment-0", "app=payment-quarantine", "--overwrite")
    sandbox.mitigations.until_settled("payment")
    assert sandbox.status()["endpoints"]["payment"] == ["10.231.2.2", "10.231.2.3", "10.231.2.4"]
    assert sandbox.status()["held"] == [["i1", "payment-0"]]
    assert measured(sandbox, "connect_ms", "payment-0") > 250
    until(lambda: query(sandbox, 'up{job="payment",instance="payment-3"} == 1'), 15, "the new one is scraped")
    sandbox.execute(ReleaseFault(injection="i1", replica="payment-0"))
    kubectl(sandbox, "label", "pod", "payment-0", "app=payment", "--overwrite")
    sandbox.mitigations.until_settled("payment")
    assert sandbox.status()["endpoints"]["payment"] == ["10.231.2.1", "10.231.2.2", "10.231.2.3"]
    until(lambda: not query(sandbox, 'up{instance="payment-3"}'), 15, "the surplus one is forgotten")


def test_scaling_out_adds_replicas_that_serve_and_scaling_back_removes_all_of_them(sandbox: Sandbox) -> None:
    kubectl(sandbox, "scale", "deploy/recommendations", "--replicas=5")
    sandbox.mitigations.until_settled("recommendations")
    served = 'rate(http_server_request_duration_seconds_count{instance="recommendations-4"}[5s])'
    until(lambda: query(sandbox, f"{served} > 0.5"), 20, "the new one gets requests")
    service = sandbox.facts().service("recommendations")
    assert service is not None
    assert len(service.replicas) == 5
    kubectl(sandbox, "scale", "deploy/recommendations", "--replicas=3")
    sandbox.mitigations.until_settled("recommendations")
    assert "recommendations-4" not in sandbox.status()["replicas"]
    refused = kubectl(sandbox, "scale", "deploy/recommendations", "--replicas=50")
    assert (refused.returncode, "3 to 7 replicas" in refused.stderr) == (1, True)


def test_checkout_answers_without_payment_when_told_to_and_says_so(sandbox: Sandbox) -> None:
    kubectl(sandbox, "set", "env", "deploy/checkout", "FALLBACK=payment")
    sandbox.mitigations.until_settled("checkout")
    answer = requests.get(f"{sandbox.entrance}", timeout=5)
    answer = requests.get(f"{sandbox.entrance}/checkout", timeout=5)
    assert (answer.status_code, "degraded: without payment" in answer.text) == (200, True)
    kubectl(sandbox, "rollout", "undo", "deploy/checkout")
    sandbox.mitigations.until_settled("checkout")
    assert "degraded" not in requests.get(f"{sandbox.entrance}/checkout", timeout=5).text


def test_a_raised_limit_is_real_and_no_trace_of_a_fault(sandbox: Sandbox) -> None:
    before = dict(sandbox.snapshot("cart-2"))
    kubectl(sandbox, "set", "resources", "deploy/cart", "--limits=cpu=500m,memory=96Mi")
    sandbox.mitigations.until_settled("cart")
    assert kubectl(sandbox, "exec", "cart-2", "--", "cat", "/sys/fs/cgroup/cpu.max").stdout == "50000 100000\n"
    assert dict(sandbox.snapshot("cart-2")) == before
    sandbox.mitigations.roll_back("cart")
    sandbox.mitigations.until_settled("cart")


def test_the_holder_of_a_full_disk_is_found_and_emptied(sandbox: Sandbox) -> None:
    hold(sandbox, "checkout-2", DiskFault(path="/data/checkout-2"))
    assert "100%" in kubectl(sandbox, "exec", "checkout-2", "--", "df", "-h", "/data").stdout
    find = ("find", "/proc", "-maxdepth", "3", "-path", "*/fd/*", "-lname", "*(deleted)")
    holder = kubectl(sandbox, "exec", "checkout-2", "--", *find).stdout.split()[0]
    assert kubectl(sandbox, "exec", "checkout-2", "--", "truncate", "-s", "0", holder).returncode == 0
    assert measured(sandbox, "free_bytes", "checkout-2") > 10 * 2**20
    sandbox.execute(ReleaseFault(injection="i1", replica="checkout-2"))


def test_a_new_pod_has_an_empty_disk_though_the_old_ones_was_full(sandbox: Sandbox) -> None:
    hold(sandbox, "checkout-2", DiskFault(path="/data/checkout-2"))
    sandbox.mitigations.replace("checkout-2")
    assert measured(sandbox, "free_bytes", "checkout-2") > 10 * 2**20
    sandbox.execute(ReleaseFault(injection="i1", replica="checkout-2"))


def test_a_drill_that_kills_a_pod_does_not_kill_the_one_that_replaced_it(sandbox: Sandbox) -> None:
    kill = KillReplica(injection="k1", replica="catalog-2")
    sandbox.execute(kill)
    until(lambda: sandbox.status()["replicas"]["catalog-2"]["pid"], 10, "it is back")
    sandbox.mitigations.replace("catalog-2")
    pid = sandbox.status()["replicas"]["catalog-2"]["pid"]
    sandbox.execute(kill)
    time.sleep(0.5)
    assert sandbox.status()["replicas"]["catalog-2"]["pid"] == pid


def test_what_the_kubectl_does_not_know_it_refuses(sandbox: Sandbox) -> None:
    for words in (
        ["apply", "-f", "x.yaml"],
        ["get", "secrets"],
        ["exec", "cart-0", "--", "sh"],
        ["cordon", "sandbox"],
    ):
        done = kubectl(sandbox, *words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert done.stderr.startswith("error: "), words
    with pytest.raises(ActionFailed, match='pods "nobody" not found'):
        sandbox.mitigations.replace("nobody")
