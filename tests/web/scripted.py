"""A stage for the pages' tests: a session of its own, whose time goes by when it is told to.

It is a small training session with invented measurements: it answers commands as a real one would, so that the pages
can be driven to every state in a second. ``python tests/web/scripted.py`` serves it with time going by, to look at.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

from drill.training import commands as c
from drill.training.views import (
    AlertLine,
    FacilitatorView,
    HintGiven,
    InjectionLine,
    Link,
    LogLine,
    Message,
    NoteLine,
    PageText,
    PhaseTime,
    PlannedInject,
    Point,
    ReplicaLine,
    SessionClock,
    SloSeries,
    Suspicion,
    TimelineLine,
    TraineeView,
)

START = 1_795_660_200.0
"""2026-11-25 02:30 UTC."""
SERVICES = ("checkout", "payment", "catalog", "cart", "recommendations")
OBJECTIVES = {"checkout": 0.9999, "payment": 0.9999, "catalog": 0.999, "cart": 0.999, "recommendations": 0.995}
LATENCY = 0.99
RELATIONS: dict[str, Any] = {
    "checkout": "paged", "payment": "called by it", "catalog": "called by it", "cart": "called by it",
    "recommendations": "other",
}  # fmt: skip
HINTS = (
    "Are the answers wrong, or only late?",
    "Compare what users measure with what the service itself measures.",
    "If the service thinks it is quick, the time is lost on the way to it.",
)
RUNBOOK = """# Answers are too slow

