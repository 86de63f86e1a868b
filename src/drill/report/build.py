"""Building the report: a pure function of plan, journal and verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from pydantic import JsonValue

from drill.core.clock import rfc3339
from drill.journal.events import AnyEvent, BudgetMeasured, Preflight, RunFinished, RunStarted
from drill.plan.model import Finding, Occasion, Plan, PlannedInjection
from drill.report import model as m
from drill.report.actions import action_items
from drill.report.people import OPEN_PARTS
from drill.report.series import impacts, notices, series, spans
from drill.report.timeline import timeline
from drill.report.words import headline, windows_line
from drill.runbook.records import Step
from drill.verify.model import JudgedAlert, JudgedInjection, Verdict
from drill.verify.record import Record


@dataclass(frozen=True)
class Beside:
    """What lies beside a run's journal: runbook steps, the people's parts by title, and the later runs that close
    action items (by title).
    """

    steps: Sequence[Step] = ()
    people: Mapping[str, str] = field(default_factory=dict)
    closed: Mapping[str, str] = field(default_factory=dict)


NOTHING = Beside()
NOTES: Mapping[Occasion, tuple[str, ...]] = {
    "drill": (),
    "training": (
        "A training: people changed the target while it went on. What fired on time and was delivered is proven;"
        " what did not says nothing against a rule. What people did is in debrief.md.",
    ),
    "proof": (
        "A proof of a runbook: its cells were played while the fault was in place, and may have moved alerts."
        " What fired on time and was delivered is proven; what did not says nothing against a rule.",
    ),
}
"""What a reader must know of a run's occasion."""


def build(plan: Plan, events: Sequence[AnyEvent], verdict: Verdict, beside: Beside = NOTHING) -> m.Report:
    """Build the report of a run. Pure; raises nothing for any journal, however damaged."""
    record = Record(plan, tuple(events))
    started, finished = record.last(RunStarted), record.last(RunFinished)
    judged = {injection.id: injection for injection in verdict.injections}
    budgets = _budgets(record)
    return m.Report(
        verdict=verdict.outcome,
        exit_code=int(verdict.exit_code),
        headline=headline(plan, verdict),
        reasons=verdict.reasons,
        notes=(*verdict.notes, *NOTES[plan.occasion]),
        scenario=plan.scenario,
        title=plan.title,
        hypothesis=plan.hypothesis,
        owner=plan.owner,
        tags=plan.tags,
        runbook=plan.runbook,
        parameters=plan.parameters,
        source_sha256=plan.source_sha256,
        service=plan.service,
        target=plan.target,
        occasion=plan.occasion,
        run_id=started.run_id if started else "",
        drill_version=started.drill_version if started else "",
        forced=bool(started and started.forced),
        windows=_windows(plan),
        windows_line=windows_line(plan),
        started_at=_time(started.at + record.skew if started else None),
        t0=_time(record.t0),
        finished_at=_time(finished.at + record.skew if finished else None),
        injections=tuple(_injection(p, judged[p.id]) for p in plan.injections if p.id in judged),
        alerts=tuple(_alert(alert) for alert in verdict.alerts),
        also_alerts=tuple(_alert(alert) for alert in verdict.also),
        allowed_alerts=tuple(_alert(alert) for alert in verdict.allowed),
        unexpected_alerts=tuple(_alert(alert) for alert in verdict.unexpected),
        budget=_main_budget(plan, budgets),
        budgets=budgets,
        impacts=impacts(record),
        timeline=timeline(record, verdict, beside.steps),
        action_items=action_items(record, verdict, beside.steps, beside.closed),
        findings=_findings(record),
        series=series(record),
        spans=spans(record),
        notifications=notices(record),
        steps=tuple(_step(step, record.skew) for step in beside.steps),
        people=_people(beside.people),
    )


def _step(step: Step, skew: float) -> m.RunbookStep:
    return m.RunbookStep(
        runbook=step.runbook,
        name=step.name,
        kind=step.tag,
        outcome=step.outcome,
        at=rfc3339(step.began + skew),
        took_s=round(max(0.0, step.ended - step.began), 3),
        command=step.command,
        answer=step.answer,
        why=step.why,
        by=step.by,
        role=step.role,
    )


def _people(written: Mapping[str, str]) -> tuple[m.PeoplePart, ...]:
    questions = dict(OPEN_PARTS)
    titles = dict.fromkeys([*questions, *written])
    return tuple(
        m.PeoplePart(title=title, question=questions.get(title, ""), text=written.get(title, ""))
        for title in titles
    )


