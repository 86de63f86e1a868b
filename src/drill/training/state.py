"""What a session knows, as a fold over what was recorded: the run's journal, and the session's own events.

``see_run`` takes a line of a run's journal, ``see`` a line of the session's. Neither decides anything (that is
``drill.training.session``), so the debrief gets the same state from the files alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from drill.core.labels import matches
from drill.core.observations import AlertSpan
from drill.journal import events as e
from drill.training import events as t
from drill.training.grading import Grade
from drill.training.page import page_of
from drill.training.script import Condition, Script
from drill.training.views import (
    HintGiven,
    InjectionLine,
    Message,
    NoteLine,
    PageText,
    Point,
    Suspicion,
    TimelineLine,
)

SERIES_POINTS = 300
SERIES_STEP_S = 2.0
"""What is kept of each SLI: the last ten minutes, one point every two seconds."""


@dataclass(frozen=True)
class Series:
    """The recent past of one SLO."""

    error_ratio: tuple[Point, ...] = ()
    requests_per_second: tuple[Point, ...] = ()
    burn_rates: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """All a session knows. Times are Unix seconds, 0 for "not yet"."""

    script: Script
    started_at: float = 0.0
    skew_s: float = 0.0
    pages: tuple[PageText, ...] = ()
    spans: Mapping[str, tuple[AlertSpan, ...]] = field(default_factory=dict)
    """Alert states by run."""
    series: Mapping[str, Series] = field(default_factory=dict)
    injections: Mapping[str, InjectionLine] = field(default_factory=dict)
    """By run and id."""
    effect_at: float = 0.0
    unclean: tuple[str, ...] = ()
    run_phase: str = ""
    run_over: bool = False
    run_aborted: str = ""
    budget: Mapping[str, float] = field(default_factory=dict)
    acknowledged_at: float = 0.0
    suspicions: tuple[Suspicion, ...] = ()
    grades: tuple[Grade, ...] = ()
    localized_at: float = 0.0
    hints: tuple[HintGiven, ...] = ()
    notes: tuple[NoteLine, ...] = ()
    messages: tuple[Message, ...] = ()
    acts: tuple[t.Acted, ...] = ()
    looks: int = 0
    pauses: tuple[tuple[float, float], ...] = ()
    """Closed pauses."""
    paused_since: float = 0.0
    injects: Mapping[str, str] = field(default_factory=dict)
    """State by id; absent: planned."""
    healthy: tuple[Condition, ...] = ()
    healthy_since: float = 0.0
    ever_unhealthy: bool = False
    mitigated_at: float = 0.0
    mitigation_told: bool = False
    ending: str = ""
    ending_at: float = 0.0
    said_done_at: float = 0.0
    gave_up: bool = False
    real_incident: str = ""
    aborted: str = ""
    escalations: tuple[t.Escalated, ...] = ()
    timeline: tuple[TimelineLine, ...] = ()
    sentence: str = ""
    over_at: float = 0.0

    def with_(self, **changes: Any) -> Self:
        """Return a copy with *changes*."""
        return replace(self, **changes)

    @property
    def paged_at(self) -> float:
        """When the first page arrived."""
        return next((page.at for page in self.pages if is_page(page)), 0.0)

    @property
    def paged_service(self) -> str:
        """The service of the first page."""
        return next((page.service for page in self.pages if is_page(page)), "")

    @property
    def detected_at(self) -> float:
        """When the first expected alert began to fire, by the server's time, on our clock."""
        return min((span.start - self.skew_s for span in self.expected_spans()), default=0.0)

    def expected_spans(self) -> list[AlertSpan]:
        """The firing times of the expected alerts of the session's own scenario, since the effect."""
        return [
            span
            for span in self.spans.get("", ())
            if span.state == "firing" and any(matches(match, span.labels) for match in self.script.expected)
        ]

    def in_place(self) -> bool:
        """True while a fault of ours is in effect and drill has not begun to take it away."""
        if self.script.mode == "tabletop":
            return bool(self.pages) and not self.ending
        return not self.ending and any(one.state == "in effect" for one in self.injections.values())

    def elapsed(self, now: float, since: float) -> float:
        """Seconds from *since* to *now* without pauses; 0 when *since* has not been."""
        if not since:
            return 0.0
        open_pause = [(self.paused_since, now)] if self.paused_since else []
        paused = sum(max(0.0, min(end, now) - max(start, since)) for start, end in [*self.pauses, *open_pause])
        return max(0.0, now - since - paused)

    def deadline(self, now: float) -> float:
        """When the limit is reached if no pause comes; 0 before the effect."""
        began = self.effect_at or (self.paged_at if self.script.mode == "tabletop" else 0.0)
        return now + self.script.limit_s - self.elapsed(now, began) if began else 0.0


