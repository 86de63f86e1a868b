"""A small world with a truth, and the complete journal a careful runner would have written of it.

``World()`` is a good run of a fast-forwarded latency drill; a mutant is ``replace(World(), ...)`` of one truth.
Times of the world are seconds after T0, in server time; the journal's own times are the runner's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from drill.core.actions import HoldFault, PacketFault, ReleaseFault
from drill.core.facts import Endpoints
from drill.core.observations import AlertmanagerAlert, AlertSpan, Notification, SliSample
from drill.core.probes import Effect
from drill.journal.events import (
    ActionDone,
    ActionStarted,
    AlertmanagerSeen,
    AlertsSeen,
    AnyEvent,
    BaselineMeasured,
    BudgetMeasured,
    CleanChecked,
    EffectMeasured,
    InjectionEffective,
    InjectionEnded,
    NotificationsSeen,
    PhaseEntered,
    Predicted,
    Preflight,
    RunFinished,
    RunStarted,
    SliSeen,
    TimelineStarted,
    UndoRecorded,
)
from drill.plan.model import (
    ExpectedAlert,
    Finding,
    Guardrails,
    Impact,
    Plan,
    PlannedInjection,
    PlannedSlo,
    PredictedAlert,
    Step,
    WindowPair,
)

T0 = 1_795_470_000.0
END = 90.0
SLO = "checkout-latency"
REPLICAS = ("checkout-0", "checkout-1", "checkout-2")
PAGE = {
    "alertname": "SLOLatencyFastBurn", "severity": "page", "sloth_id": SLO, "sloth_service": "checkout",
    "sloth_slo": "latency", "burn_tier": "fast",
}  # fmt: skip
TICKET = {**PAGE, "alertname": "SLOLatencyMediumBurn", "severity": "ticket", "burn_tier": "medium"}
WATCHDOG = {"alertname": "Watchdog", "severity": "none"}
STRANGER = {"alertname": "PaymentDown", "severity": "page", "service": "payment"}
WANTED = {"sloth_id": SLO, "severity": "page"}


def prediction(labels: dict[str, str], firing: tuple[float, float], severity: str) -> PredictedAlert:
    return PredictedAlert(
        labels=labels, sloth_id=SLO, severity=severity, factor=14.4, long_s=60, short_s=5, fires=True,
        ends_at_s=40, firing_s=firing, delivered_s=(firing[0], firing[1] + 1), resolved_s=(3.0, 8.0),
        receivers=("pagerduty",), error_ratio=(0.95, 1.0), price=0.02, budget=0.011,
    )  # fmt: skip


def injection() -> PlannedInjection:
    return PlannedInjection(
        id="slow", fault="latency", backend="nfqueue", why="the kernel has no sch_netem", service="checkout",
        replicas=REPLICAS, of_replicas=3, at_s=0, for_s=40, steps=tuple(_step(name) for name in REPLICAS),
        effect=Effect(kind="connect_ms", expected=400, low=320, unit="ms", relative=True),
    )  # fmt: skip


def _step(replica: str) -> Step:
    fault = PacketFault(backend="nfqueue", port=8080, delay_ms=400, jitter_ms=20)
    action = HoldFault(injection="slow", replica=replica, fault=fault, deadline_s=60)
    return Step(action=action, undo=ReleaseFault(injection="slow", replica=replica))


def plan(**changes: object) -> Plan:
    good = Plan(
        scenario="latency-spike", title="Latency spike", owner="sre", runbook="latency-spike",
        hypothesis="Slow answers page the owner of the service before 2 % of the month's budget is gone.",
        tags=("network", "smoke"), source_sha256="0" * 64, parameters={"service": "checkout", "delay": "400ms"},
        service="checkout", target="sandbox", seed=1, fast_forward=60,
        windows=(
            WindowPair(severity="page", factor=14.4, long_s=60, short_s=5, real_long_s=3600, real_short_s=300),
            WindowPair(severity="ticket", factor=6, long_s=360, short_s=30, real_long_s=21600, real_short_s=1800),
        ),
        scrape_interval_s=1, evaluation_interval_s=1, group_wait_s=0.5, group_interval_s=5, history_s=20,
        baseline_s=10, injections=(injection(),),
        impacts=(Impact(injection="slow", sloth_id=SLO, error_ratio=(0.95, 1)),),
        expected=(ExpectedAlert(match=WANTED, receiver="pagerduty", resolves_within_s=30,
                                predicted=prediction(PAGE, (5, 14), "page")),),
        also=(prediction(TICKET, (4, 20), "ticket"),), allow=({"alertname": "Watchdog"},),
        slos=(PlannedSlo(sloth_id=SLO, service="checkout", name="latency", objective=0.99, period_s=43200,
                         threshold_s=0.2),),
        budget_spend=0.02, guardrails=Guardrails(max_budget_spend=0.05, max_blast_radius=1, max_duration_s=120),
        findings=(Finding(level="info", check="feasible", text="the page can fire within the fault's life"),),
    )  # fmt: skip
    return good.with_(**changes) if changes else good


def firing(labels: dict[str, str], start: float, end: float) -> AlertSpan:
    return AlertSpan(labels=labels, state="firing", start=start, end=end)


def pending(labels: dict[str, str], start: float, end: float) -> AlertSpan:
    return AlertSpan(labels=labels, state="pending", start=start, end=end)


@dataclass(frozen=True)
class World:
    """What truly happened; times in seconds after T0, server time."""

    skew: float = 0.25
    touched: float = 0.6
    effective: float = 1.4
    fault_ends: float = 40.6
    spans: tuple[AlertSpan, ...] = (
        pending(PAGE, 7.3, 8.3), firing(PAGE, 9.3, 45.3), firing(TICKET, 12.3, 52.3),
    )  # fmt: skip
    in_alertmanager: tuple[AlertmanagerAlert, ...] = (
        AlertmanagerAlert(labels=PAGE, receivers=("pagerduty",), state="active", starts_at=9.3, ends_at=45.3),
        AlertmanagerAlert(labels=TICKET, receivers=("slack",), state="active", starts_at=12.3, ends_at=52.3),
    )
    notifications: tuple[Notification, ...] = (
        Notification(at=9.9, receiver="pagerduty", status="firing", labels=PAGE, starts_at=9.3),
        Notification(at=12.9, receiver="slack", status="firing", labels=TICKET, starts_at=12.3),
        Notification(at=48.1, receiver="pagerduty", status="resolved", labels=PAGE, starts_at=9.3),
    )
    traffic_until: float = END + 10
    predictions: tuple[tuple[float, PredictedAlert | None], ...] = (
        (1.6, prediction(PAGE, (5.4, 10.5), "page")),
    )  # fmt: skip
    measured: float = 402.0
    holds: bool = True
    clean: bool = True
    undo_complete: bool = True
    sink: str = "http://127.0.0.1:9099"
    look_every: float = 2.0
    extra: tuple[tuple[float, AnyEvent], ...] = field(default=())
    """Further events with their time after T0 (server)."""
    without: tuple[str, ...] = ()
    """Kinds of events the runner did not write."""


GOOD = World()


def journal(world: World = GOOD, the_plan: Plan | None = None) -> list[AnyEvent]:
    """The journal of *world*, its events in order of time and numbered."""
    the_plan = the_plan or plan()
    timed = [*_frame(world), *_faults(world, the_plan), *_predictions(world), *_looks(world), *_slis(world),
             *_alertmanager(world), *_notifications(world), *world.extra]  # fmt: skip
    order = sorted((t, i, event) for i, (t, event) in enumerate(timed) if event.kind not in world.without)
    return [event.with_(seq=n, at=T0 + t - world.skew) for n, (t, _, event) in enumerate(order)]


def renumber(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Forge the numbering, as if the missing lines had never been written."""
    return [event.with_(seq=n) for n, event in enumerate(events)]


