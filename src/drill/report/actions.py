"""Draft action items: what a verdict asks for, from the owner nearest to it. People decide and change them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from drill.core.clock import moment
from drill.core.labels import matches, render
from drill.core.observations import RuleStatus
from drill.journal.events import Preflight
from drill.report.model import ActionItem
from drill.runbook.records import Step
from drill.verify.model import AlertVerdict, JudgedAlert, Verdict
from drill.verify.record import Record

URGENT_DAYS, USUAL_DAYS = 7, 14
"""A page that does not work is fixed within a week; the rest within two."""
OWNER_LABELS = ("owner", "team")

TITLES = {
    AlertVerdict.LATE: "Make {alert} fire in time: check its windows, `for`, scrape and evaluation intervals",
    AlertVerdict.EARLY: "Find out what made {alert} fire before its prediction allows",
    AlertVerdict.NEVER: "Make {alert} fire: check its expression, its selector and the labels of its metrics",
    AlertVerdict.ALREADY_FIRING: "Fix what {alert} was firing for before the drill, then repeat the drill",
    AlertVerdict.SUPPRESSED: "Review what suppressed {alert}",
    AlertVerdict.MISROUTED: "Correct the route of {alert}",
    AlertVerdict.NOT_DELIVERED: "Repair the delivery of {alert}: receiver, credentials, notification errors",
    AlertVerdict.RESOLVED_WITHOUT_TRAFFIC: "Add an alert on missing traffic, so that silence is not recovery",
    AlertVerdict.NOT_RESOLVED: "Find out why {alert} does not resolve in time",
    AlertVerdict.UNEXPECTED: "Decide what {alert} is: expected, allowed or noise, and change scenario or rule",
    AlertVerdict.PREDICTION_INVALID: "Repeat the drill: {alert} could not be judged",
    AlertVerdict.NO_EVIDENCE: "Repeat the drill with evidence for {alert}",
}


STEP_TITLES = {
    "failed": "Correct the step '{step.name}' of the runbook {step.runbook}: its command fails",
    "contradicted": "Correct the step '{step.name}' of the runbook {step.runbook}: it did not help",
    "unavailable": "Make the step '{step.name}' of the runbook {step.runbook} possible",
}


def action_items(
    record: Record, verdict: Verdict, steps: Sequence[Step] = (), closed: Mapping[str, str] | None = None
) -> tuple[ActionItem, ...]:
    """Draft the action items of a run, most urgent first; none for a run without any event.

    *steps* are the runbook steps taken; *closed* maps titles to the later run that closes them.
    """
    if not record.events:
        return ()
    end = moment(record.events[-1].at + record.skew)
    makers = (_of_leftovers, _of_alerts, _of_rules, _of_findings)
    items = [item for make in makers for item in make(record, verdict, end)]
    items += _of_steps(steps, record.plan.owner, end)
    by = closed or {}
    return tuple(item.model_copy(update={"closed_by": by.get(item.title, "")}) for item in dict.fromkeys(items))


def _item(title: str, owner: str, why: str, due: datetime) -> ActionItem:
    return ActionItem(title=title, owner=owner, due=due.date().isoformat(), why=why)


def _of_steps(steps: Sequence[Step], fallback: str, end: datetime) -> Iterator[ActionItem]:
    """A step that did not do what it promises is its runbook owner's to correct."""
    for step in steps:
        title = STEP_TITLES.get(step.outcome)
        if title is not None and step.tag not in ("human", "check"):
            why = step.why or step.answer or "see the step's record"
            due = end + timedelta(days=URGENT_DAYS if step.changes else USUAL_DAYS)
            yield _item(title.format(step=step), step.owner or fallback, why, due)


def _of_leftovers(record: Record, verdict: Verdict, end: datetime) -> Iterator[ActionItem]:
    if not verdict.undo_complete:
        why = "; ".join(verdict.reasons)
        yield _item("Run `drill recover` and check that nothing is left", record.plan.owner, why, end)


def _of_alerts(record: Record, verdict: Verdict, end: datetime) -> Iterator[ActionItem]:
    unexpected = verdict.unexpected if record.plan.nothing_else else ()
    for alert in (*verdict.alerts, *unexpected):
        if alert.verdict is AlertVerdict.ON_TIME:
            continue
        name = alert.labels.get("alertname") or render(alert.match)
        days = URGENT_DAYS if alert.labels.get("severity") == "page" else USUAL_DAYS
        title = TITLES[alert.verdict].format(alert=name)
        yield _item(title, _owner(record, alert), alert.why, end + timedelta(days=days))


def _of_rules(record: Record, verdict: Verdict, end: datetime) -> Iterator[ActionItem]:
    for alert in verdict.alerts:
        rule = _rule(record, alert)
        if rule is not None and not rule.annotations.get("runbook_url"):
            why = "whoever is paged needs to know what to do"
            due = end + timedelta(days=USUAL_DAYS)
            yield _item(f"Give {rule.name} a runbook (`runbook_url`)", _owner(record, alert), why, due)


def _of_findings(record: Record, _: Verdict, end: datetime) -> Iterator[ActionItem]:
    preflight = record.last(Preflight)
    for finding in preflight.findings if preflight else ():
        if finding.level != "info" and finding.fix:
            yield _item(finding.fix, record.plan.owner, finding.text, end + timedelta(days=USUAL_DAYS))


def _rule(record: Record, alert: JudgedAlert) -> RuleStatus | None:
    preflight = record.last(Preflight)
    name = alert.labels.get("alertname", "")
    rules = [rule for rule in preflight.rules if rule.name == name] if preflight else []
    return next((rule for rule in rules if matches(rule.labels, alert.labels)), None)


def _owner(record: Record, alert: JudgedAlert) -> str:
    """Whoever the rule names, else whoever owns the scenario."""
    rule = _rule(record, alert)
    named = {**alert.labels, **(rule.labels | rule.annotations if rule else {})}
    return next((named[label] for label in OWNER_LABELS if named.get(label)), record.plan.owner)
