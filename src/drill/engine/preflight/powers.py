"""What an observer can tell beyond :class:`drill.core.ports.AlertObserver`, so that preflight can name a cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from drill.alerting.relabel import Outgoing
from drill.core.observations import (
    AlertmanagerAlert,
    AlertSpan,
    Notifier,
    PeerStatus,
    RecordingRule,
    RouteProbe,
    ScrapeTarget,
    Silence,
)


@runtime_checkable
class PathObserver(Protocol):
    """The alert path in detail. Every method may raise Unavailable: some servers do not know the question."""

    def recording_rules(self) -> Sequence[RecordingRule]:
        """All recording rules Prometheus has loaded."""

    def targets(self) -> Sequence[ScrapeTarget]:
        """Its active scrape targets."""

    def notifier(self) -> Notifier:
        """Its queue to the Alertmanagers."""

    def sends_to(self) -> Sequence[str]:
        """The Alertmanagers it sends to now."""

    def outgoing(self) -> Outgoing:
        """What it does to the labels of every alert it sends."""

    def budget_left(self, sloth_id: str, period_s: float) -> float | None:
        """The share of an SLO's error budget that is left, 1 or less; None where no rule records it."""

    def count(self, selector: str) -> int:
        """How many series a selector has now."""

    def label_values(self, selector: str, label: str) -> Sequence[str]:
        """The values a label has in the series of a selector."""

    def alert_spans(self, start: float, end: float) -> Sequence[AlertSpan]:
        """All alert states between *start* and *end* (server time)."""

    def alertmanager_alerts(self) -> Sequence[AlertmanagerAlert]:
        """All alerts of all Alertmanager peers now."""

    def alertmanager_status(self) -> Sequence[PeerStatus]:
        """The state of every peer, its configuration included; a silent one has an ``error``."""

    def silences(self) -> Sequence[Silence]:
        """The silences that are active or pending."""

    def probe_route(self, labels: Mapping[str, str], ends_in_s: float) -> Sequence[RouteProbe]:
        """What every peer would do with an alert; nothing is sent."""
