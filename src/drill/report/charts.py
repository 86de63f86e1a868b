"""The charts of a report over one common time axis: SLI, burn rates, and lanes of faults and alerts.

Colours and fonts come from the page's style sheet by class, so that light, dark and print need one drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drill.core.clock import parse_rfc3339
from drill.core.units import parse_duration
from drill.report.lanes import Lane, lanes_of
from drill.report.model import Report, Series
from drill.report.svg import Scale, element, fitted, line, thin, time_label, time_ticks, titled, words

LEAST_BURN = 0.1
"""Burn rates under a tenth are drawn at the bottom: they spend nothing worth seeing."""
MOST_LINES = 4


@dataclass(frozen=True)
class Layout:
    """Sizes of one drawing, in user units (CSS pixels at full width)."""

    width: float
    left: float
    right: float
    panel: float
    lane: float
    ticks: int
    beside: bool
    """Lane labels beside their bars (wide) or above them (narrow)."""


WIDE = Layout(width=1020, left=190, right=118, panel=150, lane=40, ticks=12, beside=True)
NARROW = Layout(width=380, left=46, right=20, panel=130, lane=54, ticks=5, beside=False)
GAP, TOP, AXIS = 46.0, 26.0, 26.0
LABEL_HEIGHT = 13.0


def chart(report: Report, layout: Layout) -> str:
    """Draw all panels as one SVG; empty when the run never reached T0."""
    if report.t0 is None:
        return ""
    lanes = lanes_of(report)
    x = _time_scale(report, lanes, layout)
    parts: list[str] = []
    y = TOP
    if report.series:
        bands = _bands(lanes, x, y, layout.panel)
        parts.append(_sli_panel(report.series[:3], x, y, layout) + bands)
        y += layout.panel + GAP
        if report.series[0].burn_rates:
            parts.append(_burn_panel(report, report.series[0], x, y, layout) + _bands(lanes, x, y, layout.panel))
            y += layout.panel + GAP
    parts.append(_lanes_panel(lanes, x, y, layout))
    bottom = y + layout.lane * len(lanes)
    grid = _grid(x, TOP, bottom, layout)
    name = "wide" if layout.beside else "narrow"
    title = element("title", words(f"{report.title or report.scenario}: what happened"), id=f"chart-title-{name}")
    desc = element("desc", words(_description(report)), id=f"chart-desc-{name}")
    return element(
        "svg", title, desc, grid, *parts,
        xmlns="http://www.w3.org/2000/svg", role="img", class_=f"chart {name}",
        aria_labelledby=f"chart-title-{name} chart-desc-{name}",
        viewBox=f"0 0 {layout.width:g} {bottom + AXIS:g}",
    )  # fmt: skip


def _description(report: Report) -> str:
    return f"{report.headline} Time runs from left to right, relative to T0, over all panels."


def _time_scale(report: Report, lanes: Sequence[Lane], layout: Layout) -> Scale:
    ends = [bar.end for lane in lanes for bar in lane.bars] + [notice.offset_s for notice in report.notifications]
    if report.finished_at and report.t0:
        ends.append(parse_rfc3339(report.finished_at) - parse_rfc3339(report.t0))
    high = max([1.0, *ends])
    starts = [series.offset_s[0] for series in report.series if series.offset_s]
    low = max(min([0.0, *starts]), -0.12 * high)
    return Scale(low, high, layout.left, layout.width - layout.right)


def _grid(x: Scale, top: float, bottom: float, layout: Layout) -> str:
    parts = []
    for tick in time_ticks(x.low, x.high, layout.ticks):
        at = x(tick)
        parts.append(element("line", x1=at, x2=at, y1=top, y2=bottom, class_="grid zero" if tick == 0 else "grid"))
        parts.append(
            element("text", words(time_label(tick)), x=at, y=bottom + 17, class_="tick", text_anchor="middle")
        )
    return element("g", *parts)


def _bands(lanes: Sequence[Lane], x: Scale, top: float, height: float) -> str:
    """The time of each fault as a tint behind the lines."""
    bars = [bar for lane in lanes if lane.kind == "fault" for bar in lane.bars]
    return "".join(
        element("rect", x=x(b.start), y=top, width=max(1.0, x(b.end) - x(b.start)), height=height, class_="band")
        for b in bars
    )


def _heading(text: str, y: float) -> str:
    return element("text", words(fitted(text, 300, 13)), x=0, y=y - 13, class_="panel-title")


def _side(lines: Sequence[tuple[str, str]], y: float, layout: Layout) -> str:
    """The legend: beside the panel on wide drawings, in its heading's row on narrow ones."""
    parts = []
    for n, (cls, text) in enumerate(lines):
        if layout.beside:
            left, base = 0.0, y + 14 + n * 19
        else:
            left, base = layout.width - layout.right - 54.0 * (len(lines) - n), y - 9
        parts.append(element("line", x1=left, x2=left + 14, y1=base - 4, y2=base - 4, class_=f"curve {cls}"))
        room = layout.left - 60 if layout.beside else 38
        parts.append(element("text", words(fitted(text, room)), x=left + 20, y=base, class_="legend"))
    return element("g", *parts)


