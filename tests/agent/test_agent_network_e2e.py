"""Network faults held by a real agent in a real namespace: effect, every way to end, nothing left."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.e2e
PORT, CLIENT, OTHER = 8080, "10.77.0.2", "10.77.0.3"
TTL = 2.0


class Case(NamedTuple):
    spec: dict[str, Any]
    affected: Callable[[Any], bool]


def packet(backend: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "packet", "backend": backend, "port": PORT, **fields}


CASES = {
    "nfqueue": Case(packet("nfqueue", delay_ms=100), lambda lab: (lab.connect_ms() or 0) > 80),
    "drop": Case(packet("nft", drop="drop"), lambda lab: lab.connect_ms(timeout=0.15) is None),
    "reject": Case(packet("nft", drop="reject"), lambda lab: lab.refused()),
    "htb": Case(packet("htb", rate_bit=2_000_000), lambda lab: lab.get(100_000)[1] > 200),
    "http": Case(
        {"kind": "http", "port": PORT, "abort_percent": 100, "status": 503}, lambda lab: lab.get()[0] == 503
    ),
}


def end_by_eof(holder: Any) -> None:
    holder.hang_up()


def end_by_sigterm(holder: Any) -> None:
    os.kill(holder.pid, signal.SIGTERM)


def end_by_closed_stdout(holder: Any) -> None:
    holder.close_stdout()


def end_by_kill(holder: Any) -> None:
    os.kill(holder.pid, signal.SIGKILL)


ENDINGS = {
    "eof": (end_by_eof, "eof"),
    "sigterm": (end_by_sigterm, "sigterm"),
    "stdout": (end_by_closed_stdout, ""),
    "kill": (end_by_kill, "agent-killed"),
}


@pytest.mark.parametrize(
    ("name", "ending"),
    [(name, ending) for name in CASES for ending in ("eof", "kill")] + [("nfqueue", "sigterm"), ("http", "stdout")],
)
def test_every_ending_ends_the_effect_at_once_and_leaves_nothing(
    lab: Any, hold: Any, until: Any, name: str, ending: str
) -> None:
    case, (end, reason) = CASES[name], ENDINGS[ending]
    before = lab.snapshot()
    assert not case.affected(lab)
    holder = hold(case.spec, "--netns", lab.victim.path, ttl=TTL)
    applied = holder.event("applied")
    assert abs(applied["at"] - time.time()) < 5
    assert applied["backend"]
    assert case.affected(lab)
    assert lab.snapshot() != before
    end(holder)
    if reason:
        reverted = holder.event("reverted")
        assert (reverted["reason"], reverted["clean"], reverted["left"]) == (reason, True, [])
    assert holder.process.wait(5) == (-signal.SIGKILL if ending == "kill" else 0)
    until(lambda: not case.affected(lab), TTL)
    assert lab.snapshot() == before


@pytest.mark.parametrize("name", CASES)
def test_agent_and_guard_killed_together_the_kernel_ends_the_effect(
    lab: Any, hold: Any, until: Any, name: str
) -> None:
    case, before = CASES[name], lab.snapshot()
    holder = hold(case.spec, "--netns", lab.victim.path, ttl=TTL)
    holder.event("applied")
    holder.kill_family()
    assert holder.ended_silently()
    until(lambda: not case.affected(lab) and lab.get()[0] == 200, TTL + 1.5)
    removed = lab.clear()["removed"]
    assert any(" drill_" in what for what in removed)
    assert lab.clear()["removed"] == []
    assert lab.snapshot() == before


@pytest.mark.parametrize(("reason", "times"), [("deadline", {"deadline": 1.0}), ("lease", {"lease": 0.8})])
def test_deadline_and_missed_lease_end_the_fault(lab: Any, hold: Any, reason: str, times: dict[str, float]) -> None:
    before = lab.snapshot()
    holder = hold(CASES["reject"].spec, "--netns", lab.victim.path, ttl=TTL, **times)
    holder.event("applied")
    if reason == "lease":
        holder.miss_lease()
    assert holder.event("reverted")["reason"] == reason
    assert holder.process.wait(5) == 0
    assert not lab.refused()
    assert lab.snapshot() == before


def test_the_kernel_part_is_refreshed_for_longer_than_its_ttl(lab: Any, hold: Any) -> None:
    holder = hold(CASES["reject"].spec, "--netns", lab.victim.path, ttl=0.6)
    holder.event("applied")
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert lab.refused()


def test_a_hanging_agent_is_ended_by_its_guard(lab: Any, hold: Any, until: Any) -> None:
    before = lab.snapshot()
    holder = hold(CASES["reject"].spec, "--netns", lab.victim.path, ttl=1.0)
    holder.event("applied")
    os.kill(holder.pid, signal.SIGSTOP)
    assert holder.event("reverted")["reason"] == "agent-hung"
    assert not lab.refused()
    assert holder.process.wait(5) == -signal.SIGKILL
    assert lab.snapshot() == before


def _forks(holder: Any) -> set[int]:
    """The processes that are the agent's own program, not one it runs."""
    own = Path(f"/proc/{holder.pid}/cmdline").read_bytes()
    alive = {pid for pid in holder.family() if _cmdline(pid) == own}
    return alive - {holder.pid}


