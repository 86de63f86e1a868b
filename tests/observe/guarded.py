"""Real servers that want to be asked in a certain way: below a path, by TLS with a client's certificate, by user and
password (all three by the servers' own ``--web.config.file``), or by a tenant and a token (a small reverse proxy).
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from e2e.alert_path.rig import Rig

USER, PASSWORD = "drill", "open sesame"
BCRYPT = "$2b$04$A4LW8mZzxReNS0wyKR0QFOG0i.Zq2Ri.ap.zosalwjUPIGzOhlAOq"
"""Of PASSWORD; the servers take bcrypt only. Cost 4, the least: the machine has better things to do."""
SERVER_NAME = "metrics.shop.internal"
PREFIX = "/team/shop"


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


def certificate(folder: Path, name: str, subject: str, issuer: str = "", usage: str = "serverAuth") -> None:
    """Make ``name.pem`` and ``name.key`` below *folder*, signed by *issuer* or by itself."""
    key, request, made = (str(folder / f"{name}.{end}") for end in ("key", "csr", "pem"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={subject}")
    extensions = folder / f"{name}.ext"
    if issuer:
        extensions.write_text(f"subjectAltName=DNS:{subject}\nextendedKeyUsage={usage}\n")
        by = ["-CA", str(folder / f"{issuer}.pem"), "-CAkey", str(folder / f"{issuer}.key"), "-CAcreateserial"]
    else:
        extensions.write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
        by = ["-signkey", key]
    openssl("x509", "-req", "-in", request, *by, "-out", made, "-days", "2", "-extfile", str(extensions))


def keys(folder: Path) -> None:
    """An authority, a server's certificate for SERVER_NAME, a client's, and a client's nobody trusts."""
    certificate(folder, "ca", "test authority")
    certificate(folder, "server", SERVER_NAME, "ca")
    certificate(folder, "client", "drill", "ca", "clientAuth")
    certificate(folder, "stranger-ca", "another authority")
    certificate(folder, "stranger", "drill", "stranger-ca", "clientAuth")


def web_config(folder: Path) -> str:
    """TLS that wants the client's certificate, and user and password as well."""
    config: dict[str, Any] = {
        "tls_server_config": {
            "cert_file": str(folder / "server.pem"),
            "key_file": str(folder / "server.key"),
            "client_ca_file": str(folder / "ca.pem"),
            "client_auth_type": "RequireAndVerifyClientCert",
        },
        "basic_auth_users": {USER: BCRYPT},
    }
    path = folder / "web.yml"
    path.write_text(json.dumps(config))
    return str(path)


class GuardedRig(Rig):
    """The alert path's rig, with Prometheus below PREFIX, and both servers behind TLS, password and certificate."""

    def start(self) -> None:
        """Start all; who waits for their first samples must be let in."""
        self.shop.start()
        keys(self.home)
        self._write_configs()
        self._write_login()
        self.start_prometheus()
        self.start_alertmanager()

    def _write_login(self) -> None:
        """Prometheus must log in at its Alertmanager too."""
        path = self.home / "prometheus.yml"
        config = json.loads(path.read_text())
        config["alerting"]["alertmanagers"][0] |= {
            "scheme": "https",
            "basic_auth": {"username": USER, "password": PASSWORD},
            "tls_config": {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key",
                           "server_name": SERVER_NAME},
        }  # fmt: skip
        path.write_text(json.dumps(config))

    def _run(self, name: str, command: Sequence[str]) -> None:
        more = [f"--web.config.file={web_config(self.home)}"]
        if name == "prometheus":
            more.append(f"--web.external-url=https://{SERVER_NAME}{PREFIX}")
        super()._run(name, [*command, *more])

    def section(self, **changes: str) -> str:
        """What a user writes into drill.toml for these servers; *changes* replace single values."""
        said = {"password_file": "password", "cert_file": "client.pem", "key_file": "client.key", "ca_file": "ca.pem",
                "server_name": SERVER_NAME, "prefix": PREFIX} | changes  # fmt: skip
        (self.home / "password").write_text(PASSWORD + "\n")
        (self.home / "wrong").write_text("open barley\n")
        rest = f'''
basic_auth = {{ username = "{USER}", password_file = "{said["password_file"]}" }}
tls_config = {{ ca_file = "{said["ca_file"]}", cert_file = "{said["cert_file"]}", key_file = "{said["key_file"]}", server_name = "{said["server_name"]}" }}
'''
        prometheus, (alertmanager,) = self.endpoints.prometheus, self.endpoints.alertmanagers
        return f'''
[contexts.prod.prometheus]
url = "{prometheus.replace("http:", "https:")}{said["prefix"]}"{rest}
[[contexts.prod.alertmanagers]]
url = "{alertmanager.replace("http:", "https:")}"{rest}'''


@dataclass
class TenantProxy:
    """A reverse proxy as before Mimir or Thanos: knows tenants and tokens, and refuses who does not say them.

    ``asked`` keeps path, tenant and parameters of what was let through.
    """

    upstream: str
    tenant: str
    token: str
    asked: list[tuple[str, str, dict[str, list[str]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._pass(self, None)

            def do_POST(self) -> None:
                outer._pass(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def log_message(self, *_: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _pass(self, handler: BaseHTTPRequestHandler, body: bytes | None) -> None:
        if handler.headers.get("Authorization") != f"Bearer {self.token}":
            self._answer(handler, 401, b'{"status":"error","error":"no token"}')
            return
        if handler.headers.get("X-Scope-OrgID") != self.tenant:
            self._answer(handler, 403, b'{"status":"error","error":"no org id"}')
            return
        parts = urlsplit(handler.path)
        self.asked.append((parts.path, handler.headers["X-Scope-OrgID"], parse_qs(parts.query)))
        where = f"{self.upstream}{parts.path.removeprefix('/prometheus')}?{parts.query}"
        with urlopen(Request(where, data=body, headers={"Content-Type": "application/json"}), timeout=5) as answer:
            self._answer(handler, answer.status, answer.read())

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
