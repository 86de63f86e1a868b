"""The conductor against real namespaces and cgroups: every fault at a pod, its effect, its undo, its ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.fakepod import FakePod, Talk, homes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
VICTIM = "10.77.0.1"
DELAY = {"kind": "packet", "backend": "nfqueue", "port": 8080, "delay_ms": 80}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    """Two joined namespaces, and a small file system for the pod's data."""
    from agent.conftest import Namespace

    if os.geteuid() or (not {"cpu", "memory"} & homes().keys() and "" not in homes()):
        pytest.skip("needs root and writable cgroups")
    data = tmp_path_factory.mktemp("data")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(data)], check=True)
    victim, client = Namespace(), Namespace()
    victim.run("ip link add v0 type veth peer name c0")
    victim.run(f"ip link set c0 netns {client.path}")
    for side, device, address in ((victim, "v0", VICTIM), (client, "c0", "10.77.0.2")):
        side.run(f"ip addr add {address}/24 dev {device}")
        side.run(f"ip link set {device} up")
        side.run("ip link set lo up")
    yield data, (victim, client)
    victim.close()
    client.close()
    subprocess.run(["umount", str(data)], check=True)


@pytest.fixture
def pod(place: tuple[Path, Any]) -> Iterator[FakePod]:
    data, (victim, _) = place
    made = FakePod(victim.path, data, VICTIM)
    yield made
    made.close()


@pytest.fixture
def talk(place: tuple[Path, Any], pod: FakePod) -> Iterator[Talk]:
    made = Talk(place[1][1].path)
    deadline = time.monotonic() + 20
    while made.measure(pod, "unreachable_ratio", 1):
        assert time.monotonic() < deadline, "the server does not answer"
    yield made
    made.close()


def within(seconds: float, true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.05)


def test_a_delay_is_felt_from_outside_and_undone_without_a_trace(talk: Talk, pod: FakePod) -> None:
    before = talk.snapshot(pod)
    assert talk.hold(pod, DELAY)["event"] == "applied"
    assert 75 < talk.measure(pod, "connect_ms") < 160
    assert talk.measure(pod, "request_ms") > 150
    assert talk.ask("release", pod=pod.place(), injection="t")["event"]["clean"] is True
    assert talk.measure(pod, "connect_ms") < 40
    assert talk.snapshot(pod) == before
    assert talk.ask("release", pod=pod.place(), injection="t")["cleared"] == {"removed": [], "remains": []}


def test_errors_of_http_are_made_by_the_share_asked_for(talk: Talk, pod: FakePod) -> None:
    before = talk.snapshot(pod)
    assert talk.measure(pod, "error_ratio", 10) == 0
    talk.hold(pod, {"kind": "http", "port": 8080, "abort_percent": 100, "status": 503})
    assert talk.measure(pod, "error_ratio", 10) == 1
    talk.ask("release", pod=pod.place(), injection="t")
    assert talk.measure(pod, "error_ratio", 10) == 0
    assert talk.snapshot(pod) == before


def test_cpu_is_burnt_in_the_containers_own_cgroup_and_follows_a_restart(talk: Talk, pod: FakePod) -> None:
    assert talk.measure(pod, "cpu_cores") < 0.1
    talk.hold(pod, {"kind": "cpu", "workers": 2}, reapply=True)
    time.sleep(0.5)
    assert talk.measure(pod, "throttled_ratio") > 0.3
    pod.restart()
    within(20, lambda: talk.measure(pod, "throttled_ratio") > 0.3)
    talk.ask("release", pod=pod.place(), injection="t")
    assert talk.snapshot(pod)["processes"].startswith("stopped 0")


def test_memory_beyond_the_limit_kills_and_is_counted_over_restarts(talk: Talk, pod: FakePod) -> None:
    assert talk.measure(pod, "oom_kills") == 0
    talk.hold(pod, {"kind": "memory", "size_bytes": 160 << 20, "oom": True}, reapply=True)
    pod.main.wait(20)
    assert talk.measure(pod, "oom_kills") >= 1
    pod.start()
    pod.main.wait(30)
    assert talk.measure(pod, "oom_kills") >= 2
    talk.ask("release", pod=pod.place(), injection="t")


def test_the_pods_file_system_is_filled_and_freed(talk: Talk, pod: FakePod) -> None:
    assert talk.measure(pod, "free_bytes") > 7 << 20
    talk.hold(pod, {"kind": "disk", "path": str(pod.data), "leave_bytes": 1 << 20})
    assert talk.measure(pod, "free_bytes") <= 1 << 20
    talk.ask("release", pod=pod.place(), injection="t")
    assert talk.measure(pod, "free_bytes") > 7 << 20


