"""Two network namespaces joined by a veth pair, a real HTTP server in one, probes from the other, and agents."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import http.server
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

VICTIM, CLIENT, PORT = "10.77.0.1", "10.77.0.2", 8080
AGENT = [sys.executable, "-m", "drill.agent"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if "tests/agent/" in str(item.path) and item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.skip(reason="needs root, or root of a user namespace (unshare -Urn)"))


def wait_until(true: Callable[[], Any], seconds: float, what: str = "") -> float:
    """Poll *true*; return the seconds it took."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < seconds, f"not within {seconds:g} s: {what or true}"
        time.sleep(0.02)
    return time.monotonic() - start


class Namespace:
    """A network namespace that lives as long as this object, and a thread inside it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self.fd = self.call(self._create)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"

    @staticmethod
    def _create() -> int:
        if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
            raise OSError(ctypes.get_errno(), "unshare")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def call(self, work: Callable[..., Any], *args: Any) -> Any:
        return self._thread.submit(work, *args).result(30)

    def run(self, command: str) -> str:
        done = self.call(lambda: subprocess.run(command.split(), capture_output=True, text=True, timeout=20))
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return str(done.stdout)

    def close(self) -> None:
        self._thread.shutdown()
        os.close(self.fd)


class Handler(http.server.BaseHTTPRequestHandler):
    """``GET /N`` answers with N bytes in one write."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"x" * int(self.path[1:] or 2)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a reset connection is what the tests are about


class Lab:
    """The victim's and the client's namespace."""

    def __init__(self) -> None:
        self.victim, self.client = Namespace(), Namespace()
        self.victim.run("ip link add v0 type veth peer name c0")
        self.victim.run(f"ip link set c0 netns {self.client.path}")
        for side, device, address in ((self.victim, "v0", VICTIM), (self.client, "c0", CLIENT)):
            side.run(f"ip addr add {address}/24 dev {device}")
            side.run(f"ip link set {device} up")
            side.run("ip link set lo up")
        self.client.run("ip addr add 10.77.0.3/24 dev c0")
        self.server = self.victim.call(lambda: Server(("0.0.0.0", PORT), Handler))
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        wait_until(lambda: self.connect_ms() is not None, 5)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.client.close()
        self.victim.close()

    def connect_ms(self, source: str = CLIENT, timeout: float = 0.4) -> float | None:
        """Return the time of one TCP connect; None when it timed out or was refused."""

        def work() -> float | None:
            start = time.perf_counter()
            try:
                socket.create_connection((VICTIM, PORT), timeout, source_address=(source, 0)).close()
            except OSError:
                return None
            return (time.perf_counter() - start) * 1000

        found: float | None = self.client.call(work)
        return found

    def refused(self) -> bool:
        def work() -> bool:
            try:
                socket.create_connection((VICTIM, PORT), 2).close()
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
            return False

        return bool(self.client.call(work))

    def get(self, size: int = 2, source: str = CLIENT, timeout: float = 5.0) -> tuple[int, float]:
        """Return status (0: none) and milliseconds of one request on a new connection."""

        def work() -> tuple[int, float]:
            start = time.perf_counter()
            try:
                connection = http.client.HTTPConnection(VICTIM, PORT, timeout=timeout, source_address=(source, 0))
                with contextlib.closing(connection):
                    connection.request("GET", f"/{size}", headers={"Connection": "close"})
                    answer = connection.getresponse()
                    answer.read()
                    status = answer.status
            except OSError:
                status = 0
            return status, (time.perf_counter() - start) * 1000

        found: tuple[int, float] = self.client.call(work)
        return found

    def snapshot(self, *more: str) -> dict[str, str]:
        found: dict[str, str] = json.loads(agent("snapshot", "--netns", self.victim.path, *more).stdout)
        return found

    def clear(self, *more: str) -> dict[str, list[str]]:
        done = agent("clear", "--netns", self.victim.path, *more)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, list[str]] = json.loads(done.stdout)
        return found


def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*AGENT, *arguments], capture_output=True, text=True, timeout=30)


class Holder:
    """A running ``hold``; renews its lease until told not to."""

    def __init__(
        self, spec: dict[str, Any], *arguments: str, ttl: float = 2, deadline: float = 30, lease: float = 5
    ):
        times = ("--ttl", str(ttl), "--deadline", str(deadline), "--lease", str(lease))
        command = [*AGENT, "hold", "--id", "test-1", "--spec", json.dumps(spec), *times, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.pid = self.process.pid
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._stop_renewing = threading.Event()
        self._close_output, self._closer = os.pipe()
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._renew, args=(lease / 4,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        out = self.process.stdout.fileno()
        while out in (ready := select.select([out, self._close_output], [], [])[0]) and len(ready) == 1:
            data = os.read(out, 65536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._events.put(json.loads(line))
        self.process.stdout.close()
        self._events.put(None)

    def _renew(self, every: float) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            while True:
                self.process.stdin.write(b"\n")
                if self._stop_renewing.wait(every):
                    return

    def event(self, name: str, timeout: float = 15, beside: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the next event, which must be *name*; those of *beside* may come before it."""
        event = self._events.get(timeout=timeout)
        while event is not None and event["event"] in beside:
            event = self._events.get(timeout=timeout)
        assert event is not None, f"the agent ended without saying {name}"
        assert event["event"] == name, event
        return event

    def ended_silently(self) -> bool:
        return self._events.get(timeout=10) is None

    def miss_lease(self) -> None:
        self._stop_renewing.set()

    def hang_up(self) -> None:
        """EOF on stdin."""
        self._stop_renewing.set()
        self._threads[1].join()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def close_stdout(self) -> None:
        os.write(self._closer, b"x")

    def family(self) -> list[int]:
        """The agent and all its descendants: the guard first, so that it cannot do its work."""
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                todo += [int(word) for word in task.read_text().split()]
        return found

    def kill_family(self) -> None:
        """SIGKILL agent, guard and helpers so close together that none can react: all are stopped first."""
        family = self.family()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def close(self) -> int:
        self.hang_up()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill_family()
            raise
        finally:
            with contextlib.suppress(OSError):
                self.close_stdout()
            self._threads[0].join(5)
            os.close(self._close_output)
            os.close(self._closer)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab()
    yield made
    made.close()


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    held: list[Holder] = []

    def start(spec: dict[str, Any], *arguments: str, **times: float) -> Holder:
        held.append(Holder(spec, *arguments, **times))
        return held[-1]

    yield start
    for holder in held:
        holder.close()


@pytest.fixture
def run_agent() -> Callable[..., subprocess.CompletedProcess[str]]:
    return agent


@pytest.fixture
def until() -> Callable[..., float]:
    return wait_until
