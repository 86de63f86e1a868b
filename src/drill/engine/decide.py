"""``decide(state, now, seen) -> (state, commands)``: every decision of a run, without clock, thread or I/O.

The life of an injection: waiting → applying → measuring → holding → reverting → checking → ended. The life of
a run: baseline → inject → hold → recover → resolve → done. An abort sends every living injection to
reverting; nothing skips reverting and checking.
"""

from __future__ import annotations

from collections.abc import Iterable

from drill.core.labels import matches
from drill.engine.guardrails import firing_keys, over_budget, stray_page
from drill.engine.health import patience_s, unhealthy
from drill.engine.state import (
    Abort,
    AbortAsked,
    Act,
    Acted,
    Check,
    Checked,
    Command,
    EndAsked,
    Enter,
    Finish,
    Foreseen,
    Guarded,
    InjectionState,
    Measure,
    MeasureBaseline,
    Measured,
    Observed,
    Prepare,
    Prepared,
    Repredict,
    Seen,
    Stage,
    State,
    Undo,
)
from drill.journal.events import Phase
from drill.plan.model import ExpectedAlert, Plan, PlannedInjection

HEARTBEAT_SCRAPES = 20
"""Without an answer of Prometheus for this many scrape intervals the run is blind and ends."""
HEARTBEAT_LEAST_S = 15.0
SETTLE_S = 3.0
"""Least time after the last undo: the end of an alert is seen one or two evaluations later."""


def decide(state: State, now: float, seen: Iterable[Seen]) -> tuple[State, list[Command]]:
    """Take in what was *seen* and order what must be done at *now* (Unix seconds)."""
    commands: list[Command] = []
    for item in seen:
        state = _learn(state, now, item, commands)
    if state.finished:
        return state, commands
    state = _check_limits(state, now, commands)
    if state.phase == "baseline":
        state = _baseline(state, now, commands)
    if state.t0 and not state.finished:
        for injection in state.plan.injections:
            state = _advance(state, injection, now, commands)
    return _phases(state, now, commands), commands


# ---- learning --------------------------------------------------------------------------------------------


def _learn(state: State, now: float, item: Seen, commands: list[Command]) -> State:
    match item:
        case Prepared():
            if item.error:
                return _abort(state, "engine", f"{item.injection}: {item.error}", commands)
            return state.with_(prepared=state.prepared | {item.injection})
        case Foreseen():
            return state.with_(foreseen=(*state.foreseen, *item.alerts))
        case Acted():
            return _learn_action(state, item)
        case Measured():
            return _learn_effect(state, item, commands)
        case Checked():
            return state.with_injection(item.injection, stage=Stage.ENDED)
        case Observed():
            lost_since = (state.lost_since or now) if "prometheus" in item.lost else 0.0
            if "prometheus" in item.lost:
                return state.with_(lost_since=lost_since)
            spent = state.spent.advanced(item.slis) if state.t0 else state.spent
            return state.with_(seen=item, lost_since=lost_since, spent=spent)
        case Guarded():
            return _learn_guard(state, now, item, commands)
        case AbortAsked():
            return _abort(state, item.by, item.reason, commands)
        case EndAsked():
            return state.with_(ending=True)


def _learn_action(state: State, item: Acted) -> State:
    current = state.injections[item.injection]
    if item.undo:
        return state.with_injection(item.injection, undone=current.undone + 1)
    return state.with_injection(
        item.injection, answered=current.answered + 1, failed=current.failed or bool(item.error)
    )


def _learn_effect(state: State, item: Measured, commands: list[Command]) -> State:
    if state.injections[item.injection].stage is not Stage.MEASURING:
        return state
    if item.holds:
        commands.append(Repredict(item.injection))
        return state.with_injection(item.injection, stage=Stage.HOLDING, effective=True, since=item.at)
    return state.with_injection(item.injection, failed=True)


