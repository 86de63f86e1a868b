"""Alertmanager's API v2, asked of every peer: alerts, silences, status. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from drill.core.clock import parse_rfc3339
from drill.core.errors import Unavailable
from drill.core.observations import AlertmanagerAlert
from drill.observe.http import Server, ServerOptions

T = TypeVar("T")


@dataclass(frozen=True)
class SilenceMatcher:
    """One matcher: ``name`` = (or !=, =~, !~) ``value``."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool


@dataclass(frozen=True)
class Silence:
    """One silence; ``state`` is active, pending or expired, times are Unix seconds."""

    id: str
    matchers: tuple[SilenceMatcher, ...]
    state: str
    starts_at: float
    ends_at: float
    created_by: str
    comment: str
    peer: str


@dataclass(frozen=True)
class PeerStatus:
    """One peer: ``error`` is empty when it answered; ``cluster`` is its gossip state, ``config`` its YAML."""

    peer: str
    error: str = ""
    version: str = ""
    cluster: str = ""
    started_at: float = 0.0
    config: str = ""


class Alertmanagers:
    """The peers of one Alertmanager cluster. Peers do not gossip alerts, so every one of them is asked."""

    def __init__(self, urls: Sequence[str], options: ServerOptions | None = None) -> None:
        self.peers = tuple(Server("Alertmanager", url, options) for url in urls)

    def alerts(self) -> Sequence[AlertmanagerAlert]:
        """Return the alerts of all peers that answer. Raises Unavailable when none does.

        What a peer holds is not merged with what another holds; ``peer`` tells them apart. Which peers are
        silent is :meth:`status`'s to say.
        """
        return self._ask("/api/v2/alerts", _alert)

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

    def close(self) -> None:
        """Close all sessions; closing twice is harmless."""
        for peer in self.peers:
            peer.close()


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
    )


def _silence(item: Mapping[str, Any], peer: str) -> Silence:
    return Silence(
        id=item["id"],
        matchers=tuple(
            SilenceMatcher(one["name"], one["value"], bool(one["isRegex"]), bool(one.get("isEqual", True)))
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