Start here for every `…LatencyBudgetBurn` alert. The one question that decides: **is the time lost inside the service,
or on the way to it?** [Step 2](#2-where-is-the-time-lost) answers it.

## Diagnosis

### 1. Is it still going on?

```promql { name=burning tag=diagnose expect=<1 }
slo:current_burn_rate:ratio{sloth_id="checkout-latency"}
```

- **1 or more**: it goes on. A value near 100 means that nearly every answer is too slow.
- **below 1**: the last five minutes were good.

### 2. Where is the time lost?

| where | what it looks like |
|---|---|
| inside | the service finds itself slow |
| on the way | only the users find it slow |

<details><summary>Hint</summary>

Compare checkout with its dependencies. [Prometheus](http://127.0.0.1:9090/graph) has both.

</details>
"""
DEBRIEF = """# Debrief

**Mitigated after 6 min 10 s.** The page arrived 9 s after users were slow.

| phase | after | target |
|---|---|---|
| detected | 9 s | 5 min |
| acknowledged | 41 s | 5 min |
"""
SECRET = "network-latency"


class ScriptedStage:
    """A session in which checkout becomes slow 60 s after the start and pages 70 s after it."""

    def __init__(self, evil: str = "") -> None:
        self._changed = threading.Condition(threading.RLock())
        self._version = 1
        self._evil = evil
        self.at = START
        self.effect_at = START + 60
        self.paged_at = START + 70
        self.mitigated_at = math.inf
        self.acknowledged_at = 0.0
        self.paused = False
        self.over = ""
        self.real_incident = ""
        self.hints: list[HintGiven] = []
        self.messages: list[Message] = []
        self.notes: list[NoteLine] = []
        self.suspicions: list[Suspicion] = []
        self.timeline = [TimelineLine(at=START, who="drill", what="The session begins: latency at checkout")]
        self.injects = [
            PlannedInject(id="tickets", due_s=360, to="comms", text="Support: 40 tickets on payment.", expects="a status update within 10 min"),
            PlannedInject(id="advice", due_s=480, to="ops", text="A colleague: just restart the database, it always helps."),
        ]  # fmt: skip
        self.done: list[c.TraineeCommand | c.FacilitatorCommand] = []

    def text(self, words: str) -> str:
        """Words of the outside world: with whatever a test plants in them."""
        return f"{words}{self._evil}"

    # what a test does

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        with self._changed:
            before = self.at
            self.at += seconds
            if before < self.paged_at <= self.at:
                self._line("system", "Page: checkout latency, to pagerduty")
            self._change()

    def _change(self) -> None:
        self._version += 1
        self._changed.notify_all()

    def _line(self, who: Any, what: str) -> None:
        self.timeline.append(TimelineLine(at=self.at, who=who, what=self.text(what)))

    # the port

    def wait_for_change(self, version: int, timeout_s: float) -> int:
        with self._changed:
            if self._version <= version and not self.over:
                self._changed.wait(timeout_s)
            return self._version

    def trainee_does(self, command: c.TraineeCommand) -> c.Answer:
        with self._changed:
            self.done.append(command)
            if command.do not in self.trainee_view().can:
                return c.Answer(ok=False, text="That makes no sense now.")
            answer = self._trainee(command)
            self._change()
            return c.Answer(ok=True, text=answer)

    def _trainee(self, command: c.TraineeCommand) -> str:
        match command:
            case c.Acknowledge():
                self.acknowledged_at = self.at
                self._line("trainee", "Acknowledged the page")
                return "It is yours."
            case c.Suspect(text=text, component=component):
                self.suspicions.append(Suspicion(at=self.at, text=text, component=component, answer="Noted."))
                self._line("trainee", f"Suspects {component}: {text}")
                return "Noted."
            case c.AskHint():
                number = len(self.hints) + 1
                self.hints.append(HintGiven(number=number, at=self.at, text=self.text(HINTS[number - 1])))
                self._line("trainee", f"Asked for hint {number}")
                return f"Hint {number} of {len(HINTS)}."
            case c.Note(text=text) | c.Act(text=text):
                self.notes.append(NoteLine(at=self.at, by="trainee", text=text))
                self._line("trainee", text)
                return "Written down."
            case c.Done():
                return self._end("The trainee ended it.")

    def facilitator_does(self, command: c.FacilitatorCommand) -> c.Answer:
        with self._changed:
            self.done.append(command)
            if command.do not in self.facilitator_view().can:
                return c.Answer(ok=False, text="That makes no sense now.")
            answer = self._facilitator(command)
            self._change()
            return c.Answer(ok=True, text=answer)

    def _facilitator(self, command: c.FacilitatorCommand) -> str:
        match command:
            case c.Pause() | c.Resume():
                self.paused = command.do == "pause"
                self._line("facilitator", "Paused the clock" if self.paused else "Let the clock run again")
                return "The clock stands still." if self.paused else "The clock runs."
            case c.HoldInject(id=id_) | c.SkipInject(id=id_) | c.ReleaseInject(id=id_):
                state: Any = {"hold-inject": "held", "skip-inject": "skipped", "release-inject": "said"}[command.do]
                self.injects = [i.with_(state=state) if i.id == id_ else i for i in self.injects]
                if state == "said":
                    said = next(i for i in self.injects if i.id == id_)
                    self._say("inject", said.text, said.to)
                return f"Inject {id_}: {state}."
            case c.Whisper(text=text):
                self._say("whisper", text, "")
                self._line("facilitator", f"Whispered: {text}")
                return "Said."
            case c.FacilitatorNote(text=text):
                self.notes.append(NoteLine(at=self.at, by="facilitator", text=text))
                self._line("facilitator", text)
                return "Written down."
            case c.Escalate(scenario=scenario):
                self._line("facilitator", f"Escalated with {scenario}")
                return f"{scenario} begins."
            case c.RealIncident(reason=reason):
                self.real_incident = reason
                return self._end("Stopped for a real incident.")
            case c.Abort(reason=reason):
                return self._end(f"Aborted: {reason}")

    def _say(self, kind: Any, text: str, to: str) -> None:
        self.messages.append(
            Message(at=self.at, kind=kind, text=text, said_by="facilitator" if kind == "whisper" else "", to=to)
        )

    def _end(self, how: str) -> str:
        self.over = how
        self._line("drill", how)
        return how

    # the views

    def trainee_view(self) -> TraineeView:
        with self._changed:
            paged = self.at >= self.paged_at
            can = ["note"]
            if paged and not self.acknowledged_at:
                can.append("acknowledge")
            if self.acknowledged_at:
                can += ["suspect", "act", "done"]
            if paged and len(self.hints) < len(HINTS):
                can.append("ask-hint")
            return TraineeView(
                version=self._version, session=self.text("20261125T023000Z-training"), commitment="9f2c" * 16,
                phase=self._phase(), ending=self.text(self.over) if self.over else "",
                clock=SessionClock(now=self.at, started_at=START, paged_at=self.paged_at if paged else 0,
                                   elapsed_s=max(0.0, self.at - self.paged_at), paused=self.paused,
                                   deadline=self.paged_at + 900 if paged else 0),
                pages=self._pages() if paged else (),
                links=(Link(name="Prometheus", url="http://127.0.0.1:9090/graph"), Link(name="Alertmanager", url="http://127.0.0.1:9093/")),
                runbook=self.text(RUNBOOK) if paged else "",
                alerts=self._alerts(), slos=tuple(self._slos()), replicas=self._replicas(), logs=self._logs(),
                hints=tuple(self.hints), hints_left=len(HINTS) - len(self.hints), messages=tuple(self.messages),
                notes=tuple(n for n in self.notes if n.by == "trainee"), suspicions=tuple(self.suspicions),
                can=() if self.over else tuple(can), solo=False, real_incident=self.real_incident,
                debrief=self.text(DEBRIEF) if self.over else "",
            )  # fmt: skip

    def facilitator_view(self) -> FacilitatorView:
        with self._changed:
            effect = self.at >= self.effect_at
            return FacilitatorView(
                version=self._version, trainee=self.trainee_view(), scenario="latency-spike", title=self.text("Latency spike"),
                hypothesis=self.text("Slow answers page the owner of the service before 5 % of the month's latency budget is gone."),
                service="checkout", answer_component="checkout", answer_cause=self.text(SECRET),
                injections=(InjectionLine(id="slow", fault="latency", service="checkout",
                                          replicas=("checkout-0", "checkout-1", "checkout-2"),
                                          state="in effect" if effect else "waiting",
                                          effective_at=self.effect_at if effect else 0, scenario="latency-spike"),),
                injects=tuple(self.injects), hints=HINTS, timeline=tuple(self.timeline),
                phases=self._phases(), grades=tuple(self.text("component right, cause wrong") for _ in self.suspicions),
                escalations=("oom-kill", "disk-full"),
                can=() if self.over else (
                    "resume" if self.paused else "pause", "hold-inject", "release-inject", "skip-inject", "whisper",
                    "facilitator-note", "escalate", "real-incident", "abort"),
            )  # fmt: skip

    def _phase(self) -> Any:
        if self.over:
            return "over"
        if self.acknowledged_at:
            return "mitigated" if self.at > self.mitigated_at else "acknowledged"
        return "paged" if self.at >= self.paged_at else "quiet"

    def _phases(self) -> tuple[PhaseTime, ...]:
        def after(at: float) -> float | None:
            return at - self.effect_at if at and self.at >= at else None

        localized = self.suspicions[0].at if self.suspicions else 0.0
        times = {
            "effect": self.effect_at,
            "detected": self.paged_at,
            "acknowledged": self.acknowledged_at,
            "localized": localized,
        }
        targets = {"detected": 300.0, "acknowledged": 300.0, "localized": 600.0, "mitigated": 900.0}
        names: Sequence[Any] = ("effect", "detected", "acknowledged", "localized", "mitigated", "resolved")
        return tuple(
            PhaseTime(
                name=name, at=times.get(name, 0.0), after_s=after(times.get(name, 0.0)), target_s=targets.get(name)
            )
            for name in names
        )

    def _pages(self) -> tuple[PageText, ...]:
        body = (
            "1.5 % of the month's latency budget of checkout burns in an hour.\n\nservice  checkout\nseverity page\n"
            "burn     98.2× over 5s and 60s (pages from 14.4×)\nrunbook  latency-spike"
        )
        labels = {
            "alertname": "CheckoutLatencyBudgetBurn",
            "service": "checkout",
            "severity": "page",
            self.text("label"): self.text("value"),
        }
        page = PageText(at=self.paged_at + 0.6, channel="pagerduty", status="firing", title=self.text("Checkout answers are too slow"),
                        body=self.text(body), service=self.text("checkout"), severity=self.text("page"), runbook="latency-spike", labels=labels)  # fmt: skip
        slack = PageText(at=self.paged_at + 4, channel="slack", status="firing", title=self.text("Cart answers are too slow"),
                         body="The cart waits for checkout.", service="cart", severity="ticket", labels={})  # fmt: skip
        return (page,) if self.at < self.paged_at + 4 else (page, slack)

    def _alerts(self) -> tuple[AlertLine, ...]:
        if self.at < self.paged_at - 3:
            return ()
        state: Any = "firing" if self.at >= self.paged_at else "pending"
        first = AlertLine(
            name=self.text("CheckoutLatencyBudgetBurn"),
            service="checkout",
            slo="latency",
            severity="page",
            state=state,
            since=self.paged_at,
        )
        if self.at < self.paged_at + 4:
            return (first,)
        return first, AlertLine(
            name="CartLatencyBudgetBurn",
            service="cart",
            slo="latency",
            severity="ticket",
            state="pending",
            since=self.at - 2,
        )

    def _slos(self) -> list[SloSeries]:
        paged = self.at >= self.paged_at
        found = []
        for service in SERVICES:
            for slo in ("latency", "availability"):
                allowed = 1 - (LATENCY if slo == "latency" else OBJECTIVES[service])
                times = [START + n for n in range(max(0, int(self.at - START) - 900), int(self.at - START) + 1)]
                share = {t: _share(service, slo, t - self.effect_at, t > self.mitigated_at) for t in times}
                found.append(SloSeries(
                    sloth_id=f"{service}-{slo}", service=self.text(service) if service == "cart" else service, slo=slo,
                    relation=RELATIONS[service] if paged else "other",
                    objective=1 - allowed, error_ratio=tuple(share.items()),
                    requests_per_second=tuple((t, 40 + 3 * math.sin(t / 7)) for t in times),
                    burn_rates={name: _mean(share, allowed, seconds) for name, seconds in {"5s": 5, "30s": 30, "1m": 60, "6m": 360}.items()},
                    page_at=14.4,
                ))  # fmt: skip
        return found

    def _replicas(self) -> tuple[ReplicaLine, ...]:
        return tuple(
            ReplicaLine(name=self.text(f"{service}-{n}"), service=service, state="out of service" if (service, n) == ("cart", 1) else "serving",
                        started_at=START - 300, restarts=2 if (service, n) == ("payment", 0) else 0)
            for service in SERVICES for n in range(3)
        )  # fmt: skip

    def _logs(self) -> tuple[LogLine, ...]:
        first = max(0, int(self.at - START) - 60)
        return tuple(
            LogLine(
                at=START + n,
                source=f"checkout-{n % 3}",
                text=self.text(f'level=info msg="answered" path=/checkout status=200 ms={18 + n % 9}'),
            )
            for n in range(first, int(self.at - START) + 1, 2)
        )


def _share(service: str, slo: str, after: float, mitigated: bool) -> float:
    noise = 0.0004 * (1 + math.sin(after * 1.7 + len(service)))
    if slo != "latency" or after < 0 or mitigated:
        return noise if slo == "latency" else 0.0
    return {"checkout": 0.97, "cart": 0.04}.get(service, 0.0) * min(1.0, after / 4) + noise


def _mean(share: dict[float, float], allowed: float, seconds: int) -> tuple[Point, ...]:
    found, run = [], 0.0
    times = list(share)
    for n, at in enumerate(times):
        run += share[at] - (share[times[n - seconds]] if n >= seconds else 0.0)
        found.append((at, max(0.0, run) / min(n + 1, seconds) / allowed))
    return tuple(found)


def main() -> None:
    """Serve a session whose time goes by, twice as fast as the clock."""
    import sys
    import time

    from drill.web import serve

    stage = ScriptedStage()
    stage.advance(float(sys.argv[1]) if len(sys.argv) > 1 else 55.0)
    with serve(stage) as served:
        print(served.trainee_url, served.facilitator_url, sep="\n", flush=True)
        while True:
            time.sleep(0.5)
            if not stage.paused and not stage.over:
                stage.advance(1.0)


if __name__ == "__main__":
    main()
