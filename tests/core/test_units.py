"""What people write about times, shares, sizes and rates, and how it is written back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drill.core import units


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_duration, "400ms", 0.4), (units.parse_duration, "5m", 300.0), (units.parse_duration, "0", 0.0),
        (units.parse_duration, "1h30m", 5400.0), (units.parse_duration, " 1.5s ", 1.5), (units.parse_duration, "1w", 604800.0),
        (units.parse_ratio, "25%", 0.25), (units.parse_ratio, "0.02 %", 0.0002), (units.parse_ratio, "100%", 1.0),
        (units.parse_size, "64Mi", 2**26), (units.parse_size, "200MB", 2 * 10**8), (units.parse_size, "4096", 4096),
        (units.parse_size, "1.5 GiB", 3 * 2**29),
        (units.parse_rate, "256kbit", 256_000), (units.parse_rate, "1Mbit", 10**6), (units.parse_rate, "2 gbitps", 2 * 10**9),
    ],
)  # fmt: skip
def test_parsing(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.parse_duration, text) for text in ("5", "", "5 m", "m", "-5m", "5M", "1h 30m", "5mm", "1e3s", "ms5")
    ] + [
        (units.parse_ratio, text) for text in ("25", "101%", "-1%", "%", "0.5", "1e1%", "")
    ] + [
        (units.parse_size, text) for text in ("", "Mi", "5 apples", "-5Mi", "5mi")
    ] + [
        (units.parse_rate, text) for text in ("", "5", "1mbyte", "-1kbit", "fast")
    ],
)  # fmt: skip
def test_what_is_something_else_is_refused(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a|is more than"):
        parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.4, "400ms"), (1, "1s"), (8.6, "8.6s"), (90, "1m30s"), (3600, "1h"), (259200, "3d"), (-5, "-5s"), (3661, "1h1m")],
)  # fmt: skip
def test_format_duration(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(300, "5m"), (4320, "72m"), (90, "90s"), (0.5, "500ms"), (0, "0s"), (86400, "1d"), (7200, "2h")],
)
def test_prometheus_duration(seconds: float, text: str) -> None:
    assert units.prometheus_duration(seconds) == text


@given(st.integers(1, 10**10))
def test_a_prometheus_duration_is_exact(millis: int) -> None:
    assert round(units.parse_duration(units.prometheus_duration(millis / 1000)) * 1000) == millis


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.25, "25%"), (0.9999, "99.99%"), (0.0002, "0.02%"), (0, "0%"), (1, "100%")]
)
def test_format_ratio(ratio: float, text: str) -> None:
    assert units.format_ratio(ratio) == text


@pytest.mark.parametrize(("size", "text"), [(2**26, "64Mi"), (3 * 2**29, "1.5Gi"), (512, "512B"), (2**10, "1Ki")])
def test_format_size(size: int, text: str) -> None:
    assert units.format_size(size) == text