def _learn_guard(state: State, now: float, item: Guarded, commands: list[Command]) -> State:
    condition = state.plan.guardrails.abort_if[item.index]
    if item.since is None or now - item.since < condition.for_s:
        return state
    return _abort(state, "guardrail", f"abort condition holds: {condition.promql}", commands)


def _check_limits(state: State, now: float, commands: list[Command]) -> State:
    limit = state.plan.guardrails.max_duration_s
    if state.phase in ("baseline", "inject", "hold") and now - state.started > limit:
        return _abort(state, "guardrail", f"the run is longer than its limit of {limit:g} s", commands)
    patience = max(HEARTBEAT_LEAST_S, HEARTBEAT_SCRAPES * state.plan.scrape_interval_s)
    if state.lost_since and now - state.lost_since > patience and not state.stopping:
        return _abort(state, "guardrail", f"Prometheus has not answered for {patience:g} s", commands)
    if state.phase in ("inject", "hold") and not state.stopping:
        reason = over_budget(state) or stray_page(state)
        if reason:
            return _abort(state, "guardrail", reason, commands)
    return state


def _abort(state: State, by: str, reason: str, commands: list[Command]) -> State:
    if state.aborted or state.finished:
        return state
    commands.append(Abort(by, reason))
    return state.with_(aborted=True, stopping=True)


# ---- injections ------------------------------------------------------------------------------------------


def _baseline(state: State, now: float, commands: list[Command]) -> State:
    if state.stopping:
        return _finish(state, commands)
    if not state.preparing:
        commands += [Prepare(injection.id) for injection in state.plan.injections]
        return state.with_(preparing=True)
    if now - state.started < state.plan.baseline_s or len(state.prepared) < len(state.injections):
        return state
    ill = unhealthy(state)
    if ill and now - state.started < state.plan.baseline_s + patience_s(state):
        return state
    if ill:
        return _abort(state, "guardrail", f"not healthy before anything was broken: {ill}", commands)
    commands += [MeasureBaseline(), Enter("inject")]
    return state.with_(t0=now, phase="inject", before=firing_keys(state))


def _advance(state: State, injection: PlannedInjection, now: float, commands: list[Command]) -> State:
    current = state.injections[injection.id]
    if (state.stopping or state.ending) and current.stage not in (Stage.REVERTING, Stage.CHECKING, Stage.ENDED):
        return _stop(state, injection, current, commands)
    match current.stage:
        case Stage.WAITING | Stage.APPLYING | Stage.MEASURING | Stage.HOLDING:
            return _run_steps(state, injection, now, commands)
        case Stage.REVERTING if current.undone >= current.undoing:
            commands.append(Check(injection.id))
            return state.with_injection(injection.id, stage=Stage.CHECKING)
        case _:
            return state


def _run_steps(state: State, injection: PlannedInjection, now: float, commands: list[Command]) -> State:
    current = state.injections[injection.id]
    started = state.t0 + injection.at_s
    while current.fired < len(injection.steps) and now >= started + injection.steps[current.fired].at_s:
        commands.append(Act(injection.id, injection.steps[current.fired]))
        stage = Stage.APPLYING if current.stage is Stage.WAITING else current.stage
        state = state.with_injection(injection.id, stage=stage, fired=current.fired + 1)
        current = state.injections[injection.id]
    if current.failed:
        return _stop(state.with_(stopping=True), injection, current, commands)
    first = sum(1 for step in injection.steps if step.at_s == injection.steps[0].at_s)
    if current.stage is Stage.APPLYING and current.answered >= first:
        commands.append(Measure(injection.id))
        return state.with_injection(injection.id, stage=Stage.MEASURING)
    if current.stage is Stage.HOLDING and not current.traffic_told and now >= current.since + traffic_s(state.plan):
        commands.append(Repredict(injection.id, "traffic"))
        state = state.with_injection(injection.id, traffic_told=True)
    all_done = current.answered >= len(injection.steps)
    if current.stage is Stage.HOLDING and all_done and now >= current.since + injection.for_s:
        return _revert(state, injection, commands)
    return state


