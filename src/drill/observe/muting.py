"""Which alerts a time interval mutes, also where Alertmanager does not say it: its API does so only since 0.28.

Owns the reading of the peers' configuration for that, kept for a while, since it changes only by a reload.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from drill.alerting.routing import Routing, load_routing, muted_by
from drill.core.observations import AlertmanagerAlert, PeerStatus

FRESH_S = 30.0
"""How long a configuration that was read counts as the one in force."""


class Mutes:
    """Marks alerts with the intervals that mute them; a peer whose configuration cannot be read mutes nothing."""

    def __init__(self, status: Callable[[], Sequence[PeerStatus]]) -> None:
        self._status = status
        self._routings: dict[str, Routing] = {}
        self._read_at = 0.0

    def mark(self, alerts: Sequence[AlertmanagerAlert], now: float) -> Sequence[AlertmanagerAlert]:
        """Return *alerts* with ``muted_by`` filled in for Unix time *now*."""
        if not alerts:
            return alerts
        if abs(now - self._read_at) > FRESH_S:
            self._routings, self._read_at = self._read(), now
        return [self._marked(alert, now) for alert in alerts]

    def _read(self) -> dict[str, Routing]:
        found = {}
        for peer in self._status():
            routing = load_routing(peer.config)[0] if peer.config else None
            if routing is not None and routing.intervals:
                found[peer.peer] = routing
        return found

    def _marked(self, alert: AlertmanagerAlert, now: float) -> AlertmanagerAlert:
        routing = self._routings.get(alert.peer)
        if routing is None or alert.muted_by:
            return alert
        return alert.with_(muted_by=muted_by(routing, alert.labels, now))
