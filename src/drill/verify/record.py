"""A journal laid out for judging: everything by kind, all times in server time. It interprets nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from drill.core.labels import Labels, matches
from drill.core.observations import AlertmanagerAlert, AlertState, Notification, SliSample
from drill.journal.events import (
    AbortRequested,
    AlertmanagerSeen,
    AlertsSeen,
    AnyEvent,
    Event,
    EvidenceLost,
    InjectionEffective,
    InjectionEnded,
    NotificationsSeen,
    Preflight,
    RunStarted,
    SliSeen,
    TimelineStarted,
)
from drill.plan.model import Plan
from drill.verify.spans import Interval, SeenSpan, covered_times, covers, join_spans

E = TypeVar("E", bound=Event)

MILLISECOND = 0.001
"""Prometheus stores whole milliseconds, so times this close are equal."""
SAME_START_S = 0.01
"""``startsAt`` is the time of the evaluation, rounded by both servers in their own way."""


@dataclass(frozen=True)
class Record:
    """Plan and journal of one run, indexed."""

    plan: Plan
    events: Sequence[AnyEvent]

    def all(self, kind: type[E]) -> Iterator[E]:
        """All events of *kind*, in order."""
        return (event for event in self.events if isinstance(event, kind))

    def last(self, kind: type[E]) -> E | None:
        """The last event of *kind*, or None."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    @cached_property
    def skew(self) -> float:
        """Seconds to add to the runner's clock to get server time."""
        preflight = self.last(Preflight)
        return preflight.clock_skew_s if preflight else 0.0

    @cached_property
    def t0(self) -> float | None:
        """T0 in server time."""
        event = self.last(TimelineStarted)
        return event.at + self.skew if event else None

    @property
    def slack(self) -> float:
        """Two rule evaluations: the resolution of everything read from ``ALERTS``."""
        return 2 * self.plan.evaluation_interval_s

    @cached_property
    def sink(self) -> str:
        """Base URL of the notification sink; empty where there was none."""
        started = self.last(RunStarted)
        return started.endpoints.sink if started else ""

    @cached_property
    def aborted_by(self) -> AbortRequested | None:
        """The first request to abort."""
        return next(self.all(AbortRequested), None)

    @cached_property
    def spans(self) -> tuple[SeenSpan, ...]:
        """All alert spans, joined over all queries, by start."""
        return join_spans(list(self.all(AlertsSeen)), self.slack)

    @cached_property
    def covered(self) -> tuple[Interval, ...]:
        """The times in which the absence of an alert is known."""
        return covered_times(self.all(AlertsSeen), MILLISECOND)

    @cached_property
    def missed(self) -> tuple[Interval, ...]:
        """Times in which no rule was evaluated."""
        return tuple(sorted({hole for look in self.all(AlertsSeen) for hole in look.missed}))

    def covers(self, start: float, end: float) -> bool:
        """True when all of ``[start, end]`` was looked at, to the resolution of the evidence."""
        return covers(self.covered, start, max(start, end - self.slack))

    def spans_of(self, match: Labels, state: AlertState) -> list[SeenSpan]:
        """All spans in *state* of alerts that *match*."""
        return [span for span in self.spans if span.state == state and matches(match, span.labels)]

    def in_alertmanager(self, match: Labels, firing: SeenSpan) -> list[tuple[float, AlertmanagerAlert]]:
        """All sightings of *firing*, an alert that *matches*, in Alertmanager, each with its time."""
        return [
            (look.at + self.skew, alert)
            for look in self.all(AlertmanagerSeen)
            for alert in look.alerts
            if look.at + self.skew >= firing.start - self.slack
            and same_alert(match, firing, alert.labels, alert.starts_at)
        ]

    def notifications(self, match: Labels, firing: SeenSpan) -> list[Notification]:
        """Firing notifications of *firing*, earliest first.

        Alertmanager's ``startsAt`` is the time of Prometheus's evaluation, so it tells one firing from an
        earlier one; without it the receiver's clock must do, give or take the skew known between clocks.
        """
        found = [
            note
            for look in self.all(NotificationsSeen)
            for note in look.notifications
            if note.status == "firing"
            and same_alert(match, firing, note.labels, note.starts_at)
            and self._belongs(note, firing.start)
        ]
        return sorted(found, key=lambda note: note.at)

    def _belongs(self, note: Notification, since: float) -> bool:
        if note.starts_at:
            return note.starts_at >= since - self.slack
        return note.at >= since - abs(self.skew) - MILLISECOND

    def sli(self, sloth_ids: frozenset[str], start: float, end: float) -> list[SliSample]:
        """SLI samples of the named SLOs with a time in ``[start, end]``, in order of time."""
        samples = (sample for event in self.all(SliSeen) for sample in event.samples)
        found = [s for s in samples if s.sloth_id in sloth_ids and start <= s.at <= end]
        return sorted(found, key=lambda sample: sample.at)

    def effective(self, injection: str) -> InjectionEffective | None:
        """When *injection* was shown to be in effect."""
        return next((e for e in self.all(InjectionEffective) if e.injection == injection), None)

    def ended(self, injection: str) -> InjectionEnded | None:
        """When *injection* was taken back; the last time where it was done again."""
        return next((e for e in reversed([*self.all(InjectionEnded)]) if e.injection == injection), None)

    def lost(self, source: str) -> list[EvidenceLost]:
        """All losses of one *source*."""
        return [event for event in self.all(EvidenceLost) if event.source == source]

    def silent_since(self, source: str, *answers: type[Event]) -> EvidenceLost | None:
        """The loss of *source* after which none of the kinds of events that show it alive came, or None."""
        losses = self.lost(source)
        last_answer = max((event.seq for event in self.events if isinstance(event, answers)), default=-1)
        return next((loss for loss in losses if loss.seq > last_answer), None)


def same_alert(match: Labels, firing: SeenSpan, labels: Labels, starts_at: float) -> bool:
    """True when Alertmanager's *labels* are those of *firing*, which *match* was found by.

    External labels and alert relabelling may add labels, then *match* still decides; or take labels away: then it
    is the same alert when it began at the same evaluation, to the millisecond, and no label contradicts.
    """
    if matches(match, labels):
        return True
    if labels.get("alertname") != firing.labels.get("alertname") or abs(starts_at - firing.start) > SAME_START_S:
        return False
    return all(labels[name] == value for name, value in firing.labels.items() if name in labels)
