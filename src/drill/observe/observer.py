"""The alert path as its APIs show it: joins Prometheus, Alertmanager and the sink into one AlertObserver.

Owns which query answers which question. Refuses to judge; and what cannot be seen raises, it is never empty.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from drill.alerting.relabel import Outgoing
from drill.alerting.rules import BurnAlert, counted_by, shortest_windows
from drill.core.errors import Unavailable
from drill.core.facts import Endpoints
from drill.core.observations import (
    AlertmanagerAlert,
    AlertSpan,
    Notification,
    Notifier,
    PeerStatus,
    RecordingRule,
    RouteProbe,
    RuleStatus,
    ScrapeTarget,
    Silence,
    SliSample,
)
from drill.core.units import parse_duration, prometheus_duration
from drill.observe.alertmanager import Alertmanagers
from drill.observe.http import ServerOptions
from drill.observe.muting import Mutes
from drill.observe.prometheus import ClockSkew, Prometheus, Sample
from drill.observe.sink import Sink
from drill.observe.sli import (
    ERROR_RATIO,
    SLOTH_SERIES,
    RecordedSlo,
    recorded_slos,
    sli_samples,
    traffic_by_service,
)
from drill.observe.spans import alert_spans, gaps

DEFAULT_TRAFFIC = 'sum by (service) (rate(http_request_duration_seconds_count{job="edge"}[{window}]))'
FALLBACK_INTERVAL_S = 60.0
"""Prometheus's default evaluation interval, where the rules API does not tell the real one."""
OBJECTIVE = "slo:objective:ratio"
BUDGET_LEFT = "slo:period_error_budget_remaining:ratio"
HISTORY_STEPS = 500
"""Points of the coarse search for the oldest sample; the second query makes it exact."""
LOOKBACK_S = 300.0
"""Prometheus's default lookback: the coarse search must not step further, or it would miss samples."""


@dataclass(frozen=True)
class ObserverOptions:
    """How the servers are asked. ``alertmanager_peers`` holds those with options of their own, by URL.

    ``traffic`` maps a ``sloth_id`` to PromQL that gives its requests per second. All others get
    ``default_traffic``, grouped by the label ``service``; ``{window}`` in either is the SLO's shortest window.
    """

    prometheus: ServerOptions = field(default_factory=ServerOptions)
    alertmanager: ServerOptions = field(default_factory=ServerOptions)
    alertmanager_peers: Mapping[str, ServerOptions] = field(default_factory=dict)
    sink: ServerOptions = field(default_factory=ServerOptions)
    traffic: Mapping[str, str] = field(default_factory=dict)
    default_traffic: str = DEFAULT_TRAFFIC


