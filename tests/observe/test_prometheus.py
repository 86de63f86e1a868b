"""Prometheus's answers are read exactly; every failure names server, cause and remedy and no secret."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import requests

from drill.core.errors import Unavailable
from drill.observe.http import Server, ServerOptions, without_userinfo
from drill.observe.prometheus import Prometheus

Mount = Callable[[Any], Any]


def vector(*items: tuple[dict[str, str], str]) -> dict[str, Any]:
    result = [{"metric": metric, "value": [1700000000.25, value]} for metric, value in items]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def test_a_query_gives_labels_value_and_server_time(mount: Mount) -> None:
    prometheus = Prometheus("http://prom.test/prefix/")
    answers = mount(prometheus.server)
    answers.by_path["/prefix/api/v1/query"] = vector(({"a": "b"}, "0.5"), ({}, "NaN"), ({}, "+Inf"))
    first, second, third = prometheus.query("up", at=1700000000.25)
    assert (first.labels, first.value, first.at) == ({"a": "b"}, 0.5, 1700000000.25)
    assert math.isnan(second.value)
    assert math.isinf(third.value)
    assert answers.params() == {"query": "up", "time": "1700000000.250"}


def test_every_request_has_both_time_limits(mount: Mount) -> None:
    prometheus = Prometheus("http://prom.test", ServerOptions(connect_timeout_s=1.5, read_timeout_s=7.0))
    answers = mount(prometheus.server)
    answers.by_path["/api/v1/query"] = vector()
    answers.by_path["/api/v1/status/buildinfo"] = {"status": "success", "data": {"version": "2.42.0"}}
    prometheus.query("up")
    assert prometheus.version() == "2.42.0"
    assert answers.timeouts == [(1.5, 7.0), (1.5, 7.0)]


def test_a_scalar_is_one_sample_without_labels(mount: Mount) -> None:
    prometheus = Prometheus("http://prom.test")
    data = {"resultType": "scalar", "result": [1700000000.0, "42"]}
    mount(prometheus.server).by_path["/api/v1/query"] = {"status": "success", "data": data}
    (sample,) = prometheus.query("42")
    assert (sample.labels, sample.value) == ({}, 42.0)


def test_a_raw_range_includes_its_left_end_on_every_generation(mount: Mount) -> None:
    prometheus = Prometheus("http://prom.test")
    answers = mount(prometheus.server)
    series = {"metric": {"alertname": "A"}, "values": [[10.001, "1"], [15.001, "NaN"]]}
    answers.by_path["/api/v1/query"] = {"status": "success", "data": {"resultType": "matrix", "result": [series]}}
    (one,) = prometheus.raw("ALERTS", 60.0, 70.0)
    assert one.samples[0] == (10.001, 1.0)
    assert math.isnan(one.samples[1][1])
    assert answers.params()["query"] == "ALERTS[60001ms]"


def test_rules_keep_durations_group_and_health_and_never_evaluated_is_zero(mount: Mount) -> None:
    rule = {
        "type": "alerting",
        "name": "CheckoutBurn",
        "query": "x > 1",
        "duration": 120,
        "keepFiringFor": 30,
        "labels": {"severity": "page"},
        "annotations": {"runbook": "latency-spike"},
        "health": "err",
        "lastError": "many-to-many",
        "lastEvaluation": "0001-01-01T00:00:00Z",
        "state": "inactive",
    }
    evaluated = {**rule, "health": "ok", "lastEvaluation": "2023-11-14T22:13:20.123456789+00:00", "labels": None}
    recording = {"type": "recording", "name": "a:b", "query": "1", "health": "ok"}
    group = {"name": "burn", "interval": 5, "rules": [rule, recording, evaluated]}
    prometheus = Prometheus("http://prom.test")
    answers = mount(prometheus.server)
    answers.by_path["/api/v1/rules"] = {"status": "success", "data": {"groups": [group]}}
    first, second = prometheus.rules()
    assert (first.for_s, first.keep_firing_for_s, first.interval_s, first.group) == (120.0, 30.0, 5.0, "burn")
    assert (first.health, first.last_error, first.last_evaluation) == ("err", "many-to-many", 0.0)
    assert second.last_evaluation == pytest.approx(1700000000.123456)
    assert second.labels == {}


def test_clock_skew_takes_the_shortest_round_trip(mount: Mount) -> None:
    ticks = iter([100.0, 104.0, 200.0, 200.2, 300.0, 301.0])
    prometheus = Prometheus("http://prom.test", clock=lambda: next(ticks))
    data = {"resultType": "scalar", "result": [0, "203.1"]}
    mount(prometheus.server).by_path["/api/v1/query"] = {"status": "success", "data": data}
    skew = prometheus.clock_skew()
    assert skew.bound_s == pytest.approx(0.1)
    assert skew.skew_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, {"status": "error", "errorType": "bad_data", "error": "parse error"}), "answered 400: parse error"),
        ((401, "Unauthorized"), "answered 401: Unauthorized"),
        ("<html>Log in</html>", "not JSON"),
        ({"status": "success"}, "not its API's"),
        ([], "not its API's"),
        (requests.ConnectionError("… Connection refused"), "refused the connection"),
        (requests.ReadTimeout("x"), "did not answer in time"),
        (requests.exceptions.SSLError("[SSL] certificate has expired (_ssl.c)"), "certificate has expired"),
        (requests.ConnectionError("Failed to resolve 'prom.test'"), "a name nobody knows"),
        (requests.exceptions.ProxyError("no"), "through the proxy"),
    ],
)
def test_every_failure_is_unavailable_and_says_what_happened(mount: Mount, answer: Any, said: str) -> None:
    prometheus = Prometheus("http://prom.test")
    mount(prometheus.server).by_path["/api/v1/query"] = answer
    with pytest.raises(Unavailable) as caught:
        prometheus.query("up")
    assert said in str(caught.value)
    assert str(caught.value).startswith("Prometheus at http://prom.test ")


def test_an_address_without_scheme_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(Unavailable, match="not a web address"):
        Prometheus("prom.test:9090")


def test_no_secret_gets_into_a_message(mount: Mount) -> None:
    options = ServerOptions(headers={"X-Key": "k3yk3y"}, basic_auth=("me", "s3cret"), proxy="http://a:pr0xy@h:1")
    prometheus = Prometheus("http://user:hunter2@prom.test", options)
    echo = "got s3cret k3yk3y hunter2 pr0xy from http://user:hunter2@prom.test"
    mount(prometheus.server).by_path["/api/v1/query"] = (403, echo)
    with pytest.raises(Unavailable) as caught:
        prometheus.query("up")
    for secret in ("s3cret", "k3yk3y", "hunter2", "pr0xy"):
        assert secret not in str(caught.value)
        assert secret not in repr(options)
    assert without_userinfo("https://a:b@host:1/x/?token=t") == "https://host:1/x"


@pytest.mark.parametrize(
    ("options", "header"),
    [
        (ServerOptions(bearer_token="tok"), "Bearer tok"),
        (ServerOptions(basic_auth=("u", "p")), "Basic dTpw"),
    ],
)
def test_authentication_and_headers_go_with_every_request(
    mount: Mount, options: ServerOptions, header: str
) -> None:
    server = Server("Prometheus", "http://prom.test", options)
    answers = mount(server)
    answers.by_path["/x"] = {}
    server.get("/x")
    assert answers.asked[-1].headers["Authorization"] == header


def test_a_rotated_token_file_is_read_again(mount: Mount, tmp_path: Any) -> None:
    file = tmp_path / "token"
    server = Server("Prometheus", "http://prom.test", ServerOptions(bearer_token_file=str(file)))
    answers = mount(server)
    answers.by_path["/x"] = {}
    with pytest.raises(Unavailable, match="cannot be asked: No such file"):
        server.get("/x")
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        server.get("/x")
        assert answers.asked[-1].headers["Authorization"] == f"Bearer {token}"


def test_extra_parameters_go_with_queries_and_api_calls(mount: Mount) -> None:
    prometheus = Prometheus("http://prom.test", ServerOptions(params={"dedup": "false"}))
    answers = mount(prometheus.server)
    answers.by_path["/api/v1/query"] = vector()
    answers.by_path["/api/v1/alerts"] = {"status": "success", "data": {"alerts": []}}
    prometheus.query("up")
    assert answers.params()["dedup"] == "false"
    assert prometheus.alerts() == []
    assert answers.params()["dedup"] == "false"
