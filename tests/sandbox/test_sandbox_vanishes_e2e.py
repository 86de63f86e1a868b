"""Whatever is killed, nothing of a sandbox stays: looked for in /proc, namespaces, cgroups, files and ports.

Also here: several sandboxes at once, one without root, one that is kept, and what a sweep removes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from drill.core.errors import Unavailable
from drill.target.sandbox import Sandbox, SandboxSpec, cgroups, leftovers, programs, running, sweep

pytestmark = pytest.mark.e2e

SPEC = SandboxSpec(
    rules="groups: []\n",
    alertmanager="route: {receiver: log}\nreceivers: [{name: log}]\n",
    rates={"checkout": 5.0, "payment": 2.0, "catalog": 2.0, "cart": 2.0, "recommendations": 2.0},
)
RUNNER = """
import sys, time
from drill.target.sandbox import Sandbox, SandboxSpec
sandbox = Sandbox.start(SandboxSpec.from_json(sys.stdin.read()))
print(sandbox.id, flush=True)
time.sleep(300)
"""


@dataclass(frozen=True)
class Seen:
    """What can be seen of a living sandbox from outside."""

    id: str
    processes: tuple[int, ...]
    namespaces: frozenset[str]
    cgroups: tuple[Path, ...]
    directory: Path
    ports: tuple[int, ...]
    everybody: frozenset[tuple[int, str]]
    """Only these can still hold one of the namespaces; numbers of namespaces are used again."""

    def pid_of(self, name: str) -> int:
        return next(pid for pid in self.processes if Path(f"/proc/{pid}/comm").read_text().strip() == name)


def namespaces_of(pids: list[int]) -> frozenset[str]:
    found = set()
    for pid in pids:
        for kind in ("net", "pid", "mnt"):
            with contextlib.suppress(OSError):
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return frozenset(found)


def everybody() -> frozenset[tuple[int, str]]:
    """All processes of the machine, each with its start time, so that a number used again is not the same."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.add((int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()[19]))
    return frozenset(found)


def look(sandbox: str) -> Seen:
    directory = leftovers.runtime_directory(sandbox)
    assert directory is not None
    pids = leftovers.processes(sandbox)
    own = namespaces_of([os.getpid()])
    ports = tuple(Sandbox.attach(sandbox)._doors.values())
    groups = tuple(path for path in cgroups.existing() if path.name == f"drill-sandbox-{sandbox}")
    seen = Seen(sandbox, tuple(pids), namespaces_of(pids) - own, groups, directory, ports, everybody())
    assert len(seen.processes) >= 20
    assert len([name for name in seen.namespaces if name.startswith("net")]) >= 17
    assert all(connects(port) for port in ports)
    return seen