def _lasting(holder: Any) -> set[int]:
    """Those that are not on their way to become another program."""
    before = _forks(holder)
    time.sleep(0.2)
    return before & _forks(holder)


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_killed_guard_is_replaced(lab: Any, hold: Any, until: Any) -> None:
    before = lab.snapshot()
    holder = hold(CASES["reject"].spec, "--netns", lab.victim.path, ttl=0.9)
    holder.event("applied")
    first = _forks(holder)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    until(lambda: _lasting(holder) - first, 5)
    end_by_kill(holder)
    # A fork that was about to become nft looks like a guard, and may have been killed in its place.
    assert holder.event("reverted", beside=("lost", "again"))["reason"] == "agent-killed"
    assert lab.snapshot() == before


def test_delay_is_accurate_and_spares_exempt_addresses(lab: Any, hold: Any) -> None:
    holder = hold(packet("nfqueue", delay_ms=100, exempt=[OTHER]), "--netns", lab.victim.path, ttl=TTL)
    holder.event("applied")
    delays = [lab.connect_ms() for _ in range(10)]
    assert 98 <= statistics.median(delays) <= 115
    assert statistics.median(lab.connect_ms(OTHER) for _ in range(5)) < 20


def test_peers_narrow_the_fault(lab: Any, hold: Any) -> None:
    holder = hold(packet("nft", drop="drop", peers=[OTHER]), "--netns", lab.victim.path, ttl=TTL)
    holder.event("applied")
    assert lab.connect_ms(OTHER, timeout=0.2) is None
    assert lab.connect_ms(CLIENT) is not None


def test_egress_cuts_the_way_out_only(lab: Any, hold: Any) -> None:
    server = lab.client.call(_listen)
    try:
        assert lab.victim.call(_connects, CLIENT)
        spec = {**packet("nft", drop="reject", direction="egress", peers=[CLIENT]), "port": 9090}
        holder = hold(spec, "--netns", lab.victim.path, ttl=TTL)
        holder.event("applied")
        assert not lab.victim.call(_connects, CLIENT)
        assert lab.victim.call(_connects, OTHER)
        assert lab.connect_ms() is not None
    finally:
        server.close()


def test_egress_delay_holds_the_peers_answers(lab: Any, hold: Any) -> None:
    server = lab.client.call(_listen)
    try:
        spec = {**packet("nfqueue", delay_ms=80, direction="egress", peers=[CLIENT]), "port": 9090}
        holder = hold(spec, "--netns", lab.victim.path, ttl=TTL)
        holder.event("applied")
        start = time.perf_counter()
        assert lab.victim.call(_connects, CLIENT)
        assert 0.078 < time.perf_counter() - start < 0.3
        start = time.perf_counter()
        assert lab.victim.call(_connects, OTHER)
        assert time.perf_counter() - start < 0.05
    finally:
        server.close()


def _listen() -> Any:
    import socket

    return socket.create_server(("0.0.0.0", 9090), backlog=50)


