"""Occasions, blackouts and missed runs, at times that are written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drill.gameday.model import Blackout, Schedule
from drill.gameday.windows import current, following, missed, occasions


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def schedule(cron: str = "0 10 * * *", tz: str = "Europe/Berlin", **more: object) -> Schedule:
    return Schedule.model_validate({"cron": cron, "timezone": tz, **more})


def test_the_beginning_belongs_to_the_window_and_the_end_does_not() -> None:
    found = occasions(schedule(), utc("2027-01-11T09:00"), utc("2027-01-13T09:00"))
    assert [one.at for one in found] == [utc("2027-01-11T09:00"), utc("2027-01-12T09:00")]


def test_at_both_clock_changes_it_is_due_right_once() -> None:
    nightly = schedule("30 2 * * *")
    spring = occasions(nightly, utc("2027-03-27T12:00"), utc("2027-03-28T12:00"))
    autumn = occasions(nightly, utc("2027-10-30T12:00"), utc("2027-10-31T12:00"))
    assert [one.at for one in spring] == [utc("2027-03-28T01:00")]  # 2:30 does not exist: 3:00 summer time
    assert [one.at for one in autumn] == [utc("2027-10-31T00:30")]  # 2:30 exists twice: the first


@pytest.mark.parametrize(
    ("blackout", "day", "covered"),
    [
        ({"from": "2026-12-24", "to": "2026-12-26", "reason": "holidays"}, "2026-12-26T09:00", True),
        ({"from": "2026-12-24", "to": "2026-12-26", "reason": "holidays"}, "2026-12-27T09:00", False),
        ({"from": "2026-12-24T12:00", "to": "2026-12-26T10:00", "reason": "holidays"}, "2026-12-24T09:00", False),
        ({"from": "2026-12-24T12:00", "to": "2026-12-26T10:01", "reason": "holidays"}, "2026-12-26T09:00", True),
        ({"from": "2026-12-24T12:00", "to": "2026-12-26T10:00", "reason": "holidays"}, "2026-12-26T09:00", False),
        ({"weekdays": ["sat", "sun"], "reason": "holidays"}, "2026-12-26T09:00", True),
        ({"weekdays": ["sat", "sun"], "reason": "holidays"}, "2026-12-28T09:00", False),
    ],
)
def test_a_blackout_is_in_local_time_and_a_last_day_is_whole(blackout: dict, day: str, covered: bool) -> None:
    (one,) = occasions(schedule(blackout=[blackout]), utc(day), utc(day) + timedelta(minutes=1))
    assert one.blackout == ("holidays" if covered else "")


def test_what_is_missed_is_neither_in_a_blackout_nor_in_its_grace_nor_before_anything_is_known() -> None:
    weekly = schedule("0 10 * * 1", blackout=[{"from": "2027-01-11", "to": "2027-01-11"}])
    now = utc("2027-01-25T09:30")  # the grace of that day's run is not over
    held = [utc("2027-01-04T09:40")]
    gone = [one.at for one in missed(weekly, held, now, utc("2026-12-28T00:00"))]
    assert gone == [utc("2026-12-28T09:00"), utc("2027-01-18T09:00")]
    assert [one.at for one in missed(weekly, [], now + timedelta(hours=1), utc("2027-01-24T00:00"))] == [
        utc("2027-01-25T09:00")
    ]
    assert missed(weekly, held, now, None) == []


def test_a_run_far_too_late_does_not_take_the_occasion_and_since_is_the_first_day_that_counts() -> None:
    weekly = schedule("0 10 * * 1", since="2027-01-18")
    late = [utc("2027-01-18T10:30")]
    assert [one.at for one in missed(weekly, late, utc("2027-01-20T00:00"), None)] == [utc("2027-01-18T09:00")]
    early = [utc("2027-01-18T08:58")]
    assert missed(weekly, early, utc("2027-01-20T00:00"), None) == []


def test_current_looks_back_as_far_as_it_is_told() -> None:
    now = utc("2027-01-12T09:14")
    assert current(schedule(), now, timedelta(minutes=15)) == occasions(schedule(), utc("2027-01-12T09:00"), now)[0]
    assert current(schedule(), now, timedelta(minutes=10)) is None
    assert current(schedule(), utc("2027-01-12T09:00"), timedelta(minutes=1)) is not None


def test_following_finds_rare_occasions_and_gives_up_on_impossible_ones() -> None:
    leap = schedule("0 10 29 2 *", tz="UTC")
    assert [one.at for one in following(leap, utc("2026-01-01T00:00"), 1)] == [utc("2028-02-29T10:00")]
    assert len(following(schedule(), utc("2026-01-01T10:00"), 3)) == 3


def test_a_blackout_needs_an_end() -> None:
    with pytest.raises(ValueError, match="either 'from' and 'to'"):
        Blackout.model_validate({"from": "2026-12-24"})
