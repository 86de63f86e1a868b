"""``decide(state, now, given) -> Decision``: every decision of a training session, without clock, thread or I/O.

What is decided comes back as events to be recorded (``drill.training.fold_people`` folds them into the state), as
orders to whoever runs the fault, and as an answer to the person who asked.
"""

from __future__ import annotations

import re

from drill.core.units import format_duration
from drill.training import commands as c
from drill.training import events as t
from drill.training.fold_people import see
from drill.training.given import (
    AbortRun,
    Added,
    Decision,
    EndFaults,
    Given,
    Gone,
    Health,
    Holding,
    Stop,
    Tick,
    Told,
    Typed,
)
from drill.training.grading import grade
from drill.training.leading import PAUSE_LIMIT_S, led, paused_s
from drill.training.state import State

AFTER_MITIGATION_S = 180.0
"""Time to state the cause and to look around once users are well; then the session ends by itself."""


def decide(state: State, now: float, given: Given) -> Decision:
    """Decide about *given* at *now* (Unix seconds); events come back stamped with *now*."""
    decision = Decision()
    if state.over_at:
        decision.refuse("the session is over")
        return decision
    match given:
        case Tick():
            pass
        case Health():
            if given.healthy != bool(state.healthy_since) or (not given.healthy and not state.ever_unhealthy):
                decision.events.append(t.HealthSeen(healthy=given.healthy))
        case Typed():
            decision.events.append(t.Acted(text=given.text, via="shell") if given.changes else _looked(given))
        case Holding():
            decision.events += _removed(state, given)
        case Told() | Added():
            decision.events.append(given.event)
        case Stop():
            by = "trainee" if given.by_person else "system"
            decision.events.append(t.AbortOrdered(reason=given.reason, by=by))
        case Gone():
            _gone(state, given, decision)
        case c.Acknowledge() | c.Suspect() | c.AskHint() | c.Note() | c.Act() | c.Done():
            _trainee(state, given, decision)
        case _:
            led(state, now, given, decision)
    decision.events = [event.with_(at=event.at or now) for event in decision.events]
    _follow_up(state, now, decision)
    return decision


def _removed(state: State, given: Holding) -> list[t.FaultRemoved]:
    """Faults that are held no more although drill has not let go of them."""
    if state.ending:
        return []
    return [
        t.FaultRemoved(injection=key)
        for key, one in state.injections.items()
        if one.state == "in effect" and one.held and not one.removed_by
        if not any((key.rpartition("/")[2], replica) in given.held for replica in one.replicas)
    ]


def _gone(state: State, given: Gone, decision: Decision) -> None:
    if given.error:
        decision.events.append(t.AbortOrdered(reason=given.error, by="system"))
        state = see(state, decision.events[0])
    if not state.ending:
        decision.events.append(t.FaultsEnding(why="aborted" if state.aborted else "run ended"))
        state = see(state, decision.events[-1])
    decision.events.append(t.SessionEnded(sentence=sentence(state)))


def _looked(given: Typed) -> t.Looked:
    return t.Looked(text=given.text)


# ---- the trainee -----------------------------------------------------------------------------------------


def _trainee(state: State, command: c.TraineeCommand, decision: Decision) -> None:
    if isinstance(command, c.Note):
        decision.agree("noted", t.Noted(by="trainee", text=command.text))
        return
    if not state.paged_at:
        decision.refuse("there is no page yet; until one comes there is nothing to do but look around")
        return
    match command:
        case c.Acknowledge():
            if state.acknowledged_at:
                decision.refuse("you have acknowledged it already")
            else:
                decision.agree("acknowledged: the page is yours, it is not escalated", t.Acknowledged())
        case c.Suspect():
            _suspect(state, command, decision)
        case c.AskHint():
            _hint(state, decision)
        case c.Act():
            decision.agree("on the timeline", t.Acted(text=command.text))
        case c.Done():
            _done(state, command, decision)


def _suspect(state: State, command: c.Suspect, decision: Decision) -> None:
    script = state.script
    found = grade(
        command.text, command.component, script.answer, [one.name for one in script.services], state.paged_service
    )
    answer = _feedback(found.outcome, component=found.component) if script.solo else "noted; the debrief tells"
    decision.agree(answer, t.Suspected(text=command.text, component=command.component, grade=found, answer=answer))


def _feedback(outcome: str, *, component: bool) -> str:
    """What a person who trains alone is told: enough to go on, not enough to guess."""
    if outcome == "right":
        return "that is it. The debrief tells why"
    if outcome == "wrong":
        return "that does not explain it. What did you see that made you think so?"
    if component:
        return "you look at the right service; the cause is another one, or not said clearly enough"
    return "something like that, but somewhere else: which service is it?"


def _hint(state: State, decision: Decision) -> None:
    given, ladder = len(state.hints), state.script.hints
    if given >= len(ladder):
        decision.refuse("there are no more hints" if ladder else "this one has no hints: the runbook has")
        return
    decision.agree(ladder[given].text, t.HintShown(number=given + 1))