def is_page(page: PageText) -> bool:
    """True for a message that wakes somebody."""
    return page.channel == "pagerduty" and page.status == "firing"


def initial(script: Script) -> State:
    """Return the state before anything happened."""
    return State(script=script, healthy=script.healthy)


def _line(state: State, at: float, who: Any, what: str) -> State:
    return state.with_(timeline=(*state.timeline, TimelineLine(at=at, who=who, what=what)))


# ---- the run's journal -----------------------------------------------------------------------------------


def see_run(state: State, event: e.AnyEvent, run: str = "") -> State:
    """Take in a line of a run's journal; *run* is empty for the session's own, else an escalation's folder."""
    match event:
        case e.Preflight() if not run:
            return state.with_(skew_s=event.clock_skew_s)
        case e.PhaseEntered() if not run:
            return state.with_(run_phase=event.phase)
        case e.UndoRecorded():
            return _touch(state, event, run)
        case e.InjectionEffective():
            return _effective(state, event, run)
        case e.InjectionEnded():
            state = _injection(state, run, event.injection, state="undone", ended_at=event.last)
            known = state.injections.get(_key(run, event.injection))
            if known is not None and not known.removed_by:
                state = _injection(state, run, event.injection, removed_by="drill")
            return _line(state, event.last, "drill", f"the fault '{event.injection}' is gone")
        case e.CleanChecked() if not event.clean:
            state = state.with_(unclean=(*state.unclean, *event.differences))
            return _injection(state, run, event.injection, state="not clean")
        case e.AlertsSeen():
            return _alerts(state, event, run)
        case e.NotificationsSeen() if not run:
            return _notified(state, event)
        case e.SliSeen() if not run:
            return _sampled(state, event)
        case e.BudgetMeasured() if not run:
            return state.with_(budget={**state.budget, event.sloth_id: event.spent})
        case e.AbortRequested():
            state = _line(state, event.at, "drill", f"the run is stopped: {event.reason}")
            return state if run else state.with_(run_aborted=state.run_aborted or event.reason)
        case e.RunFinished() if not run:
            return state.with_(run_over=True)
    return state


def _key(run: str, injection: str) -> str:
    return f"{run}/{injection}" if run else injection


def _touch(state: State, event: e.UndoRecorded, run: str) -> State:
    key = _key(run, event.injection)
    known = state.injections.get(key)
    action = event.action
    replica = getattr(action, "replica", "")
    fault = getattr(getattr(action, "fault", None), "kind", action.do)
    if known is None:
        known = InjectionLine(
            id=key,
            fault=fault,
            held=action.do == "hold",
            service=replica.rpartition("-")[0],
            replicas=(),
            state="applying",
            scenario=run or state.script.scenario,
        )
        state = _line(state, event.at, "drill", f"breaks {replica.rpartition('-')[0]} ({fault})")
    replicas = known.replicas if replica in known.replicas else (*known.replicas, replica)
    return state.with_(injections={**state.injections, key: known.with_(replicas=replicas)})


def _injection(now: State, run: str, injection: str, **changes: Any) -> State:
    key = _key(run, injection)
    known = now.injections.get(key)
    if known is None:
        return now
    return now.with_(injections={**now.injections, key: known.with_(**changes)})


def _effective(state: State, event: e.InjectionEffective, run: str) -> State:
    state = _injection(state, run, event.injection, state="in effect", effective_at=event.since)
    first = state.effect_at or event.since
    state = state.with_(effect_at=first if run else min(first, event.since))
    return _line(state, event.since, "drill", f"the effect of '{event.injection}' was measured")


