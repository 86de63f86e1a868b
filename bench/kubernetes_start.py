"""How long a cold `drill run … --context` takes until its first API call, measured by whoever is called.

    python bench/kubernetes_start.py

A TLS server on loopback stands for the API server: it notes when the first request has come and answers 404, so
that drill ends. The kubeconfig is this bench's own; no other cluster is known to it, and none is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

GOAL_S = 0.25
ROUNDS = 7
CONTEXT = "bench-start"
_BODY = json.dumps({"kind": "Status", "status": "Failure", "message": "bench", "code": 404}).encode()
_HEAD = f"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n"
NOT_FOUND = _HEAD.encode() + _BODY


class Recorder:
    """A TLS server that notes when the first whole request was read."""

    def __init__(self, folder: Path) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*certificate(folder))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.first, self.cpu = 0.0, 0.0
        self.caller = 0
        """The process whose first request is awaited."""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(plain,), daemon=True).start()

    def _answer(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), self._tls.wrap_socket(plain, server_side=True) as connection:
            while asked := connection.recv(65536):
                if asked.startswith((b"GET", b"POST")) and not self.first:
                    self.first, self.cpu = time.perf_counter(), used(self.caller)
                connection.sendall(NOT_FOUND)

    def close(self) -> None:
        self._socket.close()


def used(process: int) -> float:
    """CPU seconds *process* has used: what its way here costs, also on a machine that others use."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate of our own for loopback, and its key."""
    files = str(folder / "tls.crt"), str(folder / "tls.key")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    command += [
        "-subj",
        "/CN=bench",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-out",
        files[0],
        "-keyout",
        files[1],
    ]
    subprocess.run(command, check=True, capture_output=True)
    return files


def kubeconfig(folder: Path, port: int) -> Path:
    """A kubeconfig that knows nothing but the recorder."""
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(folder / "tls.crt")}
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": server}],
        "users": [{"name": CONTEXT, "user": {"token": "none"}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "shop"}}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content))
    return file


def once(folder: Path) -> tuple[float, float]:
    """Seconds, and CPU seconds, from the start of one cold process until its first request has come."""
    recorder = Recorder(folder)
    try:
        command = [str(Path(sys.executable).parent / "drill"), "run", "latency-spike", "--service", "checkout"]
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig(folder, recorder.port))}
        began = time.perf_counter()
        caller = subprocess.Popen(
            [*command, "--context", CONTEXT, "--quiet", "--out", str(folder)],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        recorder.caller = caller.pid
        _, said = caller.communicate(timeout=60)
        if not recorder.first:
            raise SystemExit(f"no request came: {said}")
        return recorder.first - began, recorder.cpu
    finally:
        recorder.close()


def measure(rounds: int = ROUNDS) -> tuple[list[float], list[float]]:
    """Seconds and CPU seconds to the first API call, one for each round, in order of size."""
    with tempfile.TemporaryDirectory() as out:
        once(Path(out))  # compiles what was not compiled yet
        wall, cpu = zip(*(once(Path(out)) for _ in range(rounds)), strict=True)
    return sorted(wall), sorted(cpu)


if __name__ == "__main__":
    wall, cpu = measure()
    spread = f"{wall[0]:.3f} to {wall[-1]:.3f}"
    print(
        f"drill run --context: first API call after {median(wall):.3f} s (of {ROUNDS}: {spread}); goal {GOAL_S} s"
    )
    print(f"CPU used until then: {median(cpu):.2f} s ({cpu[0]:.2f} to {cpu[-1]:.2f})")
