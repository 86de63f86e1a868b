"""What every alert rule of every touched SLO will do, from the impacts of a plan's injections.

Owns the step from impacts to predictions; the mathematics is :mod:`drill.alerting.burnmath`'s. Knows no
scenario, target or server. Several injections on one SLO are laid over each other in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, prod
from typing import NamedTuple

from drill.alerting.burnmath import (
    BurnCondition,
    Course,
    Disturbance,
    Forecast,
    Interval,
    Phase,
    budget_spent,
    delivered_s,
    forecast,
    outcome,
)
from drill.alerting.rules import BurnAlert
from drill.core.labels import Labels
from drill.core.units import format_duration
from drill.plan.model import Impact, PredictedAlert

Caused = tuple[Impact, float, float]
"""An impact, when it starts (seconds from T0), and how long it lasts (seconds)."""


NORMAL: Mapping[str, Interval] = {}
"""Traffic during the faults is as before."""
STEADY: Mapping[str, Mapping[float, float]] = {}
"""The history had the baseline's error ratio all along."""


class Setting(NamedTuple):
    """What is known of the SLI besides the faults: seconds as they run, ratios of 1, history's age at T0."""

    scrape_s: float
    history_s: float
    baseline: float
    before: float
    """Error ratio over the alert's long window at T0: the baseline, unless there was an incident in it."""
    traffic: float
    """During the faults over before; one number, because a forecast is for one."""


def predict_alerts(  # noqa: PLR0913 - two things to predict from, and what is known about the world by name
    alerts: Sequence[BurnAlert],
    impacts: Sequence[Caused],
    *,
    scrape_s: float,
    history_s: float,
    baseline: Mapping[str, float],
    traffic: Mapping[str, Interval] = NORMAL,
    windows: Mapping[str, Mapping[float, float]] = STEADY,
    group_wait_s: float,
    group_interval_s: float,
    receivers_for: Callable[[Labels], tuple[str, ...]],
    timings_for: Callable[[Labels], tuple[float, float]] | None = None,
) -> tuple[PredictedAlert, ...]:
    """Predict every alert of *alerts* whose SLO an impact touches, in the order of *alerts*.

    ``history_s`` is the age of the series at T0, ``baseline`` the healthy error ratio by ``sloth_id`` (0 where
    it is not named), ``traffic`` the traffic during the faults over the normal traffic, between two bounds, by
    ``sloth_id`` (1 where it is not named). ``windows`` are error ratios by ``sloth_id`` and window (s), as measured
    before the faults: an incident that is still in a long window lets its alert fire sooner. A rule with several
    window pairs (read as several alerts with the same labels) gives one prediction: it fires with the first and
    resolves with the last of them. ``timings_for`` gives ``(group_wait, group_interval)`` of the route of a set
    of labels; without it all routes have the two given.
    """
    found: dict[tuple[tuple[str, str], ...], list[tuple[BurnAlert, Made]]] = {}
    touching: dict[str, list[Caused]] = {}
    for caused in sorted(impacts, key=lambda one: one[1]):
        touching.setdefault(caused[0].sloth_id, []).append(caused)
    for alert in alerts:
        if alert.sloth_id in touching:
            low, high = traffic.get(alert.sloth_id, (1.0, 1.0))
            healthy = baseline.get(alert.sloth_id, 0.0)
            before = windows.get(alert.sloth_id, {}).get(alert.long_s, healthy)
            setting = Setting(scrape_s, history_s, healthy, before, low)
            made = _made(alert, touching[alert.sloth_id], setting)
            if high != low:
                made = _between(made, _made(alert, touching[alert.sloth_id], setting._replace(traffic=high)))
            found.setdefault(tuple(sorted(_labels(alert).items())), []).append((alert, made))
    predicted = []
    for pairs in found.values():
        alert, made = _united(pairs)
        one = _predicted(alert, touching[alert.sloth_id], made)
        if one.firing_s is not None:
            timings = timings_for(one.labels) if timings_for else (group_wait_s, group_interval_s)
            one = one.with_(delivered_s=delivered_s(one.firing_s, *timings))
        predicted.append(one.with_(receivers=receivers_for(one.labels)))
    return tuple(predicted)


def _labels(alert: BurnAlert) -> dict[str, str]:
    return {"alertname": alert.alertname, **alert.labels}


def _united(pairs: Sequence[tuple[BurnAlert, Made]]) -> tuple[BurnAlert, Made]:
    """Return the window pair that fires first, with the resolution of the one that resolves last."""

    def rank(pair: tuple[BurnAlert, Made]) -> tuple[bool, bool, float]:
        start, _, said = pair[1]
        return (not said.fires, not said.may_fire, start + said.firing_s[0] if said.firing_s else 0.0)

    alert, (start, end, first) = min(pairs, key=rank)
    may = [(at, said) for _, (at, _, said) in pairs if said.firing_s]
    certain = [said for _, said in may if said.fires and said.resolved_s]
    if len(may) < 2 or not certain or first.firing_s is None:
        return alert, (start, end, first)
    low = min(at + said.firing_s[0] for at, said in may if said.firing_s) - start
    resolved = max(said.resolved_s[0] for said in certain if said.resolved_s), max(said.over_s for _, said in may)
    return alert, (start, end, first.with_(firing_s=(low, first.firing_s[1]), resolved_s=resolved))


