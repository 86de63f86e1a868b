"""Alertmanager's API v2, asked of every peer: alerts, silences, status. Writes nothing but the routing probe."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drill.core.clock import parse_rfc3339, rfc3339
from drill.core.errors import Unavailable
from drill.core.observations import AlertmanagerAlert, PeerStatus, RouteProbe, Silence, SilenceMatcher
from drill.observe.http import Server, ServerOptions

T = TypeVar("T")
PROBE_LABEL = "drill_probe"
"""Marks alerts that only ask for their way; never seen as an alert by anything here."""


class Alertmanagers:
    """The peers of one Alertmanager cluster. Peers do not gossip alerts, so every one of them is asked."""

    def __init__(
        self,
        urls: Sequence[str],
        options: ServerOptions | None = None,
        own: Mapping[str, ServerOptions] | None = None,
    ) -> None:
        """*options* are for every peer, except for those whose URL is in *own*."""
        self.peers = tuple(Server("Alertmanager", url, (own or {}).get(url, options)) for url in urls)

    def alerts(self) -> Sequence[AlertmanagerAlert]:
        """Return the alerts of all peers that answer. Raises Unavailable when none does.

        What a peer holds is not merged with what another holds; ``peer`` tells them apart. Which peers are
        silent is :meth:`status`'s to say.
        """
        return [alert for alert in self._ask("/api/v2/alerts", _alert) if PROBE_LABEL not in alert.labels]

    def silences(self) -> Sequence[Silence]:
        """Return the silences that are active or will be, of all peers that answer. Raises Unavailable."""
        return [silence for silence in self._ask("/api/v2/silences", _silence) if silence.state != "expired"]

    def status(self) -> Sequence[PeerStatus]:
        """Return the state of every peer; a peer that does not answer has an ``error``. Never raises."""
        return [_peer_status(peer) for peer in self.peers]

    def _ask(self, path: str, read: Callable[[Mapping[str, Any], str], T]) -> Sequence[T]:
        found: list[T] = []
        errors: list[Unavailable] = []
        for peer in self.peers:
            try:
                found += _read_all(peer, path, read)
            except Unavailable as error:
                errors.append(error)
        if len(errors) == len(self.peers):
            raise errors[0] if errors else Unavailable("no Alertmanager is configured")
        return found

    def probe(self, labels: Mapping[str, str], ends_in_s: float) -> Sequence[RouteProbe]:
        """Ask each peer what it would do with an alert of *labels*, and return what those say that answer.

        A probe is a real alert that says of itself that it ends *ends_in_s* seconds from now. While that is
        sooner than its group's ``group_wait``, the group's first flush finds nothing but a resolved alert that
        nobody was told of, and sends nothing (``dispatch`` and ``notify.DedupStage`` of Alertmanager).
        """
        return [probe for peer in self.peers if (probe := _probe_peer(peer, labels, ends_in_s)) is not None]

    def close(self) -> None:
        """Close all sessions; closing twice is harmless."""
        for peer in self.peers:
            peer.close()


def _probe_peer(peer: Server, labels: Mapping[str, str], ends_in_s: float) -> RouteProbe | None:
    mark = f"drill-probe-{secrets.token_hex(4)}"
    now = time.time()
    alert = {
        "labels": {**labels, PROBE_LABEL: mark},
        "annotations": {"summary": "drill asks where this alert would go; it ends by itself and notifies nobody"},
        "startsAt": rfc3339(now),
        "endsAt": rfc3339(now + ends_in_s),
    }
    try:
        peer.post("/api/v2/alerts", [alert])
        found = peer.get("/api/v2/alerts", {"filter": f'{PROBE_LABEL}="{mark}"'})
        return peer.call(lambda: _probe(found[0], peer.url) if found else None)
    except Unavailable:
        return None


def _probe(item: Mapping[str, Any], peer: str) -> RouteProbe:
    alert = _alert(item, peer)
    return RouteProbe(
        peer=peer,
        receivers=alert.receivers,
        state=alert.state,
        silenced_by=alert.silenced_by,
        inhibited_by=alert.inhibited_by,
    )


def _read_all(peer: Server, path: str, read: Callable[[Mapping[str, Any], str], T]) -> Sequence[T]:
    return peer.call(lambda: [read(item, peer.url) for item in peer.get(path)])


def _alert(item: Mapping[str, Any], peer: str) -> AlertmanagerAlert:
    status = item["status"]
    return AlertmanagerAlert(
        labels=item["labels"],
        receivers=tuple(receiver["name"] for receiver in item["receivers"]),
        state=status["state"],
        silenced_by=tuple(status.get("silencedBy") or ()),
        inhibited_by=tuple(status.get("inhibitedBy") or ()),
        starts_at=parse_rfc3339(item["startsAt"]),
        ends_at=parse_rfc3339(item["endsAt"]),
        peer=peer,
        muted_by=tuple(status.get("mutedBy") or ()),
    )


def _silence(item: Mapping[str, Any], peer: str) -> Silence:
    return Silence(
        id=item["id"],
        matchers=tuple(
            SilenceMatcher(
                name=one["name"],
                value=one["value"],
                is_regex=bool(one["isRegex"]),
                is_equal=bool(one.get("isEqual", True)),
            )
            for one in item["matchers"]
        ),
        state=item["status"]["state"],
        starts_at=parse_rfc3339(item["startsAt"]),
        ends_at=parse_rfc3339(item["endsAt"]),
        created_by=item.get("createdBy", ""),
        comment=item.get("comment", ""),
        peer=peer,
    )


def _peer_status(peer: Server) -> PeerStatus:
    try:
        answer = peer.get("/api/v2/status")
        return peer.call(
            lambda: PeerStatus(
                peer=peer.url,
                version=answer["versionInfo"]["version"],
                cluster=answer["cluster"]["status"],
                started_at=parse_rfc3339(answer["uptime"]),
                config=answer["config"]["original"],
            )
        )
    except Unavailable as error:
        return PeerStatus(peer=peer.url, error=str(error))