def _connects(address: str) -> bool:
    import socket

    try:
        socket.create_connection((address, 9090), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("backend", ["nft", "nfqueue"])
def test_a_share_of_the_packets_is_lost(lab: Any, hold: Any, backend: str) -> None:
    holder = hold(packet(backend, loss_percent=50), "--netns", lab.victim.path, ttl=TTL)
    holder.event("applied")
    lost = sum(lab.connect_ms(timeout=0.06) is None for _ in range(60))
    assert 12 <= lost <= 48  # binomial(60, 1/2): outside once in 300,000 runs


def test_held_packets_survive_the_worker_and_the_report_hears_of_it(lab: Any, hold: Any, until: Any) -> None:
    holder = hold(packet("nfqueue", delay_ms=300), "--netns", lab.victim.path, ttl=TTL)
    holder.event("applied")
    worker = _busiest_child(holder)
    pending = lab.client.call(_open_connects, 20)
    os.kill(worker, signal.SIGKILL)
    assert "died" in holder.event("lost")["error"]
    assert lab.client.call(_finish_connects, pending) < 0.8  # a lost SYN would take 1 s
    holder.hang_up()
    assert holder.event("reverted")["clean"]


def _busiest_child(holder: Any) -> int:
    """The worker is the one whose standard streams are closed."""
    family = [pid for pid in holder.family() if pid != holder.pid]
    (worker,) = [pid for pid in family if not Path(f"/proc/{pid}/fd/0").exists()]
    return worker


def _open_connects(count: int) -> list[Any]:
    import socket

    made = []
    for _ in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("10.77.0.1", PORT))
        made.append(sock)
    return made


def _finish_connects(socks: list[Any]) -> float:
    import select

    start = time.monotonic()
    for sock in socks:
        select.select([], [sock], [], 5)
        assert sock.getsockopt(1, 4) == 0
        sock.close()
    return time.monotonic() - start


def test_a_hanging_worker_is_found_and_packets_pass(lab: Any, hold: Any, until: Any) -> None:
    holder = hold(packet("nfqueue", delay_ms=100), "--netns", lab.victim.path, ttl=6)
    holder.event("applied")
    worker = _busiest_child(holder)
    os.kill(worker, signal.SIGSTOP)
    until(lambda: (lab.connect_ms(timeout=3) or 999) < 50, 4)
    assert "hangs" in holder.event("lost", 8)["error"]
    holder.hang_up()
    assert holder.event("reverted")["clean"]


def test_bulk_transfer_is_not_strangled_by_the_delay(lab: Any, hold: Any) -> None:
    holder = hold(packet("nfqueue", delay_ms=50, jitter_ms=20), "--netns", lab.victim.path, ttl=TTL)
    holder.event("applied")
    status, ms = lab.get(8_000_000)
    assert status == 200
    assert ms < 4000


def test_http_delay_and_share(lab: Any, hold: Any) -> None:
    spec = {"kind": "http", "port": PORT, "abort_percent": 50, "status": 418, "delay_percent": 100, "delay_ms": 60}
    holder = hold(spec, "--netns", lab.victim.path, ttl=TTL)
    holder.event("applied")
    answers = [lab.get() for _ in range(40)]
    assert {status for status, _ in answers} == {200, 418}
    assert statistics.median(ms for _, ms in answers) >= 60


def test_http_exempt_address_goes_straight_to_the_service(lab: Any, hold: Any) -> None:
    spec = {**CASES["http"].spec, "exempt": [OTHER]}
    hold(spec, "--netns", lab.victim.path, ttl=TTL).event("applied")
    assert lab.get()[0] == 503
    assert lab.get(source=OTHER)[0] == 200


def test_http_old_keep_alive_connections_do_not_bypass_the_fault(lab: Any, hold: Any) -> None:
    connection = lab.client.call(_keep_alive)
    hold(CASES["http"].spec, "--netns", lab.victim.path, ttl=TTL).event("applied")
    with pytest.raises(ConnectionError):
        lab.client.call(_again, connection)
    assert lab.get()[0] == 503


def _keep_alive() -> Any:
    import http.client

    connection = http.client.HTTPConnection("10.77.0.1", PORT, timeout=3)
    _again(connection)
    return connection


def _again(connection: Any) -> int:
    connection.request("GET", "/2")
    answer = connection.getresponse()
    answer.read()
    return int(answer.status)


def test_http_killed_envoy_is_taken_out_of_the_way_at_once(lab: Any, hold: Any, until: Any) -> None:
    before = lab.snapshot()
    holder = hold(CASES["http"].spec, "--netns", lab.victim.path, ttl=TTL)
    holder.event("applied")
    (envoy,) = [pid for pid in holder.family() if Path(f"/proc/{pid}/exe").readlink().name == "envoy"]
    os.kill(envoy, signal.SIGKILL)
    assert "Envoy died" in holder.event("lost")["error"]
    assert lab.get()[0] == 200
    holder.hang_up()
    assert holder.event("reverted")["clean"]
    assert lab.snapshot() == before


