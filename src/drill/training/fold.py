"""A run's journal folded into a session's state, line by line. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drill.core.actions import describe
from drill.core.observations import AlertSpan
from drill.journal import events as e
from drill.training.page import page_of
from drill.training.state import SERIES_POINTS, SERIES_STEP_S, Series, State, line_added
from drill.training.views import InjectionLine, Point


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
            return line_added(state, event.last, "drill", f"the fault '{event.injection}' is gone")
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
            state = line_added(state, event.at, "drill", f"the run is stopped: {event.reason}")
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
            what=describe(action).partition(": ")[2],
            held=action.do == "hold",
            service=replica.rpartition("-")[0],
            replicas=(),
            state="applying",
            scenario=run or state.script.scenario,
        )
        state = line_added(state, event.at, "drill", f"breaks {replica.rpartition('-')[0]} ({fault})")
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
    return line_added(state, event.since, "drill", f"the effect of '{event.injection}' was measured")


def _alerts(state: State, event: e.AlertsSeen, run: str) -> State:
    before = {_span_key(span) for spans in state.spans.values() for span in spans}
    state = state.with_(spans={**state.spans, run: event.spans})
    for span in event.spans:
        if span.state == "firing" and _span_key(span) not in before:
            state = line_added(state, span.start - state.skew_s, "system", f"{alert_words(span.labels)} fires")
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
            state = line_added(state, notification.at, "system", line)
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