def connects(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def left(seen: Seen) -> list[str]:
    """Everything of *seen* that is still there."""
    found = [f"process {pid}" for pid in leftovers.processes(seen.id)]
    still = [pid for pid, _ in everybody() & seen.everybody]
    found += sorted(namespaces_of(still) & seen.namespaces)
    found += [str(path) for path in (*seen.cgroups, seen.directory) if path.exists()]
    found += [f"port {port}" for port in seen.ports if connects(port)]
    mounts = Path("/proc/self/mountinfo").read_text()
    return [*found, "a mount"] if seen.id in mounts else found


def vanished(seen: Seen, within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while remains := left(seen):
        assert time.monotonic() < deadline, f"left: {remains}"
        time.sleep(0.05)
    assert seen.id not in running()


def start_runner(python: str = sys.executable, **options: object) -> tuple[subprocess.Popen[str], str]:
    runner = subprocess.Popen(
        [python, "-c", RUNNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    assert runner.stdin is not None
    assert runner.stdout is not None
    runner.stdin.write(SPEC.to_json())
    runner.stdin.close()
    return runner, runner.stdout.readline().strip()


def finish(runner: subprocess.Popen[str]) -> None:
    runner.kill()
    runner.wait(10)
    assert runner.stdout is not None
    runner.stdout.close()


@pytest.fixture(scope="module")
def several() -> Iterator[list[Sandbox]]:
    """Three sandboxes, started at the same time."""
    if programs.missing(essential_only=True):
        programs.fetch([each.name for each in programs.missing(essential_only=True)])
    with ThreadPoolExecutor(3) as pool:
        started = list(pool.map(lambda _: Sandbox.start(SPEC), range(3)))
    yield started
    for sandbox in started:
        sandbox.close()


@pytest.mark.parametrize(
    ("number", "victims"), [(0, ["drill-keeper"]), (1, ["drill-init"]), (2, ["drill-keeper", "drill-janitor"])]
)
def test_nothing_is_left_when_a_first_process_is_killed(
    several: list[Sandbox], number: int, victims: list[str]
) -> None:
    """Keeper: the janitor cleans. Init: the keeper cleans. Keeper and janitor: the next start's sweep cleans."""
    seen = look(several[number].id)
    others = [sandbox.id for sandbox in several[number + 1 :]]
    for pid in sorted((seen.pid_of(name) for name in victims), reverse=True):
        os.kill(pid, signal.SIGKILL)
    if len(victims) == 2:
        deadline = time.monotonic() + 5
        while leftovers.processes(seen.id):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert seen.directory.exists()
        assert f"directory {seen.directory}" in sweep()
    vanished(seen)
    assert set(others) <= set(running())
    for other in several[number + 1 :]:
        assert other.status()["ready"]
    with pytest.raises(Unavailable):
        several[number].status()


def test_nothing_is_left_when_the_runner_is_killed() -> None:
    runner, sandbox = start_runner()
    try:
        seen = look(sandbox)
        os.kill(runner.pid, signal.SIGKILL)
        vanished(seen)
    finally:
        finish(runner)


def test_a_kept_sandbox_outlives_its_starter_until_somebody_closes_it() -> None:
    code = RUNNER.replace(".read())", ".read()), detach=True").replace("time.sleep(300)", "sandbox.detach()")
    done = subprocess.run(
        [sys.executable, "-c", code], input=SPEC.to_json(), capture_output=True, text=True, timeout=60, check=True
    )
    sandbox = Sandbox.attach(done.stdout.strip())
    seen = look(sandbox.id)
    assert sandbox.status()["ready"]
    assert sandbox.spec == SPEC
    sandbox.close()
    assert left(seen) == []


def test_a_configuration_that_a_server_refuses_is_told_and_leaves_nothing() -> None:
    before = running()
    with pytest.raises(Unavailable, match="prometheus ended at once"):
        Sandbox.start(SandboxSpec(rules="groups: [{name: x, rules: [{alert: A, expr: '('}]}]", alertmanager=""))
    assert running() == before


def other_user() -> tuple[pwd.struct_passwd, str]:
    """An ordinary user and a Python like ours that this user may run; skips where there is none."""
    if os.getuid() != 0:
        pytest.skip("this test runs as an ordinary user already: the others are without root")
    names = [each.pw_name for each in pwd.getpwall()]
    user = pwd.getpwnam("drilltest" if "drilltest" in names else "nobody")
    version = "import sys; print(sys.version_info[:2])"
    for python in (sys.executable, "/usr/bin/python3", f"/usr/bin/python3.{sys.version_info[1]}"):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            said = subprocess.check_output([python, "-c", version], user=user.pw_uid, text=True, cwd="/")
            if said.strip() == str(sys.version_info[:2]):
                return user, python
    pytest.skip("no Python of this version that an ordinary user may run")


@pytest.fixture
def readable_programs() -> Iterator[dict[str, str]]:
    """The servers where every user may read them."""
    place = Path(tempfile.mkdtemp(prefix="drill-test-", dir="/tmp"))
    place.chmod(0o755)
    environment = {}
    for name in ("prometheus", "alertmanager"):
        binary = programs.find(name)
        share = binary.parents[1] / "share" / "prometheus"
        (place / name / "bin").mkdir(parents=True)
        shutil.copy2(binary, place / name / "bin")
        if share.is_dir():
            shutil.copytree(share, place / name / "share" / "prometheus", symlinks=True, dirs_exist_ok=True)
        environment[f"DRILL_{name.upper()}"] = str(place / name / "bin" / binary.name)
    yield environment
    shutil.rmtree(place)


def test_without_root_it_works_and_vanishes_as_well(readable_programs: dict[str, str]) -> None:
    user, python = other_user()
    check = ["unshare", "--user", "--net", "true"]
    if subprocess.run(check, user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False).returncode != 0:
        pytest.skip("user namespaces are not available to ordinary users here")
    source = [str(Path(sys.modules["drill"].__path__[0]).parent), *(p for p in sys.path if "site-packages" in p)]
    environment = {**readable_programs, "PATH": os.environ["PATH"], "PYTHONPATH": ":".join(source), "HOME": "/tmp"}
    may = [python, "-c", "import drill"]
    if subprocess.run(
        may, user=user.pw_uid, group=user.pw_gid, extra_groups=[], env=environment, cwd="/"
    ).returncode:
        pytest.skip(f"{user.pw_name} may not read this checkout")
    runner, sandbox = start_runner(
        python, user=user.pw_uid, group=user.pw_gid, extra_groups=[], env=environment, cwd="/"
    )
    try:
        assert sandbox
        seen = look(sandbox)
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in seen.processes}
        assert owners == {user.pw_uid}
        attached = Sandbox.attach(sandbox)
        assert attached.status()["ready"]
        if not seen.cgroups:
            assert "cgroup-memory" in attached.facts().missing
        os.kill(seen.pid_of("drill-keeper"), signal.SIGKILL)
        vanished(seen)
    finally:
        finish(runner)
