"""Prometheus: queries through prometheus-api-client, the rest of its API on the same session.

Owns URLs, parameters and the shapes of the answers. Refuses to interpret alerts: spans are
:mod:`drill.observe.spans`, service levels :mod:`drill.observe.sli`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from prometheus_api_client.prometheus_connect import PrometheusConnect

from drill.alerting.relabel import Outgoing, read_outgoing
from drill.core.clock import parse_rfc3339
from drill.core.errors import Unavailable
from drill.core.observations import Notifier, RecordingRule, RuleStatus, ScrapeTarget
from drill.core.units import parse_duration
from drill.observe.http import Server, ServerOptions

_METRIC = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)(?: -?\d+)?$")
"""A line of the text exposition format: name, labels, value, perhaps a time."""


@dataclass(frozen=True)
class Sample:
    """One element of an instant vector: ``at`` Unix seconds of the server, ``value`` may be NaN or infinite."""

    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True)
class RawSeries:
    """One series with its raw samples: pairs of Unix seconds and value, oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ClockSkew:
    """The server's clock minus ours, in seconds, known to within ``bound_s`` (half a round trip)."""

    skew_s: float
    bound_s: float


@dataclass(frozen=True)
class ActiveAlert:
    """One alert of ``/api/v1/alerts``: ``state`` is pending or firing, ``active_at`` Unix seconds."""

    labels: Mapping[str, str]
    state: str
    active_at: float


