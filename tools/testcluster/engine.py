"""The container engine that kind drives: the one that runs here already, or a private one that leaves no trace.

The private engine is Debian's dockerd, unpacked into the cache: own socket, own data, no bridge of its own, no
firewall rule, no sysctl. Owns its process, its network and every trace that both leave (cgroups, mounts, folders).
Loaded images stay in its data folder below the cache, so that the next start is quick.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from testcluster import debian, processes
from testcluster.cache import user_cache
from testcluster.steps import Failed, Missing, Steps, run, succeeds, tail, wait_for

# Of root, whom the private engine needs, or of a user with a Docker that already runs.
STATE = Path("/run/drill-testcluster") if os.geteuid() == 0 else user_cache() / "testcluster" / "run"
NETWORK = "kind"  # the name is kind's
BRIDGE = "drill-kind"
_CGROUP = "drill-testcluster"
_SHARE = {"cpu.shares": "20480", "cpu.weight": "2000"}  # twenty times the usual, in cgroup v1 and v2
_START_S, _STOP_S, _LOAD_S = 30.0, 20.0, 300.0
_SYS_RESOURCE = 24  # number of CAP_SYS_RESOURCE, see capability.h
_CANDIDATES = ipaddress.IPv4Network("10.252.0.0/16")


@dataclass(frozen=True)
class Engine:
    """How to talk to an engine: the environment for ``docker`` and ``kind``. ``private``: it is ours to stop."""

    environment: Mapping[str, str]
    private: bool

    def docker(self, *words: str, timeout: float = 60.0, text_in: str | None = None) -> str:
        """Run the docker client and return what it printed. Raises Failed."""
        return run(["docker", *words], env=self.environment, timeout=timeout, text_in=text_in)

    def has_image(self, ref: str) -> bool:
        """Whether the engine has this image."""
        return bool(self.docker("image", "ls", "-q", ref).strip())

    def load(self, archive: Path) -> None:
        """Load an archive of images."""
        self.docker("load", "-q", "-i", str(archive), timeout=_LOAD_S)

    def forget_others(self, ref: str) -> None:
        """Remove images of the same name with another tag, unless a container runs on one."""
        listing = self.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", ref.rsplit(":", 1)[0]).split()
        for other in listing:
            if other != ref:
                succeeds(["docker", "image", "rm", other], env=self.environment)

    def network(self) -> dict[str, str]:
        """Subnet and bridge of kind's network. Raises Failed if there is none."""
        found = json.loads(self.docker("network", "inspect", NETWORK))[0]
        subnet = next(c["Subnet"] for c in found["IPAM"]["Config"] if ":" not in c["Subnet"])
        bridge = found["Options"].get("com.docker.network.bridge.name", f"br-{found['Id'][:12]}")
        return {"subnet": subnet, "bridge": bridge}


def running() -> Engine | None:
    """The engine that answers at this user's usual address, if one does."""
    if shutil.which("docker") is None or not succeeds(["docker", "version", "--format", "{{.Server.Version}}"]):
        return None
    return Engine(dict(os.environ), private=False)


def private(root: Path) -> Engine:
    """The private engine whose programs are in *root* (see debian.py), whether it runs or not."""
    environment = {**debian.environment(root), "DOCKER_HOST": f"unix://{STATE}/docker.sock"}
    return Engine(environment, private=True)


def start(engine: Engine, data: Path, runtime: Path, steps: Steps) -> None:
    """Start the private engine and make kind's network. *runtime* is the folder with ``runc-bounded``."""
    with steps.step("Private container engine") as step:
        if pid() is None:
            _require_root()
            _spawn(engine, data, runtime)
            step.outcome = f"dockerd runs as process {pid()}"
        else:
            step.outcome = f"already there, process {pid()}"
        if not succeeds(["docker", "network", "inspect", NETWORK], env=engine.environment):
            _make_network(engine)


def stop(data: Path, steps: Steps) -> None:
    """Stop the private engine, which has no container left, and take away what it and they left behind."""
    with steps.step("Stop the private container engine") as step:
        found = pid()
        if found is None:
            step.outcome = "it does not run"
        else:
            os.kill(found, signal.SIGTERM)
            wait_for(lambda: not processes.alive(found), what="the end of dockerd", timeout=_STOP_S)
        leave_nothing(data)