def _sli_panel(series: Sequence[Series], x: Scale, top: float, layout: Layout) -> str:
    peak = max((v for one in series for v in one.error_ratio if v is not None), default=0.0)
    high = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, math.inf) if step >= min(peak, 1.0))
    y = Scale(0.0, high, top + layout.panel, top)
    parts = [_heading("Bad requests", top)]
    parts += [_level(y(share * high), f"{share * high * 100:g} %", x) for share in (0.0, 0.5, 1.0)]
    allowed = 1 - series[0].objective
    parts.append(_limit(y(allowed), "objective", x, layout, y(allowed)))
    for n, one in reversed(list(enumerate(series))):
        points = thin(_inside(one.offset_s, one.error_ratio, x), x, y)
        parts.append(titled(f"Share of bad requests, {one.slo}", line(points, class_=f"curve sli-{n}")))
    if layout.beside:
        parts.append(_side([(f"sli-{n}", one.slo) for n, one in enumerate(series)], top, layout))
    return element("g", *parts)


def _burn_panel(report: Report, one: Series, x: Scale, top: float, layout: Layout) -> str:
    names = _windows_to_draw(report, one)
    values = [v for name in names for v in one.burn_rates[name] if v is not None]
    factors = {window.factor: window.severity for window in report.windows.tested}
    high = 10 ** math.ceil(math.log10(max([10.0, *values, *factors]) + 1e-9))
    y = Scale(LEAST_BURN, high, top + layout.panel, top, log=True)
    parts = [_heading(f"Burn rate{' of ' + one.slo if layout.beside else ''}", top)]
    decade = LEAST_BURN
    while decade <= high * 1.001:
        parts.append(_level(y(decade), f"{decade:g}×", x))
        decade *= 10
    label_at = -math.inf
    for factor in sorted((f for f in factors if f > LEAST_BURN), reverse=True):
        label_at = max(y(factor), label_at + LABEL_HEIGHT)
        parts.append(_limit(y(factor), f"{factors[factor]} {factor:g}×", x, layout, label_at))
    for n, name in enumerate(names):
        points = thin(_inside(one.offset_s, one.burn_rates[name], x), x, y)
        parts.append(titled(f"Burn rate over {name}", line(points, class_=f"curve burn-{n}")))
    parts.append(_side([(f"burn-{n}", name) for n, name in enumerate(names)], top, layout))
    return element("g", *parts)


def _inside(times: Sequence[float], values: Sequence[float | None], x: Scale) -> list[tuple[float, float | None]]:
    """The samples of the drawn time; what is older would be heaped up at the edge."""
    return [(at, value) for at, value in zip(times, values, strict=True) if x.low <= at <= x.high]


