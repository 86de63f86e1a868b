"""Times: Unix seconds inside, RFC 3339 with milliseconds (UTC) outside. Nothing here reads a clock."""

from __future__ import annotations

from datetime import UTC, datetime

FIRST, LAST = 0.0, 253_370_764_799.0
"""1970 and the end of the year 9998: what can be written in four digits, and a year later as well."""


def moment(unix: float) -> datetime:
    """Return Unix seconds as a UTC datetime to the millisecond; what is out of range becomes the nearest in it.

    So a journal with a mad clock in it is rendered, and looks as mad as it is.
    """
    return datetime.fromtimestamp(round(max(FIRST, min(unix, LAST)), 3) if unix == unix else FIRST, UTC)


def rfc3339(unix: float) -> str:
    """Render Unix seconds as ``2026-11-23T21:42:28.123Z``; see :func:`moment` for those that cannot be written."""
    at = moment(unix)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def parse_rfc3339(text: str) -> float:
    """Parse an RFC 3339 time (any offset, up to nanoseconds) into Unix seconds. Raises ValueError."""
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
