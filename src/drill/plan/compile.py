"""Compiling a scenario for one target: facts + faults + rules in, a plan or all complaints out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

from drill.alerting.rules import BurnAlert
from drill.core.actions import RunActivity
from drill.core.activities import describe_call
from drill.core.facts import Facts
from drill.core.labels import Labels, matches, render
from drill.core.problems import did_you_mean
from drill.core.units import format_duration, format_ratio
from drill.faults.base import Fault, Params
from drill.plan.impact import impacts
from drill.plan.injections import Complaint, plan_injections
from drill.plan.model import (
    AbortCondition,
    ExpectedAlert,
    Finding,
    Guardrails,
    Impact,
    Interval,
    Plan,
    PlannedInjection,
    PlannedSlo,
    PredictedAlert,
    WindowPair,
)
from drill.plan.predict import NORMAL, STEADY, predict_alerts
from drill.plan.remedy import smallest_changes
from drill.scenario import model as scenario_model
from drill.scenario.model import Scenario

PERIOD_S = 30 * 86400.0
"""The error budget's period, 30 days (SRE workbook, chapter 5)."""


@dataclass(frozen=True)
class Rules:
    """The alert path a plan is judged against: the alert rules, and which receivers a set of labels reaches."""

    alerts: tuple[BurnAlert, ...]
    receivers_for: Callable[[Labels], tuple[str, ...]]
    timings_for: Callable[[Labels], tuple[float, float]] | None = None
    """``(group_wait, group_interval)`` of the route a set of labels takes, as they run; None: the facts'."""


@dataclass(frozen=True)
class Source:
    """A loaded scenario: the checked model, the checked ``with:`` blocks by injection, and where it came from."""

    scenario: Scenario
    params: Mapping[str, Params]
    parameters: Mapping[str, str]
    sha256: str


@dataclass(frozen=True)
class Compiled:
    """A plan, or the complaints that stand in its way; ``plan`` is None exactly when there are complaints."""

    plan: Plan | None
    complaints: tuple[Complaint, ...] = ()


def compile_plan(
    source: Source, facts: Facts, rules: Rules, faults: Mapping[str, Fault], *, seed: int, baseline_s: float
) -> Compiled:
    """Compile *source* for the target *facts* describe.

    Returns all complaints at once. A plan that cannot prove what the scenario expects is still returned, with
    ``block`` findings that say why, and the smallest change that would work.
    """

    def compiled(scenario: Scenario, params: Mapping[str, Params]) -> Compiled:
        changed = Source(scenario, params, source.parameters, source.sha256)
        return _compiled(changed, facts, rules, faults, seed=seed, baseline_s=baseline_s)

    made = compiled(source.scenario, source.params)
    if made.plan is None:
        return made

    def changes(index: int, cause: PlannedInjection) -> tuple[str, ...]:
        def works(scenario: Scenario, params: Mapping[str, Params]) -> bool:
            plan = compiled(scenario, params).plan
            return plan is not None and _certain(plan, index) and not _limit_findings(plan)

        return smallest_changes(source.scenario, source.params, facts, cause.id, works)

    plan = made.plan
    return Compiled(plan.with_(findings=(*_limit_findings(plan), *_prediction_findings(plan, changes))))


def _certain(plan: Plan, index: int) -> bool:
    predicted = plan.expected[index].predicted
    return predicted is not None and predicted.fires


