"""What the observer tells preflight: rules, targets, the queue, labels, mutes and probes, from answers in the APIs' form."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from requests import ConnectionError as NoConnection

from drill.core.errors import Unavailable
from drill.core.observations import AlertmanagerAlert, PeerStatus
from drill.observe.alertmanager import PROBE_LABEL, Alertmanagers
from drill.observe.muting import FRESH_S, Mutes
from drill.observe.prometheus import Prometheus, metric_totals

METRICS = """# HELP prometheus_notifications_queue_length waiting
# TYPE prometheus_notifications_queue_length gauge
prometheus_notifications_queue_length 3
prometheus_notifications_queue_capacity 10000
prometheus_notifications_dropped_total{alertmanager="http://a"} 2
prometheus_notifications_dropped_total{alertmanager="http://b"} 1.5e+01
prometheus_notifications_sent_total{alertmanager="http://a{x}"} 7 1795470000000
not a metric line at all {
"""
MUTED = """
route: {receiver: pager, mute_time_intervals: [always]}
receivers: [{name: pager}]
time_intervals: [{name: always, time_intervals: [{years: ['2000:2100']}]}]
"""


def success(data: Any) -> dict[str, Any]:
    return {"status": "success", "data": data}


@pytest.fixture
def prometheus(answers: Any, mount: Callable[[Any], Any]) -> Prometheus:
    server = Prometheus("https://mimir.example.org/prometheus")
    mount(server.server)
    return server


def test_metrics_are_summed_over_their_labels() -> None:
    totals = metric_totals(METRICS)
    assert totals["prometheus_notifications_dropped_total"] == 17
    assert totals["prometheus_notifications_sent_total"] == 7
    assert len(totals) == 4


def test_the_queue_is_read_below_the_path_prefix(prometheus: Prometheus, answers: Any) -> None:
    answers.by_path["/prometheus/metrics"] = METRICS
    queue = prometheus.notifier()
    assert (queue.queue_length, queue.queue_capacity, queue.dropped, queue.errors) == (3, 10000, 17, 0)


def test_a_server_without_these_metrics_is_unavailable(prometheus: Prometheus, answers: Any) -> None:
    """Mimir's gateway answers /metrics with something else, or not at all: never an empty queue."""
    answers.by_path["/prometheus/metrics"] = "cortex_build_info 1\n"
    with pytest.raises(Unavailable):
        prometheus.notifier()
    answers.by_path["/prometheus/metrics"] = (404, "no")
    with pytest.raises(Unavailable, match="404"):
        prometheus.notifier()


def test_recording_rules_targets_and_external_labels(prometheus: Prometheus, answers: Any) -> None:
    rule = {"type": "recording", "name": "a:b", "query": "sum(c)", "labels": {"x": "y"}, "health": "ok"}
    other = {"type": "alerting", "name": "A", "query": "a:b > 1"}
    groups = {"groups": [{"name": "g", "interval": 30, "rules": [rule, other]}]}
    target = {"labels": {"job": "edge"}, "scrapeUrl": "http://edge/metrics", "health": "down", "lastError": "EOF"}
    config = "global:\n  external_labels: {cluster: blue, shard: 1}\n"
    answers.by_path |= {
        "/prometheus/api/v1/rules": success(groups),
        "/prometheus/api/v1/targets": success({"activeTargets": [target], "droppedTargets": []}),
        "/prometheus/api/v1/status/config": success({"yaml": config}),
    }
    (recorded,) = prometheus.recording_rules()
    assert (recorded.name, recorded.labels, recorded.group, recorded.interval_s) == ("a:b", {"x": "y"}, "g", 30.0)
    (down,) = prometheus.targets()
    assert (down.health, down.last_error) == ("down", "EOF")
    assert prometheus.outgoing().external_labels == {"cluster": "blue", "shard": "1"}


def alert(**changes: Any) -> dict[str, Any]:
    status = {"state": "active", "silencedBy": [], "inhibitedBy": []}
    return {
        "labels": {"alertname": "A"}, "receivers": [{"name": "pager"}], "status": status,
        "startsAt": "2026-11-23T21:42:28.123Z", "endsAt": "2026-11-23T21:52:28.123Z", **changes,
    }  # fmt: skip


def test_a_probe_is_sent_once_and_never_seen_as_an_alert(answers: Any, mount: Callable[[Any], Any]) -> None:
    peers = Alertmanagers(["https://one.example.org", "https://two.example.org"])
    mount(peers.peers[0])
    probe = alert(labels={"alertname": "A", PROBE_LABEL: "drill-probe-1"})
    answers.by_path["/api/v2/alerts"] = [probe]
    peers.peers[1].session.get_adapter(peers.peers[1].url).send = _refuse  # type: ignore[method-assign]
    (found,) = peers.probe({"alertname": "A"}, 0.4)
    assert (found.peer, found.receivers) == ("https://one.example.org", ("pager",))
    sent, asked = answers.asked
    (body,) = json.loads(sent.body)
    assert (sent.method, asked.method) == ("POST", "GET")
    assert body["labels"][PROBE_LABEL] in asked.url
    assert body["startsAt"] < body["endsAt"]
    assert peers.alerts() == []


def _refuse(*_: Any, **__: Any) -> Any:
    raise NoConnection("Connection refused")


def held(peer: str = "http://am", **changes: Any) -> AlertmanagerAlert:
    values = {
        "labels": {"alertname": "A"},
        "receivers": ("pager",),
        "state": "active",
        "starts_at": 0.0,
        "ends_at": 1.0,
    }
    return AlertmanagerAlert.model_validate({**values, "peer": peer, **changes})


def test_mutes_are_told_where_alertmanager_does_not() -> None:
    """Before 0.28 the API says nothing of time intervals; the configuration does, and is read only now and then."""
    asked: list[int] = []

    def status() -> list[PeerStatus]:
        asked.append(1)
        return [PeerStatus(peer="http://am", config=MUTED), PeerStatus(peer="http://dead", error="refused")]

    mutes, now = Mutes(status), 1_795_470_000.0
    assert mutes.mark([], now) == []
    assert asked == []
    first, second = mutes.mark([held(), held("http://dead")], now)
    assert (first.muted_by, second.muted_by) == (("always",), ())
    (told,) = mutes.mark([held(muted_by=("night",))], now + 1)
    assert told.muted_by == ("night",)
    assert asked == [1]
    mutes.mark([held()], now + FRESH_S + 1)
    assert asked == [1, 1]
