"""A running sandbox seen from outside, through /proc and the kernel's own tools: never by asking drill.

What a fault could leave at a replica is described by :meth:`World.traces`; two looks without a fault are equal.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from drill.target.sandbox import cgroups, leftovers

SPARE_BYTES = 600_000
"""A replica's own journal grows to 256 KiB and keeps one old file: that is not a leak."""
SLOW_MS = 150.0
"""Faults add 400 ms; a busy machine adds some tens."""
LIMITS = ("cpu.cfs_quota_us", "cpu.shares", "memory.limit_in_bytes", "cpu.max", "memory.max", "memory.high")
USERS = """
import socket, sys, time
for line in sys.stdin:
    began, text = time.monotonic(), "down"
    try:
        with socket.create_connection((line.strip(), 8080), timeout=1.5) as s:
            joined = time.monotonic()
            s.settimeout(1.5)
            s.sendall(b"GET /ready HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
            if s.recv(64).startswith(b"HTTP/1.1 200"):
                text = f"{(joined - began) * 1000} {(time.monotonic() - joined) * 1000}"
    except OSError:
        pass
    print(text, flush=True)
"""


@dataclass(frozen=True)
class Process:
    """One line of /proc, by the host's numbers."""

    pid: int
    parent: int
    state: str
    comm: str
    session: int
    words: tuple[str, ...]


def process(pid: int) -> Process | None:
    """Return what /proc says of *pid*; None when it has ended."""
    try:
        head, _, tail = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    fields = tail.split()
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), fields[0], head.partition("(")[2], int(fields[3]), tuple(words))


def everybody() -> list[Process]:
    """Return every living process of the machine."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208 - quick
    return [found for pid in pids if (found := process(pid))]


class World:
    """One sandbox, and a process among its users that times requests."""

    def __init__(self, sandbox: str) -> None:
        self.id = sandbox
        directory = leftovers.runtime_directory(sandbox)
        assert directory is not None
        self.directory = directory
        mine = [found for pid in leftovers.processes(sandbox) if (found := process(pid))]
        self.heads = {each.comm: each.pid for each in mine if each.comm.startswith("drill-")}
        self.init = self.heads["drill-init"]
        own = {each.comm: each.pid for each in mine}
        self.replicas = [name for name in own if name[-2:] in ("-0", "-1", "-2")]
        self.netns = {name: os.open(f"/proc/{own[name]}/ns/net", os.O_RDONLY) for name in [*self.replicas, "edge"]}
        self.identity = {name: os.fstat(fd).st_ino for name, fd in self.netns.items()}
        self.groups = [path for path in cgroups.existing() if path.name == f"drill-sandbox-{sandbox}"]
        self.mounts = self._mounts()
        self._users = subprocess.Popen(
            ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.netns['edge']}", sys.executable, "-S", "-c", USERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self.before = {name: self.traces(name) for name in self.replicas}

    def close(self) -> None:
        """Let go of the namespaces: they must vanish with the sandbox."""
        self._users.kill()
        self._users.communicate()
        for fd in self.netns.values():
            os.close(fd)

    def traces(self, replica: str) -> dict[str, str]:
        """Return everything a fault may leave at *replica*, by kind."""
        script = (
            "nft -s list ruleset; tc qdisc show; ip -o link | cut -d' ' -f2-20; grep -c ' 0A ' /proc/self/net/tcp"
        )
        seen = subprocess.run(
            ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.netns[replica]}", "sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        data = Path(f"/proc/{self.init}/root{self.directory}/run/data/{replica}")
        with contextlib.suppress(OSError):
            free = os.statvfs(data)
            files = [each.name for each in data.iterdir() if not each.name.startswith("journal.")]
            return {
                "network": seen.stdout + seen.stderr,
                "limits": self._limits(replica),
                "processes": " ".join(sorted(self._beside(replica))),
                "files": f"{' '.join(files)}{' full' if free.f_bavail * free.f_frsize < SPARE_BYTES else ''}",
            }
        return {"data": "gone"}

    def _mounts(self) -> set[str]:
        """Mount points inside. Fewer is no leak: the kernel takes away those whose directory the host removes."""
        with contextlib.suppress(OSError):
            return {line.split()[4] for line in Path(f"/proc/{self.init}/mountinfo").read_text().splitlines()}
        return set()

    def _limits(self, replica: str) -> str:
        lines = []
        for group in self.groups:
            for name in LIMITS:
                with contextlib.suppress(OSError):
                    lines.append(f"{name} {(group / replica / name).read_text().strip()}")
        return "\n".join(lines)

    def _beside(self, replica: str) -> list[str]:
        """Processes in the replica's cgroups or namespace that are not it; that it is stopped, or first to kill."""
        found = set()
        for group in self.groups:
            with contextlib.suppress(OSError):
                found |= {int(pid) for pid in (group / replica / "cgroup.procs").read_text().split()}
        texts = []
        for each in everybody():
            with contextlib.suppress(OSError):
                inside = (
                    each.pid in found or Path(f"/proc/{each.pid}/ns/net").stat().st_ino == self.identity[replica]
                )
                if not inside:
                    continue
                score = Path(f"/proc/{each.pid}/oom_score_adj").read_text().strip()
                if each.comm != replica:
                    texts.append(each.comm)
                elif each.state in "Tt":
                    texts.append("stopped")
                elif score == "1000":
                    texts.append("oom_score_adj")
        return texts

    def answers(self, address: str) -> str:
        """Return '' when a user's request is as quick as ever, else what is wrong."""
        with self._lock:
            assert self._users.stdin is not None
            assert self._users.stdout is not None
            self._users.stdin.write(f"{address}\n")
            self._users.stdin.flush()
            words = self._users.stdout.readline().split()
        if len(words) != 2:
            return "no answer"
        slow = max(map(float, words))
        return f"{slow:.0f} ms" if slow > SLOW_MS else ""

    def differences(self, replica: str, address: str) -> list[str]:
        """Return what is not as it was before."""
        after, before = self.traces(replica), self.before[replica]
        found = [f"{key}: {after.get(key, '')!r}" for key in before if after.get(key) != before[key]]
        found += [f"mount {place}" for place in sorted(self._mounts() - self.mounts)]
        answer = self.answers(address)
        return [*found, f"users: {answer}"] if answer else found

    def agents(self, identity: str) -> dict[str, list[int]]:
        """Return the processes of the fault *identity* by role: agent, guard, worker, child."""
        alive = everybody()
        forks = [each for each in alive if identity in each.words and "drill.agent" in each.words]
        numbers = {each.pid for each in forks}
        roles: dict[str, list[int]] = {"agent": [], "guard": [], "worker": [], "child": []}
        for each in forks:
            if each.parent not in numbers and each.session == each.pid and each.parent == self.init:
                roles["agent"].append(each.pid)
        for each in forks:
            if each.pid not in roles["agent"]:
                roles["guard" if each.session == each.pid else "worker"].append(each.pid)
        for each in alive:
            if each.parent in numbers and each.pid not in numbers:
                roles["child"].append(each.pid)
        return roles
