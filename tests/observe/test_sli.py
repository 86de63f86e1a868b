"""Sloth's recorded series become SLIs; what is not known is left out, never made up."""

from __future__ import annotations

import math

import pytest

from drill.observe.prometheus import Sample
from drill.observe.sli import recorded_slos, sli_samples, traffic_by_service

ID = "checkout-latency"


def ratio(window: str, value: float, sloth_id: str = ID) -> Sample:
    labels = {
        "__name__": f"slo:sli_error:ratio_rate{window}",
        "sloth_id": sloth_id,
        "sloth_service": "checkout",
        "sloth_window": window,
    }
    return Sample(labels, value, 1000.0)


def budget(value: float, sloth_id: str = ID) -> Sample:
    return Sample({"__name__": "slo:error_budget:ratio", "sloth_id": sloth_id}, value, 1000.0)


def test_the_error_ratio_is_that_of_the_shortest_window_and_rates_are_per_window() -> None:
    slos = recorded_slos([ratio("60s", 0.02), ratio("5s", 0.5), ratio("1h12m", 0.001), budget(0.01)])
    (sample,) = sli_samples(slos, {ID: 20.0})
    assert sample.at == 1000.0
    assert sample.error_ratio == 0.5
    assert sample.requests_per_second == 20.0
    assert sample.rates == pytest.approx({"5s": 50.0, "60s": 2.0, "1h12m": 0.1})
    assert list(sample.rates) == ["5s", "60s", "1h12m"]


def test_without_a_recorded_budget_sloths_current_burn_rate_is_used() -> None:
    current = Sample({"__name__": "slo:current_burn_rate:ratio", "sloth_id": ID}, 33.0, 1000.0)
    (sample,) = sli_samples(recorded_slos([ratio("5s", 0.3), ratio("60s", 0.1), current]), {})
    assert sample.rates == {"5s": 33.0}


def test_a_window_without_traffic_has_no_rate() -> None:
    (sample,) = sli_samples(recorded_slos([ratio("5s", 0.1), ratio("60s", math.nan), budget(0.01)]), {ID: 1.0})
    assert list(sample.rates) == ["5s"]


def test_an_slo_nobody_knows_is_left_out() -> None:
    assert sli_samples(recorded_slos([ratio("5s", math.nan), budget(0.01)]), {}) == []
    assert sli_samples(recorded_slos([ratio("5s", math.nan), budget(0.01)]), {ID: 3.0}) == []


def test_an_slo_known_to_have_no_traffic_is_said_so() -> None:
    for samples in ([ratio("5s", math.nan), budget(0.01)], [budget(0.01)]):
        (sample,) = sli_samples(recorded_slos(samples), {ID: 0.0})
        assert (sample.requests_per_second, sample.rates) == (0.0, {})


def test_traffic_is_summed_by_service_and_nan_is_not_traffic() -> None:
    def rate(service: str, value: float) -> Sample:
        return Sample({"service": service}, value, 1.0)

    assert traffic_by_service([rate("a", 1.0), rate("a", 2.0), rate("b", math.nan)]) == {"a": 3.0}


def test_without_traffic_the_shortest_window_stays_the_shortest() -> None:
    """Its ratio vanishes first; the longer one's still counts requests from before they stopped."""
    (slo,) = recorded_slos(
        [Sample({"__name__": "slo:sli_error:ratio_rate1h", "sloth_id": "a", "sloth_window": "1h"}, 1.0, 9.0)]
    )
    assert slo.shortest == "1h"
    slo.once_shortest = "5m"
    assert slo.shortest == "5m"
    (sample,) = sli_samples([slo], {"a": 0.0})
    assert (sample.requests_per_second, sample.rates) == (0.0, {})
    assert sli_samples([slo], {"a": 3.0}) == []
