"""When a multi-window burn-rate alert fires and resolves, exactly: the mathematics, and nothing else.

Owns the formulas; knows no rule file and no server. Words and letters are those of the SRE workbook
(chapter 5): ``b = 1 - objective`` the budget, ``θ = F·b`` the threshold of factor ``F``, ``e0``/``e1`` the
error ratio before/during a fault of ``D`` seconds, ``ρ`` the traffic during it over the normal traffic,
``W``/``w`` the long/short window, ``H0`` the age of the series when the fault starts, ``S`` the scrape
interval, ``I`` the evaluation interval, ``c`` 1 where alerts and recording rules are in different groups.

How the interval is found. With the excess ``G(t) = ∫ traffic·(error ratio - θ)`` a window's ratio exceeds θ
exactly when ``G(last sample) - G(first sample) > 0``. The last sample is at most S old, the first at most S
younger than the window; so a condition *may* hold when it does for one such pair and *must* hold when it does
for all. G is piecewise linear, so both are solved exactly, for any sequence of disturbances. The closed forms
:func:`crossing_s`, :func:`error_ratio_needed`, :func:`budget_spent` are the special case of one fault.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from drill.core.units import format_duration, format_ratio
from drill.core.values import Value
from drill.slo.model import DEFAULT_PERIOD_S

Interval = tuple[float, float]
Spans = list[Interval]
ROUNDS = 60
"""A function of a few linear pieces needs fewer; a bound, not a target."""
PRECISION_S = 1e-7
"""Far below a millisecond, the resolution of Prometheus's timestamps."""


class BurnCondition(Value):
    """One alert rule: ``ratio over long > F·b and ratio over short > F·b``. All times in seconds as they run."""

    objective: float
    factor: float
    long_s: float
    short_s: float
    scrape_s: float = 30.0
    interval_s: float = 30.0
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    chained: bool = False
    period_s: float = DEFAULT_PERIOD_S

    @property
    def budget(self) -> float:
        """``b = 1 - objective``, without the float noise of the subtraction."""
        return round(1 - self.objective, 12)

    @property
    def threshold(self) -> float:
        """``θ = F·b``: the error ratio that both windows must exceed."""
        return self.factor * self.budget

    @property
    def price(self) -> float:
        """The budget's share spent before it can fire: ``F·W/T``, whatever the objective or the fault (6)."""
        return self.factor * self.long_s / self.period_s

    @property
    def lag_s(self) -> float:
        """From a condition that holds to the evaluation that sees it: at most ``(1+c)·I`` (3)."""
        return (2 if self.chained else 1) * self.interval_s

    @property
    def hold_s(self) -> float:
        """``for`` as evaluations count it: ``ceil(for/I)·I`` (3)."""
        return _ceil(self.for_s, self.interval_s)


class Disturbance(Value):
    """One fault: the error ratio lies in ``error_ratio`` for ``duration_s``, then the baseline returns.

    ``before`` is the error ratio over the whole history, where that is not ``baseline`` all along: what is left in
    the windows of an earlier incident lets the alert fire sooner, until it has left them. A request is counted when
    it ends: ``late_s`` is how long after its start a bad one is counted at the latest.
    """

    error_ratio: Interval
    duration_s: float
    baseline: float = 0.0
    before: float | None = None
    traffic: float = 1.0
    history_s: float = math.inf
    late_s: float = 0.0


class Forecast(Value):
    """What the alert will do. Intervals are (earliest, latest) seconds; ``why`` is for people.

    ``fires`` is true when it is certain at the whole interval of error ratios, ``may_fire`` when at least
    possible. ``firing_s`` counts from the fault's start, ``resolved_s`` from its end; both are None unless
    ``may_fire``, and their upper ends are infinite when it is not certain. ``over_s`` (from the fault's end)
    bounds the resolution of one that may fire. ``crossing_s`` is when both
    windows exceed the threshold at the low end, if the fault lasts long enough. ``needs_duration_s`` and
    ``needs_error_ratio`` say what alone would make it fire; None: nothing would.
    """

    fires: bool
    may_fire: bool
    crossing_s: float
    firing_s: Interval | None = None
    resolved_s: Interval | None = None
    budget: float = 0.0
    price: float = 0.0
    needs_duration_s: float | None = None
    needs_error_ratio: float | None = None
    over_s: float = 0.0
    why: str = ""


class Phase(NamedTuple):
    """The error ratio and traffic until ``end_s``, from the end of the phase before it (the first from 0)."""

    end_s: float
    error_ratio: float
    traffic: float = 1.0


class Course(NamedTuple):
    """An SLI over time: ``history_s`` seconds of ``baseline``, the phases from 0 on, then the baseline again."""

    phases: Sequence[Phase]
    baseline: float = 0.0
    history_s: float = math.inf


