"""Raw ALERTS samples become spans exactly where the alert stopped and started."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from drill.observe.prometheus import RawSeries
from drill.observe.spans import alert_spans, runs


def series(times: Sequence[float], state: str = "firing", **labels: str) -> RawSeries:
    everything = {"__name__": "ALERTS", "alertname": "Burn", "alertstate": state, **labels}
    return RawSeries(everything, tuple((at, 1.0) for at in times))


def five_seconds(_name: str) -> float:
    return 5.0


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], []),
        ([100.0], [(100.0, 100.0)]),
        ([100.0, 105.0, 110.0], [(100.0, 110.0)]),
        ([100.0, 105.0, 115.0], [(100.0, 115.0)]),  # one evaluation missed: still the same firing
        ([100.0, 105.0, 120.0], [(100.0, 105.0), (120.0, 120.0)]),  # two missed: another firing
        ([100.0, 112.5], [(100.0, 112.5)]),  # exactly at the limit belongs together
        ([100.0, 112.501], [(100.0, 100.0), (112.501, 112.501)]),
    ],
)
def test_a_gap_of_more_than_two_and_a_half_intervals_splits(
    times: list[float], expected: list[tuple[float, float]]
) -> None:
    assert list(runs(tuple((at, 1.0) for at in times), 12.5)) == expected


def test_a_nan_ends_a_span_even_when_the_next_sample_is_near() -> None:
    samples = ((100.0, 1.0), (105.0, math.nan), (110.0, 1.0), (115.0, math.nan))
    assert list(runs(samples, 12.5)) == [(100.0, 100.0), (110.0, 110.0)]


def test_labels_lose_what_prometheus_added_and_nothing_else() -> None:
    (span,) = alert_spans([series([1.0], severity="page")], 100.0, five_seconds)
    assert span.labels == {"alertname": "Burn", "severity": "page"}
    assert span.state == "firing"


def test_pending_and_firing_are_separate_spans_in_order_of_time() -> None:
    spans = alert_spans([series([10.0, 15.0]), series([0.0, 5.0], state="pending")], 100.0, five_seconds)
    assert [(span.state, span.start, span.end) for span in spans] == [("pending", 0.0, 5.0), ("firing", 10.0, 15.0)]


@pytest.mark.parametrize(("queried_at", "still_open"), [(15.0, True), (20.0, True), (20.1, False)])
def test_a_span_is_open_while_its_last_sample_is_within_two_intervals(queried_at: float, still_open: bool) -> None:
    (span,) = alert_spans([series([5.0, 10.0])], queried_at, five_seconds)
    assert span.open is still_open


def test_a_staleness_marker_closes_a_span_at_once() -> None:
    labels = {"alertname": "Burn", "alertstate": "firing"}
    (span,) = alert_spans([RawSeries(labels, ((10.0, 1.0), (11.0, math.nan)))], 12.0, five_seconds)
    assert not span.open


def test_each_alert_is_split_by_its_own_groups_interval() -> None:
    def interval_of(name: str) -> float:
        return {"Slow": 30.0}.get(name, 1.0)

    both = [series([0.0, 30.0], alertname="Slow"), series([0.0, 30.0], alertname="Fast")]
    spans = alert_spans(both, 100.0, interval_of)
    assert sorted((span.labels["alertname"], span.start, span.end) for span in spans) == [
        ("Fast", 0.0, 0.0),
        ("Fast", 30.0, 30.0),
        ("Slow", 0.0, 30.0),
    ]


def test_other_states_are_not_alerts() -> None:
    assert alert_spans([series([1.0], state="inactive")], 2.0, five_seconds) == []