def test_the_nodes_own_file_system_is_never_filled(talk: Talk, pod: FakePod) -> None:
    fault = {"kind": "disk", "path": "/var", "leave_bytes": 1 << 20}
    spec = '{"kind": "disk", "path": "/var", "leave_bytes": 1048576}'
    assert fault["kind"] in spec
    said = talk.refusal("hold", pod=pod.place(), injection="t", replica="w", spec=spec, ttl=3, deadline=9, lease=5)
    assert "refused" in said


def test_a_stopped_pod_is_continued_at_release(talk: Talk, pod: FakePod) -> None:
    talk.hold(pod, {"kind": "pause"})
    assert talk.measure(pod, "stopped") == 1
    talk.ask("release", pod=pod.place(), injection="t")
    assert talk.measure(pod, "stopped") == 0


def test_a_signal_reaches_the_main_process_and_no_other(talk: Talk, pod: FakePod) -> None:
    talk.ask("signal", pod=pod.place(), number=int(signal.SIGKILL))
    assert pod.main.wait(5) == -signal.SIGKILL
    assert talk.ask("signal", pod=pod.place(), number=int(signal.SIGKILL))["pid"] == 0, "there is nobody to hear it"


def test_silence_of_the_runner_reverts_everything(talk: Talk, pod: FakePod) -> None:
    talk.hold(pod, DELAY)
    talk.fall_silent()
    assert talk.process.wait(25) == 0
    with contextlib.closing(_another(talk)) as other:
        assert other.measure(pod, "connect_ms") < 40
        assert other.snapshot(pod)["nft"] == ""


def test_a_killed_conductor_leaves_no_fault(talk: Talk, pod: FakePod) -> None:
    talk.hold(pod, {"kind": "pause"})
    talk.process.kill()
    within(10, lambda: pod.state() != "T")


def test_a_stopped_conductor_loses_its_lease(talk: Talk, pod: FakePod) -> None:
    talk.hold(pod, {"kind": "pause"}, lease=3.0)
    os.kill(talk.process.pid, signal.SIGSTOP)
    within(12, lambda: pod.state() != "T")
    os.kill(talk.process.pid, signal.SIGCONT)


def test_the_end_of_all_the_helpers_processes_at_once_leaves_nobody_stopped(place: Any, pod: FakePod) -> None:
    """A pod that is killed takes the guard with it, unless the guard lives where it guards."""
    groups = [home / "drilltest/helper" for home in homes().values()]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    try:
        made = Talk(place[1][1].path, groups[-1])
        made.hold(pod, {"kind": "pause"})
        assert pod.state() == "T"
        _kill_all(groups[-1])
        within(10, lambda: pod.state() != "T")
        made.process.wait(5)
        made.close()
    finally:
        for group in groups:
            group.rmdir()


def test_leftovers_of_the_dead_are_swept_and_faults_of_the_living_are_not(talk: Talk, pod: FakePod) -> None:
    talk.hold(pod, DELAY)
    with contextlib.closing(_another(talk)) as other:
        assert other.ask("sweep", pod=pod.place()).get("busy") is True
        for pid in _agents(talk.process.pid):
            os.kill(pid, signal.SIGSTOP)
        for pid in (talk.process.pid, *_agents(talk.process.pid)):
            os.kill(pid, signal.SIGKILL)
        swept = other.ask("sweep", pod=pod.place())
        assert any("nft table" in what for what in swept["removed"])
        assert swept["remains"] == []
        assert other.snapshot(pod)["nft"] == ""


def test_a_pod_that_is_not_here_is_said_so_and_needs_no_release(talk: Talk, pod: FakePod) -> None:
    elsewhere = pod.place(container="ab" * 32, uid="00000000-0000-4000-8000-000000000000", name="gone")
    said = talk.refusal("hold", pod=elsewhere, injection="t", replica="w", spec="{}", ttl=3, deadline=9, lease=5)
    assert "no process of gone runs on this node" in said
    assert "gone" in talk.ask("release", pod=elsewhere, injection="t")


def _another(talk: Talk) -> Talk:
    return Talk(f"/proc/{talk.process.pid}/ns/net" if talk.process.poll() is None else _client)


_client = ""


@pytest.fixture(autouse=True)
def _remember_client(place: tuple[Path, Any]) -> None:
    global _client
    _client = place[1][1].path


def _agents(conductor: int) -> list[int]:
    found, todo = [], [conductor]
    while todo:
        pid = todo.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            children = [int(word) for word in task.read_text().split()]
            found += children
            todo += children
    return found


def _kill_all(group: Path) -> None:
    """Kill what is in *group* as a runtime does: again and again until nothing is."""
    while pids := (group / "cgroup.procs").read_text().split():
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), number)
        time.sleep(0.02)
