"""One server reached over HTTP: session, retries, authentication, time limits, and errors without secrets.

Owns how a request is made. Refuses to know what an answer means, and never lets a password, token or a URL's
userinfo into a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from drill.core.errors import Unavailable

T = TypeVar("T")
MAX_BODY_SHOWN = 200
LOOPBACK = ("127.", "localhost", "[::1]", "::1")


@dataclass(frozen=True)
class ServerOptions:
    """How a server wants to be talked to; the defaults suit one without authentication.

    ``headers`` go with every request (Mimir's ``X-Scope-OrgID``), ``params`` with every query (Thanos's
    ``dedup=false``). ``bearer_token_file`` is read again for every request, because Kubernetes rotates it.
    ``basic_auth`` is user and password. ``cert_file`` and ``key_file`` are the client's certificate,
    ``ca_file`` replaces the system's authorities, ``server_name`` is who the server's certificate must name when
    that is not the URL's host (a port-forward, a tunnel). Time limits are seconds, per attempt.
    """

    connect_timeout_s: float = 2.0
    read_timeout_s: float = 5.0
    retries: int = 1
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    bearer_token: str = field(default="", repr=False)
    bearer_token_file: str = ""
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    verify: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    proxy: str = field(default="", repr=False)

    @property
    def timeout(self) -> tuple[float, float]:
        """Connect and read time limit, the way requests takes them."""
        return (self.connect_timeout_s, self.read_timeout_s)

    def retry(self) -> Retry:
        """Reads are tried again on a broken connection and while a proxy says its backend is away."""
        return Retry(
            total=self.retries,
            backoff_factor=0.1,
            status_forcelist=(502, 503, 504),
            allowed_methods=frozenset({"GET"}),
            raise_on_status=False,
        )


class _Bearer(requests.auth.AuthBase):
    """Sets the Authorization header itself, so that a .netrc entry cannot replace it."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._options.bearer_token
        if self._options.bearer_token_file:
            token = Path(self._options.bearer_token_file).read_text().strip()
        request.headers["Authorization"] = f"Bearer {token}"
        return request


class _Session(requests.Session):
    """What the options say wins over the environment: requests lets REQUESTS_CA_BUNDLE and HTTP_PROXY win."""

    def merge_environment_settings(self, *args: Any, **named: Any) -> Any:
        """See requests; only what the options leave open is taken from the environment."""
        settings = super().merge_environment_settings(*args, **named)
        if self.verify is not True:
            settings["verify"] = self.verify
        settings["proxies"].update(self.proxies)
        return settings


class _Adapter(HTTPAdapter):
    """Asks the server for the certificate of another name than the URL's host, where one is given."""

    def __init__(self, options: ServerOptions) -> None:
        self._server_name = options.server_name
        super().__init__(max_retries=options.retry())

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        """See requests; the name goes into the handshake and is what the certificate is compared with."""
        if self._server_name:
            named |= {"server_hostname": self._server_name, "assert_hostname": self._server_name}
        super().init_poolmanager(*args, **named)


