"""Who may see and do what: one door for each role, and what every request must look like. No I/O.

A door is a random place in the address, a token that opens it, and a cookie that keeps it open. The token comes in
the address's fragment, which no browser sends to a server or writes into a log. The cookie belongs to that place
alone: cookies know no ports, so that another server on this machine would get one for ``/``.

Refused: a Host that is no loopback name (DNS rebinding), and requests that another page started (CSRF): the Origin
must be this server's own, since for SameSite every port of 127.0.0.1 is one site.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["trainee", "facilitator"]
ROLES: tuple[Role, ...] = ("trainee", "facilitator")
LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?")
COOKIE = "drill"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing from elsewhere, nothing inline, no frame; and no text ever becomes markup (trusted types)."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def _random(bits: int) -> str:
    """Random bits in hex: no such word looks like a known kind of secret, which drill would not print."""
    return secrets.token_hex(bits // 8)


@dataclass(frozen=True)
class Door:
    """One role's way in. All three parts are random; ``place`` alone opens nothing. The address fits on a line."""

    role: Role
    place: str = field(default_factory=lambda: _random(64))
    token: str = field(default_factory=lambda: _random(128), repr=False)
    session: str = field(default_factory=lambda: _random(192), repr=False)

    @property
    def path(self) -> str:
        """The path of the page, and of its cookie: ``/<place>/``."""
        return f"/{self.place}/"

    def url(self, port: int) -> str:
        """Return the address to give to the person who plays the role."""
        return f"http://127.0.0.1:{port}{self.path}#{self.token}"

    def opened_by(self, token: object) -> bool:
        """True for the door's token; takes as long for a wrong one."""
        return isinstance(token, str) and _same(token, self.token)

    def kept_open_by(self, cookie: str | None) -> bool:
        """True for the door's cookie."""
        return cookie is not None and _same(cookie, self.session)


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode())


def doors() -> dict[str, Door]:
    """Return a new door for each role, by its place."""
    return {door.place: door for door in map(Door, ROLES)}


def refusal(method: str, headers: Mapping[str, str]) -> str:
    """Return why a request is refused before anybody looks at what it wants; empty when it may go on.

    The port of Host is free: a tunnel (``ssh -L``) has its own. What it must not be is a name that somebody else's
    DNS can lead here.
    """
    host = headers.get("Host", "")
    if not LOOPBACK.fullmatch(host):
        return "this page is served for 127.0.0.1 and localhost only"
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return "another page may not ask for this"
    if method not in ("GET", "HEAD") and origin is None:
        return "a request that changes something must say which page it comes from"
    return ""


def from_elsewhere(headers: Mapping[str, str]) -> bool:
    """True when the browser says that another site's page started the request."""
    return headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
