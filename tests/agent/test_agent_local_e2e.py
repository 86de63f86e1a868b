"""CPU, memory, disk and pause held by a real agent at a real process in real cgroups; undone in every case."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
V1 = Path("/sys/fs/cgroup")
TTL = 2.0
LIMIT = 64 << 20
# A parent with a child that forks on: what a replica with worker processes looks like.
VICTIM = "import os, time\nos.fork()\nwhile True: time.sleep(0.05)"


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Replica:
    """A process in cgroups of its own."""

    def __init__(self, cgroups: list[Path]) -> None:
        self.cgroups = cgroups
        self.start()

    def start(self) -> None:
        def join() -> None:
            for cgroup in self.cgroups:
                (cgroup / "cgroup.procs").write_text("0")

        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", VICTIM], preexec_fn=join, start_new_session=True
        )
        self.pid = self.process.pid

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(5)

    def options(self) -> list[str]:
        return ["--pid", str(self.pid), *(word for cgroup in self.cgroups for word in ("--cgroup", str(cgroup)))]


@pytest.fixture
def replica() -> Iterator[Replica]:
    if not (V1 / "cpu" / "cgroup.procs").exists() or not (V1 / "memory" / "cgroup.procs").exists():
        pytest.skip("no cgroup version 1 hierarchies for cpu and memory")
    made = [V1 / name / f"drill-test-{os.getpid()}" for name in ("cpu", "memory")]
    for cgroup in made:
        cgroup.mkdir(exist_ok=True)
    (made[0] / "cpu.cfs_quota_us").write_text("20000")
    (made[1] / "memory.limit_in_bytes").write_text(str(LIMIT))
    running = Replica(made)
    yield running
    running.stop()
    deadline = time.monotonic() + 5
    for cgroup in made:
        while cgroup.exists():
            with contextlib.suppress(OSError):
                cgroup.rmdir()
            assert time.monotonic() < deadline, f"{cgroup}: {(cgroup / 'cgroup.procs').read_text()}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A root with an 8 MiB file system at /data, and a link that would lead out of it."""
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "link").symlink_to("/data")
    (root / "outside").symlink_to("/../../../../../../etc")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "drill-test", str(root / "data")], check=True)
    yield root
    subprocess.run(["umount", "-l", str(root / "data")], check=True)