def _alerts(state: State, event: e.AlertsSeen, run: str) -> State:
    before = {_span_key(span) for spans in state.spans.values() for span in spans}
    state = state.with_(spans={**state.spans, run: event.spans})
    for span in event.spans:
        if span.state == "firing" and _span_key(span) not in before:
            state = _line(state, span.start - state.skew_s, "system", f"{alert_words(span.labels)} fires")
    return state


def _span_key(span: AlertSpan) -> tuple[Any, ...]:
    return (tuple(sorted(span.labels.items())), span.state, round(span.start, 1))


def alert_words(labels: Mapping[str, str]) -> str:
    """Name an alert for a timeline: ``CheckoutLatencyBudgetBurn (page)``."""
    name, severity = labels.get("alertname", "an alert"), labels.get("severity", "")
    return f"{name} ({severity})" if severity else name


def _notified(state: State, event: e.NotificationsSeen) -> State:
    for notification in sorted(event.notifications, key=lambda one: one.at):
        page = page_of(notification, state.script.rules)
        state = state.with_(pages=(*state.pages, page))
        if page.channel != "log":
            where = {"pagerduty": "PagerDuty", "slack": "Slack"}[page.channel]
            what = "" if page.status == "firing" else "resolved: "
            line = f"{what}{alert_words(notification.labels)} arrives in {where}"
            state = _line(state, notification.at, "system", line)
    return state


def _sampled(state: State, event: e.SliSeen) -> State:
    series = dict(state.series)
    for sample in event.samples:
        known = series.get(sample.sloth_id, Series())
        if known.error_ratio and sample.at - known.error_ratio[-1][0] < SERIES_STEP_S:
            continue
        rates = {
            window: _appended(known.burn_rates.get(window, ()), (sample.at, rate))
            for window, rate in sample.rates.items()
        }
        series[sample.sloth_id] = Series(
            _appended(known.error_ratio, (sample.at, sample.error_ratio)),
            _appended(known.requests_per_second, (sample.at, sample.requests_per_second)),
            {**known.burn_rates, **rates},
        )
    return state.with_(series=series)


def _appended(points: tuple[Point, ...], point: Point) -> tuple[Point, ...]:
    return (*points[-(SERIES_POINTS - 1) :], point)


# ---- the session's own events ----------------------------------------------------------------------------


def see(state: State, event: t.AnyTrainingEvent) -> State:
    """Take in a line of the session's own."""
    at = event.at
    match event:
        case t.SessionStarted():
            return state.with_(started_at=at)
        case t.PageTold():
            return _told(state, event)
        case t.Acknowledged():
            return _line(state.with_(acknowledged_at=at), at, "trainee", "acknowledges the page")
        case t.Suspected():
            return _suspected(state, event)
        case t.HintShown():
            return _hinted(state, event)
        case t.Noted():
            state = state.with_(notes=(*state.notes, NoteLine(at=at, by=event.by, text=event.text)))
            return _line(state, at, event.by, f"notes: {event.text}")
        case t.Acted():
            how = "runs" if event.via == "shell" else "says:"
            return _line(state.with_(acts=(*state.acts, event)), at, "trainee", f"{how} {event.text}")
        case t.Looked():
            return state.with_(looks=state.looks + 1)
        case t.SaidDone():
            what = "gives up" if event.gave_up else "is done"
            return _line(state.with_(said_done_at=at, gave_up=event.gave_up), at, "trainee", what)
        case t.HealthSeen():
            return _health(state, event)
        case t.MitigationSeen():
            state = state.with_(mitigated_at=event.since, mitigation_told=event.told)
            what = (
                "says that users are well again" if event.told else "users are well again, by the responder's act"
            )
            return _line(state, event.since, "trainee" if event.told else "system", what)
        case t.FaultRemoved():
            return _removed(state, event)
        case t.FaultsEnding():
            state = state.with_(ending=event.why, ending_at=at)
            return _line(state, at, "drill", f"takes its faults away ({event.why})")
        case t.SessionEnded():
            return state.with_(sentence=event.sentence, over_at=at)
        case _:
            return _see_facilitator(state, event)


