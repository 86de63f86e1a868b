"""``report.html``: one self-contained page. No script, no font, no image, no address outside of it is loaded."""

from __future__ import annotations

import json
import re
from functools import cache
from urllib.parse import quote, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from drill.core.clock import parse_rfc3339
from drill.core.labels import render
from drill.core.units import format_duration
from drill.report.charts import NARROW, WIDE, chart
from drill.report.lanes import say, tone_of
from drill.report.model import Report
from drill.report.words import interval_s, lane_name, seconds, short_name

TONES = {"pass": "good", "fail": "bad", "unknown": "doubt", "aborted": "doubt"}
RESULTS = {
    "pass": "The hypothesis holds.",
    "fail": "The hypothesis does not hold.",
    "unknown": "The hypothesis is neither confirmed nor refuted.",
    "aborted": "The hypothesis was not tested to the end.",
}


def to_html(report: Report) -> str:
    """Render the page."""
    charts = Markup(chart(report, WIDE) + chart(report, NARROW))  # nosec B704  # drill.report.svg escapes all of it
    return _template().render(
        r=report, charts=charts, tone=TONES[report.verdict], result=RESULTS[report.verdict],
        first=report.alerts[0] if report.alerts else None,
        budget_of={budget.slo: budget for budget in report.budgets},
    )  # fmt: skip


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("drill.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= FILTERS
    return environment.get_template("report.html.j2")


def kept(text: str) -> str:
    """The text with its numbers and their units kept on one line."""
    return re.sub(r"(?<=[\d–]) (?=(?:s|ms|%|×)(?![a-z]))", "\N{NO-BREAK SPACE}", text)


def clock_time(at: str | None) -> str:
    """The time of day of an RFC 3339 time, to a tenth of a second; a dash for none."""
    return f"{at[11:21]}" if at else "–"


def offset(value: float | None) -> str:
    """Seconds after T0 with a sign: ``+9.3 s``, ``+5m30s``."""
    if value is None:
        return ""
    size = f"{abs(value):.1f} s" if abs(value) < 100 else format_duration(abs(value))
    return f"{'−' if value < 0 else '+'}{size}"


def number(value: float | None) -> str:
    """Up to four significant digits, with thousands apart; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def safe_link(link: str) -> str:
    """The address if a browser may follow it, else nothing: ``javascript:`` is an address too."""
    return link if urlsplit(link).scheme in ("http", "https") else ""


def local_link(path: str) -> str:
    """The address of a file near the page, whatever it is called: a name never becomes a scheme or another host."""
    return f"./{quote(path)}" if path else ""


def interval(report: Report, earliest: str, latest: str) -> str:
    """A predicted interval after T0."""
    if report.t0 is None:
        return f"{clock_time(earliest)}–{clock_time(latest)}"
    zero = parse_rfc3339(report.t0)
    low, high = parse_rfc3339(earliest) - zero, parse_rfc3339(latest) - zero
    if high < 100:
        return f"+{low:.1f}–{high:.1f} s"
    return f"+{format_duration(low)}–{format_duration(high)}"


def since_t0(report: Report, at: str | None) -> str:
    """A time as seconds after T0; a dash for none."""
    if at is None or report.t0 is None:
        return "–"
    return offset(parse_rfc3339(at) - parse_rfc3339(report.t0))


FILTERS = {
    "kept": kept,
    "clock_time": clock_time,
    "offset": offset,
    "number": number,
    "seconds": seconds,
    "duration": format_duration,
    "labels": render,
    "lane_name": lane_name,
    "short_name": short_name,
    "say": say,
    "tone": tone_of,
    "safe_link": safe_link,
    "local_link": local_link,
    "json": lambda value: json.dumps(value, indent=1, ensure_ascii=False),
    "predicted": interval,
    "range_s": interval_s,
    "since_t0": since_t0,
}
