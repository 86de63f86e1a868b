"""Small SVG: escaped elements, scales, ticks. Knows nothing of drills, and draws no chart by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from drill.core.units import format_duration

STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


def element(name: str, *children: str, **attributes: str | float) -> str:
    """One element. Attributes are escaped here; *children* must be made by this module, text by ``words``.

    ``class_`` stands for ``class``; other underscores become dashes; numbers get at most two decimals.
    """
    parts = [f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items()]
    return f"<{name}{''.join(parts)}>{''.join(children)}</{name}>"


def words(text: str) -> str:
    """Escaped text content, without characters that XML forbids."""
    return escape("".join(c if c.isprintable() else " " for c in text))


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return escape(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else "0"


@dataclass(frozen=True)
class Scale:
    """Maps values in ``[low, high]`` to ``[start, end]``, linearly or by logarithm; values outside are clamped."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of *value*."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        share = (value - low) / (high - low) if high > low else 0.0
        return self.start + share * (self.end - self.start)


def time_ticks(low: float, high: float, at_most: int) -> list[float]:
    """Round times in ``[low, high]``, 0 among them where it lies inside, not more than about *at_most*."""
    step = next((step for step in STEPS_S if (high - low) / step <= at_most), STEPS_S[-1])
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 6) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def time_label(seconds: float) -> str:
    """An offset from T0 as people say it: ``T0``, ``+30s``, ``−10s``."""
    if seconds == 0:
        return "T0"
    return f"{'+' if seconds > 0 else '−'}{format_duration(abs(seconds))}"


def line(points: Iterable[tuple[float, float] | None], **attributes: str | float) -> str:
    """A polyline that breaks where a point is None; empty where nothing is left to draw."""
    commands: list[str] = []
    pen = "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        commands.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
        pen = "L"
    return element("path", d="".join(commands), fill="none", **attributes) if commands else ""


def fitted(text: str, width: float, size: float = 12) -> str:
    """Shorten *text* to about *width* units of a sans-serif font of *size*."""
    most = max(3, int(width / (size * 0.56)))
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def titled(title: str, *children: str, **attributes: str | float) -> str:
    """A group with a tooltip that screen readers read too."""
    return element("g", element("title", words(title)), *children, **attributes)


def thin(values: Sequence[tuple[float, float | None]], scale: Scale, y: Scale) -> list[tuple[float, float] | None]:
    """Place (time, value) pairs; None where there is no value."""
    return [None if value is None else (scale(time), y(value)) for time, value in values]
