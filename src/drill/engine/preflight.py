"""What is looked at before anything is touched. Each finding says what to do; ``block`` findings forbid the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drill.core.errors import DrillError
from drill.core.labels import matches, render
from drill.core.observations import AlertmanagerAlert, RuleStatus
from drill.core.ports import AlertObserver
from drill.journal.events import Preflight
from drill.plan.model import ExpectedAlert, Finding, Plan


def preflight(plan: Plan, observer: AlertObserver, clock_skew_s: float, now: float) -> Preflight:
    """Look at the alert path and return everything found; never raises for a server that does not answer."""
    findings = list(plan.findings)
    rules: Sequence[RuleStatus] = ()
    started_at = 0.0
    try:
        rules, started_at = observer.rules(), observer.started_at()
        findings += _rule_findings(plan, rules, now + clock_skew_s)
    except DrillError as error:
        findings.append(_blocked("prometheus", str(error), error.hint or "start it, or correct its URL"))
    try:
        findings += _alertmanager_findings(plan, observer.alertmanager_alerts())
    except DrillError as error:
        findings.append(_blocked("alertmanager", str(error), error.hint or "start it, or correct its URL"))
    if abs(clock_skew_s) > 2:
        text = f"Prometheus's clock differs from this machine's by {clock_skew_s:.1f} s"
        findings.append(Finding(level="warn", check="clock", text=text, fix="synchronise the clocks"))
    return Preflight(
        findings=tuple(findings),
        rules=tuple(rule for rule in rules if _wanted(plan, rule)),
        clock_skew_s=clock_skew_s,
        prometheus_started_at=started_at,
    )


def _blocked(check: str, text: str, fix: str) -> Finding:
    return Finding(level="block", check=check, text=text, fix=fix)


def _labels(rule: RuleStatus) -> dict[str, str]:
    return {"alertname": rule.name, **rule.labels}


def _wanted(plan: Plan, rule: RuleStatus) -> bool:
    return any(matches(alert.match, _labels(rule)) for alert in plan.expected)


def _rule_findings(plan: Plan, rules: Sequence[RuleStatus], now: float) -> Iterator[Finding]:
    for alert in plan.expected:
        found = [rule for rule in rules if matches(alert.match, _labels(rule))]
        if not found:
            text = f"Prometheus has loaded no alerting rule for {render(alert.match)}"
            yield _blocked("rule", text, "load the rule files and check rule_files in its configuration")
        for rule in found:
            yield from _one_rule(alert, rule, now)


def _one_rule(alert: ExpectedAlert, rule: RuleStatus, now: float) -> Iterator[Finding]:
    if rule.health == "err":
        yield _blocked("rule", f"rule {rule.name} fails: {rule.last_error}", "correct the rule's expression")
    elif rule.last_evaluation and now - rule.last_evaluation > 2 * rule.interval_s + 5:
        text = f"rule {rule.name} was last evaluated {now - rule.last_evaluation:.0f} s ago"
        yield _blocked("rule", text, "Prometheus is overloaded or was paused: let it catch up first")
    if rule.state == "firing":
        text = f"{render(alert.match)} is firing already"
        yield _blocked("already firing", text, "let it resolve first; a drill cannot prove an alert that is on")


def _alertmanager_findings(plan: Plan, alerts: Sequence[AlertmanagerAlert]) -> Iterator[Finding]:
    for expected in plan.expected:
        for alert in alerts:
            if matches(expected.match, alert.labels) and alert.state == "active":
                text = f"{render(expected.match)} is active in Alertmanager already"
                yield _blocked("already firing", text, "let it resolve first")
