"""Promtool unit tests for generated burn-rate alerts: when each must fire, must not, and must be over.

Owns the compilation of a prediction into assertions. Knows SLIs counted from a Prometheus histogram with a
``code`` label, as drill's own are; for others it makes no tests (:func:`can_test`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from drill.alerting import promql
from drill.alerting.burnmath import Disturbance, Forecast, forecast
from drill.alerting.promtool import Slope, counter
from drill.alerting.rulefile import Group, Rule
from drill.alerting.rules import BurnAlert, burn_alerts
from drill.alerting.windows import QUIET_FOR_S, RECORDED_S
from drill.alerting.yamlout import dump
from drill.core.units import prometheus_duration
from drill.slo.model import WINDOW, Slo

HEADER = "# Generated from prometheus/slo/ by the prediction: `promtool test rules` says whether it is right.\n"
GRID_S = 30.0
"""Scrapes and evaluations of the tests, as in production."""
HEALTHY_S, FAULT_S, AFTER_S = 1800.0, 1200.0, 2100.0
"""Short, for promtool evaluates every rule at every step: long enough for P1 and P2 to fire and resolve."""
QUIET_S = 1800.0
PER_S = 50.0


def can_test(slo: Slo) -> bool:
    """True when the SLO's events come from a histogram whose series this module can make up."""
    return bool(slo.sli.total) and _count_selector(slo) is not None


def test_file(slos: Sequence[Slo], groups: Sequence[Group], rule_files: Sequence[str]) -> str:
    """Render the tests of *slos*; *groups* are all generated groups, *rule_files* their files for promtool."""
    alerts = burn_alerts(groups)
    rules: dict[str, list[Rule]] = {}
    for rule in (rule for group in groups for rule in group.rules if rule.alert):
        rules.setdefault(rule.labels.get("sloth_id", ""), []).append(rule)
    tests: list[dict[str, object]] = []
    for slo in slos:
        own = [alert for alert in alerts if alert.sloth_id == slo.sloth_id]
        tests += [_firing(slo, own, rules[slo.sloth_id]), _quiet_errors(slo, rules[slo.sloth_id])]
        tests += [_no_traffic(slo, rule) for rule in rules.get("", []) if _watches(rule, slo)]
    data = {"rule_files": list(rule_files), "evaluation_interval": prometheus_duration(GRID_S), "tests": tests}
    return HEADER + dump(data)


def _firing(slo: Slo, alerts: Sequence[BurnAlert], rules: Sequence[Rule]) -> dict[str, object]:
    """Health, errors, then health until P1 and P2 are over; P3 fires on until its 6 hours have passed."""
    strongest = max(alert.condition(GRID_S).threshold for alert in alerts)
    error_ratio = min(1.0, 4 * strongest)
    fault = Disturbance(error_ratio=(error_ratio, error_ratio), duration_s=FAULT_S, history_s=HEALTHY_S)
    known = [(rule, forecast(alert.condition(GRID_S), fault)) for rule, alert in zip(rules, alerts, strict=True)]
    slopes = [(HEALTHY_S, 0.0), (HEALTHY_S + FAULT_S, error_ratio), (HEALTHY_S + FAULT_S + AFTER_S, 0.0)]
    return _test(f"{slo.sloth_id}: every alert fires in time, the fast ones resolve", slo, slopes, _moments(known))


def _moments(known: Sequence[tuple[Rule, Forecast]]) -> list[tuple[float, list[Rule]]]:
    """Return the evaluation times next to every change at which the state of all alerts is certain."""
    certain: list[tuple[float, list[Rule]]] = []
    for step in range(int((HEALTHY_S + FAULT_S + AFTER_S) / GRID_S)):
        at = step * GRID_S
        states = [_state(said, at - HEALTHY_S) for _, said in known]
        if None not in states:
            certain.append((at, [rule for (rule, _), on in zip(known, states, strict=True) if on]))
    chosen = []
    for before, after in pairwise(certain):
        if before[1] != after[1]:
            chosen += [before, after]
    return sorted(dict(chosen).items())