Timed = Iterator[tuple[float, AnyEvent]]


def _frame(world: World) -> Timed:
    endpoints = Endpoints(
        prometheus="http://127.0.0.1:9090", alertmanagers=("http://127.0.0.1:9093",), sink=world.sink
    )
    yield -14.0, RunStarted(run_id="20261123T214000Z-latency-spike", plan_sha256="0" * 64, drill_version="0.1.0",
                            pid=4711, host="bench", endpoints=endpoints)  # fmt: skip
    yield -13.9, PhaseEntered(phase="preflight")
    yield -13.0, Preflight(findings=plan().findings, clock_skew_s=world.skew, prometheus_started_at=T0 - 40)
    yield -10.0, PhaseEntered(phase="baseline")
    yield -0.2, BaselineMeasured(history_s=20, slis=(_sample(world, -0.2),))
    yield 0.0, TimelineStarted()
    yield 0.01, PhaseEntered(phase="inject")
    yield 1.5, PhaseEntered(phase="hold")
    yield world.fault_ends - 0.4, PhaseEntered(phase="recover")
    yield world.fault_ends + 1.5, PhaseEntered(phase="resolve")
    yield END - 1, BudgetMeasured(sloth_id=SLO, spent=0.0112, remaining=0.9871)
    yield END, RunFinished(aborted=False, undo_complete=world.undo_complete)