def _compiled(
    source: Source, facts: Facts, rules: Rules, faults: Mapping[str, Fault], *, seed: int, baseline_s: float
) -> Compiled:
    """A plan without findings, or the complaints."""
    scenario = source.scenario
    slos = planned_slos(rules.alerts, facts.fast_forward)
    planned = plan_injections(scenario, source.params, facts, faults, seed)
    complaints = list(planned.complaints)
    found = impacts(planned.hits, facts, slos)
    expected = [_expected(index, item, rules, complaints) for index, item in enumerate(scenario.expect.alerts)]
    if complaints:
        return Compiled(None, tuple(complaints))
    found = _overridden(found, planned.injections, scenario.expect.alerts, expected, facts)
    draft = Plan(
        scenario=scenario.metadata.name,
        title=scenario.metadata.title or scenario.metadata.name,
        hypothesis=scenario.hypothesis,
        owner=scenario.metadata.owner,
        tags=scenario.metadata.tags,
        runbook=scenario.runbook,
        source_sha256=source.sha256,
        parameters=dict(source.parameters),
        service=_service(source, planned.injections),
        target=facts.target,
        seed=seed,
        fast_forward=facts.fast_forward,
        windows=_windows(rules.alerts, facts.fast_forward),
        scrape_interval_s=facts.scrape_interval_s,
        evaluation_interval_s=facts.evaluation_interval_s,
        group_wait_s=facts.group_wait_s,
        group_interval_s=facts.group_interval_s,
        chained=facts.chained,
        history_s=facts.history_s + baseline_s,
        baseline_s=baseline_s,
        injections=tuple(planned.injections),
        impacts=found,
        expected=tuple(
            _with_deadlines(alert, item, facts)
            for alert, item in zip(expected, scenario.expect.alerts, strict=True)
        ),
        allow=scenario.expect.nothing_else.allow if scenario.expect.nothing_else else (),
        nothing_else=scenario.expect.nothing_else is not None,
        slos=slos,
        guardrails=_guardrails(scenario.guardrails, facts.fast_forward),
    )
    plan = repredict(draft, rules, history_s=draft.history_s, baseline={})
    spend = max((alert.budget for alert in all_predicted(plan) if alert.fires), default=0.0)
    return Compiled(plan.with_(budget_spend=spend))


def repredict(
    plan: Plan,
    rules: Rules,
    *,
    history_s: float,
    baseline: Mapping[str, float],
    traffic: Mapping[str, Interval] = NORMAL,
    windows: Mapping[str, Mapping[float, float]] = STEADY,
) -> Plan:
    """Return *plan* with its predictions made anew from a measured history (s) and measured error ratios.

    ``traffic`` is the traffic during the faults over the normal traffic by ``sloth_id``, between two bounds; what
    is not in it is as before. ``windows`` are measured error ratios by ``sloth_id`` and window (s): what an earlier
    incident has left in them.
    """
    spans = {injection.id: (injection.at_s, injection.for_s) for injection in plan.injections}
    caused = [
        (
            impact,
            spans[impact.injection][0],
            impact.lasts_s if impact.lasts_s is not None else spans[impact.injection][1],
        )
        for impact in plan.impacts
    ]
    predicted = predict_alerts(
        rules.alerts,
        caused,
        scrape_s=plan.scrape_interval_s,
        history_s=history_s,
        baseline=baseline,
        traffic=traffic,
        windows=windows,
        group_wait_s=plan.group_wait_s,
        group_interval_s=plan.group_interval_s,
        receivers_for=rules.receivers_for,
        timings_for=rules.timings_for,
    )
    expected = tuple(alert.with_(predicted=_pick(alert.match, predicted)) for alert in plan.expected)
    taken = [alert.predicted for alert in expected if alert.predicted]
    return plan.with_(expected=expected, also=tuple(alert for alert in predicted if alert not in taken))


def all_predicted(plan: Plan) -> tuple[PredictedAlert, ...]:
    """Return the predictions of the expected and of all other touched alerts."""
    return (*(alert.predicted for alert in plan.expected if alert.predicted), *plan.also)


def planned_slos(alerts: Sequence[BurnAlert], fast_forward: float) -> tuple[PlannedSlo, ...]:
    """Return the SLOs behind *alerts*, one each.

    A period that the rules record is as it runs; else it is 30 days, divided like every other window.
    """
    slos = {
        alert.sloth_id: PlannedSlo(
            sloth_id=alert.sloth_id,
            service=alert.service,
            name=alert.labels.get("sloth_slo", alert.sloth_id),
            objective=alert.objective,
            period_s=alert.period_s if alert.period_s != PERIOD_S else PERIOD_S / fast_forward,
            threshold_s=alert.threshold_s,
        )
        for alert in alerts
    }
    return tuple(slos.values())


def _service(source: Source, injections: Sequence[PlannedInjection]) -> str:
    return source.parameters.get("service") or injections[0].service


def wanted_labels(match: Mapping[str, str]) -> dict[str, str]:
    """Return *match* as labels: ``slo`` is short for ``sloth_id``."""
    return {("sloth_id" if name == "slo" else name): value for name, value in match.items()}


def _pick(match: Labels, predicted: Sequence[PredictedAlert]) -> PredictedAlert | None:
    return next((alert for alert in predicted if matches(match, alert.labels)), None)