def snapshot(run_agent: Any, *options: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(run_agent("snapshot", *options).stdout)
    return found


def throttled(replica: Replica) -> int:
    stat = dict(line.split() for line in (replica.cgroups[0] / "cpu.stat").read_text().splitlines())
    return int(stat["nr_throttled"])


def members(replica: Replica, index: int = 1) -> set[int]:
    return {int(word) for word in (replica.cgroups[index] / "cgroup.procs").read_text().split()}


def kill(holder: Any) -> None:
    os.kill(holder.pid, signal.SIGKILL)


ENDINGS = {"eof": lambda holder: holder.hang_up(), "kill": kill, "kill-all": lambda holder: holder.kill_family()}


@pytest.mark.parametrize("ending", ENDINGS)
def test_cpu_is_burnt_inside_the_cgroup_only_while_held(
    replica: Replica, hold: Any, until: Any, run_agent: Any, ending: str
) -> None:
    before, alone = snapshot(run_agent, *replica.options()), members(replica)
    holder = hold({"kind": "cpu", "workers": 2}, *replica.options(), ttl=TTL)
    assert holder.event("applied")["backend"] == "stress-ng"
    assert len(members(replica, 0)) >= 2 + 3
    start = throttled(replica)
    until(lambda: throttled(replica) > start + 2, 5)
    ENDINGS[ending](holder)
    until(lambda: members(replica) == alone, TTL)
    if ending == "eof":
        assert holder.event("reverted")["clean"]
    assert snapshot(run_agent, *replica.options()) == before


def test_killed_stressor_is_reported_lost(replica: Replica, hold: Any, until: Any) -> None:
    alone = members(replica)
    holder = hold({"kind": "cpu", "workers": 1}, *replica.options(), ttl=TTL)
    holder.event("applied")
    for pid in members(replica) - alone:
        os.kill(pid, signal.SIGKILL)
    assert "stress-ng ended" in holder.event("lost")["error"]
    holder.hang_up()
    assert holder.event("reverted")["clean"]


def test_memory_is_taken_and_given_back(replica: Replica, hold: Any, until: Any) -> None:
    usage = replica.cgroups[1] / "memory.usage_in_bytes"
    holder = hold({"kind": "memory", "size_bytes": LIMIT // 2}, *replica.options(), ttl=TTL)
    holder.event("applied")
    until(lambda: int(usage.read_text()) > LIMIT // 2, 5)
    assert replica.process.poll() is None
    holder.kill_family()
    until(lambda: int(usage.read_text()) < LIMIT // 3, TTL)


def test_oom_kills_the_replica_again_after_it_is_back(replica: Replica, hold: Any, until: Any) -> None:
    holder = hold({"kind": "memory", "size_bytes": LIMIT * 3 // 2, "oom": True}, *replica.options(), ttl=TTL)
    holder.event("applied")
    assert replica.process.wait(20) == -signal.SIGKILL
    until(lambda: not members(replica), 5)
    replica.start()
    assert replica.process.wait(20) == -signal.SIGKILL
    until(lambda: not members(replica), 5)
    holder.hang_up()
    reverted = holder.event("reverted")
    assert reverted["clean"]
    assert reverted["rounds"] >= 2
    replica.start()


def test_oom_score_of_a_survivor_is_restored_by_agent_and_guard(replica: Replica, run_agent: Any) -> None:
    from drill.agent.fault import Site
    from drill.agent.memory import OomKiller
    from drill.agent.spec import Memory

    Path(f"/proc/{replica.pid}/oom_score_adj").write_text("7")
    before = snapshot(run_agent, *replica.options())
    site = Site("i", ttl=1, deadline=1, lease=1, pid=replica.pid, cgroups=tuple(map(str, replica.cgroups)))
    agent, guard = (OomKiller(Memory(2 * LIMIT, oom=True), site) for _ in range(2))
    for undoing in (agent, guard):
        agent.prepare()
        guard.prepare()
        agent.prefer(replica.pid)
        assert snapshot(run_agent, *replica.options()) != before
        assert undoing.revert() == []
        assert snapshot(run_agent, *replica.options()) == before


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"size_bytes": LIMIT}, "do not fit"),
        ({"size_bytes": LIMIT // 2, "oom": True}, "do not exceed"),
        ({"size_bytes": LIMIT * 100, "oom": True}, "more than 8 times"),
        ({"size_bytes": 1000}, "too few"),
    ],
)
def test_insane_sizes_are_refused(replica: Replica, hold: Any, spec: dict[str, Any], words: str) -> None:
    holder = hold({"kind": "memory", **spec}, *replica.options())
    assert words in holder.event("failed")["error"]
    assert holder.process.wait(5) == 3


def test_without_a_memory_limit_nothing_is_allocated(replica: Replica, hold: Any) -> None:
    (replica.cgroups[1] / "memory.limit_in_bytes").write_text("-1")
    holder = hold({"kind": "memory", "size_bytes": 32 << 20}, *replica.options())
    assert "no memory limit" in holder.event("failed")["error"]


def test_without_a_cgroup_nothing_is_stressed(hold: Any) -> None:
    holder = hold({"kind": "cpu", "workers": 1})
    assert "no cgroup" in holder.event("failed")["error"]


def free(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("path", "leave"), [("/data", 0), ("/link", 1 << 20)])
def test_disk_is_full_only_while_held(
    small_disk: Path, hold: Any, until: Any, run_agent: Any, ending: str, path: str, leave: int
) -> None:
    data, options = small_disk / "data", ["--root", str(small_disk)]
    before, empty = free(data), snapshot(run_agent, *options, "--path", path)
    holder = hold({"kind": "disk", "path": path, "leave_bytes": leave}, *options, ttl=TTL)
    detail = holder.event("applied")["detail"]
    assert detail["free_before"] == before
    assert abs(free(data) - leave) <= 4096
    with pytest.raises(OSError, match="No space left"):
        (data / "log").write_bytes(b"x" * (leave + 8192))
    (data / "log").unlink(missing_ok=True)
    ENDINGS[ending](holder)
    until(lambda: free(data) == before, TTL)
    assert snapshot(run_agent, *options, "--path", path) == empty


@pytest.mark.parametrize("path", ["/outside", "/missing", "/"])
def test_disk_refuses_links_out_of_the_root_and_the_machines_disk(small_disk: Path, hold: Any, path: str) -> None:
    holder = hold({"kind": "disk", "path": path}, "--root", str(small_disk))
    assert "failed" in holder.event("failed")["event"]
    assert holder.process.wait(5) == 3


def test_clear_removes_fillers_that_still_have_a_name(small_disk: Path, run_agent: Any) -> None:
    (small_disk / "data" / ".drill-fill-1").write_bytes(b"x" * 100_000)
    (small_disk / "data" / "theirs").write_bytes(b"y")
    options = ["--root", str(small_disk), "--path", "/data"]
    assert "drill-fill" in snapshot(run_agent, *options)["files"]
    done = run_agent("clear", *options)
    assert json.loads(done.stdout) == {"removed": [".drill-fill-1"], "remains": []}
    assert os.listdir(small_disk / "data") == ["theirs"]  # noqa: PTH208


@pytest.mark.parametrize("ending", ["eof", "kill"])
def test_pause_stops_every_process_and_continues_it(
    replica: Replica, hold: Any, until: Any, run_agent: Any, ending: str
) -> None:
    until(lambda: children(replica.pid), 5)
    (child,) = children(replica.pid)
    before = snapshot(run_agent, *replica.options())
    holder = hold({"kind": "pause"}, *replica.options(), ttl=TTL)
    assert holder.event("applied")["detail"]["processes"] == 2
    assert (state(replica.pid), state(child)) == ("T", "T")
    ENDINGS[ending](holder)
    until(lambda: "T" not in (state(replica.pid), state(child)), TTL)
    assert holder.event("reverted")["clean"]
    assert snapshot(run_agent, *replica.options()) == before


def test_pause_without_agent_and_guard_is_ended_by_clear(replica: Replica, hold: Any, run_agent: Any) -> None:
    """The one fault that nothing in the kernel ends: recover must."""
    holder = hold({"kind": "pause"}, *replica.options(), ttl=TTL)
    holder.event("applied")
    holder.kill_family()
    holder.process.wait(5)
    assert state(replica.pid) == "T"
    assert run_agent("clear", *replica.options()).returncode == 0
    assert state(replica.pid) != "T"
    assert json.loads(run_agent("clear", *replica.options()).stdout) == {"removed": [], "remains": []}


@pytest.mark.parametrize("what", ["continued", "killed"])
def test_a_pause_somebody_ends_is_reported_lost(replica: Replica, hold: Any, what: str) -> None:
    holder = hold({"kind": "pause"}, *replica.options(), ttl=1.0)
    holder.event("applied")
    os.kill(replica.pid, signal.SIGCONT if what == "continued" else signal.SIGKILL)
    if what == "killed":
        replica.process.wait(5)
    assert ("continued" if what == "continued" else "died") in holder.event("lost")["error"]
    holder.hang_up()
    assert holder.event("reverted")["clean"]


def test_processes_stopped_by_somebody_else_stay_stopped(replica: Replica, hold: Any, until: Any) -> None:
    until(lambda: children(replica.pid), 5)
    (child,) = children(replica.pid)
    os.kill(child, signal.SIGSTOP)
    until(lambda: state(child) == "T", 2)
    holder = hold({"kind": "pause"}, *replica.options(), ttl=TTL)
    holder.event("applied")
    holder.hang_up()
    assert holder.event("reverted")["clean"]
    assert (state(replica.pid), state(child)) == ("S", "T")
    os.kill(child, signal.SIGCONT)


def test_abilities_name_every_ability_and_touch_nothing(replica: Replica, run_agent: Any) -> None:
    from drill.core.facts import ABILITIES

    before = snapshot(run_agent, *replica.options())
    found = json.loads(run_agent("abilities", *replica.options()).stdout)
    assert set(found) == set(ABILITIES)
    assert (found["cgroup-cpu"], found["cgroup-memory"], found["nft"], found["signals"]) == ("", "", "", "")
    assert snapshot(run_agent, *replica.options()) == before
    none = json.loads(run_agent("abilities", "--envoy", "/missing", "--stress-ng", "/missing").stdout)
    assert "/missing" in none["envoy"]
    assert "/missing" in none["stress-ng"]
    assert "no cgroup" in none["cgroup-cpu"]
