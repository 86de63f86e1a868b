"""An adversary between drill and the cluster's API server: a TLS proxy that answers as servers in trouble do.

It ends TLS with a certificate of its own, asks the real server for what it lets through, and hands streams (exec,
port-forward) through byte by byte. What it does to a request is one function of method and path.
"""

from __future__ import annotations

import base64
import contextlib
import json
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CONTEXT = "troubled"
PIECE = 65536
Peer = ssl.SSLSocket


@dataclass(frozen=True)
class Trouble:
    """What happens to one request instead of, or beside, its answer."""

    name: str
    status: int = 0
    retry_after_s: float = 0.0


TOO_MANY = Trouble("too many requests", status=429, retry_after_s=1)
BROKEN = Trouble("internal error", status=500)
HANGS = Trouble("hangs")
CUT = Trouble("closes in the middle of the body")
"""The real server did what was asked; half of its answer arrives."""
Choice = Callable[[str, str], Trouble | None]
"""Method and path of a request to what happens to it."""


def none(_method: str, _path: str) -> None:
    """Let everything through."""


@dataclass
class Proxy:
    """The proxy as a test steers it. ``asked`` holds method and path of every request, ``hit`` those in trouble."""

    url: str
    authority: Path
    context: ssl.SSLContext
    choose: Choice = none
    asked: list[str] = field(default_factory=list)
    hit: list[str] = field(default_factory=list)
    peers: set[socket.socket] = field(default_factory=set)

    def kubeconfig(self, folder: Path, token: str) -> Path:
        """Write a kubeconfig that leads here, with a bearer token; its one context is ``troubled``."""
        authority = base64.b64encode(self.authority.read_bytes()).decode()
        made = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": "c", "user": "u"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(made))
        return path

    def hang_up(self) -> None:
        """Close every connection, streams too."""
        for peer in list(self.peers):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def wear(self, certificate: Path) -> None:
        """Show another certificate from now on (a file with its key)."""
        self.context.load_cert_chain(certificate)


def certificate(folder: Path, name: str) -> Path:
    """Make a self-signed certificate for 127.0.0.1; return the file with it and its key."""
    key, cert, both = folder / f"{name}.key", folder / f"{name}.crt", folder / f"{name}.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    both.write_bytes(cert.read_bytes() + key.read_bytes())
    return both


@contextmanager
def proxy(folder: Path, kubeconfig: Path) -> Iterator[Proxy]:
    """Run the proxy before the cluster of *kubeconfig* until left."""
    upstream = _Upstream(kubeconfig, folder)
    both = certificate(folder, "proxy")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    made = Proxy(f"https://127.0.0.1:{listening.getsockname()[1]}", folder / "proxy.crt", context)

    def accept() -> None:
        while True:
            try:
                raw, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=_serve, args=(made, upstream, raw), daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield made
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        made.hang_up()
        accepting.join(5)


class _Upstream:
    """The real server."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        host, _, port = cluster["server"].removeprefix("https://").partition(":")
        self._address = host, int(port)
        authority = folder / "upstream.crt"
        authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        self._context = ssl.create_default_context(cafile=str(authority))

    def connect(self) -> Peer:
        raw = socket.create_connection(self._address, timeout=10)
        made = self._context.wrap_socket(raw, server_hostname=self._address[0])
        made.settimeout(None)
        return made


def _serve(made: Proxy, upstream: _Upstream, raw: socket.socket) -> None:
    """One connection, one request: the answer's end is the connection's end."""
    try:
        raw.settimeout(20)
        with made.context.wrap_socket(raw, server_side=True) as peer:
            peer.settimeout(None)
            made.peers.add(peer)
            try:
                _one(made, upstream, peer)
            finally:
                made.peers.discard(peer)
    except (OSError, ValueError):
        raw.close()


def _one(made: Proxy, upstream: _Upstream, peer: Peer) -> None:
    request = _request(peer)
    if not request:
        return
    method, path, _ = request.split(b"\r\n", 1)[0].decode().split(" ", 2)
    made.asked.append(f"{method} {path}")
    trouble = made.choose(method, path)
    if trouble is not None:
        made.hit.append(f"{method} {path}")
    if trouble is HANGS:
        select.select([peer], [], [], 120)
        return
    if trouble is not None and trouble.status:
        peer.sendall(_refusal(trouble))
        return
    upgrade = b"\r\nupgrade:" in request.lower()
    with upstream.connect() as server:
        server.sendall(request if upgrade else _closing(request))
        if trouble is CUT:
            answer = b"".join(iter(lambda: server.recv(PIECE), b""))
            head = answer.find(b"\r\n\r\n") + 4
            peer.sendall(answer[: head + max(1, (len(answer) - head) // 2)])
            return
        _hand_through(peer, server)


def _refusal(trouble: Trouble) -> bytes:
    body = json.dumps({"kind": "Status", "message": trouble.name, "code": trouble.status}).encode()
    after = f"Retry-After: {trouble.retry_after_s:g}\r\n" if trouble.retry_after_s else ""
    head = (
        f"HTTP/1.1 {trouble.status} X\r\nContent-Type: application/json\r\n{after}Content-Length: {len(body)}\r\n"
    )
    return f"{head}Connection: close\r\n\r\n".encode() + body


def _closing(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body


def _request(peer: Peer) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(PIECE)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        piece = peer.recv(PIECE)
        if not piece:
            return b""
        body += piece
    return head + b"\r\n\r\n" + body


def _hand_through(peer: Peer, server: Peer) -> None:
    """Both ways in one thread: a TLS socket must not be read and written by two."""
    while True:
        ready = [one for one in (peer, server) if one.pending()] or select.select([peer, server], [], [])[0]
        for source in ready:
            data = _now(source)
            if data == b"":
                return
            if data:
                (server if source is peer else peer).sendall(data)


def _now(source: Peer) -> bytes | None:
    """Return what has arrived; None when it was for TLS alone (a session ticket)."""
    source.setblocking(False)
    try:
        return source.recv(PIECE)
    except ssl.SSLWantReadError:
        return None
    finally:
        source.setblocking(True)


def every(number: int, trouble: Trouble, match: Callable[[str, str], bool] = lambda *_: True) -> Choice:
    """Bring every *number*-th matching request into trouble, the first one too."""
    count = 0
    lock = threading.Lock()

    def choose(method: str, path: str) -> Trouble | None:
        nonlocal count
        if not match(method, path):
            return None
        with lock:
            count += 1
            return trouble if count % number == 1 % number else None

    return choose


def token_of(admin: Any, namespace: str, account: str, bound_to: dict[str, str] | None = None) -> str:
    """Have the API server make a token for a ServiceAccount; *bound_to* a Secret it ends with that Secret."""
    spec: dict[str, Any] = {"expirationSeconds": 3600}
    if bound_to is not None:
        spec["boundObjectRef"] = {"kind": "Secret", "apiVersion": "v1", **bound_to}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    return str(admin.raw_json("POST", path, body)["status"]["token"])
