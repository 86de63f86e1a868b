"""Watching the alert path while a run goes on: polls gently, writes down what changed, tells the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from drill.core.errors import DrillError
from drill.core.observations import AlertmanagerAlert, AlertSpan, Notification, SliSample
from drill.core.ports import AlertObserver
from drill.engine.state import Guarded, Observed, Seen
from drill.journal import events as e
from drill.plan.model import Plan

LEAST_S, MOST_S = 0.5, 10.0
Source = Literal["prometheus", "alertmanager", "sink", "target"]


@runtime_checkable
class Measuring(Protocol):
    """Optional powers of an observer: ad-hoc queries and the age of the series."""

    def query(self, promql: str) -> bool:
        """True when the query returns any sample that is not 0."""

    def history_s(self, sloth_ids: Sequence[str]) -> float:
        """Age in seconds of the oldest sample of the youngest of these SLOs."""

    def evaluation_gaps(self, start: float, end: float) -> Sequence[tuple[float, float]]:
        """Times in ``[start, end]`` (server time) in which the SLO rules were not evaluated."""


@dataclass
class Watcher:
    """One thread that observes every half evaluation interval (0.5 s to 10 s)."""

    plan: Plan
    observer: AlertObserver
    write: Callable[[e.Event], bool]
    tell: Callable[[Seen], None]
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self.skew_s = 0.0
        """Prometheus's clock minus ours."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._began = self.clock()
        self._spans: tuple[AlertSpan, ...] = ()
        self._alerts: tuple[AlertmanagerAlert, ...] = ()
        self._notifications: tuple[Notification, ...] = ()
        self._slis: tuple[SliSample, ...] = ()
        self._gaps: tuple[tuple[float, float], ...] = ()
        self._lost: set[Source] = set()
        self._prometheus_started: float | None = None
        self._guards: dict[int, float] = {}

    def start(self) -> None:
        """Begin to observe."""
        self._began = self.clock()
        self._thread = threading.Thread(target=self._run, name="drill-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End observing; calling it twice is harmless."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=30)

    def history(self) -> tuple[float, tuple[SliSample, ...]]:
        """Return the history's age in seconds and the healthy SLIs."""
        age = self.plan.history_s
        if isinstance(self.observer, Measuring):
            try:
                touched = sorted({impact.sloth_id for impact in self.plan.impacts})
                lag_s = (
                    self.plan.scrape_interval_s + self.plan.evaluation_interval_s
                )  # recorded a bit after counted
                age = self.observer.history_s(touched) + lag_s
            except DrillError as error:
                self._lose("prometheus", error)
        return age, self._slis

    @property
    def slis(self) -> tuple[SliSample, ...]:
        """The SLIs as last seen."""
        return self._slis

    def last_evidence(self) -> None:
        """Look once more at everything and write it down, changed or not."""
        self._lost |= {"prometheus", "alertmanager"}  # so that what answers is written although it is the same
        self._look()

    def _run(self) -> None:
        pause = min(MOST_S, max(LEAST_S, self.plan.evaluation_interval_s / 2))
        while not self._stop.wait(pause):
            self._look()

    def _look(self) -> None:
        looks: tuple[tuple[Source, Callable[[], None]], ...] = (
            ("prometheus", self._look_at_prometheus),
            ("alertmanager", self._look_at_alertmanager),
            ("sink", self._look_at_sink),
        )
        for source, look in looks:
            try:
                look()
            except Exception as error:  # also an answer nobody foresaw: unseen is unseen
                self._lose(source, error)
            else:
                self._lost.discard(source)
        self._check_guards()
        self.tell(Observed(self._spans, self._alerts, self._notifications, tuple(self._lost), self._slis))

    def _lose(self, source: Source, error: Exception) -> None:
        if source not in self._lost:
            self._lost.add(source)
            self.write(e.EvidenceLost(source=source, error=str(error) or type(error).__name__))

    def _look_at_prometheus(self) -> None:
        started = self.observer.started_at()
        if self._prometheus_started is not None and abs(started - self._prometheus_started) > 1:
            self.write(e.PrometheusRestarted(started_at=started))
        self._prometheus_started = started
        start, end = self._began + self.skew_s, self.clock() + self.skew_s
        spans = tuple(self.observer.alert_spans(start, end))
        missed = self._missed(start, end)
        if "prometheus" in self._lost or _shape(spans) != _shape(self._spans) or missed != self._gaps:
            query = f"ALERTS[{end - start:.0f}s] @ {end:.3f}"
            self.write(e.AlertsSeen(start=start, end=end, spans=spans, query=query, missed=missed))
        self._gaps = missed
        self._spans = spans
        self._slis = tuple(self.observer.sli())
        if self._slis:
            self.write(e.SliSeen(samples=self._slis))

    def _missed(self, start: float, end: float) -> tuple[tuple[float, float], ...]:
        """Times without evaluations: Prometheus was stopped, starved or away, and alerts then show nothing."""
        if not isinstance(self.observer, Measuring):
            return ()
        return tuple(self.observer.evaluation_gaps(start, end))

    def _look_at_alertmanager(self) -> None:
        alerts = tuple(self.observer.alertmanager_alerts())
        if "alertmanager" in self._lost or _held(alerts) != _held(self._alerts):
            self.write(e.AlertmanagerSeen(alerts=alerts))
        self._alerts = alerts

    def _look_at_sink(self) -> None:
        # The sink compares with its own clock, which may be either of the two that are known to differ.
        notifications = tuple(self.observer.notifications(self._began - abs(self.skew_s)))
        new = tuple(item for item in notifications if item not in self._notifications)
        if new:
            self.write(e.NotificationsSeen(notifications=new))
        self._notifications = notifications

    def _check_guards(self) -> None:
        if not isinstance(self.observer, Measuring):
            return
        for index, condition in enumerate(self.plan.guardrails.abort_if):
            try:
                holds = self.observer.query(condition.promql)
            except DrillError as error:
                self._lose("prometheus", error)
                continue
            if holds:
                self._guards.setdefault(index, self.clock())
            else:
                self._guards.pop(index, None)
            self.tell(Guarded(index, self._guards.get(index)))


def _shape(spans: tuple[AlertSpan, ...]) -> set[tuple[object, ...]]:
    return {(tuple(sorted(span.labels.items())), span.state, span.start, span.open) for span in spans}


def _held(alerts: tuple[AlertmanagerAlert, ...]) -> set[tuple[object, ...]]:
    return {
        (tuple(sorted(a.labels.items())), a.peer, a.receivers, a.state, a.silenced_by, a.inhibited_by, a.muted_by)
        for a in alerts
    }