def favour() -> None:
    """Let a busy machine give a whole cluster more than the share of a single process (all of it is one group)."""
    for folder in _cgroups():
        for name, value in _SHARE.items():
            with contextlib.suppress(OSError):  # not this hierarchy's, or not ours to say
                if (folder / name).exists():
                    (folder / name).write_text(value)


def pid() -> int | None:
    """Process of the private engine, if it runs."""
    return processes.from_file(STATE / "docker.pid", str(STATE))


def leave_nothing(data: Path) -> None:
    """Remove mounts, cgroups, bridge and folder that are ours, whoever left them."""
    for mount in sorted({*_mounts_below(STATE), *_mounts_below(data)}, reverse=True):
        run(["umount", "-l", mount])
    for port in Path(f"/sys/class/net/{BRIDGE}/brif").glob("*"):
        run(["ip", "link", "delete", port.name])
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        run(["ip", "link", "delete", BRIDGE])
    for folder in _cgroups():
        for each in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
            each.rmdir()
        folder.rmdir()
    shutil.rmtree(STATE, ignore_errors=True)


def free_subnet(routes: str, candidates: ipaddress.IPv4Network = _CANDIDATES) -> ipaddress.IPv4Network:
    """Return the first /24 of *candidates* beside the routes of ``ip -j route``. Raises Failed if none is free."""
    taken = [
        ipaddress.ip_network(route["dst"], strict=False)
        for route in json.loads(routes)
        if route["dst"] != "default"
    ]
    for subnet in candidates.subnets(new_prefix=24):
        if not any(subnet.overlaps(each) for each in taken):
            return subnet
    raise Failed(f"every network of {candidates} is in use on this machine")


def bounded(status: str) -> bool:
    """Whether ``/proc/self/status`` says that this process may never have CAP_SYS_RESOURCE."""
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return not int(bounding, 16) >> _SYS_RESOURCE & 1


def _require_root() -> None:
    if os.geteuid() != 0:
        raise Missing("no container engine runs here, and a private one needs root")


def _spawn(engine: Engine, data: Path, runtime: Path) -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    command = [
        "dockerd", f"--host=unix://{STATE}/docker.sock", f"--data-root={data}", f"--exec-root={STATE}/exec",
        f"--pidfile={STATE}/docker.pid", "--bridge=none", "--iptables=false", "--ip6tables=false",
        "--ip-forward=false", "--ip-masq=false", "--storage-driver=overlay2", "--oom-score-adjust=0",
        "--log-level=warn", f"--cgroup-parent=/{_CGROUP}",
    ]  # fmt: skip
    if bounded(Path("/proc/self/status").read_text()):
        command += [f"--add-runtime=bounded={runtime}/runc-bounded", "--default-runtime=bounded"]
    log = STATE / "dockerd.log"
    number = processes.daemon(command, STATE / "started.pid", log, engine.environment)
    try:
        wait_for(lambda: _answers(engine, number), what="an answer of dockerd", timeout=_START_S)
    except Failed as error:
        raise Failed(f"{error}; {log} ends:\n{tail(log.read_text())}") from error


def _answers(engine: Engine, number: int) -> bool:
    if not processes.alive(number):
        raise Failed("dockerd has ended")
    return succeeds(["docker", "version"], env=engine.environment)


def _make_network(engine: Engine) -> None:
    """kind's network, made before kind does: known bridge, and a half that Docker gives to no container."""
    subnet = free_subnet(run(["ip", "-j", "-4", "route"]))
    lower = next(subnet.subnets(prefixlen_diff=1))
    engine.docker(
        "network", "create", "--driver=bridge", f"--subnet={subnet}", f"--ip-range={lower}",
        f"--gateway={subnet[1]}", f"--opt=com.docker.network.bridge.name={BRIDGE}",
        "--opt=com.docker.network.bridge.enable_ip_masquerade=false", NETWORK,
    )  # fmt: skip


def _mounts_below(folder: Path) -> Iterable[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {point for point in (line.split()[4] for line in lines) if Path(point).is_relative_to(folder)}


def _cgroups() -> Iterable[Path]:
    """The parent of our containers' groups, in every hierarchy of v1 and in v2."""
    root = Path("/sys/fs/cgroup")
    return [path for path in (root / _CGROUP, *root.glob(f"*/{_CGROUP}")) if path.is_dir()]