def _expected(
    index: int, item: scenario_model.ExpectedAlert, rules: Rules, complaints: list[Complaint]
) -> ExpectedAlert:
    match = wanted_labels(item.match)
    place = ("expect", "alerts", index)
    found = [alert for alert in rules.alerts if matches(match, {"alertname": alert.alertname, **alert.labels})]
    if not found:
        complaints.append(
            Complaint((*place, "match"), f"no alert rule matches {render(match)}", _hint(match, rules))
        )
        return ExpectedAlert(match=match)
    labels = {"alertname": found[0].alertname, **found[0].labels}
    reached = rules.receivers_for(labels)
    if item.receiver and item.receiver not in reached:
        text = f"{render(labels)} is routed to {', '.join(reached) or 'nobody'}, not to '{item.receiver}'"
        complaints.append(Complaint((*place, "receiver"), text, did_you_mean(item.receiver, reached)))
    return ExpectedAlert(match=match, receiver=item.receiver or (reached[0] if reached else ""))


def _hint(match: Labels, rules: Rules) -> str:
    for name, value in match.items():
        known = {alert.alertname if name == "alertname" else alert.labels.get(name, "") for alert in rules.alerts}
        if value not in known:
            return f"label {name}: {did_you_mean(value, known - {''}) or 'no rule has it'}"
    return "each label exists, but no rule has all of them"


def _with_deadlines(alert: ExpectedAlert, item: scenario_model.ExpectedAlert, facts: Facts) -> ExpectedAlert:
    within = item.fires.within if isinstance(item.fires, scenario_model.Within) else None
    resolves = item.resolves.within if item.resolves else None
    return alert.with_(
        within_s=within / facts.fast_forward if within is not None else None,
        resolves_within_s=resolves / facts.fast_forward if resolves is not None else None,
    )


def _overridden(
    found: Sequence[Impact],
    injections: Sequence[PlannedInjection],
    items: Sequence[scenario_model.ExpectedAlert],
    expected: Sequence[ExpectedAlert],
    facts: Facts,
) -> tuple[Impact, ...]:
    """Replace computed error ratios by those the scenario states for an SLO."""
    stated = {
        alert.match["sloth_id"]: item.error_ratio
        for alert, item in zip(expected, items, strict=True)
        if item.error_ratio and "sloth_id" in alert.match
    }
    known = {impact.sloth_id for impact in found}
    replaced = [
        impact.with_(error_ratio=stated[impact.sloth_id]) if impact.sloth_id in stated else impact
        for impact in found
    ]
    new = [
        Impact(injection=injections[0].id, sloth_id=sloth_id, error_ratio=ratio, late_s=facts.client_timeout_s)
        for sloth_id, ratio in stated.items()
        if sloth_id not in known
    ]
    return (*replaced, *new)


def _windows(alerts: Sequence[BurnAlert], fast_forward: float) -> tuple[WindowPair, ...]:
    pairs = {
        (alert.factor, alert.long_s, alert.short_s): WindowPair(
            severity=alert.labels.get("severity", ""),
            factor=alert.factor,
            long_s=alert.long_s,
            short_s=alert.short_s,
            real_long_s=alert.long_s * fast_forward,
            real_short_s=alert.short_s * fast_forward,
        )
        for alert in alerts
    }
    return tuple(sorted(pairs.values(), key=lambda pair: -pair.factor))


def _guardrails(given: scenario_model.Guardrails, fast_forward: float) -> Guardrails:
    return Guardrails(
        max_budget_spend=given.max_budget_spend,
        max_blast_radius=given.max_blast_radius,
        max_duration_s=given.max_duration / fast_forward,
        abort_if=tuple(
            AbortCondition(promql=item.promql, for_s=item.for_ / fast_forward) for item in given.abort_if
        ),
    )


def _limit_findings(plan: Plan) -> tuple[Finding, ...]:
    return (*_blast_findings(plan), *_budget_findings(plan), *_activity_findings(plan))


def _activity_findings(plan: Plan) -> tuple[Finding, ...]:
    """What drill cannot know of Chaos Toolkit's actions, said once for each."""
    found = [
        Finding(
            level="warn",
            check="activities",
            text=f"injection '{injection.id}' is an activity of Chaos Toolkit, {describe_call(step.action.call)}: "
            "drill knows neither its reach nor whether its undo works",
            fix="read action, undo and probe; rehearse it in the sandbox",
        )
        for injection in plan.injections
        for step in injection.steps
        if isinstance(step.action, RunActivity)
    ]
    return tuple(dict.fromkeys(found))


