"""What follows from what the facilitator does: the other half of ``drill.training.session``."""

from __future__ import annotations

from drill.core.units import format_duration
from drill.training import commands as c
from drill.training import events as t
from drill.training.given import AddFaults, Decision
from drill.training.state import State

PAUSE_LIMIT_S = 1800.0
"""All pauses together: the fault must be held while the clock stands."""


def led(state: State, now: float, command: c.FacilitatorCommand, decision: Decision) -> None:
    """Decide about what the facilitator does."""
    match command:
        case c.Pause():
            _pause(state, now, decision)
        case c.Resume():
            if state.paused_since:
                decision.agree("the clock runs", t.ClockResumed())
            else:
                decision.refuse("the clock is running")
        case c.HoldInject() | c.ReleaseInject() | c.SkipInject():
            _move_inject(state, command, decision)
        case c.Whisper():
            decision.agree("said", t.Whispered(text=command.text))
        case c.FacilitatorNote():
            decision.agree("noted", t.Noted(by="facilitator", text=command.text))
        case c.Escalate():
            _escalate(state, command, decision)
        case c.RealIncident():
            decision.agree("everything is being undone", t.RealIncidentDeclared(reason=command.reason))
        case c.Abort():
            decision.agree("everything is being undone", t.AbortOrdered(reason=command.reason))


def _pause(state: State, now: float, decision: Decision) -> None:
    if state.paused_since:
        decision.refuse("the clock stands already")
    elif paused_s(state, now) >= PAUSE_LIMIT_S:
        decision.refuse(f"the clock has stood for {format_duration(PAUSE_LIMIT_S)}: a fault is not held for ever")
    else:
        decision.agree("the clock stands; the fault stays", t.ClockPaused())


def paused_s(state: State, now: float) -> float:
    """Seconds the clock has stood so far."""
    open_s = now - state.paused_since if state.paused_since else 0.0
    return sum(end - start for start, end in state.pauses) + open_s


def _move_inject(state: State, command: c.HoldInject | c.ReleaseInject | c.SkipInject, decision: Decision) -> None:
    ids = [inject.id for inject in state.script.injects]
    if command.id not in ids:
        decision.refuse(f"there is no inject '{command.id}'; there are: {', '.join(ids) or 'none'}")
        return
    now_is = state.injects.get(command.id, "planned")
    if now_is in ("said", "skipped"):
        decision.refuse(f"{command.id} was {now_is} already")
    elif isinstance(command, c.ReleaseInject):
        decision.agree(f"{command.id} is said", t.InjectMoved(id=command.id, state="said"))
    elif isinstance(command, c.SkipInject):
        decision.agree(f"{command.id} is dropped", t.InjectMoved(id=command.id, state="skipped"))
    elif now_is == "held":
        decision.refuse(f"{command.id} is held already; release-inject says it")
    else:
        decision.agree(f"{command.id} waits until you release it", t.InjectMoved(id=command.id, state="held"))


def _escalate(state: State, command: c.Escalate, decision: Decision) -> None:
    if state.script.mode == "tabletop":
        decision.refuse("a tabletop has no faults to add")
    elif not state.in_place():
        decision.refuse("there is no fault in effect now: nothing to add one to")
    else:
        decision.agree(f"adding {command.scenario}")
        decision.orders.append(AddFaults(command.scenario))
