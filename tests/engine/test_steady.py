"""Times of a run while somebody sets the clock or stops the process: decisions go on, and the run says so."""

from __future__ import annotations

import time

import pytest

from drill.engine import steady
from drill.engine.steady import Pulse, SteadyClock


class Clocks:
    """The machine's two clocks, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boot, self.wall = 100.0, 1_700_000_000.0
        monkeypatch.setattr(steady, "_boot_clock", lambda: self.boot)
        monkeypatch.setattr(time, "time", lambda: self.wall)

    def go(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_is_set_does_not_move_deadlines(clocks: Clocks, jump: float) -> None:
    clock = SteadyClock()
    clocks.go(10)
    clocks.wall += jump
    assert clock() == pytest.approx(1_700_000_010)
    assert clock.jump_s() == pytest.approx(jump)


def test_a_clock_nobody_touched_has_not_jumped(clocks: Clocks) -> None:
    clock = SteadyClock()
    clocks.go(86_400)
    assert clock.jump_s() == pytest.approx(0)


class Waits:
    """A pulse's event: every wait takes as long as the story says; then it is over."""

    def __init__(self, clocks: Clocks, seconds: list[float]) -> None:
        self.clocks, self.seconds = clocks, seconds

    def wait(self, _: float) -> bool:
        if not self.seconds:
            return True
        self.clocks.go(self.seconds.pop(0))
        return False


@pytest.mark.parametrize(("beats", "missed"), [([0.5, 0.6, 4.9], 0.0), ([0.5, 7.5, 0.5], 7.5), ([6, 9, 0.5], 9.0)])
def test_a_process_that_was_stopped_notices(
    clocks: Clocks, monkeypatch: pytest.MonkeyPatch, beats: list[float], missed: float
) -> None:
    pulse = Pulse()
    monkeypatch.setattr(pulse, "_end", Waits(clocks, beats))
    pulse._beat()
    assert pulse.missed_s == pytest.approx(missed)
