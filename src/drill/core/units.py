"""Durations, ratios and sizes as people write them, and back. Inside drill: seconds, fractions of 1, bytes."""

from __future__ import annotations

import math
import re

DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
SIZE_UNITS = {
    "": 1, "B": 1,
    "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
RATE_UNITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}

LONGEST_S = 292 * DURATION_UNITS["y"]
"""What 64 bits of nanoseconds hold, Prometheus's limit too."""
LARGEST = 2**63 - 1

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(bit|kbit|mbit|gbit)(?:ps)?", re.IGNORECASE)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def parse_duration(text: str) -> float:
    """Parse ``400ms``, ``5m``, ``1h30m`` (Prometheus's form, fractions allowed) into seconds.

    Raises ValueError naming the form when *text* is something else, a bare number included, and over 292 years.
    """
    text = text.strip()
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"'{text}' is not a duration: write a number with a unit, like 400ms, 30s, 5m or 1h30m")
    seconds = float(sum(float(number) * DURATION_UNITS[unit] for number, unit in parts))
    if seconds > LONGEST_S:
        raise ValueError(f"'{_short(text)}' is longer than 292y, the longest duration there is")
    return seconds


def parse_ratio(text: str) -> float:
    """Parse ``25%`` into 0.25. Raises ValueError for a bare number or a value outside 0 % to 100 %."""
    match = _PERCENT.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a percentage: write it with a percent sign, like 25%")
    value = float(match[1]) / 100
    if value > 1:
        raise ValueError(f"'{text}' is more than 100%")
    return value


def parse_size(text: str) -> int:
    """Parse ``64Mi``, ``200MB`` or ``4096`` into bytes (Ki, Mi, Gi are powers of 1024). Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if not match or match[2] not in SIZE_UNITS:
        raise ValueError(f"'{text}' is not a size: write a number with a unit, like 64Mi or 200MB")
    return _whole(text, float(match[1]) * SIZE_UNITS[match[2]])


def parse_rate(text: str) -> int:
    """Parse ``256kbit`` or ``1mbit`` (tc's form) into bits per second. Raises ValueError."""
    match = _RATE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text}' is not a rate: write a number with a unit, like 256kbit or 1mbit")
    return _whole(text, float(match[1]) * RATE_UNITS[match[2].lower()])


def _whole(text: str, value: float) -> int:
    if value > LARGEST:
        raise ValueError(f"'{_short(text)}' is more than 64 bits hold")
    return int(value)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def format_duration(seconds: float) -> str:
    """Render seconds the way people write them: ``400ms``, ``8.6s``, ``1m30s``, ``3d``."""
    if not math.isfinite(seconds):  # from a journal that was tampered with
        return str(seconds)
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    rest, out = round(seconds), []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(DURATION_UNITS[unit]))
        if count:
            out.append(f"{count}{unit}")
    return "".join(out[:2])


def prometheus_duration(seconds: float) -> str:
    """Render seconds as a PromQL range that is exact to the millisecond: ``5m``, ``72m``, ``90s``, ``500ms``."""
    millis = round(seconds * 1000)
    if millis == 0:
        return "0s"
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if millis % size == 0:
            return f"{millis // size}{unit}"
    return f"{millis}ms"


def format_ratio(ratio: float) -> str:
    """Render a fraction of 1 as a percentage with as many digits as it needs: ``25%``, ``99.99%``, ``0.02%``."""
    return f"{ratio * 100:.4f}".rstrip("0").rstrip(".") + "%"


def format_size(size: float) -> str:
    """Render bytes with a binary unit: ``64Mi``, ``1.5Gi``."""
    for unit, scale in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if size >= scale:
            return f"{size / scale:.1f}".rstrip("0").rstrip(".") + unit
    return f"{size:.0f}B"
