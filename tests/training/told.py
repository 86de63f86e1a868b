"""A session small enough to talk about: one fault, one page, two hints, two injects, and a way to talk to it."""

from __future__ import annotations

from collections.abc import Iterable

from drill.core.actions import HoldFault, PacketFault, undo_of
from drill.core.observations import AlertSpan, Notification
from drill.journal import events as e
from drill.training import commands as c
from drill.training import events as t
from drill.training.fold import see_run
from drill.training.fold_people import see
from drill.training.given import Decision, Given, Health, Order, Tick, Typed
from drill.training.script import (
    Condition,
    RuleText,
    Script,
    ScriptAnswer,
    ScriptHint,
    ScriptInject,
    ScriptSlo,
    ServiceCalls,
    Targets,
)
from drill.training.session import decide
from drill.training.state import State, initial

PAGE = {
    "alertname": "CheckoutLatencyBudgetBurn",
    "severity": "page",
    "sloth_id": "checkout-latency",
    "sloth_service": "checkout",
    "sloth_slo": "latency",
    "owner": "shop",
}
LABELS = {name: value for name, value in PAGE.items() if name != "alertname"}
SAID = {
    "title": "(page) checkout latency burns its error budget",
    "summary": "Requests to checkout are slow.",
    "description": "The error ratio is above 14.4 times what 99 % allow.",
    "runbook_url": "https://docs.example.org/runbooks/latency-spike.md",
}
EFFECT, FIRING, PAGED = 100.0, 108.0, 110.0
LIMIT_S = 600.0
HOLD = HoldFault(
    injection="slow",
    replica="checkout-1",
    fault=PacketFault(backend="netem", port=8080, delay_ms=400),
    deadline_s=900,
)


def script(**changes: object) -> Script:
    base = Script(
        session="20261125T024500Z-training",
        scenario="latency-spike",
        title="Latency spike",
        hypothesis="Slow answers page.",
        service="checkout",
        seed=1,
        fast_forward=60,
        nonce="00ff",
        commitment="c" * 64,
        limit_s=LIMIT_S,
        answer=ScriptAnswer(component="checkout", cause="network-latency", accept=("packet delay", "slow network")),
        hints=(
            ScriptHint(after_s=180, text="Wrong, or only late?"),
            ScriptHint(after_s=360, text="Who measures it?"),
        ),
        injects=(
            ScriptInject(id="inject-1", due_s=60, to="comms", text="Forty tickets.", expects="a status update"),
            ScriptInject(id="inject-2", due_s=120, to="ic", text="When is it over?"),
        ),
        targets=Targets(detect_s=10, acknowledge_s=60, localize_s=300, mitigate_s=480),
        healthy=(Condition(promql="burn < 1"),),
        healthy_for_s=10,
        expected=({"sloth_id": "checkout-latency", "severity": "page"},),
        services=(ServiceCalls(name="checkout", calls=("payment",)), ServiceCalls(name="payment")),
        rules=(RuleText(name=PAGE["alertname"], labels=LABELS, annotations=SAID),),
        slos=(
            ScriptSlo(sloth_id="payment-latency", service="payment", name="latency", objective=0.99, page_at=14.4),
            ScriptSlo(
                sloth_id="checkout-latency", service="checkout", name="latency", objective=0.99, page_at=14.4
            ),
        ),
    )
    return base.with_(**changes)


def broken() -> list[e.AnyEvent]:
    """The journal up to the measured effect."""
    return [
        e.Preflight(findings=(), at=50),
        e.PhaseEntered(phase="inject", at=98),
        e.UndoRecorded(injection="slow", action=HOLD, undo=undo_of(HOLD), at=99),
        e.InjectionEffective(injection="slow", first_touch=99, since=EFFECT, at=EFFECT),
    ]


def firing(*, open_: bool = True, end: float = 112.0) -> e.AlertsSeen:
    span = AlertSpan(labels=PAGE, state="firing", start=FIRING, end=end, open=open_)
    return e.AlertsSeen(start=50, end=end, spans=(span,), at=end)


def paged(status: str = "firing", at: float = PAGED) -> e.NotificationsSeen:
    notification = Notification.model_validate(
        {"at": at, "receiver": "pagerduty", "status": status, "labels": PAGE, "starts_at": FIRING}
    )
    return e.NotificationsSeen(notifications=(notification,), at=at)


def gone(at: float) -> list[e.AnyEvent]:
    """The journal from the undo to the end."""
    return [
        e.InjectionEnded(injection="slow", first=at, last=at, at=at),
        e.CleanChecked(injection="slow", clean=True, at=at),
        firing(open_=False, end=at + 5),
        e.RunFinished(aborted=False, undo_complete=True, at=at + 6),
    ]


class Talk:
    """Keeps a session between turns, and everything that was recorded of it."""

    def __init__(self, told: Script | None = None) -> None:
        self.told = told or script()
        self.state: State = initial(self.told)
        self.events: list[t.AnyTrainingEvent] = []
        self.journal: list[e.AnyEvent] = []
        self.orders: list[Order] = []
        self._keep([t.SessionStarted(script=self.told, at=1.0)])

    def _keep(self, events: Iterable[t.AnyTrainingEvent]) -> None:
        for event in events:
            self.events.append(event)
            self.state = see(self.state, event)

    def give(self, at: float, given: Given) -> c.Answer:
        decision: Decision = decide(self.state, at, given)
        self._keep(decision.events)
        self.orders += decision.orders
        return decision.answer

    def hear(self, *events: e.AnyEvent) -> None:
        for event in events:
            self.journal.append(event)
            self.state = see_run(self.state, event)
            self.give(event.at, Tick())

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def to_the_page(self) -> Talk:
        self.hear(*broken())
        self.give(104, Health(False))
        self.hear(firing(), paged())
        return self

    def mended(self, at: float) -> Talk:
        """The responder restarts the pods at *at*; users are well 5 s later and stay so."""
        self.give(at, Typed("kubectl rollout restart deploy/checkout", changes=True))
        self.give(at + 5, Health(True))
        self.give(at + 16, Tick())
        return self