class Observer:
    """Implements :class:`drill.core.ports.AlertObserver`; safe for use from several threads."""

    def __init__(self, endpoints: Endpoints, options: ObserverOptions | None = None) -> None:
        self._options = options or ObserverOptions()
        self.prometheus = Prometheus(endpoints.prometheus, self._options.prometheus)
        self.alertmanagers = Alertmanagers(
            endpoints.alertmanagers, self._options.alertmanager, self._options.alertmanager_peers
        )
        self.sink = Sink(endpoints.sink, self._options.sink) if endpoints.sink else None
        self._intervals: Mapping[str, float] = {}
        self._heartbeat = ""
        self._shortest: dict[str, str] = {}
        self._mutes = Mutes(self.alertmanagers.status)
        self._watched: Mapping[str, BurnAlert] = {}

    def watch(self, alerts: Sequence[BurnAlert]) -> None:
        """Measure the SLOs behind *alerts* from their own PromQL, where nobody records Sloth's series of them."""
        self._watched = shortest_windows(alerts)

    def rules(self) -> Sequence[RuleStatus]:
        """Return all alerting rules Prometheus has loaded. Raises Unavailable."""
        rules = self.prometheus.rules()
        intervals: dict[str, float] = {}
        for rule in rules:
            intervals[rule.name] = max(rule.interval_s, intervals.get(rule.name, 0.0))
        self._intervals = intervals
        return rules

    def alert_spans(self, start: float, end: float) -> Sequence[AlertSpan]:
        """Return all alert states between *start* and *end*, from raw samples of ``ALERTS``. Raises Unavailable."""
        if end <= start:
            return []
        if not self._intervals:
            self.rules()
        return alert_spans(self.prometheus.raw("ALERTS", end - start, end), end, self.evaluation_interval)

    def evaluation_interval(self, alertname: str) -> float:
        """Return the interval (s) of the group that *alertname* is in, as of the last :meth:`rules`."""
        longest = max(self._intervals.values(), default=FALLBACK_INTERVAL_S)
        return self._intervals.get(alertname, longest)

    def alertmanager_alerts(self) -> Sequence[AlertmanagerAlert]:
        """Return the alerts of all Alertmanager peers now. Raises Unavailable when no peer answers."""
        return self._mutes.mark(self.alertmanagers.alerts(), time.time())

    def silences(self) -> Sequence[Silence]:
        """Return the silences that are active or pending. Raises Unavailable when no peer answers."""
        return self.alertmanagers.silences()

    def alertmanager_status(self) -> Sequence[PeerStatus]:
        """Return the state of every Alertmanager peer; a silent one has an ``error``."""
        return self.alertmanagers.status()

    def recording_rules(self) -> Sequence[RecordingRule]:
        """Return all recording rules Prometheus has loaded. Raises Unavailable."""
        return self.prometheus.recording_rules()

    def targets(self) -> Sequence[ScrapeTarget]:
        """Return Prometheus's active scrape targets. Raises Unavailable."""
        return self.prometheus.targets()

    def notifier(self) -> Notifier:
        """Return the state of Prometheus's way to its Alertmanagers. Raises Unavailable."""
        return self.prometheus.notifier()

    def sends_to(self) -> Sequence[str]:
        """Return the Alertmanagers Prometheus sends to now. Raises Unavailable."""
        return self.prometheus.alertmanagers()

    def outgoing(self) -> Outgoing:
        """Return what Prometheus does to the labels of every alert it sends. Raises Unavailable."""
        return self.prometheus.outgoing()

    def probe_route(self, labels: Mapping[str, str], ends_in_s: float) -> Sequence[RouteProbe]:
        """Ask every Alertmanager peer what it would do with an alert; nothing is sent (see Alertmanagers.probe)."""
        return self.alertmanagers.probe(labels, ends_in_s)

    def budget_left(self, sloth_id: str, period_s: float) -> float | None:
        """Return the share of *sloth_id*'s error budget that is left, as Sloth's rules record it; None without it.

        Their average is over what there is. Where the series is younger than the period (s), the time before it
        counts as spent without errors, or a minute's fault would be the whole of a new server's budget. Raises
        Unavailable.
        """
        found = self.prometheus.query(f'{BUDGET_LEFT}{{sloth_id="{sloth_id}"}}')
        if not found or not math.isfinite(found[0].value):
            return None
        left = found[0].value
        if left >= 1:
            return 1.0
        age = self.age_s(f'{{__name__=~"{ERROR_RATIO}.+",sloth_id="{sloth_id}"}}', period_s)
        return 1 - (1 - left) * min(1.0, age / period_s)

    def count(self, selector: str) -> int:
        """Return how many series *selector* has now. Raises Unavailable."""
        found = self.prometheus.query(f"count({selector})")
        return int(found[0].value) if found else 0

    def label_values(self, selector: str, label: str) -> Sequence[str]:
        """Return the values *label* has in the series of *selector*, sorted. Raises Unavailable."""
        found = self.prometheus.query(f"count by ({label}) ({selector})")
        return sorted({sample.labels.get(label, "") for sample in found})

    def notifications(self, since: float) -> Sequence[Notification]:
        """Return what the sink got since *since*; empty where there is no sink. Raises Unavailable."""
        return self.sink.notifications(since) if self.sink else []

    def sli(self, at: float | None = None) -> Sequence[SliSample]:
        """Return all SLIs now (or at *at*). Raises Unavailable."""
        slos = recorded_slos(self.prometheus.query(SLOTH_SERIES, at))
        for slo in slos:
            slo.once_shortest = self._shortest.get(slo.sloth_id, "")
            self._shortest[slo.sloth_id] = slo.shortest
        recorded = {slo.sloth_id for slo in slos}
        others = [self._by_rule(alert, at) for name, alert in self._watched.items() if name not in recorded]
        return [*sli_samples(slos, self._traffic(slos, at)), *(one for one in others if one is not None)]

    def _by_rule(self, alert: BurnAlert, at: float | None) -> SliSample | None:
        """One SLI by the ratio of its alert's short window; None where it is unknown, not for want of traffic."""
        ratio, rates = max(self.values(alert.ratio, at), default=None), self.values(alert.total, at)
        if ratio is None and (not rates or sum(rates) != 0):
            return None
        window = prometheus_duration(alert.short_s)
        return SliSample(
            at=at if at is not None else self.prometheus.query("time()")[0].value,
            sloth_id=alert.sloth_id,
            error_ratio=ratio or 0.0,
            requests_per_second=sum(rates),
            rates={} if ratio is None else {window: ratio / (1 - alert.objective)},
        )

    def values(self, promql: str, at: float | None = None) -> Sequence[float]:
        """Run an instant query and return its finite values; none for an empty query. Raises Unavailable."""
        return [one.value for one in self.samples(promql, at) if math.isfinite(one.value)] if promql else ()

    def _traffic(self, slos: Sequence[RecordedSlo], at: float | None) -> Mapping[str, float]:
        traffic: dict[str, float] = {}
        by_window: dict[str, Mapping[str, float]] = {}
        windows = sorted({slo.shortest for slo in slos if slo.shortest}, key=parse_duration)
        for slo in slos:
            window = slo.shortest or (windows[0] if windows else "5m")
            own = self._options.traffic.get(slo.sloth_id)
            if own is not None:
                answer = self.prometheus.query(own.replace("{window}", window), at)
                traffic[slo.sloth_id] = sum(one.value for one in answer if math.isfinite(one.value))
                continue
            if window not in by_window:
                promql = self._options.default_traffic.replace("{window}", window)
                by_window[window] = traffic_by_service(self.prometheus.query(promql, at))
            if slo.service in by_window[window]:
                traffic[slo.sloth_id] = by_window[window][slo.service]
        return traffic

    def samples(self, promql: str, at: float | None = None) -> Sequence[Sample]:
        """Run an instant query and return what it gives. Raises Unavailable."""
        return self.prometheus.query(promql, at)

    def query(self, promql: str) -> bool:
        """Tell whether *promql* returns any sample that is not 0 (the rule of ``abort_if``). Raises Unavailable."""
        return any(sample.value != 0 and not math.isnan(sample.value) for sample in self.samples(promql))

    def history_s(self, sloth_ids: Sequence[str] = (), limit_s: float = 4 * 86400.0) -> float:
        """Return the age (s) of the oldest sample of the youngest SLO; 0 when one of them has no sample.

        Without *sloth_ids* all recorded SLOs count. Looks back at most *limit_s*: beyond the longest window,
        age does not matter. Recorded ratios start one scrape and one evaluation after the counters they are
        made from. Raises Unavailable.
        """
        ids = sloth_ids or [slo.sloth_id for slo in recorded_slos(self.prometheus.query(SLOTH_SERIES))]
        return min((self._slo_age_s(sloth_id, limit_s) for sloth_id in ids), default=0.0)

    def _slo_age_s(self, sloth_id: str, limit_s: float) -> float:
        age = self.age_s(f'{{__name__=~"{ERROR_RATIO}.+",sloth_id="{sloth_id}"}}', limit_s)
        if age or sloth_id not in self._watched:
            return age
        return min((self.age_s(one, limit_s) for one in counted_by(self._watched[sloth_id])), default=0.0)

    def age_s(self, selector: str, limit_s: float = 4 * 86400.0) -> float:
        """Return the age (s) of the oldest sample of *selector*, 0 without one; at most *limit_s*.

        Raises Unavailable.
        """
        now = self.prometheus.query("time()")[0].value
        step = max(1.0, min(LOOKBACK_S, limit_s / HISTORY_STEPS))
        coarse = self.prometheus.query(
            f"min(min_over_time(timestamp({selector})[{limit_s:.0f}s:{step:.0f}s]))", now
        )
        if not coarse:
            return self._exact_age(selector, now, step, now)
        return self._exact_age(selector, coarse[0].value, LOOKBACK_S + step, now)

    def _exact_age(self, selector: str, until: float, range_s: float, now: float) -> float:
        series = self.prometheus.raw(selector, range_s, until)
        times = [one.samples[0][0] for one in series if one.samples]
        return max(0.0, now - min(times)) if times else 0.0

    def evaluation_gaps(self, start: float, end: float) -> Sequence[tuple[float, float]]:
        """Return the times in ``[start, end]`` without rule evaluations: Prometheus was stopped or starved.

        Read from a recorded constant, which every evaluation writes whatever the traffic; where no rule records
        one, from ``up`` of one target, which a stopped server does not write either. Times before the first
        sample are no gap. Raises Unavailable.
        """
        if not self._heartbeat:
            found = self.prometheus.query(OBJECTIVE)
            ids = sorted(one.labels.get("sloth_id", "") for one in found)
            self._heartbeat = f'{OBJECTIVE}{{sloth_id="{ids[0]}"}}' if ids else self._any_recorded()
        if not self._heartbeat:
            return ()
        series = self.prometheus.raw(self._heartbeat, end - start, end)
        times = sorted(at for one in series for at, _ in one.samples)
        return gaps(times, end, max(self._intervals.values(), default=FALLBACK_INTERVAL_S))

    def _any_recorded(self) -> str:
        found = sorted(self.prometheus.query("up"), key=lambda one: sorted(one.labels.items()))
        names = ("job", "instance")
        inside = [",".join(f'{name}="{one.labels[name]}"' for name in names if name in one.labels) for one in found]
        return f"up{{{inside[0]}}}" if inside else ""

    def started_at(self) -> float:
        """Return when Prometheus's process started, Unix seconds. Raises Unavailable."""
        return self.prometheus.started_at()

    def clock_skew(self) -> ClockSkew:
        """Return Prometheus's clock minus ours, with its bound. Raises Unavailable."""
        return self.prometheus.clock_skew()

    def check(self) -> None:
        """Raise Unavailable for the first server that cannot be reached at all."""
        self.prometheus.version()
        if self.alertmanagers.peers:
            silent = [status.error for status in self.alertmanager_status()]
            if all(silent):
                raise Unavailable(silent[0])

    def close(self) -> None:
        """Close all sessions; closing twice is harmless."""
        self.prometheus.close()
        self.alertmanagers.close()
        if self.sink:
            self.sink.close()
