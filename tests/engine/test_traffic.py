"""Traffic during a fault: only what cannot be chance changes a prediction."""

from __future__ import annotations

import random

import pytest

from drill.core.observations import SliSample
from drill.engine.budget import window_ratios
from drill.engine.traffic import changed_traffic, words
from drill.plan.model import PlannedSlo


def sli(rate: float, sloth_id: str = "checkout-latency") -> SliSample:
    return SliSample(at=1.0, sloth_id=sloth_id, error_ratio=0.0, requests_per_second=rate)


@pytest.mark.parametrize("now", [20.0, 17.0, 24.0])
def test_what_chance_may_do_is_no_change(now: float) -> None:
    assert changed_traffic([sli(20.0)], [sli(now)], 5.0) == {}


@pytest.mark.parametrize(("now", "share"), [(5.0, 0.25), (0.0, 0.0), (60.0, 3.0)])
def test_a_change_is_bounded_around_what_was_counted(now: float, share: float) -> None:
    low, high = changed_traffic([sli(20.0)], [sli(now)], 5.0)["checkout-latency"]
    assert low <= share <= high
    assert high - low < 0.3 + share
    assert low >= 0.0


def test_the_bounds_hold_the_truth_nearly_always() -> None:
    """Poisson arrivals at half the traffic: of 2000 counts at most 0.5 % lead to bounds without the truth."""
    chance = random.Random(7)

    def count(mean: float) -> float:
        arrived, left = 0, mean
        while (left := left - chance.expovariate(1.0)) > 0:
            arrived += 1
        return float(arrived)

    wrong = 0
    for _ in range(2000):
        found = changed_traffic([sli(count(200.0) / 5)], [sli(count(100.0) / 5)], 5.0)
        low, high = found.get("checkout-latency", (1.0, 1.0))
        wrong += not low <= 0.5 <= high
    assert wrong <= 10


def test_without_healthy_traffic_nothing_can_be_said() -> None:
    assert changed_traffic([sli(0.0)], [sli(5.0)], 5.0) == {}
    assert changed_traffic([], [sli(5.0)], 5.0) == {}


def test_it_is_said_in_words() -> None:
    assert words({"checkout-latency": (0.4, 0.6)}) == "checkout-latency 0.4 to 0.6 of normal"


def test_burn_rates_are_error_ratios_by_window() -> None:
    slo = PlannedSlo(
        sloth_id="checkout-latency", service="checkout", name="latency", objective=0.99, period_s=43200
    )
    sample = sli(20.0).with_(rates={"5s": 0.0, "1m": 5.2})
    assert window_ratios([slo], [sample, sli(20.0, "unknown")]) == {
        "checkout-latency": {5.0: 0.0, 60.0: pytest.approx(0.052)}
    }
