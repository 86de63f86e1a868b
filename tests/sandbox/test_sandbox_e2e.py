"""One real sandbox: traffic, scrapes, notifications, probes, restarts and faults, all as users would see them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from drill.core.actions import (
    AwaitReplica,
    DiskFault,
    HeldFault,
    HoldFault,
    KillReplica,
    MemoryFault,
    PacketFault,
    PauseFault,
    ReleaseFault,
)
from drill.core.errors import ActionFailed, Unavailable
from drill.core.facts import Ability
from drill.core.observations import Notification
from drill.core.probes import Probe, ProbeKind
from drill.target.sandbox import SINK_URL, Sandbox, SandboxSpec, programs, running

pytestmark = pytest.mark.e2e

RULES = """
groups:
  - name: always
    rules:
      - alert: Watchdog
        expr: vector(1)
        labels: {severity: log}
"""
ALERTMANAGER = f"""
route: {{receiver: log, group_wait: 100ms, group_interval: 1s}}
receivers:
  - name: log
    webhook_configs: [{{url: "{SINK_URL}/log"}}]
"""
EXEMPT = ("10.231.0.1",)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    if programs.missing(essential_only=True):
        programs.fetch([each.name for each in programs.missing(essential_only=True)])
    progress: list[str] = []
    with Sandbox.start(SandboxSpec(rules=RULES, alertmanager=ALERTMANAGER), progress.append) as started:
        assert progress == ["network", "services", "waiting for the first sample"]
        yield started


def until(condition: Callable[[], Any], within_s: float, what: str) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
    return found


def value(sandbox: Sandbox, kind: ProbeKind, replica: str, peer: str = "users", samples: int = 5) -> float:
    return sandbox.measure(Probe(kind=kind, replica=replica, peer=peer, samples=samples)).value


def query(sandbox: Sandbox, promql: str) -> dict[tuple[str, ...], float]:
    url = sandbox.endpoints().prometheus + "/api/v1/query"
    result = requests.get(url, params={"query": promql}, timeout=5).json()["data"]["result"]
    return {
        tuple(v for k, v in sorted(r["metric"].items()) if k != "__name__"): float(r["value"][1]) for r in result
    }


def need(sandbox: Sandbox, *abilities: Ability) -> None:
    missing = sandbox.facts().missing
    for ability in abilities:
        if ability in missing:
            pytest.skip(missing[ability])


def hold(sandbox: Sandbox, replica: str, fault: HeldFault) -> None:
    sandbox.execute(HoldFault(injection="test", replica=replica, fault=fault, deadline_s=60))


def release(sandbox: Sandbox, replica: str) -> None:
    sandbox.execute(ReleaseFault(injection="test", replica=replica))


def test_users_get_answers_and_every_code_is_there_from_the_start(sandbox: Sandbox) -> None:
    counts = query(sandbox, 'http_request_duration_seconds_count{job="edge"}')
    seen = {(labels[0], labels[3]) for labels in counts}  # code, service (labels sorted by name)
    assert {(code, "checkout") for code in ("200", "500", "503", "504")} <= seen
    assert len(counts) == 20
    assert requests.get(f"{sandbox.entrance}/checkout", timeout=5).text.startswith("checkout-")
    assert requests.get(f"{sandbox.entrance}/nobody", timeout=5).status_code == 404


def test_the_buckets_the_rules_need_are_there_under_their_exact_names(sandbox: Sandbox) -> None:
    labels = query(sandbox, 'count by(le)(http_request_duration_seconds_bucket{job="edge"})')
    assert {("0.2",), ("0.5",), ("1.0",), ("2.0",), ("+Inf",)} <= labels.keys()


def test_each_replica_is_scraped_by_its_name(sandbox: Sandbox) -> None:
    until(lambda: len(query(sandbox, "up == 1")) == 16, 5, "all 16 targets are up")
    up = query(sandbox, "up == 1")
    assert ("payment-1", "payment") in up
    assert query(sandbox, 'http_server_request_duration_seconds_count{instance="cart-2",code="200"}')
    assert query(sandbox, 'process_start_time_seconds{instance="cart-2"}')


def test_a_notification_arrives_at_its_receiver(sandbox: Sandbox) -> None:
    url = sandbox.endpoints().sink + "/notifications"
    got = until(lambda: requests.get(url, params={"since": 0}, timeout=5).json(), 15, "Watchdog at the sink")
    notification = Notification.model_validate(got[0])
    assert (notification.receiver, notification.status) == ("log", "firing")
    assert notification.labels == {"alertname": "Watchdog", "severity": "log"}
    assert notification.starts_at < notification.at <= time.time()
    assert requests.get(url, params={"since": time.time() + 60}, timeout=5).json() == []


def test_a_healthy_replica_measures_healthy(sandbox: Sandbox) -> None:
    for kind in ("lost_ratio", "error_ratio", "unreachable_ratio", "stopped"):
        assert value(sandbox, kind, "catalog-1") == 0.0
    assert 0.0 < value(sandbox, "connect_ms", "catalog-1") < 500.0
    assert value(sandbox, "request_ms", "catalog-1") > 0.0
    assert value(sandbox, "transfer_kbit", "catalog-1") > 10_000
    assert value(sandbox, "starts", "catalog-1") == 1.0
    assert 8 * 2**20 < value(sandbox, "free_bytes", "catalog-1") <= 16 * 2**20
    assert value(sandbox, "unreachable_ratio", "payment-0", peer="checkout", samples=6) == 0.0


def test_cgroup_counters_move_with_the_work(sandbox: Sandbox) -> None:
    need(sandbox, "cgroup-cpu", "cgroup-memory")
    assert 0.0 < value(sandbox, "memory_ratio", "checkout-1") < 0.9
    assert value(sandbox, "oom_kills", "checkout-1") == 0.0
    value(sandbox, "cpu_cores", "checkout-1")
    for _ in range(3):
        value(sandbox, "request_ms", "checkout-1", samples=10)
    assert 0.0 < value(sandbox, "cpu_cores", "checkout-1") <= 0.4
    assert 0.0 <= value(sandbox, "throttled_ratio", "checkout-1") <= 1.0


def test_what_cannot_be_measured_is_unavailable_not_zero(sandbox: Sandbox) -> None:
    with pytest.raises(Unavailable, match="no replica"):
        value(sandbox, "connect_ms", "nobody-0")
    with pytest.raises(Unavailable, match="neither a service nor a replica"):
        value(sandbox, "unreachable_ratio", "cart-0", peer="nobody")


def test_facts_describe_every_replica_and_its_limits(sandbox: Sandbox) -> None:
    facts = sandbox.facts()
    assert facts.services[0].name == "checkout"
    checkout = facts.services[0]
    assert checkout.calls == ("payment", "cart", "catalog")
    assert checkout.replicas[2].address == "10.231.1.3"
    assert facts.exempt == EXEMPT
    assert all(reason for reason in facts.missing.values())
    limited = "cgroup-memory" not in facts.missing
    assert checkout.replicas[0].memory_limit_bytes == (64 * 2**20 if limited else 0)


def test_a_killed_replica_comes_back_in_the_same_network_namespace(sandbox: Sandbox) -> None:
    before = sandbox.status()["replicas"]["recommendations-0"]
    snapshot = sandbox.snapshot("recommendations-0")
    killed = sandbox.execute(KillReplica(injection="k", replica="recommendations-0"))
    back = sandbox.execute(AwaitReplica(injection="k", replica="recommendations-0", within_s=20))
    after = sandbox.status()["replicas"]["recommendations-0"]
    assert back - killed >= sandbox.spec.restart_delay_s
    assert after["pid"] != before["pid"]
    assert after["starts"] == before["starts"] + 1 == value(sandbox, "starts", "recommendations-0")
    assert sandbox.snapshot("recommendations-0") == snapshot


def test_a_replica_out_of_the_endpoints_gets_no_users(sandbox: Sandbox) -> None:
    sandbox.route("catalog-0", serving=False)
    try:
        names = {requests.get(f"{sandbox.entrance}/catalog", timeout=5).text.partition(":")[0] for _ in range(8)}
        assert names == {"catalog-1", "catalog-2"}
    finally:
        sandbox.route("catalog-0", serving=True)
    assert len(sandbox.status()["endpoints"]["catalog"]) == 3


def test_a_full_disk_fails_requests_for_real_and_heals(sandbox: Sandbox) -> None:
    need(sandbox, "disk")
    replica = "recommendations-1"
    path = next(r.data_path for s in sandbox.facts().services for r in s.replicas if r.name == replica)
    snapshot = sandbox.snapshot(replica)
    hold(sandbox, replica, DiskFault(path=path))
    try:
        assert value(sandbox, "free_bytes", replica) < 4096
        assert value(sandbox, "error_ratio", replica) == 1.0
        failed = 'http_request_duration_seconds_count{service="recommendations",code="500"} > 0'
        until(lambda: query(sandbox, failed), 10, "users' requests answered with 500")
    finally:
        release(sandbox, replica)
    assert value(sandbox, "error_ratio", replica) == 0.0
    assert sandbox.snapshot(replica) == snapshot


def test_a_packet_delay_is_felt_by_users_and_goes_without_trace(sandbox: Sandbox) -> None:
    need(sandbox, "nfqueue")
    snapshot = sandbox.snapshot("cart-1")
    hold(sandbox, "cart-1", PacketFault(backend="nfqueue", port=8080, delay_ms=200, exempt=EXEMPT))
    try:
        assert 190 < value(sandbox, "connect_ms", "cart-1") < 400
        assert value(sandbox, "connect_ms", "cart-0") < 190
    finally:
        release(sandbox, "cart-1")
    assert value(sandbox, "connect_ms", "cart-1") < 190
    assert sandbox.snapshot("cart-1") == snapshot


def test_a_dead_dependency_fails_the_users_of_checkout(sandbox: Sandbox) -> None:
    need(sandbox, "nft")
    checkouts = tuple(f"10.231.1.{number}" for number in (1, 2, 3))
    replicas = ("payment-0", "payment-1", "payment-2")
    for replica in replicas:
        hold(sandbox, replica, PacketFault(backend="nft", port=8080, drop="reject", peers=checkouts))
    try:
        assert value(sandbox, "unreachable_ratio", "payment-1", peer="checkout", samples=6) == 1.0
        assert value(sandbox, "unreachable_ratio", "payment-1", peer="users") == 0.0
        assert value(sandbox, "error_ratio", "checkout-0") == 1.0
        assert requests.get(f"{sandbox.entrance}/checkout", timeout=5).status_code == 503
    finally:
        for replica in replicas:
            release(sandbox, replica)
    assert value(sandbox, "error_ratio", "checkout-0") == 0.0


def test_an_oom_kill_restarts_the_whole_container(sandbox: Sandbox) -> None:
    need(sandbox, "cgroup-memory", "stress-ng")
    replica = "recommendations-2"
    starts = value(sandbox, "starts", replica)
    hold(sandbox, replica, MemoryFault(size_bytes=100 * 2**20, oom=True))
    try:
        until(lambda: value(sandbox, "oom_kills", replica) >= 1, 10, "an OOM kill")
        until(lambda: value(sandbox, "starts", replica) > starts, 10, "a restart")
    finally:
        release(sandbox, replica)
    sandbox.execute(AwaitReplica(injection="test", replica=replica, within_s=20))


def test_a_fault_ends_when_the_connection_of_its_holder_does(sandbox: Sandbox) -> None:
    need(sandbox, "signals")
    hold(sandbox, "payment-2", PauseFault())
    assert value(sandbox, "stopped", "payment-2") == 1.0
    lease = sandbox._leases.take(("test", "payment-2"))
    assert lease is not None
    lease.close()  # what the kernel does when the runner is killed
    until(lambda: value(sandbox, "stopped", "payment-2") == 0.0, 5, "the agent reverted")
    until(lambda: sandbox.status()["held"] == [], 5, "the agent ended")
    release(sandbox, "payment-2")  # twice is harmless


def test_a_fault_is_released_by_somebody_who_attached(sandbox: Sandbox) -> None:
    need(sandbox, "signals")
    hold(sandbox, "payment-2", PauseFault())
    other = Sandbox.attach(sandbox.id)
    try:
        with pytest.raises(ActionFailed, match="already holds"):
            hold(other, "payment-2", PauseFault())
        release(other, "payment-2")
        assert value(other, "stopped", "payment-2") == 0.0
    finally:
        other.detach()
    assert sandbox.id in running()


def test_an_impossible_fault_says_why_and_leaves_nothing(sandbox: Sandbox) -> None:
    snapshot = sandbox.snapshot("cart-2")
    with pytest.raises(ActionFailed, match="/no/such/place"):
        hold(sandbox, "cart-2", DiskFault(path="/no/such/place"))
    assert sandbox.status()["held"] == []
    assert sandbox.snapshot("cart-2") == snapshot


def test_callers_say_in_their_log_who_answers_slowly(sandbox: Sandbox) -> None:
    hold(sandbox, "payment-2", PacketFault(backend="nfqueue", port=8080, delay_ms=300, exempt=EXEMPT))
    pods = sandbox.mitigations.look()["deployments"]["payment"]["pods"]
    address = next(pod["address"] for pod in pods if pod["name"] == "payment-2")

    def said() -> bool:
        lines = sandbox.mitigations.recent()["lines"]
        told = [line for name in lines if name.startswith("checkout-") for line in lines[name]]
        return any("WARN payment answered after 6" in line and line.endswith(address) for line in told)

    try:
        until(said, 10, "a line about a slow answer")
    finally:
        release(sandbox, "payment-2")


def test_the_logs_explain_what_happened(sandbox: Sandbox) -> None:
    lines = sandbox.log_lines()
    assert any(line.startswith("prometheus: ") for line in lines)
    assert any("recommendations-0 ended (-9)" in line for line in lines)
