"""The expected alerts' rules: loaded, healthy, evaluated lately, not firing, and those the plan was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drill.alerting.loaded import loaded_groups
from drill.alerting.rules import BurnAlert, burn_alerts
from drill.core.labels import matches, render
from drill.core.observations import RecordingRule, RuleStatus
from drill.core.units import format_duration
from drill.engine.preflight.findings import block
from drill.plan.model import ExpectedAlert, Finding, Plan, PredictedAlert

LATE_S = 5.0
"""Beyond two evaluation intervals: the rules API shows an evaluation once it is over, and clocks differ."""


def labels_of(rule: RuleStatus) -> dict[str, str]:
    """The static labels an alert of *rule* will have."""
    return {"alertname": rule.name, **rule.labels}


def rules_for(expected: ExpectedAlert, loaded: Sequence[RuleStatus]) -> list[RuleStatus]:
    """The loaded rules that *expected* speaks of; exactly the predicted one where that is among them."""
    found = [rule for rule in loaded if matches(expected.match, labels_of(rule))]
    name = expected.predicted.labels.get("alertname") if expected.predicted else None
    return [rule for rule in found if rule.name == name] or found


def check(plan: Plan, loaded: Sequence[RuleStatus], now: float) -> Iterator[Finding]:
    """Find what is wrong with the rules as Prometheus runs them at server time *now*."""
    for alert in plan.expected:
        found = rules_for(alert, loaded)
        if not found:
            text = f"Prometheus has loaded no alerting rule for {render(alert.match)}"
            yield block("rule", text, "load the rule files and check rule_files in its configuration")
        for rule in found:
            yield from _one(alert, rule, now)


def _one(alert: ExpectedAlert, rule: RuleStatus, now: float) -> Iterator[Finding]:
    if rule.health == "err":
        yield block("rule", f"rule {rule.name} fails: {rule.last_error}", "correct the rule's expression")
    elif rule.last_evaluation and now - rule.last_evaluation > 2 * rule.interval_s + LATE_S:
        text = f"rule {rule.name} was last evaluated {now - rule.last_evaluation:.0f} s ago"
        yield block("rule", text, "Prometheus is overloaded or was paused: let it catch up first")
    if rule.state == "firing":
        text = f"{render(alert.match)} is firing already"
        yield block("already firing", text, "let it resolve first; a drill cannot prove an alert that is on")


def drift(plan: Plan, loaded: Sequence[RuleStatus], recording: Sequence[RecordingRule]) -> Iterator[Finding]:
    """Find where the rules that Prometheus runs are not those the prediction was made from."""
    records = loaded_groups((), recording)
    for expected in plan.expected:
        for rule in rules_for(expected, loaded) if expected.predicted else ():
            live = burn_alerts([*records, *loaded_groups([rule], ())])
            said = _differences(plan, expected.predicted, rule, live) if expected.predicted else []
            if said:
                text = f"rule {rule.name} is not what the plan was made from: {'; '.join(said)}"
                yield block("rule drift", text, "deploy the committed rules, or plan with those that run")


def _differences(
    plan: Plan, planned: PredictedAlert, rule: RuleStatus, live: Sequence[BurnAlert]
) -> Iterator[str] | list[str]:
    said = []
    if abs(rule.for_s - planned.for_s) > 1e-3:
        said.append(f"`for` is {_time(rule.for_s)} instead of {_time(planned.for_s)}{_too_long(plan, rule)}")
    if abs(rule.keep_firing_for_s - planned.keep_firing_for_s) > 1e-3:
        now, then = _time(rule.keep_firing_for_s), _time(planned.keep_firing_for_s)
        said.append(f"`keep_firing_for` is {now} instead of {then}")
    if rule.interval_s > 1.01 * plan.evaluation_interval_s:
        now, then = _time(rule.interval_s), _time(plan.evaluation_interval_s)
        said.append(f"it is evaluated every {now} instead of every {then}")
    if live and not any(_same(alert, planned) for alert in live):
        runs = " or ".join(f"{a.factor:.3g}x over {_time(a.long_s)} and {_time(a.short_s)}" for a in live)
        wanted = f"{planned.factor:.3g}x over {_time(planned.long_s)} and {_time(planned.short_s)}"
        said.append(f"it watches {runs} instead of {wanted}")
    return said


def _too_long(plan: Plan, rule: RuleStatus) -> str:
    longest = max((injection.for_s for injection in plan.injections), default=0.0)
    return f", longer than the whole fault of {_time(longest)}" if rule.for_s >= longest else ""


def _same(alert: BurnAlert, planned: PredictedAlert) -> bool:
    pairs = ((alert.factor, planned.factor), (alert.long_s, planned.long_s), (alert.short_s, planned.short_s))
    return all(abs(a - b) <= 0.01 * max(a, b) for a, b in pairs)


def _time(seconds: float) -> str:
    return format_duration(seconds)
