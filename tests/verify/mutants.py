"""One mutant world per verdict: what is broken in the alert path, and the only right answer to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from drill.core.observations import AlertmanagerAlert, Notification
from drill.journal.events import AbortRequested, ActionFailed, EvidenceLost, PrometheusRestarted
from drill.plan.model import Plan
from drill.verify import AlertVerdict
from verify.journals import (
    END,
    GOOD,
    PAGE,
    STRANGER,
    T0,
    TICKET,
    World,
    firing,
    injection,
    moved,
    plan,
    prediction,
)

V = AlertVerdict


def _page_in_alertmanager(**changes: object) -> tuple[AlertmanagerAlert, ...]:
    return tuple(alert.with_(**changes) if alert.labels == PAGE else alert for alert in GOOD.in_alertmanager)


def _no_page(*more: Notification) -> tuple[Notification, ...]:
    return (*(note for note in GOOD.notifications if note.labels != PAGE), *more)


def _never() -> World:
    """The rule has a typo: users suffer and no page fires, nothing of it is anywhere."""
    return replace(
        GOOD,
        spans=tuple(span for span in GOOD.spans if span.labels != PAGE),
        in_alertmanager=tuple(alert for alert in GOOD.in_alertmanager if alert.labels != PAGE),
        notifications=_no_page(),
    )


def _open_end() -> World:
    return moved(GOOD, PAGE, 9.3, END + 30)


ELSEWHERE = Notification(at=9.9, receiver="slack", status="firing", labels=PAGE, starts_at=9.3)
LATE = Notification(at=30.0, receiver="pagerduty", status="firing", labels=PAGE, starts_at=9.3)
SILENCED = _page_in_alertmanager(state="suppressed", silenced_by=("0f3c",))
INHIBITED = _page_in_alertmanager(state="suppressed", inhibited_by=("9ab1",))

WEAK = prediction(PAGE, (5, 9), "page").with_(fires=False, firing_s=None, why="too weak")

ALERT_MUTANTS: dict[str, tuple[AlertVerdict, World]] = {
    "fires before the fault": (V.ALREADY_FIRING, moved(GOOD, PAGE, -6.0, 45.3)),
    "fires at the first look": (V.ALREADY_FIRING, moved(GOOD, PAGE, -30.0, 45.3)),
    "fires between T0 and the fault, then resolves": (V.ALREADY_FIRING, moved(GOOD, PAGE, 0.1, 0.5)),
    "fires before its interval": (V.EARLY, moved(GOOD, PAGE, 4.0, 45.3)),
    "fires after its interval": (V.LATE, moved(GOOD, PAGE, 30.0, 45.3)),
    "never fires": (V.NEVER, _never()),
    "is silenced": (V.SUPPRESSED, replace(GOOD, in_alertmanager=SILENCED, notifications=_no_page())),
    "is inhibited": (V.SUPPRESSED, replace(GOOD, in_alertmanager=INHIBITED, notifications=_no_page())),
    "is muted by a time interval": (
        V.SUPPRESSED,
        replace(GOOD, in_alertmanager=_page_in_alertmanager(muted_by=("night",)), notifications=_no_page()),
    ),
    "is held back by an inhibition and delivered later": (
        V.SUPPRESSED,
        replace(GOOD, in_alertmanager=INHIBITED, notifications=_no_page(LATE)),
    ),
    "is delivered too late": (V.LATE, replace(GOOD, notifications=_no_page(LATE))),
    "is routed to another receiver": (
        V.MISROUTED,
        replace(GOOD, in_alertmanager=_page_in_alertmanager(receivers=("slack",)), notifications=_no_page()),
    ),
    "notifies another receiver only": (
        V.MISROUTED,
        replace(
            GOOD,
            in_alertmanager=tuple(a for a in GOOD.in_alertmanager if a.labels != PAGE),
            notifications=_no_page(ELSEWHERE),
        ),
    ),
    "is routed right but only the other receiver gets it": (
        V.NOT_DELIVERED,
        replace(
            GOOD,
            in_alertmanager=_page_in_alertmanager(receivers=("slack", "pagerduty")),
            notifications=_no_page(ELSEWHERE),
        ),
    ),
    "is not notified": (V.NOT_DELIVERED, replace(GOOD, notifications=_no_page())),
    "never reaches Alertmanager": (
        V.NOT_DELIVERED,
        replace(
            GOOD,
            in_alertmanager=tuple(a for a in GOOD.in_alertmanager if a.labels != PAGE),
            notifications=_no_page(),
        ),
    ),
    "only an earlier firing was notified": (
        V.NOT_DELIVERED,
        replace(
            GOOD,
            notifications=_no_page(
                Notification(at=9.9, receiver="pagerduty", status="firing", labels=PAGE, starts_at=-300.0)
            ),
        ),
    ),
    "resolves because traffic stopped": (V.RESOLVED_WITHOUT_TRAFFIC, replace(GOOD, traffic_until=41.0)),
    "does not resolve": (V.NOT_RESOLVED, _open_end()),
    "resolves too late": (V.NOT_RESOLVED, moved(GOOD, PAGE, 9.3, 80.0)),
    "was predicted not to fire": (
        V.PREDICTION_INVALID,
        replace(
            GOOD,
            predictions=((1.6, WEAK),),
        ),
    ),
    "fires late while Prometheus did not answer": (
        V.PREDICTION_INVALID,
        replace(
            moved(GOOD, PAGE, 30.0, 45.3),
            extra=((5.0, EvidenceLost(source="prometheus", error="timed out after 2 s")),),
        ),
    ),
    "Prometheus restarts": (
        V.PREDICTION_INVALID,
        replace(GOOD, extra=((20.0, PrometheusRestarted(started_at=T0 + 20)),)),
    ),
    "the fault is never in effect": (V.NO_EVIDENCE, replace(GOOD, without=("injection-effective",))),
    "alert states are never seen": (V.NO_EVIDENCE, replace(GOOD, without=("alerts",))),
    "there is no sink": (V.NO_EVIDENCE, replace(GOOD, sink="", notifications=())),
    "the sink is dead": (
        V.NO_EVIDENCE,
        replace(GOOD, notifications=(), extra=((9.5, EvidenceLost(source="sink", error="refused")),)),
    ),
    "traffic is not measured": (V.NO_EVIDENCE, replace(GOOD, without=("sli",))),
}

OUTCOME_MUTANTS: dict[str, tuple[str, int, World]] = {
    "something else fires": ("fail", 1, replace(GOOD, spans=(*GOOD.spans, firing(STRANGER, 20, 30)))),
    "an action failed": (
        "unknown",
        3,
        replace(
            GOOD,
            extra=((0.7, ActionFailed(injection="slow", action=injection().steps[0].action, error="no nft here")),),
        ),
    ),
    "the effect is too weak": ("unknown", 3, replace(GOOD, measured=3.0, holds=False)),
    "the effect is not measured": ("unknown", 3, replace(GOOD, without=("effect",))),
    "nobody checks what is left": ("unknown", 3, replace(GOOD, without=("clean",))),
    "the end of the fault is not known": ("unknown", 3, replace(GOOD, without=("injection-ended",))),
    "there is no preflight": ("unknown", 3, replace(GOOD, without=("preflight",))),
    "the timeline never starts": ("unknown", 3, replace(GOOD, without=("t0",))),
    "the runner dies": ("unknown", 3, replace(GOOD, without=("run-finished",))),
    "the runner dies with the fault in place": (
        "unknown",
        5,
        replace(GOOD, without=("run-finished", "clean", "injection-ended")),
    ),
    "Alertmanager dies": (
        "unknown",
        3,
        replace(
            GOOD,
            in_alertmanager=(),
            notifications=GOOD.notifications[:2],
            extra=((30.0, EvidenceLost(source="alertmanager", error="connection refused")),),
        ),
    ),
    "somebody aborts": (
        "aborted",
        4,
        replace(GOOD, extra=((20.0, AbortRequested(by="user", reason="Ctrl-C")),)),
    ),
    "something is left behind": ("fail", 5, replace(GOOD, clean=False)),
    "an undo did not work": ("fail", 5, replace(GOOD, undo_complete=False)),
    "aborted and something is left behind": (
        "aborted",
        5,
        replace(GOOD, clean=False, extra=((20.0, AbortRequested(by="guardrail", reason="budget")),)),
    ),
}

PLAN_MUTANTS: dict[str, tuple[AlertVerdict, Callable[[], Plan]]] = {
    "a deadline that is kept": (V.ON_TIME, lambda: _with_deadline(12.0)),
    "a deadline that is missed": (V.LATE, lambda: _with_deadline(3.0)),
    "neither a prediction nor a deadline": (
        V.PREDICTION_INVALID,
        lambda: plan(expected=(plan().expected[0].with_(predicted=None),)),
    ),
}


def _with_deadline(within_s: float) -> Plan:
    return plan(expected=(plan().expected[0].with_(within_s=within_s),))


__all__ = ["ALERT_MUTANTS", "OUTCOME_MUTANTS", "PLAN_MUTANTS", "TICKET"]
