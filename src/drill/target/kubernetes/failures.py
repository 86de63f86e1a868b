"""What can go wrong at an API server, in one tree, each with what to do about it.

::

    Unavailable
    └── ApiFailed            the API server answered with a failure, or did not answer
        ├── Unreachable      refused, timed out, closed in the middle, or a certificate that does not fit
        ├── LoginFailed      401: the credentials are unknown or expired
        ├── Forbidden        403: this identity may not do that
        ├── NotThere         404
        ├── Clash            409: somebody else was first
        └── Busy             429: too many requests, or a PodDisruptionBudget that forbids an eviction
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from drill.core.errors import Unavailable
from drill.core.redact import redact


class ApiFailed(Unavailable):
    """The API server answered with a failure, or did not answer; ``status`` is the HTTP status, 0 without one."""

    status: int = 0

    def __init__(self, message: str, *, hint: str = "", status: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_s = retry_after_s


class Unreachable(ApiFailed):
    """Refused, timed out, closed in the middle of an answer, or a certificate that does not fit."""


class LoginFailed(ApiFailed):
    """401: the credentials are unknown or expired."""


class Forbidden(ApiFailed):
    """403: this identity may not do that."""


class NotThere(ApiFailed):
    """404."""


class Clash(ApiFailed):
    """409: the object exists already, or somebody else changed it since it was read."""


class Busy(ApiFailed):
    """429: too many requests, or an eviction that a PodDisruptionBudget forbids for now."""


KINDS = {401: LoginFailed, 403: Forbidden, 404: NotThere, 409: Clash, 429: Busy}


@dataclass(frozen=True)
class Asked:
    """What was asked of which server: the beginning of every sentence about a failure."""

    context: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} at {self.context}"


def refused(asked: Asked, status: int, body: bytes, retry_after: str) -> ApiFailed:
    """Return the exception for an answer that is not 2xx; *body* should be a Kubernetes ``Status``."""
    kind = KINDS.get(status, ApiFailed)
    said = redact(_message(body)) or f"HTTP {status}"
    text = {
        401: f"the API server of {asked.context} does not accept the credentials of this kubeconfig",
        403: f"{asked.context}: {said}",
    }.get(status, f"{asked}: {said}")
    return kind(text, hint=_hint(status, asked), status=status, retry_after_s=_seconds(retry_after))


def unreachable(asked: Asked, error: BaseException, host: str) -> Unreachable:
    """Return the exception for a request that got no whole answer, in words about what to look at."""
    said = f"{type(error).__name__}: {error}"
    where = f"the API server of {asked.context} ({host})"
    for needle, text, hint in _WORDS:
        if needle in said:
            return Unreachable(f"{where} {text}", hint=hint)
    return Unreachable(f"{where} cannot be asked: {redact(str(error))[:200]}")


_WORDS = (
    ("CERTIFICATE_VERIFY_FAILED", "shows a certificate that this kubeconfig's authority did not sign",
     "the cluster may have been made anew: fetch its kubeconfig again"),
    ("SSLV3_ALERT", "refuses this kubeconfig's client certificate", "fetch the cluster's kubeconfig again"),
    ("TLSV1_ALERT", "refuses this kubeconfig's client certificate", "fetch the cluster's kubeconfig again"),
    ("certificate required", "wants a client certificate", "fetch the cluster's kubeconfig again"),
    ("doesn't match", "shows a certificate for another name", "correct 'server' in the kubeconfig"),
    ("WRONG_VERSION_NUMBER", "does not speak TLS on that port", "correct 'server' in the kubeconfig"),
    ("refused", "refuses connections", "is it running, and is 'server' in the kubeconfig right?"),
    ("NameResolution", "has a name that cannot be resolved", "correct 'server' in the kubeconfig"),
    ("No route to host", "cannot be reached: no route to it", "is the VPN up?"),
    ("unreachable", "cannot be reached: the network is unreachable", "is the VPN up?"),
    ("ConnectTimeout", "does not answer", "is it running, and is the VPN up?"),
    ("ReadTimeout", "accepted a request and did not answer in time", "it may be overloaded"),
    ("timed out", "did not answer in time", "it may be overloaded"),
    ("IncompleteRead", "closed the connection in the middle of an answer", "try again"),
    ("InvalidChunkLength", "closed the connection in the middle of an answer", "try again"),
    ("RemoteDisconnected", "closed the connection without an answer", "try again"),
    ("Connection aborted", "closed the connection", "try again"),
    ("Connection broken", "closed the connection in the middle of an answer", "try again"),
)  # fmt: skip


def _message(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return body[:200].decode(errors="replace").strip()
    return str(said.get("message", "")) if isinstance(said, dict) else ""


def _hint(status: int, asked: Asked) -> str:
    if status == 401:
        return "log in again: the token or certificate may have expired"
    if status == 403:
        return f"`drill k8s doctor --context {asked.context}` says which rights are missing and how to get them"
    return ""


def _seconds(retry_after: str) -> float:
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return 0.0
