"""``due`` against cron's own way of working, written anew: look at the wall clock every real minute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import pytest
from dateutil.tz import gettz
from hypothesis import given
from hypothesis import strategies as st

from drill.gameday.due import due

MINUTE = timedelta(minutes=1)
FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago")
"""An hour at 2 and 3 o'clock, at 2 and 2, half an hour in the south, and at midnight."""


@dataclass(frozen=True)
class Job:
    """An expression, and what it means said once more without a parser."""

    cron: str
    minutes: frozenset[int]
    hours: frozenset[int]
    fixed: bool
    weekdays: frozenset[int] = frozenset(range(7))

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and wall.weekday() in self.weekdays


def job(cron: str, minutes: set[int], hours: set[int], fixed: bool, weekdays: set[int] | None = None) -> Job:
    days = frozenset(range(7)) if weekdays is None else frozenset(weekdays)
    return Job(cron, frozenset(minutes), frozenset(hours), fixed, days)


EVERY_HOUR = set(range(24))
JOBS = (
    job("30 2 * * *", {30}, {2}, True),
    job("15 2 * * 0", {15}, {2}, True, {6}),
    job("10,50 2 * * *", {10, 50}, {2}, True),
    job("0 2,3 * * *", {0}, {2, 3}, True),
    job("0 0 * * *", {0}, {0}, True),
    job("45 23 * * *", {45}, {23}, True),
    job("30 1 * * 0", {30}, {1}, True, {6}),
    job("0 10 * * 1-5", {0}, {10}, True, {0, 1, 2, 3, 4}),
    job("15 * * * *", {15}, EVERY_HOUR, False),
    job("*/20 2 * * *", {0, 20, 40}, {2}, False),
    job("0 */2 * * *", {0}, set(range(0, 24, 2)), False),
)


def wall(instant: datetime, zone: str) -> datetime:
    """The clock on the wall, by dateutil: another reader of the zone's rules than the one under test."""
    return instant.astimezone(gettz(zone)).replace(tzinfo=None)


@cache
def changes(zone: str) -> tuple[datetime, ...]:
    """Days of ten years in whose course the zone's offset changes."""
    days = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days)]
    offsets = [wall(day, zone) - day.replace(tzinfo=None) for day in days]
    return tuple(days[at] for at in range(len(days) - 1) if offsets[at] != offsets[at + 1])


@cache
def minutes_around(zone: str, day: datetime) -> tuple[tuple[datetime, datetime], ...]:
    start = day - timedelta(hours=6)
    return tuple((now, wall(now, zone)) for now in (start + MINUTE * number for number in range(36 * 60 + 1)))


def as_cron_would(job: Job, course: tuple[tuple[datetime, datetime], ...]) -> Iterator[datetime]:
    """Walk real minutes; a job at named times looks at every wall minute once, also at those that were skipped."""
    seen = course[0][1]
    for now, clock in course[1:]:
        if not job.fixed:
            if job.matches(clock):
                yield now
            continue
        ahead = (clock - seen) // MINUTE
        if any(job.matches(seen + MINUTE * step) for step in range(1, ahead + 1)):
            yield now
        seen = max(seen, clock)


@pytest.mark.parametrize("zone", ZONES)
def test_ten_years_have_twenty_clock_changes(zone: str) -> None:
    """The zones do change; otherwise the next test would compare nothing."""
    assert len(changes(zone)) == 20


@pytest.mark.parametrize("each", JOBS, ids=lambda each: each.cron)
@pytest.mark.parametrize("zone", ZONES)
def test_around_every_clock_change_of_ten_years_it_is_what_cron_does(zone: str, each: Job) -> None:
    for day in changes(zone):
        course = minutes_around(zone, day)
        assert due(each.cron, zone, course[0][0], course[-1][0]) == list(as_cron_would(each, course)), day


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_job_is_due_once_on_every_day_of_ten_years(zone: str) -> None:
    found = due("30 2 * * *", zone, FIRST, LAST)
    days = [wall(moment, zone).date() for moment in found]
    first = wall(FIRST, zone)
    assert len(days) == len(set(days))
    assert len(days) == (LAST - FIRST).days
    assert min(days) >= first.date()


def test_a_skipped_time_is_due_right_after_the_gap() -> None:
    """Berlin, 30 March 2025: 2:00 becomes 3:00, which is 1:00 UTC."""
    found = due(
        "30 2 * * *", "Europe/Berlin", datetime(2025, 3, 29, 12, tzinfo=UTC), datetime(2025, 3, 30, 12, tzinfo=UTC)
    )
    assert found == [datetime(2025, 3, 30, 1, 0, tzinfo=UTC)]