def _predicted(alert: BurnAlert, caused: Sequence[Caused], made: Made) -> PredictedAlert:
    start, end, said = made
    ratios = [impact.error_ratio for impact, _, _ in caused]
    return PredictedAlert(
        labels=_labels(alert),
        sloth_id=alert.sloth_id,
        severity=alert.severity,
        factor=alert.factor,
        long_s=alert.long_s,
        short_s=alert.short_s,
        fires=said.fires,
        may_fire=said.may_fire,
        starts_at_s=start,
        ends_at_s=end,
        firing_s=said.firing_s if said.fires else None,
        resolved_s=said.resolved_s if said.fires else None,
        error_ratio=(min(low for low, _ in ratios), max(high for _, high in ratios)),
        price=said.price,
        budget=said.budget,
        why=said.why,
        crossing_s=said.crossing_s if isfinite(said.crossing_s) else None,
        needs_duration_s=said.needs_duration_s,
        needs_error_ratio=said.needs_error_ratio,
    )


Made = tuple[float, float, Forecast]
"""When the causing injection starts and the last one ends (from T0), and what the alert does."""


def _made(alert: BurnAlert, caused: Sequence[Caused], setting: Setting) -> Made:
    condition = alert.condition(setting.scrape_s)
    return _alone(condition, caused[0], setting) if len(caused) == 1 else _together(condition, caused, setting)


def _between(slow: Made, fast: Made) -> Made:
    """Bound what happens at any traffic between two: the more of it is bad, the sooner a window is full of it."""
    start, end, said = slow
    shift = fast[0] - start
    firing = [_shifted(one.firing_s, by) for one, by in ((said, 0.0), (fast[2], shift)) if one.firing_s]
    resolved = [one.resolved_s for one in (said, fast[2]) if one.resolved_s]
    both = said.with_(
        fires=said.fires and fast[2].fires,
        may_fire=said.may_fire or fast[2].may_fire,
        firing_s=_hull(firing),
        resolved_s=_hull(resolved),
        budget=max(said.budget, fast[2].budget),
        over_s=max(said.over_s, fast[2].over_s),
        why=said.why if said.fires or not fast[2].fires else f"only with more traffic: {said.why}",
    )
    return start, end, both


def _shifted(interval: Interval | None, by: float) -> Interval:
    low, high = interval or (0.0, 0.0)
    return low + by, high + by


def _hull(intervals: Sequence[Interval]) -> Interval | None:
    return (min(low for low, _ in intervals), max(high for _, high in intervals)) if intervals else None


def _alone(condition: BurnCondition, caused: Caused, setting: Setting) -> Made:
    impact, at_s, for_s = caused
    disturbance = _disturbance(impact, for_s, at_s, setting)
    return at_s, at_s + for_s, forecast(condition, disturbance)


def _disturbance(impact: Impact, for_s: float, at_s: float, setting: Setting) -> Disturbance:
    low, high = impact.error_ratio
    return Disturbance(
        error_ratio=(max(low, setting.baseline), max(high, setting.baseline)), duration_s=for_s,
        baseline=setting.baseline, before=setting.before, traffic=setting.traffic,
        history_s=setting.history_s + at_s, late_s=impact.late_s,
    )  # fmt: skip


def _together(condition: BurnCondition, caused: Sequence[Caused], setting: Setting) -> Made:
    """Several injections change one SLI: the low course takes the worst of them, the high one their union."""
    low, high = _course(caused, setting, high=False), _course(caused, setting, high=True)
    found = outcome(condition, low, high)
    end = max(at_s + for_s for _, at_s, for_s in caused)
    singles = [forecast(condition, _disturbance(i, for_s, at_s, setting)) for i, at_s, for_s in caused]
    spent = sum(
        budget_spent(condition, _disturbance(i, for_s, at_s, setting), max(i.error_ratio[1], setting.baseline))
        for i, at_s, for_s in caused
    )
    strongest = max(singles, key=lambda single: single.budget)
    start = caused[0][1]
    if found.firing_s is not None:
        start = max(at_s for _, at_s, _ in caused if at_s <= found.firing_s[0])
    firing, resolved = found.firing_s, found.resolved_s
    why = f"{len(caused)} injections together"
    if not found.certain:
        why = f"{why} are not enough: {strongest.why}"
    elif firing is not None:
        why = f"{why} exceed the threshold at the latest {format_duration(firing[1])} after T0"
    said = strongest.with_(
        fires=found.certain, may_fire=firing is not None, budget=spent, why=why,
        firing_s=firing and (firing[0] - start, firing[1] - start),
        resolved_s=resolved and (resolved[0] - end, resolved[1] - end), over_s=found.over_s - end,
    )  # fmt: skip
    return start, end, said


def _course(caused: Sequence[Caused], setting: Setting, *, high: bool) -> Course:
    """The errors as counted: at once and as long as any may come (*high*), or late and none after the fault."""
    baseline = (max if high else min)(setting.baseline, setting.before)
    spans = [
        (
            impact.error_ratio[high],
            (at_s, at_s + min(impact.late_s, for_s), at_s + for_s, at_s + for_s + impact.late_s),
        )
        for impact, at_s, for_s in caused
    ]
    phases, since = [], 0.0
    for edge in sorted({edge for _, edges in spans for edge in edges if edge > 0}):
        felt = [ratio for ratio, (begin, _, _, last) in spans if begin <= since < last]
        sure = [ratio for ratio, (_, counted, end, _) in spans if counted <= since < end]
        worst = 1 - prod(1 - ratio for ratio in felt) if high else max(sure, default=0.0)
        phases.append(Phase(edge, max(worst, baseline), setting.traffic if felt else 1.0))
        since = edge
    return Course(phases, baseline, setting.history_s)