def _see_facilitator(state: State, event: t.AnyTrainingEvent) -> State:
    at = event.at
    match event:
        case t.ClockPaused():
            return _line(state.with_(paused_since=at), at, "facilitator", "pauses the clock")
        case t.ClockResumed():
            pauses = (*state.pauses, (state.paused_since, at))
            return _line(state.with_(pauses=pauses, paused_since=0.0), at, "facilitator", "lets the clock run")
        case t.InjectMoved():
            return _inject(state, event)
        case t.Whispered():
            message = Message(at=at, kind="whisper", text=event.text, said_by="facilitator")
            state = state.with_(messages=(*state.messages, message))
            return _line(state, at, "facilitator", f"whispers: {event.text}")
        case t.Escalated():
            state = state.with_(
                escalations=(*state.escalations, event), healthy=(*state.healthy, *event.healthy), healthy_since=0.0
            )
            return _line(state, at, "facilitator", f"escalates with {event.scenario}")
        case t.RealIncidentDeclared():
            notice = f"NOT A DRILL. {event.reason} The training is over; its faults are being taken away."
            state = state.with_(real_incident=event.reason)
            state = state.with_(messages=(*state.messages, Message(at=at, kind="notice", text=notice)))
            return _line(state, at, "facilitator", f"declares a real incident: {event.reason}")
        case t.AbortOrdered():
            who = "drill" if event.by == "system" else event.by
            return _line(state.with_(aborted=event.reason), at, who, f"ends the session: {event.reason}")
    return state


def _told(state: State, event: t.PageTold) -> State:
    from drill.core.observations import Notification

    notification = Notification(at=event.at, receiver="pagerduty", status="firing", labels=event.labels)
    page = page_of(notification, state.script.rules)
    state = state.with_(pages=(*state.pages, page), ever_unhealthy=True)
    return _line(state, event.at, "system", f"{alert_words(event.labels)} arrives in PagerDuty (told)")


def _suspected(state: State, event: t.Suspected) -> State:
    said = Suspicion(at=event.at, text=event.text, component=event.component, answer=event.answer)
    right = event.grade.outcome == "right"
    state = state.with_(
        suspicions=(*state.suspicions, said),
        grades=(*state.grades, event.grade),
        localized_at=state.localized_at or (event.at if right else 0.0),
    )
    where = f" ({event.component})" if event.component else ""
    return _line(state, event.at, "trainee", f"suspects: {event.text}{where} [{event.grade.outcome}]")


def _hinted(state: State, event: t.HintShown) -> State:
    text = state.script.hints[event.number - 1].text
    given = HintGiven(number=event.number, at=event.at, text=text, asked=event.asked)
    state = state.with_(hints=(*state.hints, given))
    if event.asked:
        return _line(state, event.at, "trainee", f"asks for hint {event.number}")
    return _line(state, event.at, "drill", f"gives hint {event.number}, its time has come")


def _health(state: State, event: t.HealthSeen) -> State:
    if event.healthy:
        if state.ever_unhealthy:
            state = _line(state, event.at, "system", "users are served within the SLO again")
        return state.with_(healthy_since=event.at)
    what = "users are hurt again" if state.ever_unhealthy else "users are hurt: an SLO burns too fast"
    state = state.with_(healthy_since=0.0, ever_unhealthy=True)
    return _line(state, event.at, "system", what)


def _removed(state: State, event: t.FaultRemoved) -> State:
    known = state.injections[event.injection].with_(removed_by="responder")
    state = state.with_(injections={**state.injections, event.injection: known})
    return _line(state, event.at, "trainee", f"has ended the fault '{event.injection}' at every replica")


def _inject(state: State, event: t.InjectMoved) -> State:
    inject = next(one for one in state.script.injects if one.id == event.id)
    state = state.with_(injects={**state.injects, event.id: event.state})
    if event.state != "said":
        what = "holds back" if event.state == "held" else "drops"
        return _line(state, event.at, "facilitator", f"{what} {event.id}")
    message = Message(at=event.at, kind="inject", text=inject.text, to=inject.to)
    state = state.with_(messages=(*state.messages, message))
    return _line(state, event.at, "drill", f"says to {inject.to}: {inject.text}")
