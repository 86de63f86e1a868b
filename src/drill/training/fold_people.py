"""A session's own events folded into its state: what people did, what was said to them. Decides nothing."""

from __future__ import annotations

from drill.core.observations import Notification
from drill.training import events as t
from drill.training.fold import alert_words
from drill.training.page import page_of
from drill.training.state import State, line_added
from drill.training.views import HintGiven, Message, NoteLine, Suspicion


def see(state: State, event: t.AnyTrainingEvent) -> State:
    """Take in a line of the session's own."""
    at = event.at
    match event:
        case t.SessionStarted():
            return state.with_(started_at=at)
        case t.PageTold():
            return _told(state, event)
        case t.Acknowledged():
            return line_added(state.with_(acknowledged_at=at), at, "trainee", "acknowledges the page")
        case t.Suspected():
            return _suspected(state, event)
        case t.HintShown():
            return _hinted(state, event)
        case t.Noted():
            state = state.with_(notes=(*state.notes, NoteLine(at=at, by=event.by, text=event.text)))
            return line_added(state, at, event.by, f"notes: {event.text}")
        case t.Acted():
            how = "runs" if event.via == "shell" else "says:"
            return line_added(state.with_(acts=(*state.acts, event)), at, "trainee", f"{how} {event.text}")
        case t.Looked():
            return state.with_(looks=state.looks + 1)
        case t.SaidDone():
            what = "gives up" if event.gave_up else "is done"
            return line_added(state.with_(said_done_at=at, gave_up=event.gave_up), at, "trainee", what)
        case t.HealthSeen():
            return _health(state, event)
        case t.MitigationSeen():
            state = state.with_(mitigated_at=event.since, mitigation_told=event.told)
            what = "says that users are well again" if event.told else "users stay well after what was changed"
            return line_added(state, event.since, "trainee" if event.told else "system", what)
        case t.FaultRemoved():
            return _removed(state, event)
        case t.FaultsEnding():
            state = state.with_(ending=event.why, ending_at=at)
            if state.script.mode == "tabletop":  # nothing is in place there
                return state
            return line_added(state, at, "drill", f"takes its faults away ({event.why})")
        case t.SessionEnded():
            return state.with_(sentence=event.sentence, over_at=at)
        case _:
            return _see_facilitator(state, event)


def _see_facilitator(state: State, event: t.AnyTrainingEvent) -> State:
    at = event.at
    match event:
        case t.ClockPaused():
            return line_added(state.with_(paused_since=at), at, "facilitator", "pauses the clock")
        case t.ClockResumed():
            pauses = (*state.pauses, (state.paused_since, at))
            return line_added(state.with_(pauses=pauses, paused_since=0.0), at, "facilitator", "lets the clock run")
        case t.InjectMoved():
            return _inject(state, event)
        case t.Whispered():
            message = Message(at=at, kind="whisper", text=event.text, said_by="facilitator")
            state = state.with_(messages=(*state.messages, message))
            return line_added(state, at, "facilitator", f"whispers: {event.text}")
        case t.Escalated():
            state = state.with_(
                escalations=(*state.escalations, event), healthy=(*state.healthy, *event.healthy), healthy_since=0.0
            )
            return line_added(state, at, "facilitator", f"escalates with {event.scenario}")
        case t.RealIncidentDeclared():
            notice = f"NOT A DRILL. {event.reason} The training is over; its faults are being taken away."
            state = state.with_(real_incident=event.reason)
            state = state.with_(messages=(*state.messages, Message(at=at, kind="notice", text=notice)))
            return line_added(state, at, "facilitator", f"declares a real incident: {event.reason}")
        case t.AbortOrdered():
            who = "drill" if event.by == "system" else event.by
            return line_added(state.with_(aborted=event.reason), at, who, f"ends the session: {event.reason}")
    return state


def _told(state: State, event: t.PageTold) -> State:
    notification = Notification(at=event.at, receiver="pagerduty", status="firing", labels=event.labels)
    page = page_of(notification, state.script.rules)
    state = state.with_(pages=(*state.pages, page), ever_unhealthy=True)
    return line_added(state, event.at, "system", f"{alert_words(event.labels)} arrives in PagerDuty (told)")


def _suspected(state: State, event: t.Suspected) -> State:
    said = Suspicion(at=event.at, text=event.text, component=event.component, answer=event.answer)
    right = event.grade.outcome == "right"
    state = state.with_(
        suspicions=(*state.suspicions, said),
        grades=(*state.grades, event.grade),
        localized_at=state.localized_at or (event.at if right else 0.0),
    )
    where = f" ({event.component})" if event.component else ""
    return line_added(state, event.at, "trainee", f"suspects: {event.text}{where} [{event.grade.outcome}]")


def _hinted(state: State, event: t.HintShown) -> State:
    text = state.script.hints[event.number - 1].text
    given = HintGiven(number=event.number, at=event.at, text=text, asked=event.asked)
    state = state.with_(hints=(*state.hints, given))
    if event.asked:
        return line_added(state, event.at, "trainee", f"asks for hint {event.number}")
    return line_added(state, event.at, "drill", f"gives hint {event.number}, its time has come")


def _health(state: State, event: t.HealthSeen) -> State:
    if event.healthy:
        if state.ever_unhealthy:
            state = line_added(state, event.at, "system", "users are served within the SLO again")
        return state.with_(healthy_since=event.at)
    what = "users are hurt again" if state.ever_unhealthy else "users are hurt: an SLO burns too fast"
    state = state.with_(healthy_since=0.0, ever_unhealthy=True)
    return line_added(state, event.at, "system", what)


def _removed(state: State, event: t.FaultRemoved) -> State:
    known = state.injections[event.injection].with_(removed_by="responder")
    state = state.with_(injections={**state.injections, event.injection: known})
    return line_added(state, event.at, "trainee", f"has ended the fault '{event.injection}' at every replica")


def _inject(state: State, event: t.InjectMoved) -> State:
    inject = next(one for one in state.script.injects if one.id == event.id)
    state = state.with_(injects={**state.injects, event.id: event.state})
    if event.state != "said":
        what = "holds back" if event.state == "held" else "drops"
        return line_added(state, event.at, "facilitator", f"{what} {event.id}")
    message = Message(at=event.at, kind="inject", text=inject.text, to=inject.to)
    state = state.with_(messages=(*state.messages, message))
    return line_added(state, event.at, "drill", f"says to {inject.to}: {inject.text}")