def _time(at: float | None) -> str | None:
    return None if at is None or not math.isfinite(at) else rfc3339(at)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _windows(plan: Plan) -> m.Windows:
    tested = tuple(
        m.Window(
            severity=pair.severity,
            factor=pair.factor,
            long_s=pair.long_s,
            short_s=pair.short_s,
            real_long_s=pair.real_long_s,
            real_short_s=pair.real_short_s,
        )
        for pair in plan.windows
    )
    return m.Windows(fast_forward=plan.fast_forward, tested=tested)


def _injection(planned: PlannedInjection, judged: JudgedInjection) -> m.Injection:
    return m.Injection(
        id=planned.id,
        fault=planned.fault,
        backend=planned.backend,
        why=planned.why,
        service=planned.service,
        targets=planned.replicas,
        of_replicas=planned.of_replicas,
        applied_at=_time(judged.applied_at),
        effective_at=_time(judged.effective_at),
        effect=_effect(planned, judged),
        reverted_at=_time(judged.reverted_at),
        clean=judged.clean,
        differences=judged.differences,
        problem=judged.problem,
    )


def _effect(planned: PlannedInjection, judged: JudgedInjection) -> m.Effect:
    values = [effect.measured for effect in judged.effects if math.isfinite(effect.measured)]
    return m.Effect(
        measured=median(values) if values else None,
        expected=_finite(planned.effect.expected),
        unit=planned.effect.unit,
        holds=judged.effect_holds,
        replicas=tuple(
            m.ReplicaEffect(replica=effect.replica, measured=_finite(effect.measured), holds=effect.holds)
            for effect in judged.effects
        ),
    )


def _alert(judged: JudgedAlert) -> m.Alert:
    low_high = judged.predicted
    prediction = low_high and m.Prediction(
        earliest=rfc3339(low_high[0]),
        latest=rfc3339(low_high[1]),
        after_s=None if judged.since is None else _offsets(low_high, judged.since),
        basis=judged.predicted_basis,
    )
    return m.Alert(
        labels=judged.labels,
        match=judged.match,
        verdict=judged.verdict,
        why=judged.why,
        notes=tuple(claim.why for claim in judged.claims if claim.why != judged.why),
        predicted=prediction or None,
        pending_at=_time(judged.pending_at),
        firing_at=_time(judged.firing_at),
        in_alertmanager_at=_time(judged.in_alertmanager_at),
        expected_receiver=judged.expected_receiver,
        receivers=judged.receivers,
        delivered_at=_time(judged.delivered_at),
        resolved_at=_time(judged.resolved_at),
        firing_after_s=_between(judged.since, judged.firing_at),
        delivered_after_s=_between(judged.firing_at, judged.delivered_at),
        resolved_after_s=_between(judged.fault_ended, judged.resolved_at),
        evidence=tuple(
            m.EvidenceRow(source=row.source, query=row.query, at=rfc3339(row.at), raw=_plain(row.raw))
            for row in judged.evidence
        ),
    )


def _offsets(interval: tuple[float, float], zero: float) -> tuple[float, float]:
    return round(interval[0] - zero, 3), round(interval[1] - zero, 3)


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(end - start, 3)


def _plain(raw: JsonValue) -> JsonValue:
    """The same value without NaN and infinity, which JSON cannot say."""
    match raw:
        case dict():
            return {name: _plain(value) for name, value in raw.items()}
        case list():
            return [_plain(value) for value in raw]
        case float() if not math.isfinite(raw):
            return None
        case _:
            return raw


def _budgets(record: Record) -> tuple[m.Budget, ...]:
    last = {event.sloth_id: event for event in record.all(BudgetMeasured)}
    return tuple(_budget(last[name]) for name in sorted(last))


def _budget(event: BudgetMeasured) -> m.Budget:
    spent, remaining = _finite(event.spent), None if event.remaining is None else _finite(event.remaining)
    return m.Budget(
        slo=event.sloth_id,
        spent_percent=None if spent is None else round(spent * 100, 4),
        remaining_percent=None if remaining is None else round(remaining * 100, 4),
    )


def _main_budget(plan: Plan, budgets: tuple[m.Budget, ...]) -> m.Budget | None:
    wanted = {match.get("sloth_id") for match in (expected.match for expected in plan.expected[:1])}
    first = [budget for budget in budgets if budget.slo in wanted]
    return max(first or budgets, key=lambda budget: budget.spent_percent or 0.0, default=None)


def _findings(record: Record) -> tuple[m.PreflightFinding, ...]:
    preflight = record.last(Preflight)
    found: dict[Finding, None] = dict.fromkeys([*record.plan.findings, *(preflight.findings if preflight else ())])
    return tuple(m.PreflightFinding(level=f.level, check=f.check, text=f.text, fix=f.fix) for f in found)