class Server:
    """A base URL (a path prefix included) with its session. Safe for use from several threads."""

    def __init__(self, what: str, url: str, options: ServerOptions | None = None) -> None:
        self.what = what
        self.options = options or ServerOptions()
        self._raw_url = url.rstrip("/")
        parts = urlsplit(self._raw_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unavailable(
                f"{what}: '{without_userinfo(url)}' is not a web address",
                hint="write it as http://host:port or https://host/prefix",
            )
        self.url = without_userinfo(self._raw_url)
        self.session = self._new_session(parts.hostname)

    def _new_session(self, host: str) -> requests.Session:
        options = self.options
        session = _Session()
        # A proxy or a .netrc meant for the world must not catch requests to this machine.
        session.trust_env = not host.startswith(LOOPBACK)
        session.headers.update(options.headers)
        session.verify = options.ca_file or options.verify
        session.auth = self._auth()
        if options.cert_file:
            session.cert = (options.cert_file, options.key_file) if options.key_file else options.cert_file
        if options.proxy:
            session.proxies = {"http": options.proxy, "https": options.proxy}
        session.mount(self.url, _Adapter(options))
        session.hooks["response"].append(self._refuse_failure)
        return session

    def _auth(self) -> Any:
        options, parts = self.options, urlsplit(self._raw_url)
        if options.bearer_token or options.bearer_token_file:
            return _Bearer(options)
        if options.basic_auth:
            return options.basic_auth
        return (parts.username, parts.password or "") if parts.username else None

    def keep_adapter(self, session: requests.Session) -> None:
        """Mount our adapter again at a *session* that a library has mounted its own at."""
        session.mount(self.url, _Adapter(self.options))

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """GET *path* below the base URL and return the parsed JSON. Raises Unavailable."""
        return self.call(lambda: self._get(path, params or {}))

    def _get(self, path: str, params: Mapping[str, str]) -> Any:
        all_params = {**self.options.params, **params}
        return self.session.get(f"{self.url}{path}", params=all_params, timeout=self.options.timeout).json()

    def text(self, path: str) -> str:
        """GET *path* below the base URL and return it as text (``/metrics``). Raises Unavailable."""
        return self.call(lambda: self.session.get(f"{self.url}{path}", timeout=self.options.timeout).text)

    def post(self, path: str, body: Any) -> None:
        """POST *body* as JSON; never tried again. Raises Unavailable."""
        self.call(lambda: self.session.post(f"{self.url}{path}", json=body, timeout=self.options.timeout))

    def call(self, ask: Callable[[], T]) -> T:
        """Return what *ask* asks and reads; whatever comes instead becomes Unavailable."""
        try:
            return ask()
        except (requests.RequestException, OSError) as error:
            what, hint = _explain(error)
            raise Unavailable(f"{self.what} at {self.url} {self.redact(what)}", hint=hint) from None
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise self.not_understood() from None

    def not_understood(self) -> Unavailable:
        """The error for an answer that is JSON but not the API's."""
        return Unavailable(
            f"{self.what} at {self.url} gave an answer that is not its API's",
            hint="check the address and its path prefix: something else may be listening there",
        )

    def _refuse_failure(self, response: requests.Response, **_: object) -> None:
        """Response hook: the final answer of a request is refused here, whoever made the request."""
        if response.ok or response.is_redirect:
            return
        code, said = response.status_code, self.redact(_server_said(response))
        raise Unavailable(
            f"{self.what} at {self.url} answered {code} {response.reason or ''}".rstrip()
            + (f": {said}" if said else ""),
            hint=_STATUS_HINTS.get(code, ""),
        )

    def redact(self, text: str) -> str:
        """Return *text* without any secret of the options or of the URL."""
        parts = urlsplit(self._raw_url)
        options = self.options
        secrets = [options.bearer_token, parts.password or "", *(options.basic_auth or ())[1:]]
        secrets += [*options.headers.values(), urlsplit(options.proxy).password or ""]
        for secret in secrets:
            if len(secret) > 2:
                text = text.replace(secret, "***")
        return re.sub(r"(\w+://)[^/\s@]+@", r"\1***@", text)

    def close(self) -> None:
        """Give the connections back; closing twice is harmless."""
        self.session.close()


def without_userinfo(url: str) -> str:
    """Return *url* without ``user:password@`` and without its query, which may hold tokens."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


_STATUS_HINTS = {
    400: "the query is not valid for this server",
    401: "it wants a user or a token: set bearer_token_file or basic_auth for this server",
    403: "this user or token may not read it",
    404: "check the address and its path prefix",
    422: "the server could not execute the query",
    503: "it may still be starting; wait and try again",
}


def _server_said(response: requests.Response) -> str:
    """Return the ``error`` of an API's answer, or the first words of anything else."""
    try:
        body = response.json()
    except ValueError:
        return " ".join(response.text.split())[:MAX_BODY_SHOWN]
    said = body.get("error") or body.get("message") if isinstance(body, dict) else body
    return str(said or "")[:MAX_BODY_SHOWN]


def _explain(error: Exception) -> tuple[str, str]:
    """Return what happened, to follow the server's name, and what to do about it."""
    text = str(error)
    if isinstance(error, requests.JSONDecodeError):
        return "answered with something that is not JSON", "check the address: a login page or proxy may answer"
    if isinstance(error, requests.exceptions.SSLError):
        hint = "check tls_config: ca_file, server_name and the client's certificate"
        return f"failed the TLS handshake ({_tls_reason(text)})", hint
    if isinstance(error, requests.exceptions.ProxyError):
        return "is not reachable through the proxy", "check the proxy's address"
    if isinstance(error, requests.Timeout):
        return "did not answer in time", "is it overloaded, paused, or behind a firewall?"
    if isinstance(error, requests.ConnectionError):
        return _explain_connection(text)
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return f"cannot be asked: {error.strerror or 'a file is missing'} ({error.filename or 'no file'})", ""
    return f"could not be asked ({type(error).__name__})", ""


def _tls_reason(text: str) -> str:
    """Find the reason in what urllib3 says around it: another name, a failed check, or the server's alert."""
    if names := re.search(r"doesn't match (?:either of )?([^\")]+)", text):
        return f"its certificate is for {names[1].strip()}"
    found = re.search(r"certificate [^()'\"]*|[A-Z0-9]+(?:_[A-Z0-9]+)+", text)
    return found[0].strip() if found else "unknown reason"


def _explain_connection(text: str) -> tuple[str, str]:
    if "refused" in text:
        return "refused the connection", "is it running, and is the port right?"
    if "resolve" in text or "Name or service" in text:
        return "has a name nobody knows", "check the host name"
    if "timed out" in text:
        return "did not answer in time", "is it overloaded, paused, or behind a firewall?"
    return "broke the connection", "did it stop or restart?"
