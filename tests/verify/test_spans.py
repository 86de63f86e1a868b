"""Intervals: joined where one thing was cut, kept apart where there were two, never longer than what was seen."""

from __future__ import annotations

import pytest

from drill.core.observations import AlertSpan
from drill.journal.events import AlertsSeen
from drill.verify.spans import covered_times, covers, join_spans

LABELS = {"alertname": "A"}


def look(start: float, end: float, *spans: tuple[float, float], state: str = "firing") -> AlertsSeen:
    return AlertsSeen(
        start=start,
        end=end,
        spans=tuple(
            AlertSpan.model_validate({"labels": LABELS, "state": state, "start": a, "end": b}) for a, b in spans
        ),
    )


def test_overlapping_looks_give_one_span() -> None:
    """A firing seen in three looks is one firing with its true ends."""
    joined = join_spans([look(0, 10, (4, 10)), look(8, 20, (8, 20)), look(18, 40, (18, 25))], 2)
    assert [(span.start, span.end, span.open) for span in joined] == [(4, 25, False)]


def test_two_firings_stay_two() -> None:
    """A gap longer than two evaluations separates two firings."""
    joined = join_spans([look(0, 40, (4, 10), (20, 25))], 2)
    assert [(span.start, span.end) for span in joined] == [(4, 10), (20, 25)]


def test_states_are_not_joined() -> None:
    """Pending and firing of one alert adjoin but are two spans."""
    joined = join_spans([look(0, 10, (1, 3), state="pending"), look(0, 10, (4, 9))], 2)
    assert [span.state for span in joined] == ["pending", "firing"]


def test_a_span_that_reaches_the_last_look_is_open() -> None:
    """Nothing shows that it ended."""
    assert join_spans([look(0, 10, (4, 9.5))], 2)[0].open


@pytest.mark.parametrize(
    ("start", "end", "seen"), [(0, 20, True), (5, 25, False), (21, 29, False), (30, 40, True), (-1, 5, False)]
)
def test_only_what_was_looked_at_is_covered(start: float, end: float, seen: bool) -> None:
    """A hole between looks is not covered, however small the question."""
    assert covers(covered_times([look(0, 12), look(10, 20), look(30, 40)], 0.001), start, end) is seen


def test_missed_evaluations_are_holes_in_every_look() -> None:
    """Looking at a time again does not evaluate the rules that were not evaluated then."""
    hole = AlertsSeen(start=0, end=20, spans=(), missed=((5, 8),))
    assert covered_times([hole, look(0, 20)], 0.001) == ((0, 5), (8, 20))
