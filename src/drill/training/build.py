"""From the state of a session to what each side may see. Pure; the only place that decides what is blind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from drill.core.observations import AlertSpan
from drill.core.units import parse_duration
from drill.training.leading import PAUSE_LIMIT_S, paused_s
from drill.training.phases import phases_of
from drill.training.state import State, is_page
from drill.training.views import (
    AlertLine,
    FacilitatorView,
    InjectionLine,
    Link,
    LogLine,
    Phase,
    PlannedInject,
    Relation,
    ReplicaLine,
    SessionClock,
    SloSeries,
    TraineeView,
)

RESOLVED_SHOWN_S = 300.0
"""How long a resolved alert stays in the list."""


def no_runbook(name: str, service: str) -> str:  # noqa: ARG001 - the shape of the others
    """There are no runbooks."""
    return ""


@dataclass(frozen=True)
class Around:
    """What the session itself does not record: where to look, and what the platform shows at this moment."""

    links: tuple[Link, ...] = ()
    runbook: Callable[[str, str], str] = no_runbook
    """(runbook's name, service paged) -> its Markdown, ready to be read; empty when there is none."""
    replicas: tuple[ReplicaLine, ...] = ()
    logs: tuple[LogLine, ...] = ()
    escalations: tuple[str, ...] = ()
    debrief: str = ""
    ready: bool = False
    """The target is up: before that nobody is on call."""


def trainee_view(state: State, now: float, around: Around, version: int) -> TraineeView:
    """Return what the trainee may see at *now*."""
    script, over = state.script, bool(state.over_at)
    return TraineeView(
        version=version,
        session=script.session,
        commitment=script.commitment,
        phase=phase_of(state, around),
        ending=state.sentence,
        clock=_clock(state, now),
        pages=tuple(page for page in state.pages if page.channel != "log"),
        links=around.links,
        runbook=_runbook(state, around),
        alerts=_alerts(state, now),
        slos=_slos(state),
        replicas=around.replicas,
        logs=around.logs,
        hints=state.hints,
        hints_left=len(script.hints) - len(state.hints),
        messages=state.messages,
        notes=tuple(note for note in state.notes if note.by == "trainee"),
        suspicions=state.suspicions,
        can=_trainee_can(state),
        solo=script.solo,
        real_incident=state.real_incident,
        debrief=around.debrief if over else "",
    )


def facilitator_view(state: State, now: float, around: Around, version: int) -> FacilitatorView:
    """Return everything at *now*."""
    script = state.script
    return FacilitatorView(
        version=version,
        trainee=trainee_view(state, now, around, version),
        scenario=script.scenario,
        title=script.title,
        hypothesis=script.hypothesis,
        service=script.service,
        answer_component=script.answer.component,
        answer_cause=script.answer.cause,
        injections=tuple(_shown(state, one) for one in state.injections.values()),
        injects=tuple(
            PlannedInject.model_validate(
                {**dict(inject), "state": state.injects.get(inject.id, "planned")},
            )
            for inject in script.injects
        ),
        hints=tuple(hint.text for hint in script.hints),
        timeline=tuple(sorted(state.timeline, key=lambda line: line.at)),
        phases=phases_of(state),
        grades=tuple(f"{one.outcome}: {one.why}" for one in state.grades),
        healthy_since=state.healthy_since,
        escalations=around.escalations if state.in_place() else (),
        can=_facilitator_can(state, now),
    )


def phase_of(state: State, around: Around) -> Phase:
    """Return where the session is, as the trainee may know it."""
    if state.over_at:
        return "over"
    if state.mitigated_at:
        return "mitigated"
    if state.acknowledged_at:
        return "acknowledged"
    if state.paged_at:
        return "paged"
    return "quiet" if around.ready else "preparing"


def _clock(state: State, now: float) -> SessionClock:
    """The deadline counts from the effect, so it is not shown before the page."""
    at = state.over_at or now
    return SessionClock(
        now=now,
        started_at=state.started_at,
        paged_at=state.paged_at,
        elapsed_s=state.elapsed(at, state.paged_at),
        paused=bool(state.paused_since),
        deadline=state.deadline(now) if state.paged_at and not state.ending else 0.0,
    )


def _runbook(state: State, around: Around) -> str:
    pages = (page for page in state.pages if is_page(page))
    return next((around.runbook(page.runbook, page.service) for page in pages), "")


def _shown(state: State, injection: InjectionLine) -> InjectionLine:
    ending = state.ending and injection.state == "in effect"
    return injection.with_(state="undoing") if ending else injection


# ---- alerts and SLOs -------------------------------------------------------------------------------------


def _alerts(state: State, now: float) -> tuple[AlertLine, ...]:
    """The alerts of the session's own run: the last state of each, newest first, long resolved ones left out."""
    last: dict[tuple[tuple[str, str], ...], AlertSpan] = {}
    fired: set[tuple[tuple[str, str], ...]] = set()
    for span in sorted(state.spans.get("", ()), key=lambda one: one.end):
        key = tuple(sorted(span.labels.items()))
        last[key] = span
        if span.state == "firing":
            fired.add(key)
    lines = [line for key, span in last.items() if (line := _alert(state, span, now, key in fired))]
    return tuple(sorted(lines, key=lambda line: -line.since))


def _alert(state: State, span: AlertSpan, now: float, fired: bool) -> AlertLine | None:
    since = (span.start if span.open else span.end) - state.skew_s
    if not span.open and (not fired or now - since > RESOLVED_SHOWN_S):
        return None
    labels = span.labels
    return AlertLine(
        name=labels.get("alertname", ""),
        service=labels.get("sloth_service") or labels.get("service", ""),
        slo=labels.get("sloth_slo", ""),
        severity=labels.get("severity", ""),
        state=span.state if span.open else "resolved",
        since=since,
    )


def _slos(state: State) -> tuple[SloSeries, ...]:
    script = state.script
    paged = dict.fromkeys(page.service for page in state.pages if is_page(page))
    order: tuple[Relation, ...] = ("paged", "called by it", "calls it", "other")
    lines = []
    for slo in script.slos:
        known = state.series.get(slo.sloth_id)
        lines.append(
            SloSeries(
                sloth_id=slo.sloth_id,
                service=slo.service,
                slo=slo.name,
                relation=_relation(state, slo.service, paged),
                objective=slo.objective,
                error_ratio=known.error_ratio if known else (),
                requests_per_second=known.requests_per_second if known else (),
                burn_rates=_by_window(known.burn_rates) if known else {},
                page_at=slo.page_at,
            )
        )
    return tuple(sorted(lines, key=lambda one: (order.index(one.relation), one.service, one.slo)))


def _by_window(rates: Mapping[str, tuple[tuple[float, float], ...]]) -> dict[str, tuple[tuple[float, float], ...]]:
    """The four shortest windows: what moves while somebody looks."""
    return {window: rates[window] for window in sorted(rates, key=parse_duration)[:4]}


def _relation(state: State, service: str, paged: Iterable[str]) -> Relation:
    calls = {one.name: one.calls for one in state.script.services}
    names = list(paged)
    if service in names:
        return "paged"
    if any(service in calls.get(name, ()) for name in names):
        return "called by it"
    return "calls it" if any(name in calls.get(service, ()) for name in names) else "other"


# ---- what makes sense now --------------------------------------------------------------------------------


def _trainee_can(state: State) -> tuple[str, ...]:
    if state.over_at:
        return ()
    if not state.paged_at:
        return ("note",)
    can = ["suspect", "note", "act", "done"]
    if len(state.hints) < len(state.script.hints):
        can.insert(1, "ask-hint")
    return tuple(can if state.acknowledged_at else ["acknowledge", *can])


def _facilitator_can(state: State, now: float) -> tuple[str, ...]:
    if state.over_at:
        return ()
    can = ["whisper", "facilitator-note", "real-incident", "abort"]
    if state.paused_since:
        can.insert(0, "resume")
    elif paused_s(state, now) < PAUSE_LIMIT_S:
        can.insert(0, "pause")
    if any(state.injects.get(one.id, "planned") in ("planned", "held") for one in state.script.injects):
        can += ["hold-inject", "release-inject", "skip-inject"]
    if state.in_place() and state.script.mode == "drill":
        can.append("escalate")
    return tuple(can)
