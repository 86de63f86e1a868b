"""What is looked at before anything is touched. Each finding says what to do; ``block`` findings forbid the run.

Owns the order of the checks and what happens when a server does not answer. The checks are in the modules beside:
``rules`` (loaded, healthy, as planned), ``series`` (what the rules read is there), ``measured`` (history, errors,
traffic, budget) and ``alertmanager`` (the way from Prometheus to the receiver).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from drill.core.errors import DrillError
from drill.core.labels import matches
from drill.core.observations import RecordingRule, RuleStatus
from drill.core.ports import AlertObserver, Foreseeing, Target
from drill.engine.preflight import alertmanager, measured, rules, series
from drill.engine.preflight.findings import Findings, block, info, warn
from drill.engine.preflight.powers import PathObserver
from drill.engine.watch import Measuring
from drill.journal.events import Preflight
from drill.plan.model import Finding, Plan

SKEW_S = 2.0
"""A clock that differs by more is worth saying, although all times are corrected by what was measured."""

Look = Callable[[], Iterable[Finding]]


def preflight(
    plan: Plan, observer: AlertObserver, clock_skew_s: float, now: float, *, target: Target | None = None
) -> Preflight:
    """Look at the alert path and return everything found; never raises for a server that does not answer.

    *clock_skew_s* is Prometheus's clock minus ours, *now* Unix seconds of ours. With *target*, the replicas of the
    plan are looked for there.
    """
    server_now = now + clock_skew_s
    findings = Findings(plan.findings)
    loaded: Sequence[RuleStatus] = ()
    started_at = 0.0
    try:
        loaded, started_at = observer.rules(), observer.started_at()
    except DrillError as error:
        findings.add(block("prometheus", str(error), error.hint or "start it, or correct its URL"))
    else:
        findings.extend(_in_prometheus(plan, observer, loaded, server_now))
    try:
        held = observer.alertmanager_alerts()
    except DrillError as error:
        findings.add(block("alertmanager", str(error), error.hint or "start it, or correct its URL"))
    else:
        findings.extend(alertmanager.already_active(plan, held))
        if isinstance(observer, PathObserver):
            findings.extend(_on_the_way(plan, observer, server_now, started_at))
    findings.extend(_clock(clock_skew_s))
    if target is not None:
        findings.extend(_look("target", lambda: _target(plan, target)))
        findings.extend(_look("permissions", lambda: _hindrances(plan, target)))
    return Preflight(
        findings=findings.all(),
        rules=tuple(rule for rule in loaded if any(matches(a.match, rules.labels_of(rule)) for a in plan.expected)),
        clock_skew_s=clock_skew_s,
        prometheus_started_at=started_at,
    )


def _in_prometheus(
    plan: Plan, observer: AlertObserver, loaded: Sequence[RuleStatus], now: float
) -> Iterable[Finding]:
    yield from rules.check(plan, loaded, now)
    if isinstance(observer, PathObserver):
        path: PathObserver = observer
        recording: Sequence[RecordingRule] = ()
        try:
            recording = path.recording_rules()
        except DrillError as error:
            yield info("rules", f"recording rules could not be looked at: {error}")
        yield from rules.drift(plan, loaded, recording)
        yield from _look("series", lambda: series.check(plan, loaded, recording, path))
        yield from _look("scrape", lambda: series.scrapes(plan, loaded, recording, path.targets()))
    yield from _look("traffic", lambda: measured.slis(plan, observer.sli()))
    if isinstance(observer, Measuring):
        measuring: Measuring = observer
        yield from _look("history", lambda: measured.history(plan, measuring))
    if isinstance(observer, PathObserver):
        budgets: PathObserver = observer
        yield from _look("budget", lambda: measured.budget(plan, budgets))


def _on_the_way(plan: Plan, observer: PathObserver, now: float, started_at: float) -> Iterable[Finding]:
    age_s = now - started_at if started_at else float("inf")
    yield from _look("alertmanager", lambda: alertmanager.discovered(observer, age_s))
    yield from _look("notification queue", lambda: alertmanager.queue(observer.notifier()))
    yield from _look("alertmanager", lambda: alertmanager.arrives(observer, now))
    yield from _look("routing", lambda: alertmanager.Way(plan, observer, now).check())


def _look(check: str, look: Look) -> Sequence[Finding]:
    """What one check finds; that a server cannot say it (Thanos, Mimir) is a finding too, and no obstacle."""
    try:
        return tuple(look())
    except DrillError as error:
        return (info(check, f"could not be checked: {error}", error.hint),)


def _clock(skew_s: float) -> Iterable[Finding]:
    if abs(skew_s) > SKEW_S:
        text = f"Prometheus's clock differs from this machine's by {skew_s:.1f} s"
        yield warn("clock", f"{text}; all times are corrected by that", "synchronise the clocks")


def _hindrances(plan: Plan, target: Target) -> Iterable[Finding]:
    if isinstance(target, Foreseeing):
        steps = [step for injection in plan.injections for step in injection.steps]
        actions = [action for step in steps for action in (step.action, step.undo)]
        for one in target.hindrances(actions):
            yield (block if one.level == "block" else warn)(one.check, one.text, one.fix)


def _target(plan: Plan, target: Target) -> Iterable[Finding]:
    there = {replica.name for service in target.facts().services for replica in service.replicas}
    for injection in plan.injections:
        gone = [name for name in injection.replicas if name not in there]
        if gone:
            text = f"injection '{injection.id}': {', '.join(gone)} is not at {target.name} any more"
            yield block("target", text, "plan again: replicas were replaced since the plan was made")


__all__ = ["preflight"]
