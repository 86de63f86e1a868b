"""API calls keep to the pace, and nobody calls before the server's Retry-After."""

from __future__ import annotations

import pytest

from drill.target.kubernetes.pace import Pace
from drill.target.kubernetes.quantity import quantity


class Time:
    now = 0.0

    def __init__(self) -> None:
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_a_burst_passes_and_then_the_pace_holds():
    time = Time()
    pace = Pace(per_s=50, burst=100, clock=time.clock, sleep=time.sleep)
    for _ in range(200):
        pace.wait()
    assert time.now == pytest.approx(2.0)
    assert pace.calls == 200


def test_retry_after_holds_off_everybody():
    time = Time()
    pace = Pace(clock=time.clock, sleep=time.sleep)
    pace.hold_off(3.0)
    pace.wait()
    assert time.slept == [3.0]


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", 0.25), ("2", 2), ("64Mi", 64 * 2**20), ("1Gi", 2**30), ("1e3", 1000), ("5k", 5000), (1, 1), ("x", 0)],
)
def test_quantities_are_read(text: str | int, number: float):
    assert quantity(text) == pytest.approx(number)