def _faults(world: World, the_plan: Plan) -> Timed:
    start, end, skew = world.touched, world.fault_ends, world.skew
    for planned in the_plan.injections:
        name = planned.id
        for n, step in enumerate(planned.steps):
            at = start - 0.3 + n * 0.05
            yield at, UndoRecorded(injection=name, action=step.action, undo=step.undo)
            yield at + 0.01, ActionStarted(injection=name, action=step.action)
            done = T0 + start + n * 0.05 - skew
            yield start + n * 0.05, ActionDone(injection=name, action=step.action, done_at=done)
        for n, replica in enumerate(planned.replicas):
            yield world.effective - 0.05, EffectMeasured(
                injection=name, replica=replica, measured=world.measured + n, baseline=1.2, unit="ms",
                expected=planned.effect.expected, holds=world.holds,
            )  # fmt: skip
        yield (
            world.effective,
            InjectionEffective(injection=name, first_touch=T0 + start - skew, since=T0 + world.effective - skew),
        )
        yield end, InjectionEnded(injection=name, first=T0 + end - 0.2 - skew, last=T0 + end - skew)
        differences = () if world.clean else ("checkout-1: table inet drill is still there",)
        yield end + 0.6, CleanChecked(injection=name, clean=world.clean, differences=differences)


def _predictions(world: World) -> Timed:
    for at, predicted in world.predictions:
        yield at, Predicted(basis="the measured effect", expected=(predicted,), also=())


def _looks(world: World) -> Timed:
    """Looks at ``ALERTS``, each over twice the time since the last one, as a careful observer would."""
    at = -4.0
    while at < END - 0.5:
        low, high = T0 + at - 2 * world.look_every - 2, T0 + at
        spans = [cut for span in world.spans if (cut := _cut(_shift(span), low, high))]
        yield at + 0.02, AlertsSeen(start=low, end=high, spans=tuple(spans), query='ALERTS{alertname!=""}[6s]')
        at += world.look_every


def _shift(span: AlertSpan) -> AlertSpan:
    return span.with_(start=T0 + span.start, end=T0 + span.end)


def _cut(span: AlertSpan, low: float, high: float) -> AlertSpan | None:
    start, end = max(span.start, low), min(span.end, high)
    return span.with_(start=start, end=end, open=end > high - 2) if end >= start else None


def _sample(world: World, at: float) -> SliSample:
    rise, fall = world.effective, world.fault_ends
    ratio = max(0.0, min(1.0, (at - rise) / 5) - max(0.0, min(1.0, (at - fall) / 5)))
    rate = 40.0 if at < world.traffic_until else 0.0
    long = max(0.0, (min(at, fall) - rise) / 60) if at < rise + 60 else max(0.0, (fall - (at - 60)) / 60)
    return SliSample(at=T0 + at, sloth_id=SLO, error_ratio=ratio, requests_per_second=rate,
                     rates={"5s": ratio * 100, "60s": min(long, 1.0) * 100})  # fmt: skip


def _slis(world: World) -> Timed:
    at = -8.0
    while at < END - 0.5:
        yield at + 0.01, SliSeen(samples=(_sample(world, at),))
        at += 1.0


def _alertmanager(world: World) -> Timed:
    def held(at: float) -> tuple[AlertmanagerAlert, ...]:
        return tuple(
            alert.with_(starts_at=T0 + alert.starts_at, ends_at=T0 + alert.ends_at)
            for alert in world.in_alertmanager
            if alert.starts_at <= at < alert.ends_at
        )

    for change in sorted({t for alert in world.in_alertmanager for t in (alert.starts_at, alert.ends_at)}):
        if change < END - 1:
            yield change + 0.3, AlertmanagerSeen(alerts=held(change + 0.3))


def _notifications(world: World) -> Timed:
    for note in world.notifications:
        shifted = note.with_(at=T0 + note.at, starts_at=T0 + note.starts_at if note.starts_at else 0.0)
        yield max(note.at + 0.1, -12.0), NotificationsSeen(notifications=(shifted,))


def moved(world: World, labels: dict[str, str], start: float, end: float) -> World:
    """*world* with the alert of *labels* firing from *start* to *end*, in every place where it shows."""
    spans = tuple(s for s in world.spans if s.labels != labels)
    held = tuple(a.with_(starts_at=start, ends_at=end) if a.labels == labels else a for a in world.in_alertmanager)
    notes = tuple(
        n.with_(at=start + 0.6 if n.status == "firing" else end + 2, starts_at=start) if n.labels == labels else n
        for n in world.notifications
    )
    return replace(world, spans=(*spans, firing(labels, start, end)), in_alertmanager=held, notifications=notes)
