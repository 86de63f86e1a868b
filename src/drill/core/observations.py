"""What observers bring back, as values: alert samples, alerts in Alertmanager, notifications, rule states."""

from __future__ import annotations

from typing import Literal

from drill.core.values import Value

AlertState = Literal["pending", "firing"]


class AlertSpan(Value):
    """One uninterrupted time an alert was in one state, read from raw samples of ``ALERTS``.

    ``start`` and ``end`` are the server times of its first and last sample; ``open`` is true when the last
    sample is within two evaluation intervals of the time of the query, so that it may still go on.
    """

    labels: dict[str, str]
    state: AlertState
    start: float
    end: float
    open: bool = False


class AlertmanagerAlert(Value):
    """One alert as ``GET /api/v2/alerts`` shows it, times as Unix seconds."""

    labels: dict[str, str]
    receivers: tuple[str, ...]
    state: Literal["active", "suppressed", "unprocessed"]
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    starts_at: float
    ends_at: float
    peer: str = ""
    muted_by: tuple[str, ...] = ()
    """Time intervals that hold its notifications back now; the state says nothing of them."""


class Notification(Value):
    """One alert of one notification a receiver got; ``at`` is the receiver's clock, Unix seconds."""

    at: float
    receiver: str
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: float = 0.0


class RuleStatus(Value):
    """One alerting rule as Prometheus runs it; durations in seconds, ``last_evaluation`` Unix seconds."""

    name: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    query: str
    health: Literal["ok", "err", "unknown"]
    last_error: str = ""
    last_evaluation: float
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    group: str = ""
    file: str = ""
    interval_s: float
    state: Literal["inactive", "pending", "firing", "unknown"] = "inactive"


class SliSample(Value):
    """One service level indicator at one moment; ratios are of bad to all requests, 0..1.

    ``rates`` holds burn rates by window as the rules record them, e.g. ``{"5s": 69.4, "60s": 12.0}``.
    """

    at: float
    sloth_id: str
    error_ratio: float
    requests_per_second: float
    rates: dict[str, float] = {}


class RecordingRule(Value):
    """One recording rule as Prometheus runs it."""

    name: str
    labels: dict[str, str]
    query: str
    health: Literal["ok", "err", "unknown"]
    last_error: str = ""
    group: str = ""
    file: str = ""
    interval_s: float = 0.0


class ScrapeTarget(Value):
    """One active scrape target with the labels its series get; ``interval_s`` 0: not told."""

    labels: dict[str, str]
    url: str
    interval_s: float = 0.0
    health: Literal["up", "down", "unknown"]
    last_error: str = ""


class Notifier(Value):
    """Prometheus's way to its Alertmanagers: the queue now, and counts since its start."""

    queue_length: float
    queue_capacity: float
    sent: float
    errors: float
    dropped: float


class SilenceMatcher(Value):
    """One matcher: ``name`` = (or !=, =~, !~) ``value``."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool


class Silence(Value):
    """One silence; ``state`` is active, pending or expired, times are Unix seconds."""

    id: str
    matchers: tuple[SilenceMatcher, ...]
    state: str
    starts_at: float
    ends_at: float
    created_by: str
    comment: str
    peer: str


class PeerStatus(Value):
    """One Alertmanager peer: ``error`` is empty when it answered; ``cluster`` is its gossip state, ``config`` its
    YAML."""

    peer: str
    error: str = ""
    version: str = ""
    cluster: str = ""
    started_at: float = 0.0
    config: str = ""


class RouteProbe(Value):
    """What one Alertmanager peer would do with an alert, told by a probe that is over before anything is sent."""

    peer: str
    receivers: tuple[str, ...]
    state: Literal["active", "suppressed", "unprocessed"]
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