def _blast_findings(plan: Plan) -> tuple[Finding, ...]:
    limit = plan.guardrails.max_blast_radius
    return tuple(
        Finding(
            level="block",
            check="blast radius",
            text=f"injection '{injection.id}' faults {len(injection.replicas)} of {injection.of_replicas} "
            f"replicas of {injection.service}; the scenario's limit is {format_ratio(limit)}",
            fix=f"lower target.pods, or raise guardrails.max_blast_radius (now {format_ratio(limit)})",
        )
        for injection in plan.injections
        if len(injection.replicas) / injection.of_replicas > limit + 1e-9
    )


Changes = Callable[[int, PlannedInjection], tuple[str, ...]]
"""What alone would make an expected alert (by its number) fire, tried at the injection that should cause it."""


def _prediction_findings(plan: Plan, changes: Changes) -> tuple[Finding, ...]:
    findings = []
    for index, alert in enumerate(plan.expected):
        name = render(alert.match)
        if alert.predicted is None:
            text = f"no injection changes what {name} watches, so it cannot fire"
            findings.append(Finding(level="block", check="prediction", text=text, fix="expect another alert"))
        elif not alert.predicted.fires:
            can = "may stay silent" if alert.predicted.may_fire else "cannot fire"
            text = f"{name} {can}: {_reason(alert.predicted.why)}"
            fix = _smallest_change(plan, alert.predicted, partial(changes, index))
            findings.append(Finding(level="block", check="prediction", text=text, fix=fix))
    return tuple(findings)


def _reason(why: str) -> str:
    """*why* without the words that would only repeat that it does not fire for certain."""
    return why.removeprefix("it may fire, but not for certain: ").removeprefix("it does not fire: ")


def _smallest_change(
    plan: Plan, predicted: PredictedAlert, tried: Callable[[PlannedInjection], tuple[str, ...]]
) -> str:
    """Say what alone would make it fire, in the scenario's own terms: times not divided by fast-forward."""
    changes = []
    causes = {impact.injection: impact for impact in plan.impacts if impact.sloth_id == predicted.sloth_id}
    cause = next((one for one in plan.injections if one.id in causes and one.at_s == predicted.starts_at_s), None)
    if predicted.needs_duration_s is not None and cause is not None and causes[cause.id].lasts_s is None:
        needed, now = (
            format_duration(ceil(s * plan.fast_forward)) for s in (predicted.needs_duration_s, cause.for_s)
        )
        changes.append(f"set 'for: {needed}' at injection '{cause.id}' (now {now})")
    if cause is not None:
        changes += tried(cause)
    if predicted.needs_error_ratio is not None and not changes:
        low, high = (format_ratio(round(ratio, 4)) for ratio in predicted.error_ratio)
        now = low if low == high else f"{low} to {high}"
        needed = format_ratio(ceil(predicted.needs_error_ratio * 1e4) / 1e4)
        if predicted.error_ratio == (0.0, 1.0):
            changes.append(f"say at the alert what share must be bad, like 'error_ratio: [{needed}, 100%]'")
        else:
            changes.append(f"fault more requests: at least {needed} must be bad (now {now})")
    return ", or ".join(changes) or "expect another alert, or fault a service with a stricter objective"


def _budget_findings(plan: Plan) -> tuple[Finding, ...]:
    findings = []
    limit = plan.guardrails.max_budget_spend
    if plan.budget_spend > limit + 1e-9:
        text = (
            f"the run may spend {format_ratio(plan.budget_spend)} of an error budget; "
            f"the scenario allows {format_ratio(limit)}"
        )
        findings.append(
            Finding(level="block", check="budget", text=text, fix="shorten the fault, or raise max_budget_spend")
        )
    total = plan.baseline_s + plan.end_s
    if total > plan.guardrails.max_duration_s:
        most = format_duration(plan.guardrails.max_duration_s)
        text = f"the run takes at least {format_duration(total)}; the limit is {most}"
        findings.append(Finding(level="block", check="duration", text=text, fix="raise guardrails.max_duration"))
    return tuple(findings)
