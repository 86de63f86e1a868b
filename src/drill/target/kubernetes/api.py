"""One API server: requests with time limits, a pace, retries where they are safe, and failures in words.

Built on the ``kubernetes`` package's ApiClient and DynamicClient, without discovery and without its typed models
(those alone cost 0.7 s to import). Answers are read straight into the frozen values of ``objects``. Threads may
share an :class:`Api`; a stream (exec, port-forward) needs :meth:`Api.own_client`, one for each thread.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from drill.target.kubernetes.access import Access, login
from drill.target.kubernetes.failures import ApiFailed, Asked, Busy, Unreachable, refused, unreachable
from drill.target.kubernetes.pace import Pace
from drill.target.kubernetes.streams import open_stream
from drill.target.kubernetes.tokens import become

if TYPE_CHECKING:
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.configuration import Configuration
    from websocket import WebSocket

    from drill.target.kubernetes.objects import Listed, Seen

T = TypeVar("T", bound="Seen")
Json = dict[str, Any]
Body = Mapping[str, Any] | list[Any]

CONNECT_S, READ_S = 3.0, 15.0
PATIENCE_S = 25.0
"""How long one call is tried again in all: an API server that restarts is back within it (15 to 20 s on kind)."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
PAGE = 500
MERGE, STRATEGIC, JSON_PATCH = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
)


@dataclass(frozen=True)
class Change:
    """One event of a watch. ``kind`` is ADDED, MODIFIED, DELETED or BOOKMARK; ``raw`` the object as JSON text."""

    kind: str
    raw: Json