def test_a_deleted_table_is_reported_lost(lab: Any, hold: Any) -> None:
    holder = hold(CASES["reject"].spec, "--netns", lab.victim.path, ttl=0.6)
    table = holder.event("applied")["detail"]["table"]
    lab.victim.run(f"nft delete table inet {table}")
    assert "nft" in holder.event("lost")["error"]
    holder.hang_up()
    assert holder.event("reverted")["clean"]


def test_foreign_qdisc_is_refused_and_left_alone(lab: Any, hold: Any) -> None:
    lab.victim.run("tc qdisc add dev v0 root handle 1: tbf rate 1gbit burst 1mb latency 50ms")
    try:
        before = lab.snapshot()
        holder = hold(CASES["htb"].spec, "--netns", lab.victim.path)
        assert "not drill's" in holder.event("failed")["error"]
        assert holder.process.wait(5) == 3
        assert lab.clear()["removed"] == []
        assert lab.snapshot() == before
    finally:
        lab.victim.run("tc qdisc del dev v0 root")


def test_txqlen_zero_is_raised_and_restored(lab: Any, hold: Any) -> None:
    lab.victim.run("ip link set v0 txqueuelen 0")
    try:
        before = lab.snapshot()
        holder = hold(CASES["htb"].spec, "--netns", lab.victim.path)
        holder.event("applied")
        assert "v0 txqlen 1000" in lab.snapshot()["links"]
        holder.kill_family()
        holder.process.wait(5)
        lab.clear()  # knows from the handle that it was 0
        assert lab.snapshot() == before
    finally:
        lab.victim.run("ip link set v0 txqueuelen 1000")


def test_a_second_agent_for_the_same_injection_is_refused(lab: Any, hold: Any) -> None:
    first = hold(CASES["reject"].spec, "--netns", lab.victim.path)
    first.event("applied")
    second = hold(CASES["reject"].spec, "--netns", lab.victim.path)
    assert "already there" in second.event("failed")["error"]
    assert second.process.wait(5) == 3
    assert lab.refused()


def test_netem_without_the_kernel_module_fails_and_undoes_what_it_began(
    lab: Any, hold: Any, run_agent: Any
) -> None:
    import json

    if not json.loads(run_agent("abilities").stdout)["netem"]:
        pytest.skip("this kernel has sch_netem")
    before = lab.snapshot()
    holder = hold(packet("netem", delay_ms=10), "--netns", lab.victim.path)
    assert "qdisc" in holder.event("failed")["error"]
    assert holder.process.wait(5) == 3
    assert lab.snapshot() == before


def test_clear_ends_a_living_agent(lab: Any, hold: Any) -> None:
    holder = hold(CASES["nfqueue"].spec, "--netns", lab.victim.path)
    holder.event("applied")
    assert f"agent {holder.pid}" in lab.clear()["removed"]
    assert holder.event("reverted")["reason"] == "sigterm"


def test_somebody_elses_rules_are_neither_touched_nor_cleared(lab: Any, hold: Any) -> None:
    lab.victim.run("nft add table inet mine")
    lab.victim.run("nft add counter inet mine drill_like")
    try:
        before = lab.snapshot()
        holder = hold(CASES["drop"].spec, "--netns", lab.victim.path)
        holder.event("applied")
        holder.kill_family()
        holder.process.wait(5)
        lab.clear()
        assert lab.snapshot() == before
        assert "table inet mine" in before["nft"]
    finally:
        lab.victim.run("nft delete table inet mine")


def test_kills_at_random_points_leave_nothing(lab: Any, until: Any) -> None:
    """SIGKILL of the agent alone, from before its first deed to the middle of its undo: the guard cleans up."""
    import json
    import random
    import sys

    before, rng = lab.snapshot(), random.Random(7)
    for turn in range(12):
        case = CASES[("nfqueue", "htb", "reject")[turn % 3]]
        command = [sys.executable, "-m", "drill.agent", "hold", "--id", "kill", "--spec", json.dumps(case.spec)]
        times = ["--ttl", "2", "--deadline", "20", "--lease", "20", "--netns", lab.victim.path]
        process = subprocess.Popen([*command, *times], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        time.sleep(rng.uniform(0.03, 0.3))
        if turn % 2:
            process.stdin.close()
            time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.stdout.read()  # its end: agent, guard and worker are gone
        process.stdout.close()
        if not process.stdin.closed:
            process.stdin.close()
        process.wait(5)
        assert lab.snapshot() == before, f"turn {turn}"
        assert lab.get()[0] == 200
