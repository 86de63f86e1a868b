"""A pod as a node sees it, without Kubernetes: cgroups named like a runtime's, a sandbox process and a server in them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from drill.agent.hierarchies import parse_mounts, parse_own

SERVER = """
import http.server, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        body = b"x" * int(asked.get("bytes", ["2"])[0])
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 256
    def handle_error(self, *args):
        pass
Server(("0.0.0.0", 8080), Handler).serve_forever()
"""
PAUSE = "import ctypes, signal; ctypes.CDLL(None).prctl(15, b'pause', 0, 0, 0); signal.pause()"
MEMORY = 96 << 20
WANTED = ("cpu", "cpuacct", "memory", "devices", "pids", "freezer", "name=systemd")


def homes() -> dict[str, Path]:
    """This process's own directory in each hierarchy that can be written to; version 2 under the empty name."""
    mounts, own = (
        parse_mounts(Path("/proc/self/mountinfo").read_text()),
        parse_own(Path("/proc/self/cgroup").read_text()),
    )
    found: dict[str, Path] = {}
    for mount in mounts:
        for name in mount.options & set(WANTED) if mount.version == 1 else {""}:
            directory = mount.directory(own.get(name, "/"))
            if directory is not None and os.access(directory, os.W_OK):
                found[name] = directory
    if {"cpu", "memory"} <= found.keys():
        found.pop("", None)
    return found


class FakePod:
    """One pod with one container, whose server listens at port 8080 of the namespace *netns*."""

    def __init__(self, netns: str, data: Path, address: str) -> None:
        self.netns, self.data, self.address = netns, data, address
        self.uid = str(uuid.uuid4())
        self.processes: list[subprocess.Popen[bytes]] = []
        self.groups: list[Path] = []
        self.homes = homes()
        self._start(secrets.token_hex(32), PAUSE)
        self.start()

    def start(self) -> None:
        """Start the container, as a new one when there was one."""
        self.id = secrets.token_hex(32)
        self.main = self._start(self.id, SERVER)

    def restart(self) -> None:
        """What a kubelet does after a crash: another container with another id."""
        self.main.kill()
        self.main.wait()
        self.start()

    def _start(self, container: str, program: str) -> subprocess.Popen[bytes]:
        groups = list(dict.fromkeys(home / f"drilltest/pod{self.uid}/{container}" for home in self.homes.values()))
        for group in groups:
            group.mkdir(parents=True, exist_ok=True)
        self.groups += groups
        self._limit(container)

        def join() -> None:
            for group in groups:
                (group / "cgroup.procs").write_text("0")

        command = ["nsenter", f"--net={self.netns}", sys.executable, "-S", "-c", program]
        process = subprocess.Popen(command, preexec_fn=join, start_new_session=True)
        self.processes.append(process)
        deadline = time.monotonic() + 20
        while b"nsenter" in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return process

    def _limit(self, container: str) -> None:
        for controller, files in (
            ("cpu", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "20000", "cpu.shares": "262144"}),
            ("memory", {"memory.limit_in_bytes": str(MEMORY)}),
        ):
            if home := self.homes.get(controller):
                for name, text in files.items():
                    (home / f"drilltest/pod{self.uid}/{container}" / name).write_text(text)

    def place(self, **more: Any) -> dict[str, Any]:
        return {
            "container": self.id,
            "container_name": "web",
            "uid": self.uid,
            "name": "web-0",
            "address": self.address,
            "port": 8080,
            "path": str(self.data),
            **more,
        }

    def state(self) -> str:
        return Path(f"/proc/{self.main.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def close(self) -> None:
        for process in self.processes:
            for number in (signal.SIGKILL, signal.SIGCONT):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)
            process.wait(10)
        for group in reversed(self.groups):
            for directory in (group, group.parent, group.parent.parent):
                with contextlib.suppress(OSError):
                    directory.rmdir()


class Talk:
    """A running ``drill.agent serve`` in the namespace *netns*, and the runner's side of it."""

    def __init__(self, netns: str, group: Path | None = None) -> None:
        def join() -> None:
            if group is not None:
                (group / "cgroup.procs").write_text("0")

        self.process = subprocess.Popen(
            ["nsenter", f"--net={netns}", sys.executable, "-P", "-m", "drill.agent", "serve", f"--node-pid={os.getpid()}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, preexec_fn=join, start_new_session=True,
        )  # fmt: skip
        self.answers: dict[int, dict[str, Any]] = {}
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._changed = threading.Condition()
        self._number = 0
        self._write = threading.Lock()
        self._silent = threading.Event()
        self._ended = False
        self.hello: dict[str, Any] = {}
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._read, self._beat)]
        for thread in self._threads:
            thread.start()
        self.until(lambda: bool(self.hello), 30)

    def until(self, true: Any, seconds: float) -> None:
        with self._changed:
            assert self._changed.wait_for(true, seconds), f"not within {seconds:g} s"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = json.loads(line)
            with self._changed:
                if "hello" in message:
                    self.hello = message["hello"]
                elif "id" in message:
                    self.answers[message["id"]] = message
                elif "event" in message:
                    self.events.put(message["event"])
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _beat(self) -> None:
        while not self._silent.wait(1.0):
            self._send({"do": "beat"})

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with self._write, contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")

    def begin(self, do: str, **message: Any) -> int:
        self._number += 1
        self._send({"id": self._number, "do": do, **message})
        return self._number

    def end(self, number: int, seconds: float = 60) -> dict[str, Any]:
        self.until(lambda: number in self.answers or self._ended, seconds)
        return self.answers[number]

    def ask(self, do: str, **message: Any) -> dict[str, Any]:
        answer = self.end(self.begin(do, **message))
        assert "error" not in answer, answer["error"]
        found: dict[str, Any] = answer["ok"]
        return found

    def refusal(self, do: str, **message: Any) -> str:
        return str(self.end(self.begin(do, **message))["error"])

    def hold(self, pod: FakePod, fault: dict[str, Any], *, injection: str = "t", **more: Any) -> dict[str, Any]:
        times = {"ttl": 3.0, "deadline": 60.0, "lease": 5.0, **more}
        return self.ask(
            "hold", pod=pod.place(), injection=injection, replica="web-0", spec=json.dumps(fault), **times
        )

    def measure(self, pod: FakePod, kind: str, samples: int = 3) -> float:
        return float(self.ask("probe", pod=pod.place(), kind=kind, samples=samples)["value"])

    def snapshot(self, pod: FakePod) -> dict[str, str]:
        found: dict[str, str] = self.ask("snapshot", pod=pod.place())["snapshot"]
        return found

    def fall_silent(self) -> None:
        self._silent.set()

    def hang_up(self) -> None:
        self._silent.set()
        assert self.process.stdin is not None
        with self._write:
            self.process.stdin.close()

    def close(self) -> int:
        self.hang_up()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.process.wait(5)
            self._threads[0].join(5)
            assert self.process.stdout is not None
            self.process.stdout.close()