class Api:
    """One API server as one identity."""

    def __init__(self, access: Access, *, pace: Pace | None = None, patience_s: float = PATIENCE_S) -> None:
        """Read the kubeconfig and connect to nothing yet. Raises UsageError."""
        self.access = access
        self.pace = pace or Pace()
        self._login = login(access)
        self._patience_s = patience_s
        self._client: Any = None
        self._dynamic: Any = None
        self._settings_lock = threading.Lock()
        self._became = not access.as_user
        self._begun: dict[str, Future[bytes]] = {}

    @property
    def context(self) -> str:
        """The context's name, as the user gave it."""
        return self.access.context

    @property
    def host(self) -> str:
        """The API server's address."""
        return str(self._login.configuration.host)

    @property
    def namespace(self) -> str:
        """The namespace the context names, else ``default``."""
        return self._login.namespace or "default"

    @property
    def calls(self) -> int:
        """How many requests were made so far."""
        return self.pace.calls

    def own_client(self) -> ApiClient:
        """Return a client of its own, for a stream: sharing one between threads fails. The caller closes it."""
        from kubernetes.client.api_client import ApiClient

        return ApiClient(configuration=self._settings())

    def _settings(self) -> Configuration:
        """The connection's settings; the first time, become the ServiceAccount that was asked for."""
        with self._settings_lock:
            if not self._became:
                become(self._login.configuration, self.access, self.pace)
                self._became = True
            return self._login.configuration

    def stream(self, path: str, query: Sequence[tuple[str, str]], protocol: str = "v4.channel.k8s.io") -> WebSocket:
        """Open a WebSocket (exec, attach, port-forward) with the same login. Raises ApiFailed."""
        self.pace.wait()
        return open_stream(self._settings(), self.context, path, query, protocol)

    # ---- reading ----

    def begin(self, path: str, wait_s: float) -> None:
        """Ask for the object at *path* in a thread of its own; the next :meth:`get` of it takes the answer.

        Returns when the answer has come, at the latest after *wait_s* seconds.
        """
        self._connected()
        begun = self._begun[path] = Future[bytes]()

        def ask() -> None:
            try:
                begun.set_result(self.raw("GET", path))
            except BaseException as error:
                begun.set_exception(error)

        # a daemon: a command that ends at once, for a mistake in a file, must not wait for a server that is away
        threading.Thread(target=ask, name="drill-begun", daemon=True).start()
        wait([begun], wait_s)

    def get(self, path: str, model: type[T]) -> T:
        """Return the object at *path*. Raises NotThere, ApiFailed."""
        begun = self._begun.pop(path, None)
        data = begun.result() if begun is not None else self.raw("GET", path)
        return _read(model, data, Asked(self.context, "GET", path))

    def list(self, path: str, model: type[T], *, labels: str = "", fields: str = "") -> Listed[T]:
        """Return all objects of a collection, page by page. Raises ApiFailed."""
        from drill.target.kubernetes.objects import Listed

        found: list[T] = []
        query = _selectors(labels, fields) | {"limit": str(PAGE)}
        asked = Asked(self.context, "GET", path)
        while True:
            page = _read(Listed[model], self.raw("GET", path, query=query), asked)  # type: ignore[valid-type]
            found += page.items
            if not page.metadata.continue_:
                return Listed[model](metadata=page.metadata, items=tuple(found))  # type: ignore[valid-type]
            query["continue"] = page.metadata.continue_

    def watch(
        self, path: str, *, labels: str = "", fields: str = "", version: str = "", within_s: float = 60.0
    ) -> Iterator[Change]:
        """Yield changes of a collection since *version* until *within_s* are over or the server ends it.

        Raises ApiFailed; status 410 means that *version* is too old: list again.
        """
        asked = Asked(self.context, "GET", path)
        query = _selectors(labels, fields) | {"watch": "true", "timeoutSeconds": str(max(1, int(within_s)))}
        if version:
            query |= {"resourceVersion": version}
        self.pace.wait()
        response = self._send(asked, None, query, "", (CONNECT_S, within_s + 5))
        try:
            for line in _lines(response, asked, self.host):
                yield _change(json.loads(line), asked)
        finally:
            response.close()
            response.release_conn()

    # ---- writing ----

    def create(self, path: str, body: Mapping[str, Any], *, dry_run: bool = False) -> Json:
        """Create an object in the collection *path*; not repeated when it is unknown whether it was done."""
        return self._json("POST", path, body, query=_dry(dry_run), again=False)

    def patch(self, path: str, body: Body, kind: str = MERGE, *, dry_run: bool = False) -> Json:
        """Patch the object at *path*; doing it twice must be harmless, for it may be repeated."""
        return self._json("PATCH", path, body, query=_dry(dry_run), kind=kind)

    def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        """Replace the object at *path*; with its resourceVersion in *body*, Clash when it was changed since."""
        return self._json("PUT", path, body)

    def delete(self, path: str, *, grace_s: int | None = None, uid: str = "", dry_run: bool = False) -> bool:
        """Delete the object at *path* (only the one with *uid*, if given); False when it was not there."""
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self.raw("DELETE", path, body, query=_dry(dry_run))
        except ApiFailed as error:
            if error.status == 404 or (uid and error.status == 409):
                return False
            raise
        return True

    def _json(
        self,
        method: str,
        path: str,
        body: Body,
        *,
        query: Mapping[str, str] | None = None,
        kind: str = "",
        again: bool = True,
    ) -> Json:
        answer: Json = json.loads(self.raw(method, path, body, query=query, kind=kind, again=again))
        return answer

    def raw_json(self, method: str, path: str, body: Body | None = None) -> Json:
        """Make one request and return the answer as JSON, for what no model of ``objects`` describes."""
        answer: Json = json.loads(self.raw(method, path, body))
        return answer

    # ---- one request ----

    def raw(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        query: Mapping[str, str] | None = None,
        kind: str = "",
        again: bool = True,
        patience_s: float | None = None,
    ) -> bytes:
        """Make one request and return the answer's body.

        What the server certainly did not do is tried again until the patience ends; with *again* also what it may
        have done. Raises ApiFailed.
        """
        asked = Asked(self.context, method, path)
        until = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        pause = FIRST_PAUSE_S
        while True:
            self.pace.wait()
            try:
                return self._once(asked, body, query or {}, kind)
            except ApiFailed as error:
                wait = max(error.retry_after_s, pause * random.uniform(0.5, 1.0))
                if not _may_repeat(error, again) or time.monotonic() + wait > until:
                    raise
                if error.retry_after_s:
                    self.pace.hold_off(error.retry_after_s)
            time.sleep(wait)
            pause = min(LONGEST_PAUSE_S, pause * 2)

    def _once(self, asked: Asked, body: Body | None, query: Mapping[str, str], kind: str) -> bytes:
        response = self._send(asked, body, query, kind, (CONNECT_S, READ_S))
        try:
            data: bytes = response.data
        except Exception as error:
            raise unreachable(asked, error, self.host) from error
        return data

    def _send(
        self, asked: Asked, body: Body | None, query: Mapping[str, str], kind: str, limits: tuple[float, float]
    ) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return self._connected().request(
                asked.method.lower(),
                asked.path,
                body=body,
                query_params=list(query.items()),
                header_params={},
                content_type=kind or None,
                serialize=False,
                _request_timeout=limits,
            )
        except ApiException as error:
            if not error.status:  # the package's own wrapping of TLS failures
                raise unreachable(asked, error, self.host) from error
            headers = error.headers or {}
            text = error.body.encode() if isinstance(error.body, str) else error.body or b""
            raise refused(asked, int(error.status), text, headers.get("Retry-After", "")) from None
        except (HTTPError, OSError) as error:
            raise unreachable(asked, error, self.host) from error

    def _connected(self) -> Any:
        if self._dynamic is None:
            from kubernetes.dynamic import DynamicClient

            self._client = self.own_client()
            self._dynamic = DynamicClient(self._client, discoverer=lambda *_: None)
        return self._dynamic

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.rest_client.close()


def _may_repeat(error: ApiFailed, again: bool) -> bool:
    """True for a failure that may pass, when the request was not done or may be done twice."""
    if isinstance(error, Busy):
        return bool(error.retry_after_s) or again
    if isinstance(error, Unreachable):
        return "certificate" not in str(error) and (again or "refuses connections" in str(error))
    return error.status == 503 or (again and error.status in (500, 502, 504))


def _read(model: type[T], data: bytes, asked: Asked) -> T:
    try:
        return model.model_validate_json(data)
    except ValueError as error:
        raise ApiFailed(f"{asked}: the answer cannot be read: {str(error).splitlines()[0]}") from error


def _lines(response: Any, asked: Asked, host: str) -> Iterator[bytes]:
    rest = b""
    try:
        for piece in response.stream(amt=None, decode_content=True):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (line for line in lines if line.strip())
    except Exception as error:
        raise unreachable(asked, error, host) from error


def _change(said: Json, asked: Asked) -> Change:
    kind, raw = str(said.get("type", "")), said.get("object") or {}
    if kind == "ERROR":
        code = int(raw.get("code") or 500)
        raise refused(asked, code, json.dumps(raw).encode(), "")
    return Change(kind, raw)


def _selectors(labels: str, fields: str) -> dict[str, str]:
    named = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in named.items() if value}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