class Prometheus:
    """A Prometheus (or Thanos, Mimir, Cortex) server. Every method raises Unavailable when it cannot answer."""

    def __init__(
        self, url: str, options: ServerOptions | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.server = Server("Prometheus", url, options)
        self._clock = clock
        self._connect = PrometheusConnect(
            url=self.server.url, session=self.server.session, retry=self.server.options.retry()
        )
        self.server.keep_adapter(self.server.session)

    def query(self, promql: str, at: float | None = None) -> Sequence[Sample]:
        """Run an instant query now, or at *at*; a scalar comes back as one sample without labels."""
        return self.server.call(lambda: _vector(self._ask(promql, at)))

    def raw(self, selector: str, range_s: float, at: float | None = None) -> Sequence[RawSeries]:
        """Return the raw samples of the last *range_s* seconds before *at*; NaNs are left in."""
        # One millisecond more: since 3.0 the range's left end is exclusive.
        promql = f"{selector}[{max(1, round(range_s * 1000)) + 1}ms]"
        return self.server.call(lambda: [_series(item) for item in self._ask(promql, at)])

    def _ask(self, promql: str, at: float | None) -> Any:
        params = dict(self.server.options.params)
        if at is not None:
            params["time"] = f"{at:.3f}"
        # Annotated as int there, but handed on to requests, which takes both limits.
        timeout: Any = self.server.options.timeout
        return self._connect.custom_query(promql, params=params, timeout=timeout)

    def rules(self) -> Sequence[RuleStatus]:
        """Return all alerting rules it has loaded."""
        return self.server.call(lambda: _rules(self._data("/api/v1/rules", {"type": "alert"})))

    def alerts(self) -> Sequence[ActiveAlert]:
        """Return the alerts that are pending or firing now, as the rule evaluator holds them."""
        return self.server.call(lambda: _active_alerts(self._data("/api/v1/alerts")))

    def alertmanagers(self) -> Sequence[str]:
        """Return the URLs of the Alertmanagers it sends to now; empty: alerts go nowhere."""
        return self.server.call(
            lambda: [peer["url"] for peer in self._data("/api/v1/alertmanagers")["activeAlertmanagers"]]
        )

    def recording_rules(self) -> Sequence[RecordingRule]:
        """Return all recording rules it has loaded."""
        return self.server.call(lambda: _recording_rules(self._data("/api/v1/rules", {"type": "record"})))

    def targets(self) -> Sequence[ScrapeTarget]:
        """Return its active scrape targets."""
        return self.server.call(
            lambda: [_target(one) for one in self._data("/api/v1/targets", {"state": "active"})["activeTargets"]]
        )

    def outgoing(self) -> Outgoing:
        """Return what it does to the labels of every alert it sends."""
        return self.server.call(lambda: read_outgoing(yaml.safe_load(self._data("/api/v1/status/config")["yaml"])))

    def notifier(self) -> Notifier:
        """Return the state of its way to the Alertmanagers, from its own ``/metrics``."""
        return self.server.call(lambda: _notifier(metric_totals(self.server.text("/metrics"))))

    def started_at(self) -> float:
        """Return when its process started, Unix seconds."""
        return self.server.call(lambda: _started_at(self._data("/api/v1/status/runtimeinfo")))

    def version(self) -> str:
        """Return its version, like ``2.42.0``."""
        return self.server.call(lambda: str(self._data("/api/v1/status/buildinfo")["version"]))

    def clock_skew(self, tries: int = 3) -> ClockSkew:
        """Compare its ``time()`` with the local clock; the try with the shortest round trip counts.

        ``time()`` has milliseconds where the Date header has only seconds.
        """
        return min((self._skew_once() for _ in range(tries)), key=lambda skew: skew.bound_s)

    def _skew_once(self) -> ClockSkew:
        sent = self._clock()
        answer = self.query("time()")
        received = self._clock()
        return ClockSkew(answer[0].value - (sent + received) / 2, (received - sent) / 2)

    def _data(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        answer = self.server.get(path, params)
        if answer["status"] != "success":
            raise Unavailable(
                f"{self.server.what} at {self.server.url}: {self.server.redact(str(answer['error']))}"
            )
        return answer["data"]

    def close(self) -> None:
        """Close the session; closing twice is harmless."""
        self.server.close()


def _vector(result: Any) -> Sequence[Sample]:
    if result and not isinstance(result[0], dict):  # a scalar: [time, "value"]
        return [Sample({}, float(result[1]), float(result[0]))]
    return [Sample(item["metric"], float(item["value"][1]), float(item["value"][0])) for item in result]


def _series(item: Mapping[str, Any]) -> RawSeries:
    return RawSeries(item["metric"], tuple((float(at), float(value)) for at, value in item["values"]))


def _rules(data: Mapping[str, Any]) -> Sequence[RuleStatus]:
    return [_rule(rule, group) for group in data["groups"] for rule in group["rules"] if rule["type"] == "alerting"]


def _rule(rule: Mapping[str, Any], group: Mapping[str, Any]) -> RuleStatus:
    health = rule.get("health", "unknown")
    return RuleStatus(
        name=rule["name"],
        labels=rule.get("labels") or {},
        annotations=rule.get("annotations") or {},
        query=rule["query"],
        health=health if health in ("ok", "err") else "unknown",
        last_error=rule.get("lastError") or "",
        last_evaluation=max(0.0, parse_rfc3339(rule["lastEvaluation"])),  # year 1 means never
        for_s=float(rule.get("duration") or 0),
        keep_firing_for_s=float(rule.get("keepFiringFor") or 0),
        group=group["name"],
        file=group.get("file") or "",
        interval_s=float(group["interval"]),
        state=rule["state"] if rule.get("state") in ("inactive", "pending", "firing") else "unknown",
    )


def _recording_rules(data: Mapping[str, Any]) -> Sequence[RecordingRule]:
    return [
        RecordingRule(
            name=rule["name"],
            labels=rule.get("labels") or {},
            query=rule["query"],
            health=rule["health"] if rule.get("health") in ("ok", "err") else "unknown",
            last_error=rule.get("lastError") or "",
            group=group["name"],
            file=group.get("file") or "",
            interval_s=float(group["interval"]),
        )
        for group in data["groups"]
        for rule in group["rules"]
        if rule["type"] == "recording"
    ]


def _target(one: Mapping[str, Any]) -> ScrapeTarget:
    health = one.get("health", "unknown")
    return ScrapeTarget(
        labels=one["labels"],
        url=one["scrapeUrl"],
        interval_s=parse_duration(one["scrapeInterval"]) if one.get("scrapeInterval") else 0.0,
        health=health if health in ("up", "down") else "unknown",
        last_error=one.get("lastError") or "",
    )


def _notifier(totals: Mapping[str, float]) -> Notifier:
    prefix = "prometheus_notifications_"
    return Notifier(
        queue_length=totals[f"{prefix}queue_length"],
        queue_capacity=totals[f"{prefix}queue_capacity"],
        sent=totals.get(f"{prefix}sent_total", 0.0),
        errors=totals.get(f"{prefix}errors_total", 0.0),
        dropped=totals.get(f"{prefix}dropped_total", 0.0),
    )


def metric_totals(text: str) -> Mapping[str, float]:
    """Sum the samples of each metric of a text exposition over all its labels."""
    totals: dict[str, float] = {}
    for line in text.splitlines():
        found = _METRIC.match(line)
        if found:
            totals[found[1]] = totals.get(found[1], 0.0) + float(found[2])
    return totals


def _active_alerts(data: Mapping[str, Any]) -> Sequence[ActiveAlert]:
    return [
        ActiveAlert(alert["labels"], alert["state"], parse_rfc3339(alert["activeAt"])) for alert in data["alerts"]
    ]


def _started_at(data: Mapping[str, Any]) -> float:
    return parse_rfc3339(data["startTime"])