class Outcome(NamedTuple):
    """When an alert may and must fire on a course; times from its start. After ``over_s`` it has ended."""

    firing_s: Interval | None
    resolved_s: Interval | None
    certain: bool
    over_s: float = 0.0


def crossing_s(condition: BurnCondition, error_ratio: float, disturbance: Disturbance) -> float:
    """Return seconds until both windows exceed θ in a fault without end: ``max(t(w), t(W))`` of (1), (2)."""
    windows = (condition.short_s, condition.long_s)
    return max(_window_crossing_s(window, condition.threshold, error_ratio, disturbance) for window in windows)


def _window_crossing_s(window_s: float, theta: float, error_ratio: float, disturbance: Disturbance) -> float:
    """(2) ``t = H0(θ-e0)/[ρ(e1-θ)]`` while the window outlives the history, else (1)
    ``t = W(θ-e0)/[ρ(e1-θ)+(θ-e0)]``; infinite if ``e1 <= θ`` or there is no traffic."""
    below, above = theta - disturbance.baseline, disturbance.traffic * (error_ratio - theta)
    if below < 0:
        return 0.0
    if above <= 0:
        return math.inf
    young = disturbance.history_s * below / above
    if disturbance.history_s + young <= window_s:
        return young
    return window_s * below / (above + below)


def error_ratio_needed(condition: BurnCondition, disturbance: Disturbance) -> float:
    """Return the error ratio at which both windows reach θ just as the fault ends: (1) and (2) solved for e1."""
    theta, length = condition.threshold, disturbance.duration_s
    below = max(0.0, theta - disturbance.baseline)
    if length <= 0 or disturbance.traffic <= 0:
        return math.inf
    missing = max(
        min(window, disturbance.history_s + length) - length for window in (condition.short_s, condition.long_s)
    )
    return theta + max(0.0, missing) * below / (disturbance.traffic * length)


def budget_spent(condition: BurnCondition, disturbance: Disturbance, error_ratio: float) -> float:
    """Return the share of the period's budget the fault burns: ``ρ·D(e1-e0)/(T·b)`` (6)."""
    extra = max(0.0, error_ratio - disturbance.baseline)
    return disturbance.traffic * disturbance.duration_s * extra / (condition.period_s * condition.budget)


def delivered_s(
    firing_s: Interval, group_wait_s: float, group_interval_s: float, new_group: bool = True
) -> Interval:
    """Return when the notification leaves: ``group_wait`` after firing in a new group, else at the existing
    group's next flush, within ``group_interval`` (4). A failed or repeated sending is not in it."""
    if new_group:
        return firing_s[0] + group_wait_s, firing_s[1] + group_wait_s
    return firing_s[0], firing_s[1] + max(group_wait_s, group_interval_s)


def forecast(condition: BurnCondition, disturbance: Disturbance) -> Forecast:
    """Say whether and when *condition* fires in *disturbance*, when it resolves, and at what price.

    The earliest times come from the high end of ``error_ratio``, the latest from the low end.
    """
    low, high = disturbance.error_ratio
    length = disturbance.duration_s
    found = outcome(condition, *_courses(disturbance, low, high, length))
    need_length, need_ratio = (None, None) if found.certain else _needs(condition, disturbance, low)
    resolved = found.resolved_s
    return Forecast(
        fires=found.certain,
        may_fire=found.firing_s is not None,
        crossing_s=crossing_s(condition, low, disturbance),
        firing_s=found.firing_s,
        resolved_s=resolved and (resolved[0] - length, resolved[1] - length),
        budget=budget_spent(condition, disturbance, high),
        price=condition.price,
        needs_duration_s=need_length,
        needs_error_ratio=need_ratio,
        over_s=found.over_s - length,
        why=_why(condition, disturbance, found, (need_length, need_ratio)),
    )


def _courses(disturbance: Disturbance, low: float, high: float, length: float) -> tuple[Course, Course]:
    """Return the courses of counted errors between which a fault of *length* s lies.

    On the low one every bad request is counted as late as may be, and none after the fault; on the high one at
    once, and as many are still to come after the fault.
    """
    before = disturbance.baseline if disturbance.before is None else disturbance.before
    least, most = sorted((disturbance.baseline, before))
    traffic, late = disturbance.traffic, disturbance.late_s
    worse, worst = max(low, least), max(high, most)
    if late <= 0:
        shapes = [(length, worse, worst, traffic)]
    else:
        shapes = [
            (min(late, length), least, worst, traffic),
            (length, worse, worst, traffic),
            (length + late, least, worst, max(1.0, traffic)),
        ]
    return (
        Course([Phase(end_s, ratio, much) for end_s, ratio, _, much in shapes], least, disturbance.history_s),
        Course([Phase(end_s, ratio, much) for end_s, _, ratio, much in shapes], most, disturbance.history_s),
    )