def _state(said: Forecast, since_s: float) -> bool | None:
    """True when the alert must be firing *since_s* after the fault's start, None when it may or may not."""
    if said.firing_s is None or said.resolved_s is None:
        return False
    if since_s < said.firing_s[0]:
        return False
    if since_s < said.firing_s[1]:
        return None
    over = since_s - FAULT_S
    if over < said.resolved_s[0]:
        return True
    return None if over < said.resolved_s[1] else False


def _quiet_errors(slo: Slo, rules: Sequence[Rule]) -> dict[str, object]:
    """Errors at nine tenths of what the objective allows: no alert may ever fire."""
    slopes = [(QUIET_S, 0.9 * slo.budget)]
    moments: list[tuple[float, list[Rule]]] = [(at, []) for at in (QUIET_S / 3, QUIET_S)]
    return _test(f"{slo.sloth_id}: errors within the objective fire nothing", slo, slopes, moments, rules)


def _no_traffic(slo: Slo, rule: Rule) -> dict[str, object]:
    """Nothing before the first request, then traffic, then silence."""
    start, silent = 900.0, 1500.0
    series = _series(slo, [(start, 0.0, 0.0), (silent, 0.0, PER_S), (silent + 1200, 0.0, 0.0)])
    due = silent + RECORDED_S[0] + QUIET_FOR_S
    checks = [
        _check(rule.alert, at, [rule] if fires else [])
        for at, fires in ((start, False), (silent, False), (due - 60, False), (due + 120, True))
    ]
    return {
        "name": f"{slo.service}: silence after traffic is noticed, silence before it is not",
        "interval": prometheus_duration(GRID_S), "input_series": series, "alert_rule_test": checks,
    }  # fmt: skip


def _watches(rule: Rule, slo: Slo) -> bool:
    return f'sloth_id="{slo.sloth_id}"' in rule.expr


def _test(
    name: str, slo: Slo, course: Sequence[tuple[float, float]], moments: Sequence[tuple[float, list[Rule]]],
    rules: Sequence[Rule] = (),
) -> dict[str, object]:  # fmt: skip
    alertname = slo.alerting.name
    assert all(rule.alert == alertname for rule in rules)
    return {
        "name": name,
        "interval": prometheus_duration(GRID_S),
        "input_series": _series(slo, [(end, ratio, PER_S) for end, ratio in course]),
        "alert_rule_test": [_check(alertname, at, firing) for at, firing in moments],
    }


def _check(alertname: str, at: float, firing: Sequence[Rule]) -> dict[str, object]:
    alerts = [
        {"exp_labels": dict(sorted(rule.labels.items())), "exp_annotations": dict(sorted(rule.annotations.items()))}
        for rule in firing
    ]
    return {"eval_time": prometheus_duration(at), "alertname": alertname, "exp_alerts": alerts}


def _series(slo: Slo, course: Sequence[tuple[float, float, float]]) -> list[dict[str, str]]:
    """Return the counters of a course of (end, error ratio, requests per second) phases."""
    selector = _count_selector(slo)
    if selector is None:
        raise ValueError(f"{slo.sloth_id}: no histogram with a code label")
    fixed = promql.equals(selector)
    total = [Slope(end, rate) for end, _, rate in course]
    bad = [Slope(end, ratio * rate) for end, ratio, rate in course]
    good = [Slope(end, (1 - ratio) * rate) for end, ratio, rate in course]
    bucket = promql.latency_threshold(promql.parse(slo.sli.error.replace(WINDOW, "5m")))
    if bucket is None:
        made = [(selector.name, {**fixed, "code": "200"}, good), (selector.name, {**fixed, "code": "500"}, bad)]
    else:
        named = selector.name.removesuffix("_count") + "_bucket"
        labels = {**fixed, "code": "200"}
        made = [(selector.name, labels, total), (named, {**labels, "le": f"{bucket:g}"}, good)]
    return [{"series": _render(name, labels), "values": counter(slopes, GRID_S)} for name, labels, slopes in made]


def _render(name: str, labels: dict[str, str]) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"


def _count_selector(slo: Slo) -> Any:
    found = promql.selectors(promql.parse(slo.sli.total.replace(WINDOW, "5m")))
    if len(found) != 1 or not str(found[0].name).endswith("_count") or not math.isfinite(slo.budget):
        return None
    return found[0]