def _done(state: State, command: c.Done, decision: Decision) -> None:
    tabletop = state.script.mode == "tabletop"
    if command.give_up:
        decision.agree("understood. What was broken is being repaired", t.SaidDone(gave_up=True))
    elif state.mitigated_at:
        decision.agree("well done. The debrief comes as soon as the alerts have resolved", t.SaidDone())
    elif tabletop:
        decision.agree("taken as said: in a tabletop nothing is measured", t.SaidDone())
    elif not state.healthy_since:
        decision.refuse("users are still hurt: an SLO burns too fast. `give up` ends it all the same")
    elif not state.acts:
        decision.refuse(
            "users are well at this moment, but you have changed nothing. Look on, or say what you did: did <what>"
        )
    else:
        for_s = format_duration(round(state.script.healthy_for_s))
        decision.refuse(f"it looks good; it must stay so for {for_s} to count. Look again in a moment")


# ---- what follows ----------------------------------------------------------------------------------------


def _follow_up(state: State, now: float, decision: Decision) -> None:
    """Add what time and events bring about, until nothing more follows."""
    for event in decision.events:
        state = see(state, event)
    while (more := _next(state, now, decision)) is not None:
        stamped = more.with_(at=more.at or now)
        decision.events.append(stamped)
        state = see(state, stamped)


def _next(state: State, now: float, decision: Decision) -> t.AnyTrainingEvent | None:
    if state.over_at:
        return None
    if state.paused_since and paused_s(state, now) >= PAUSE_LIMIT_S:
        return t.ClockResumed()
    if not state.ending:
        return _mitigated(state, now) or _ending(state, now, decision) or _due(state, now)
    over = state.run_over or state.script.mode == "tabletop"
    if over and not _waits_for_person(state, now):
        return t.SessionEnded(sentence=sentence(state))
    return None


def _mitigated(state: State, now: float) -> t.MitigationSeen | None:
    """Healthy for long enough, counted from the first act: what got well by itself was not mitigated."""
    if state.mitigated_at or not state.paged_at or not state.in_place():
        return None
    if state.script.mode == "tabletop":
        said = state.said_done_at and not state.gave_up
        return t.MitigationSeen(since=now, told=True) if said else None
    if not state.acts or not state.healthy_since or not state.ever_unhealthy:
        return None
    since = max(state.healthy_since, state.acts[0].at)
    return t.MitigationSeen(since=since) if now - since >= state.script.healthy_for_s else None


def _ending(state: State, now: float, decision: Decision) -> t.FaultsEnding | None:
    why = _why(state, now)
    if why is None:
        return None
    if why in ("real incident", "aborted"):
        decision.orders.append(AbortRun(state.real_incident or state.aborted))
    elif why != "run ended":
        decision.orders.append(EndFaults())
    return t.FaultsEnding(why=why)


def _why(state: State, now: float) -> t.EndingWhy | None:
    if state.real_incident:
        return "real incident"
    if state.aborted:
        return "aborted"
    if state.gave_up:
        return "given up"
    if state.mitigated_at:
        return "mitigated"
    if state.run_over or state.run_aborted:
        return "run ended"
    deadline = state.deadline(now)
    return "limit" if deadline and now >= deadline and not state.paused_since else None


def _due(state: State, now: float) -> t.AnyTrainingEvent | None:
    if not state.paged_at or state.paused_since:
        return None
    clock_s = state.elapsed(now, state.paged_at)
    for inject in state.script.injects:
        if inject.id not in state.injects and clock_s >= inject.due_s:
            return t.InjectMoved(id=inject.id, state="said")
    return _hint_due(state, clock_s)


def _hint_due(state: State, clock_s: float) -> t.HintShown | None:
    """The next hint comes by itself when its time has come and the cause is not found."""
    number = len(state.hints) + 1
    if state.localized_at or number > len(state.script.hints):
        return None
    after_s = state.script.hints[number - 1].after_s
    return t.HintShown(number=number, asked=False) if 0 < after_s <= clock_s else None


def _waits_for_person(state: State, now: float) -> bool:
    """After a mitigation the responder may still look around and state the cause."""
    if state.ending != "mitigated" or state.said_done_at or state.aborted or state.real_incident:
        return False
    return state.elapsed(now, state.ending_at) < AFTER_MITIGATION_S


def sentence(state: State) -> str:
    """Say how it ended, truthfully."""
    match state.ending:
        case "real incident":
            return f"stopped for a real incident: {state.real_incident}"
        case "aborted":
            return f"ended early: {state.aborted}"
        case "run ended" if state.run_aborted:
            return f"the run was stopped: {plainly(state.run_aborted)}"
        case "mitigated":
            told = ", as was said (nothing is measured in a tabletop)" if state.mitigation_told else ""
            after = format_duration(round(max(0.0, state.mitigated_at - state.paged_at)))
            return f"mitigated {after} after the page{told}"
        case "given up":
            return "given up, not mitigated"
    return "fault expired, not mitigated"


def plainly(reason: str) -> str:
    """A run's reason in the words of a session: an alert's name says enough, without all its labels."""
    return re.sub(r"\{[^{}]*\}", "", reason)