def traffic_s(plan: Plan) -> float:
    """Seconds after which the shortest window holds nothing from before the fault, and was scraped and recorded.

    Infinite without windows: then there is nothing to predict.
    """
    shortest = min((pair.short_s for pair in plan.windows), default=float("inf"))
    return shortest + 2 * plan.scrape_interval_s + 2 * plan.evaluation_interval_s


def _stop(state: State, injection: PlannedInjection, current: InjectionState, commands: list[Command]) -> State:
    """End an injection early; one that never began has nothing to undo. Actions under way are awaited first."""
    if current.fired == 0:
        return state.with_injection(injection.id, stage=Stage.ENDED)
    if current.answered < current.fired:
        return state
    return _revert(state, injection, commands)


def _revert(state: State, injection: PlannedInjection, commands: list[Command]) -> State:
    fired = injection.steps[: state.injections[injection.id].fired]
    undos = [step.undo for step in fired]  # compared, not hashed: an activity's arguments may be lists
    once = [
        step for index, step in enumerate(fired) if step.undo not in undos[:index]
    ]  # a replica killed twenty times
    commands += [Undo(injection.id, step) for step in reversed(once)]
    return state.with_injection(injection.id, stage=Stage.REVERTING, undoing=len(once))


# ---- phases ----------------------------------------------------------------------------------------------


def _phases(state: State, now: float, commands: list[Command]) -> State:
    stages = {current.stage for current in state.injections.values()}
    settled = {Stage.HOLDING, Stage.REVERTING, Stage.CHECKING, Stage.ENDED}
    if state.phase == "inject" and Stage.HOLDING in stages and stages <= settled:
        state = _enter(state, "hold", commands)
    if state.phase in ("inject", "hold") and stages <= {Stage.REVERTING, Stage.CHECKING, Stage.ENDED}:
        state = _enter(state, "recover", commands)
    if state.phase == "recover" and stages == {Stage.ENDED}:
        state = _enter(state.with_(ended_at=now), "resolve", commands)
    if state.phase == "resolve" and (state.stopping or resolved(state, now)):
        state = _finish(state, commands)
    return state


def _enter(state: State, phase: Phase, commands: list[Command]) -> State:
    commands.append(Enter(phase))
    return state.with_(phase=phase)


def _finish(state: State, commands: list[Command]) -> State:
    commands += [Enter("done"), Finish()]
    return state.with_(phase="done", finished=True)


def resolved(state: State, now: float) -> bool:
    """True when every expected alert that fired has resolved and was announced so, or its time is over."""
    waited = now - state.ended_at
    return waited >= SETTLE_S and all(_settled(state, alert, waited) for alert in state.plan.expected)


def _settled(state: State, alert: ExpectedAlert, waited: float) -> bool:
    if waited >= resolve_limit(state, alert):
        return True
    spans = [span for span in state.seen.spans if span.state == "firing" and matches(alert.match, span.labels)]
    if not spans:
        return waited >= SETTLE_S + 3 * state.plan.evaluation_interval_s
    told = {
        notification.status
        for notification in state.seen.notifications
        if notification.receiver == alert.receiver and matches(alert.match, notification.labels)
    }
    return not any(span.open for span in spans) and ("resolved" in told or "firing" not in told)


def resolve_limit(state: State, alert: ExpectedAlert) -> float:
    """Seconds after the fault's end within which an alert must be over: as the scenario says, else as predicted."""
    slack = 2 * state.plan.group_interval_s + 4 * state.plan.evaluation_interval_s + SETTLE_S
    if alert.resolves_within_s is not None:
        return alert.resolves_within_s + slack
    predicted = alert.predicted.resolved_s[1] if alert.predicted and alert.predicted.resolved_s else 60.0
    return predicted + slack