def outcome(condition: BurnCondition, low: Course, high: Course) -> Outcome:
    """Bound when *condition* fires and resolves on any course between *low* and *high*.

    Both must have the same times and traffic and differ in error ratios only, *low*'s being nowhere higher.
    ``firing_s`` is of the first firing, ``resolved_s`` of the end of the last.
    """
    may = _both(condition, high, must=False)
    must = _both(condition, low, must=True)
    hold, lag = condition.hold_s, condition.lag_s
    may = [span for span in may if span[1] - span[0] >= hold]
    must = [span for span in must if span[1] - span[0] >= hold + condition.interval_s]
    if not may:
        return Outcome(None, None, False)
    keep = _ceil(condition.keep_firing_for_s, condition.interval_s)
    over_s = may[-1][1] + lag + keep
    if not must:
        return Outcome((may[0][0] + hold, math.inf), (may[0][0] + keep, math.inf), False, over_s)
    firing = may[0][0] + hold, must[0][0] + lag + hold
    return Outcome(firing, (must[-1][1] + keep, over_s), True, over_s)


def _both(condition: BurnCondition, course: Course, *, must: bool) -> Spans:
    """Return the times in which both windows' conditions may (or must) hold."""
    short, long = (
        _window_spans(_Excess(course, condition.threshold, window, condition.scrape_s, must=must))
        for window in (condition.short_s, condition.long_s)
    )
    return [(max(a[0], b[0]), min(a[1], b[1])) for a in short for b in long if max(a[0], b[0]) < min(a[1], b[1])]


class _Excess:
    """``G`` of one course and threshold, and the excess of one window at an evaluation time.

    ``must`` takes the worst pair of samples, otherwise the best. The history starts with the first sample.
    With ``must`` it counts half a scrape more: ``rate()`` extrapolates a young request counter by that much
    beyond its first sample, at the window's own traffic (at most the peak's), but never an error counter below
    zero (promtool shows it; (3) does not have it).
    """

    def __init__(self, course: Course, theta: float, window_s: float, scrape_s: float, *, must: bool) -> None:
        self.window_s, self.scrape_s, self.must = window_s, scrape_s, must
        last = course.phases[-1].end_s
        age = min(course.history_s, 2 * (window_s + scrape_s) + last)
        peak = max(1.0, *(phase.traffic for phase in course.phases)) if must else 0.0
        self.start = -age - peak * scrape_s / 2
        self.times, self.slopes, self.values = [self.start, 0.0], [course.baseline - theta], [0.0]
        self.values.append((course.baseline - theta) * -self.start)
        for phase in course.phases:
            slope = phase.traffic * (phase.error_ratio - theta)
            self.values.append(self.values[-1] + slope * (phase.end_s - self.times[-1]))
            self.times.append(phase.end_s)
            self.slopes.append(slope)
        self.slopes.append(course.baseline - theta)
        self.end = last + window_s + 2 * scrape_s

    def total(self, time: float) -> float:
        """``G(time)``, linear on between and beyond the breakpoints."""
        index = max(0, bisect_right(self.times, time) - 1)
        return self.values[index] + self.slopes[index] * (time - self.times[index])

    def at(self, time: float) -> float:
        """The excess an evaluation at *time* may (or must at least) see: the condition is ``> 0``."""
        opened, start = time - self.window_s, self.start
        newest = self._extreme(time - self.scrape_s, time, most=not self.must)
        oldest = self._extreme(max(opened, start), max(opened + self.scrape_s, start), most=self.must)
        return newest - oldest

    def _extreme(self, low: float, high: float, *, most: bool) -> float:
        """Return the largest (or smallest) ``G`` between two times: at an end, or at a breakpoint inside."""
        pick = max if most else min
        found = pick(self.total(low), self.total(high))
        for index in range(bisect_right(self.times, low), len(self.times)):
            if self.times[index] >= high:
                break
            found = pick(found, self.values[index])
        return found

    def breakpoints(self) -> list[float]:
        """Times from 0 on between which ``at`` is convex (may) or concave (must)."""
        shifts = (0.0, self.scrape_s, self.window_s, self.window_s - self.scrape_s)
        points = {time + shift for time in self.times for shift in shifts}
        return sorted({0.0, self.end, *(point for point in points if 0 < point < self.end)})


