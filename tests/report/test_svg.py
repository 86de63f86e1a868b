"""Charts: true to scale, well-formed, readable without colours and without a mouse."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from drill.core.observations import SliSample
from drill.journal.events import SliSeen
from drill.report.build import build
from drill.report.charts import NARROW, WIDE, Layout, chart
from drill.report.svg import Scale, element, fitted, line, time_label, time_ticks, words
from drill.verify import judge
from verify.journals import GOOD, SLO, T0, World, journal, plan
from verify.mutants import ALERT_MUTANTS, OUTCOME_MUTANTS

NS = "{http://www.w3.org/2000/svg}"


def drawn(world: World, layout: Layout = WIDE) -> ElementTree.Element:
    events = journal(world)
    return ElementTree.fromstring(chart(build(plan(), events, judge(plan(), events)), layout))


@pytest.mark.parametrize("layout", [WIDE, NARROW])
@pytest.mark.parametrize("name", ["is silenced", "never fires", "does not resolve", "traffic is not measured"])
def test_every_run_has_its_chart(name: str, layout: Layout) -> None:
    """Whatever happened, the drawing is well-formed XML with a title and a description."""
    root = drawn(ALERT_MUTANTS[name][1], layout)
    assert root.get("role") == "img"
    assert all(root.find(f"{NS}{part}") is not None for part in ("title", "desc"))


def test_no_timeline_no_chart() -> None:
    """Without T0 there is no axis to draw on."""
    events = journal(OUTCOME_MUTANTS["the timeline never starts"][2])
    assert chart(build(plan(), events, judge(plan(), events)), WIDE) == ""


def test_the_firing_is_drawn_where_it_was() -> None:
    """A bar's place and length are those of the span, on the axis of the ticks."""
    root = drawn(GOOD)
    ticks = {t.text: float(t.get("x", "")) for t in root.iter(f"{NS}text") if t.get("class") == "tick"}
    per_second = (ticks["+10s"] - ticks["T0"]) / 10
    bar = next(g for g in root.iter(f"{NS}g") if g.get("class") == "bar firing").find(f"{NS}rect")
    assert bar is not None
    assert (float(bar.get("x", "")) - ticks["T0"]) / per_second == pytest.approx(9.3, abs=0.05)
    assert float(bar.get("width", "")) / per_second == pytest.approx(36.0, abs=0.1)


def test_the_bracket_is_the_predicted_interval() -> None:
    """The first bracket is that of the expected alert, told in words too."""
    bracket = next(g for g in drawn(GOOD).iter(f"{NS}g") if g.get("class") == "bracket")
    assert bracket.findtext(f"{NS}title") == "Predicted to fire between +6s and +11.9s"


def test_values_that_are_none_break_the_line() -> None:
    """A gap in the data is a gap in the line, not a straight line over it."""
    assert line([(0, 0), (1, 1), None, (3, 3)]).count("M") == 2


def test_not_a_number_does_no_harm() -> None:
    """A burn rate without traffic is NaN; the chart has a gap there."""
    nan = SliSample(at=T0 + 5.5, sloth_id=SLO, error_ratio=math.nan, requests_per_second=math.nan,
                    rates={"5s": math.nan, "60s": math.inf})  # fmt: skip
    root = drawn(replace(GOOD, extra=((5.6, SliSeen(samples=(nan,))),)))
    assert "nan" not in ElementTree.tostring(root, encoding="unicode").lower()


@pytest.mark.parametrize(("low", "high", "most"), [(-5, 90, 12), (0, 1, 5), (-60, 7200, 12), (0, 3 * 86400, 5)])
def test_ticks_are_few_and_hit_zero(low: float, high: float, most: int) -> None:
    """An axis has some round ticks, T0 among them."""
    ticks = time_ticks(low, high, most)
    assert 2 <= len(ticks) <= most + 1
    assert 0 in ticks


def test_scales() -> None:
    """Linear and logarithmic places, clamped to the panel."""
    assert Scale(0, 10, 100, 200)(5) == 150
    assert Scale(0.1, 1000, 0, 4, log=True)(10) == pytest.approx(2)
    assert Scale(0.1, 1000, 0, 4, log=True)(0) == 0
    assert Scale(5, 5, 0, 4)(5) == 0


def test_text_is_escaped_and_fitted() -> None:
    """Text and attributes cannot leave their place."""
    assert words("<b>\x00") == "&lt;b&gt; "
    assert element("g", a='"><x') == '<g a="&quot;&gt;&lt;x"></g>'
    assert fitted("a" * 100, 60, 12).endswith("…")
    assert [time_label(0), time_label(30), time_label(-10)] == ["T0", "+30s", "−10s"]
