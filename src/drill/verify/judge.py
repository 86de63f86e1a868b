"""The judgement of a run from its plan and its journal, and nothing else.

Three answers are kept strictly. What the journal refutes is ``fail``; what it cannot show is ``unknown``; only
what it shows completely is ``pass``. Taking any line out of a journal leaves a hole in its numbering, so that
less evidence can never make a better verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from drill.core.errors import ExitCode
from drill.core.labels import render
from drill.core.units import format_duration
from drill.journal.events import (
    AlertmanagerSeen,
    AnyEvent,
    NotificationsSeen,
    Preflight,
    PrometheusRestarted,
    Recovered,
    RunFinished,
    RunStarted,
)
from drill.plan.model import Plan
from drill.verify.alerts import judge_also, judge_expected, judge_others, predicted_also
from drill.verify.injections import judge_injection, left_behind, leftovers
from drill.verify.model import AlertVerdict, JudgedAlert, JudgedInjection, Outcome, Verdict
from drill.verify.record import Record

EXIT = {
    "pass": ExitCode.PASS,
    "fail": ExitCode.FAIL,
    "unknown": ExitCode.UNKNOWN,
    "aborted": ExitCode.ABORTED,
}


def judge(plan: Plan, events: Sequence[AnyEvent]) -> Verdict:
    """Judge a run. Pure; raises nothing for any journal, however damaged."""
    record = Record(plan, tuple(events))
    injections = tuple(judge_injection(record, injection) for injection in plan.injections)
    alerts = tuple(judge_expected(record, index) for index in range(len(plan.expected)))
    predicted = predicted_also(record)
    judged = [(alert, judge_also(record, alert)) for alert in predicted]
    also = tuple(said for alert, said in judged if alert.fires or said.firing_at is not None)
    allowed, unexpected = judge_others(record, predicted)
    left = _left_behind(record, injections)
    outcome, reasons = _outcome(record, injections, alerts, unexpected)
    if left:
        outcome = "fail" if outcome == "pass" else outcome
        reasons = (*reasons, *(text for text in left if text not in reasons))
    return Verdict(
        outcome=outcome,
        exit_code=ExitCode.UNDO_INCOMPLETE if left else EXIT[outcome],
        reasons=reasons,
        notes=_notes(record, also, unexpected),
        alerts=alerts,
        also=also,
        allowed=tuple(allowed),
        unexpected=tuple(unexpected),
        injections=injections,
        undo_complete=not left,
        t0=record.t0,
        clock_skew_s=record.skew,
    )


def _outcome(
    record: Record,
    injections: tuple[JudgedInjection, ...],
    alerts: tuple[JudgedAlert, ...],
    unexpected: list[JudgedAlert],
) -> tuple[Outcome, tuple[str, ...]]:
    """Aborted before all; then broken premises; then what was refuted; then what was not seen."""
    finished = record.last(RunFinished)
    if record.aborted_by is not None:
        return "aborted", (f"aborted by {record.aborted_by.by}: {record.aborted_by.reason}",)
    if finished is not None and finished.aborted:
        return "aborted", ("the run was aborted",)
    broken = [*broken_premises(record), *(i.problem for i in injections if i.problem)]
    if broken:
        return "unknown", tuple(broken)
    refuted = [_say(alert) for alert in alerts if alert.verdict.outcome == "fail"]
    refuted += [left_behind(injection) for injection in injections if injection.clean is False]
    if record.plan.nothing_else:
        refuted += [f"{render(alert.labels)} fired although nobody expected it" for alert in unexpected]
    doubts = [_say(alert) for alert in alerts if alert.verdict.outcome == "unknown"] + unseen(record, alerts)
    if refuted:
        return "fail", tuple(refuted + doubts)
    return ("unknown", tuple(doubts)) if doubts else ("pass", ())


def _say(alert: JudgedAlert) -> str:
    return f"{render(alert.labels)}: {alert.verdict}: {alert.why}"


def broken_premises(record: Record) -> list[str]:
    """What forbids any judgement: a journal that is not whole, a run that never got to T0, a restart."""
    events = record.events
    if not events:
        return ["the journal is empty"]
    out = []
    if not isinstance(events[0], RunStarted) or any(event.seq != i for i, event in enumerate(events)):
        out.append("the journal has a hole: its lines are not numbered without gaps from the start of the run")
    if not any(isinstance(event, RunFinished) for event in events):
        out.append("the journal ends before the run did")
    preflight = record.last(Preflight)
    if preflight is None:
        out.append("nothing was checked before the start (no preflight), so clocks cannot be compared")
    elif record.t0 is None:
        out += [finding.text for finding in preflight.findings if finding.level == "block"]
    if record.t0 is None:
        out.append("the timeline never started: nothing was injected")
    if record.last(PrometheusRestarted) is not None:
        out.append("Prometheus was restarted during the run: predictions and alert states are invalid")
    return out


def unseen(record: Record, alerts: tuple[JudgedAlert, ...]) -> list[str]:
    """What was not seen although a pass needs it: alert states from T0 to the end, Alertmanager at the end."""
    ends = [ended.last + record.skew for i in record.plan.injections if (ended := record.ended(i.id))]
    until = max([*ends, *(alert.resolved_at for alert in alerts if alert.resolved_at)], default=None)
    out = []
    if record.t0 is not None and until is not None and not record.covers(record.t0, until):
        holes = record.lost("prometheus")
        why = f": {holes[-1].error}" if holes else ""
        out.append(f"alert states were not seen from T0 to the end ({format_duration(until - record.t0)}){why}")
    lost = record.silent_since("alertmanager", AlertmanagerSeen, NotificationsSeen)
    if lost is not None and (until is None or lost.at + record.skew <= until):
        out.append(f"Alertmanager stopped answering and was not seen again: {lost.error}")
    return out


def _left_behind(record: Record, injections: tuple[JudgedInjection, ...]) -> tuple[str, ...]:
    finished = record.last(RunFinished)
    left = leftovers(record, injections, finished is not None)
    if finished is not None and not finished.undo_complete and not left and record.last(Recovered) is None:
        return ("not every undo worked: run `drill recover`",)
    return left


def _notes(record: Record, also: tuple[JudgedAlert, ...], unexpected: list[JudgedAlert]) -> tuple[str, ...]:
    notes = [
        f"{render(alert.labels)} was predicted too and {alert.why}"
        for alert in also
        if alert.verdict not in (AlertVerdict.ON_TIME, AlertVerdict.NO_EVIDENCE)
    ]
    started = record.last(RunStarted)
    if started is not None and started.forced:
        notes.append("the run was forced although preflight had findings")
    if unexpected and not record.plan.nothing_else:
        notes += [f"{render(alert.labels)} fired besides; the scenario tolerates it" for alert in unexpected]
    if record.lost("target"):
        notes.append("the target did not always answer; what it would have shown in between is unknown")
    return tuple(notes)