def _window_spans(excess: _Excess) -> Spans:
    """Return where ``excess.at`` is positive. On a piece whose ends have one sign there is no crossing to
    miss that matters: a convex *may* only loses a dip, a concave *must* only a peak, both on the safe side."""
    points = excess.breakpoints()
    values = [excess.at(point) for point in points]
    spans: Spans = []
    since = points[0] if values[0] > 0 else None
    for left, right, low, high in zip(points, points[1:], values, values[1:], strict=False):
        if since is None and high > 0:
            since = _root(excess.at, (left, low), (right, high))
        elif since is not None and high <= 0:
            spans.append((since, _root(excess.at, (left, low), (right, high)) if low > 0 else left))
            since = None
    if since is not None:
        spans.append((since, math.inf))
    return spans


def _root(function: Callable[[float], float], left: tuple[float, float], right: tuple[float, float]) -> float:
    """Return where *function* changes sign between two points given with their values (Illinois method)."""
    (a, fa), (b, fb) = left, right
    middle, side = a, 0
    for _ in range(ROUNDS):
        before, middle = middle, a - fa * (b - a) / (fb - fa)
        value = function(middle)
        if abs(middle - before) < PRECISION_S or abs(value) < 1e-15:
            break
        if (value > 0) == (fb > 0):
            b, fb, fa = middle, value, fa / 2 if side == 1 else fa
            side = 1
        else:
            a, fa, fb = middle, value, fb / 2 if side == -1 else fb
            side = -1
    return middle


def _needs(condition: BurnCondition, disturbance: Disturbance, low: float) -> tuple[float | None, float | None]:
    """Return the length, and the error ratio, that alone would make it fire for certain; None: impossible.

    The closed form is what mathematics asks for; scrapes and evaluations may ask for a little more.
    """
    slack = condition.scrape_s + condition.interval_s + condition.hold_s + disturbance.late_s

    def certain(error_ratio: float, duration_s: float) -> bool:
        alone = disturbance.with_(before=None)
        return outcome(condition, *_courses(alone, error_ratio, error_ratio, duration_s)).certain

    crossing = crossing_s(condition, low, disturbance)
    lengths = [crossing * 1.01, crossing * 1.01 + condition.scrape_s]
    lengths += [crossing * 1.1 + slack, crossing * 1.5 + 2 * slack]
    length = next((x for x in lengths if certain(low, x)), None) if math.isfinite(crossing) else None
    needed = error_ratio_needed(condition, disturbance)
    ratios = [min(1.0, needed * more) for more in (1.01, 1.1, 1.5, 3.0)] if needed <= 1 else []
    return length, next((x for x in ratios if x > low and certain(x, disturbance.duration_s)), None)


def _why(
    condition: BurnCondition, disturbance: Disturbance, found: Outcome, needs: tuple[float | None, float | None]
) -> str:
    low, high = disturbance.error_ratio
    theta = format_ratio(condition.threshold)
    if disturbance.baseline > condition.threshold:
        baseline = format_ratio(disturbance.baseline)
        return f"the baseline of {baseline} is over {theta} already: it fires before the fault"
    if condition.threshold >= 1:
        return f"the threshold is an error ratio of {theta}: this alert can never fire"
    if found.certain:
        return f"both windows exceed {theta} after {format_duration(crossing_s(condition, low, disturbance))}"
    said = "it may fire, but not for certain" if found.firing_s else "it does not fire"
    if high <= condition.threshold:
        reason = f"an error ratio of {format_ratio(high)} never exceeds {theta} ({condition.factor:g}x the budget)"
    else:
        reason = _slow_window(condition, disturbance, high if found.firing_s is None else low)
    return f"{said}: {reason}; {_remedy(needs)}"


def _slow_window(condition: BurnCondition, disturbance: Disturbance, error_ratio: float) -> str:
    theta = condition.threshold
    times = {
        window: _window_crossing_s(window, theta, error_ratio, disturbance)
        for window in (condition.short_s, condition.long_s)
    }
    window = max(times, key=lambda window: (times[window], window))
    if math.isinf(times[window]):
        return f"an error ratio of {format_ratio(error_ratio)} never exceeds {format_ratio(theta)}"
    return (
        f"the {format_duration(window)} window exceeds {format_ratio(theta)} only {format_duration(times[window])} "
        f"after the start at an error ratio of {format_ratio(error_ratio)}, "
        f"the fault lasts {format_duration(disturbance.duration_s)}"
    )


def _remedy(needs: tuple[float | None, float | None]) -> str:
    length, ratio = needs
    said = []
    if length is not None:
        said.append(f"make the fault last at least {format_duration(math.ceil(length))}")
    if ratio is not None:
        said.append(f"make the error ratio at least {format_ratio(math.ceil(ratio * 1e4) / 1e4)}")
    return " or ".join(said) if said else "neither a longer nor a stronger fault alone would make it fire"


def _ceil(seconds: float, step_s: float) -> float:
    return math.ceil(round(seconds / step_s, 9)) * step_s