def test_a_time_that_comes_twice_is_due_the_first_time() -> None:
    """Berlin, 26 October 2025: 3:00 becomes 2:00; half past two is at 0:30 and at 1:30 UTC."""
    found = due(
        "30 2 * * *",
        "Europe/Berlin",
        datetime(2025, 10, 25, 12, tzinfo=UTC),
        datetime(2025, 10, 26, 12, tzinfo=UTC),
    )
    assert found == [datetime(2025, 10, 26, 0, 30, tzinfo=UTC)]


def test_an_end_inside_the_hour_that_comes_twice_neither_loses_nor_repeats() -> None:
    """From 2:10 of the second pass on, the first pass's 2:45 is over."""
    second_pass = datetime(2025, 10, 26, 1, 10, tzinfo=UTC)
    end = datetime(2025, 10, 26, 12, tzinfo=UTC)
    assert due("45 2 * * *", "Europe/Berlin", second_pass, end) == []
    assert due("45 2 * * *", "Europe/Berlin", datetime(2025, 10, 25, 12, tzinfo=UTC), second_pass) == [
        datetime(2025, 10, 26, 0, 45, tzinfo=UTC)
    ]


def test_a_start_late_in_the_first_pass_still_sees_the_second() -> None:
    """2:50 comes before the second 2:00, although the clock on the wall says otherwise."""
    first_pass = datetime(2025, 10, 26, 0, 50, tzinfo=UTC)
    found = due("*/20 2 * * *", "Europe/Berlin", first_pass, first_pass + timedelta(hours=2))
    assert found == [datetime(2025, 10, 26, 1, minute, tzinfo=UTC) for minute in (0, 20, 40)]


def test_an_end_early_in_the_second_pass_has_seen_all_of_the_first() -> None:
    second_pass = datetime(2025, 10, 26, 1, 10, tzinfo=UTC)
    found = due("*/20 2 * * *", "Europe/Berlin", second_pass - timedelta(hours=2), second_pass)
    assert found == [datetime(2025, 10, 26, 0, minute, tzinfo=UTC) for minute in (0, 20, 40)] + [
        datetime(2025, 10, 26, 1, 0, tzinfo=UTC)
    ]


def test_a_whole_day_that_a_country_skipped() -> None:
    """Samoa had no 30 December 2011: what was due on it is due as the 31st begins."""
    found = due(
        "0 12 30 12 *", "Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC), datetime(2012, 1, 2, tzinfo=UTC)
    )
    assert found == [datetime(2011, 12, 30, 10, 0, tzinfo=UTC)]


def test_the_span_is_open_at_its_start_and_closed_at_its_end() -> None:
    noon = datetime(2025, 6, 1, 12, tzinfo=UTC)
    day = timedelta(days=1)
    assert due("0 12 * * *", "UTC", noon - day, noon) == [noon]
    assert due("0 12 * * *", "UTC", noon, noon + day) == [noon + day]
    assert due("0 12 * * *", "UTC", noon, noon) == []
    assert due("0 12 * * *", "UTC", noon + day, noon) == []


@given(
    st.sampled_from([each.cron for each in JOBS]),
    st.sampled_from(ZONES),
    st.integers(0, 10 * 365 - 8),
    st.lists(st.integers(0, 7 * 1440), min_size=1, max_size=4),
)
def test_adjoining_spans_neither_lose_nor_repeat(cron: str, zone: str, day: int, cuts: list[int]) -> None:
    start = FIRST + timedelta(days=day)
    ends = [start, *(start + MINUTE * cut for cut in sorted(cuts)), start + timedelta(days=7)]
    parts = [moment for a, b in pairwise(ends) for moment in due(cron, zone, a, b)]
    assert parts == due(cron, zone, ends[0], ends[-1])


@pytest.mark.parametrize(
    ("cron", "tz", "message"),
    [
        ("0 10 * *", "UTC", "five fields"),
        ("0 0 10 * * *", "UTC", "five fields"),
        ("@daily", "UTC", "five fields"),
        ("61 10 * * *", "UTC", "bad minute"),
        ("0 10 31 2 *", "UTC", "bad day-of-month"),
        ("0 10 * * *", "Europe/Atlantis", "not a time zone"),
        ("0 10 * * *", "../etc/passwd", "not a time zone"),
        ("0 10 * * *", "Europe", "not a time zone"),
        ("0 10 * * *", "", "not a time zone"),
    ],
)
def test_mistakes_are_named(cron: str, tz: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        due(cron, tz, FIRST, LAST)


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        due("0 10 * * *", "UTC", datetime(2025, 1, 1), LAST)
