"""WebSockets to the API server: what exec, attach and port-forward speak. Each has one user and one thread.

The ``kubernetes`` package opens them too, but forgets all headers save one, and has no time limit to connect.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from drill.target.kubernetes.failures import ApiFailed, Asked, refused, unreachable

if TYPE_CHECKING:
    from kubernetes.client.configuration import Configuration
    from websocket import WebSocket

CONNECT_S = 10.0


def open_stream(
    configuration: Configuration, context: str, path: str, query: Sequence[tuple[str, str]], protocol: str
) -> WebSocket:
    """Connect and return the stream, which has no time limit of its own from then on. Raises ApiFailed."""
    from websocket import WebSocket, WebSocketBadStatusException, WebSocketException

    asked = Asked(context, "STREAM", path)
    host = str(configuration.host)
    socket = WebSocket(sslopt=_tls(configuration), enable_multithread=True, skip_utf8_validation=True)
    address = host.replace("http", "ws", 1) + quote(path) + (f"?{urlencode(query)}" if query else "")
    try:
        socket.connect(
            address, timeout=CONNECT_S, header=_headers(configuration, protocol), **_proxy(configuration)
        )
    except WebSocketBadStatusException as error:
        raise refused(asked, int(error.status_code), _body(error), "") from None
    except (WebSocketException, OSError) as error:
        raise unreachable(asked, error, host) from error
    socket.settimeout(None)
    return socket


def _headers(configuration: Configuration, protocol: str) -> list[str]:
    headers = [f"Sec-WebSocket-Protocol: {protocol}"]
    login = configuration.auth_settings().get("BearerToken")
    return [*headers, f"Authorization: {login['value']}"] if login and login["value"] else headers


def _tls(configuration: Configuration) -> dict[str, Any]:
    if not configuration.verify_ssl:
        options: dict[str, Any] = {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    else:
        options = {"cert_reqs": ssl.CERT_REQUIRED}
        if configuration.ssl_ca_cert:
            options["ca_certs"] = configuration.ssl_ca_cert
    named = {
        "certfile": configuration.cert_file,
        "keyfile": configuration.key_file,
        "server_hostname": configuration.tls_server_name,
    }
    return options | {name: value for name, value in named.items() if value}


def _proxy(configuration: Configuration) -> dict[str, Any]:
    if not configuration.proxy:
        return {"http_no_proxy": ["*"]}  # the environment's proxies are meant for the world
    parts = urlsplit(configuration.proxy)
    return {"http_proxy_host": parts.hostname, "http_proxy_port": parts.port, "proxy_type": parts.scheme or "http"}


def _body(error: Any) -> bytes:
    body = getattr(error, "resp_body", b"") or b""
    return body if isinstance(body, bytes) else str(body).encode()


__all__ = ["ApiFailed", "open_stream"]