def _windows_to_draw(report: Report, one: Series) -> list[str]:
    """The windows the alerts look at, shortest first; those of the fastest alerts where there are too many."""
    tested = sorted(report.windows.tested, key=lambda pair: -pair.factor)
    wanted = [window for pair in tested for window in (pair.short_s, pair.long_s)]
    known = {_window_s(name): name for name in one.burn_rates}
    chosen = list(dict.fromkeys(s for s in wanted if s in known))[:MOST_LINES] or sorted(known)[:MOST_LINES]
    return [known[s] for s in sorted(chosen)]


def _window_s(name: str) -> float:
    try:
        return parse_duration(name)
    except ValueError:
        return math.inf


def _level(y: float, label: str, x: Scale) -> str:
    text = element("text", words(label), x=x.start - 7, y=y + 4, class_="tick", text_anchor="end")
    return element("line", x1=x.start, x2=x.end, y1=y, y2=y, class_="grid") + text


def _limit(y: float, label: str, x: Scale, layout: Layout, label_y: float) -> str:
    """A threshold: dashed, named at its right end (inside the panel where there is no margin)."""
    at, anchor = (x.end + 7, "start") if layout.beside else (x.end - 2, "end")
    text = element(
        "text",
        words(label),
        x=at,
        y=label_y + 4 if layout.beside else label_y - 4,
        class_="limit-name",
        text_anchor=anchor,
    )
    return element("line", x1=x.start, x2=x.end, y1=y, y2=y, class_="limit") + text


def _lanes_panel(lanes: Sequence[Lane], x: Scale, top: float, layout: Layout) -> str:
    return element("g", *(_lane(lane, x, top + n * layout.lane, layout) for n, lane in enumerate(lanes)))


def _lane(lane: Lane, x: Scale, top: float, layout: Layout) -> str:
    middle = top + layout.lane - 17 if not layout.beside else top + layout.lane / 2
    label_y = top + 15 if not layout.beside else middle + 4
    room = layout.left - 14 if layout.beside else layout.width - 110
    parts = [
        element("line", x1=x.start, x2=x.end, y1=middle, y2=middle, class_="rail"),
        element("text", words(fitted(lane.label, room, 13)), x=0, y=label_y, class_="lane-name"),
    ]
    for bar in lane.bars:
        width = max(2.0, x(bar.end) - x(bar.start))
        height = 8 if bar.kind == "pending" else 14
        shape = element("rect", x=x(bar.start), y=middle - height / 2, width=width, height=height, rx=2)
        parts.append(titled(bar.title, shape, class_=f"bar {bar.kind}"))
    if lane.predicted is not None:
        parts.append(_bracket(lane.predicted, x, middle))
    parts += [titled(m.title, _flag(x(m.at), middle), class_=f"mark {m.kind}") for m in lane.marks]
    if lane.says:
        at, anchor = (x.end + 7, "start") if layout.beside else (layout.width - layout.right, "end")
        cls = f"lane-says {lane.tone}"
        parts.append(
            element("text", words(fitted(lane.says, 112)), x=at, y=label_y, class_=cls, text_anchor=anchor)
        )
    return titled(lane.title, *parts, class_="lane")


def _bracket(interval: tuple[float, float], x: Scale, middle: float) -> str:
    """The predicted interval as a bracket over the lane."""
    low, high, top = x(interval[0]), x(interval[1]), middle - 13
    path = f"M{low:.1f} {top + 6:.1f}V{top:.1f}H{max(high, low + 2):.1f}V{top + 6:.1f}"
    title = f"Predicted to fire between {time_label(round(interval[0], 1))} and {time_label(round(interval[1], 1))}"
    return titled(title, element("path", d=path, fill="none"), class_="bracket")


def _flag(x: float, middle: float) -> str:
    return element("path", d=f"M{x:.1f} {middle + 5:.1f}l5 9h-10z")
