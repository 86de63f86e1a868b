"""Times as text: RFC 3339 with milliseconds in UTC, and whatever servers write back to seconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drill.core.clock import parse_rfc3339, rfc3339


def test_milliseconds_in_utc() -> None:
    assert rfc3339(1795470148.1234) == "2026-11-23T21:42:28.123Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(0.9996) == "1970-01-01T00:00:01.000Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-23T21:42:28Z", 1795470148.0),
        ("2026-11-23T21:42:28.5Z", 1795470148.5),
        ("2026-11-23T21:42:28.123456789Z", 1795470148.123456),
        ("2026-11-23T22:42:28.1+01:00", 1795470148.1),
        ("2026-11-23T16:42:28-05:00", 1795470148.0),
    ],
)
def test_any_offset_and_any_precision_is_read(text: str, seconds: float) -> None:
    assert parse_rfc3339(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z"])
def test_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


@given(st.integers(0, 4_000_000_000_000))
def test_milliseconds_survive_the_way_out_and_back(millis: int) -> None:
    assert round(parse_rfc3339(rfc3339(millis / 1000)) * 1000) == millis
