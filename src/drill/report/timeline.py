"""The merged timeline: what drill did, what the servers saw, what receivers got, in one order of server time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal
from urllib.parse import quote, urlsplit

from drill.core.actions import is_deed, place_of
from drill.core.clock import rfc3339
from drill.journal import events as e
from drill.report.model import TimelineRow
from drill.report.words import seconds, short_name
from drill.runbook.records import Step
from drill.verify.model import JudgedAlert, Verdict
from drill.verify.record import Record
from drill.verify.spans import SeenSpan

Who = Literal["drill", "target", "prometheus", "alertmanager", "receiver", "people"]
Row = tuple[float, Who, str, str, str]
"""Server time, who, kind, text, query."""

PHASES = {
    "preflight": "Preflight: looking before touching anything",
    "baseline": "Watching healthy traffic",
    "inject": "Injecting",
    "hold": "Faults in place, watching",
    "recover": "Taking the faults back",
    "resolve": "Waiting for the alerts to resolve",
    "done": "Done",
}


def timeline(record: Record, verdict: Verdict, steps: Sequence[Step] = ()) -> tuple[TimelineRow, ...]:
    """All rows in order of server time; *steps* are what people did by the runbook."""
    seen = [*_drill_rows(record), *_alert_rows(record), *_alertmanager_rows(verdict), *_notes(record)]
    rows = sorted([*seen, *_step_rows(record, steps)])
    users = _users_query(record)
    base = _link_base(record)
    return tuple(
        TimelineRow(
            at=rfc3339(at),
            offset_s=None if record.t0 is None else round(at - record.t0, 3),
            source=who,
            kind=kind,
            text=text,
            query=query or users,
            link=_link(base, query or users, at),
        )
        for at, who, kind, text, query in rows
    )


def _users_query(record: Record) -> str:
    """What to look at for a row that has no question of its own: how fast the budget burned just then."""
    match = record.plan.expected[0].match if record.plan.expected else {}
    paid = (impact.sloth_id for impact in record.plan.impacts)
    slo = match.get("sloth_id") or match.get("slo") or next(paid, "")
    return f'slo:current_burn_rate:ratio{{sloth_id="{slo}"}}' if slo else ""


def _step_rows(record: Record, steps: Sequence[Step]) -> Iterator[Row]:
    for step in steps:
        who = f"{step.by}: " if step.by else ""
        what = step.name if step.tag != "check" else "users well again"
        why = f" ({step.why})" if step.why and step.outcome != "skipped" else ""
        at = step.ended if step.tag == "check" else step.began
        query = step.command if step.tag in ("check", "diagnose") and "kubectl" not in step.command else ""
        if step.outcome != "skipped":
            text = f"{who}{step.runbook}, {what}: {step.outcome}{why}"
            yield at + record.skew, "people", f"step-{step.tag}", text, query


def _drill_rows(record: Record) -> Iterator[Row]:
    done: set[str] = set()
    for event in record.events:
        if isinstance(event, e.ActionDone) and is_deed(event.action):
            if event.injection not in done:
                done.add(event.injection)
                yield _in_place(record, event)
            continue
        said = _say(event)
        if said is not None:
            who, text = said
            yield event.at + record.skew, who, event.kind, text, ""


def _in_place(record: Record, first: e.ActionDone) -> Row:
    injection = next((i for i in record.plan.injections if i.id == first.injection), None)
    what = f"{injection.fault} ({injection.backend})" if injection else first.injection
    where = ", ".join(injection.replicas) if injection else place_of(first.action)
    return first.done_at + record.skew, "target", first.kind, f"{what} first in place; goes to {where}", ""


def _say(event: e.AnyEvent) -> tuple[Who, str] | None:
    return _say_deed(event) or _say_frame(event) or _say_trouble(event)


def _say_deed(event: e.AnyEvent) -> tuple[Who, str] | None:
    match event:
        case e.EffectMeasured():
            held = "" if event.holds else ": too weak"
            return "target", (
                f"{event.injection} at {event.replica}: measured {event.measured:.4g} {event.unit}, "
                f"expected {event.expected:g} {event.unit}{held}"
            )
        case e.InjectionEffective():
            return "drill", f"{event.injection} is in effect everywhere; the alert clock runs"
        case e.InjectionEnded():
            return "target", f"{event.injection} was taken back, within {seconds(event.last - event.first)}"
        case e.CleanChecked():
            found = "nothing is left" if event.clean else f"left behind: {', '.join(event.differences)}"
            return "target", f"{event.injection} compared with the state before: {found}"
        case _:
            return None


def _say_frame(event: e.AnyEvent) -> tuple[Who, str] | None:
    match event:
        case e.RunStarted():
            return "drill", f"Run {event.run_id} started by drill {event.drill_version} on {event.host}"
        case e.PhaseEntered():
            return "drill", PHASES[event.phase]
        case e.TimelineStarted():
            return "drill", "T0: the timeline starts"
        case e.Predicted():
            return "drill", f"Prediction renewed from {event.basis}"
        case e.BudgetMeasured():
            return "prometheus", f"{event.sloth_id}: {event.spent * 100:.3g} % of its error budget spent"
        case e.RunFinished():
            return "drill", "Run finished" if event.undo_complete else "Run finished, an undo did not work"
        case _:
            return None


def _say_trouble(event: e.AnyEvent) -> tuple[Who, str] | None:
    match event:
        case e.ActionFailed():
            return "target", f"{event.injection}: action failed at {place_of(event.action)}: {event.error}"
        case e.EvidenceLost():
            return "drill", f"{event.source} did not answer: {event.error}"
        case e.PrometheusRestarted():
            return "prometheus", "Prometheus was restarted"
        case e.AbortRequested():
            return "drill", f"Aborted by {event.by}: {event.reason}"
        case e.Recovered():
            left = f"; still there: {', '.join(event.remaining)}" if event.remaining else ""
            return "drill", f"Recovered: {', '.join(event.undone) or 'nothing to do'}{left}"
        case _:
            return None


def _alert_rows(record: Record) -> Iterator[Row]:
    for span in record.spans:
        if record.t0 is not None and span.end < record.t0:
            continue
        yield span.start, "prometheus", span.state, f"{short_name(span.labels)} is {span.state}", _query(span)
        if span.state == "firing" and not span.open:
            ended = span.end + record.plan.evaluation_interval_s
            yield ended, "prometheus", "resolved", f"{short_name(span.labels)} is resolved", _query(span)


def _query(span: SeenSpan) -> str:
    return _alerts_query(span.labels)


def _alerts_query(labels: Mapping[str, str]) -> str:
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in labels.items()}
    inside = ", ".join(f'{name}="{value}"' for name, value in sorted(escaped.items()))
    return f"ALERTS{{{inside}}}"


def _alertmanager_rows(verdict: Verdict) -> Iterator[Row]:
    judged: tuple[JudgedAlert, ...] = (*verdict.alerts, *verdict.also, *verdict.allowed, *verdict.unexpected)
    for alert in judged:
        if alert.in_alertmanager_at is not None:
            to = f", for {', '.join(alert.receivers)}" if alert.receivers else ""
            text = f"{short_name(alert.labels)} is in Alertmanager{to}"
            yield alert.in_alertmanager_at, "alertmanager", "in-alertmanager", text, _alerts_query(alert.labels)


def _notes(record: Record) -> Iterator[Row]:
    for event in record.all(e.NotificationsSeen):
        for note in event.notifications:
            yield (
                note.at,
                "receiver",
                "notification",
                f"{note.receiver} got {note.status}: {short_name(note.labels)}",
                _alerts_query(note.labels),
            )


def _link_base(record: Record) -> str:
    """Prometheus's address where that outlives the run: the sandbox's does not, nor does a door into a cluster."""
    started = record.last(e.RunStarted)
    if started is None or record.plan.target == "sandbox":
        return ""
    base = started.endpoints.prometheus
    lives = base not in started.endpoints.passing and urlsplit(base).scheme in ("http", "https")
    return base.rstrip("/") if lives else ""


def _link(base: str, query: str, at: float) -> str:
    """Link to Prometheus's graph of *query*, ending a minute after *at*."""
    if not (base and query):
        return ""
    moment = rfc3339(at + 60)[:19].replace("T", " ")
    return f"{base}/graph?g0.expr={quote(query)}&g0.tab=0&g0.range_input=10m&g0.end_input={quote(moment)}"
