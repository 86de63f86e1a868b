"""Occasions of a schedule: when a drill is due, which of those a blackout takes out, which were missed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from drill.gameday.due import due
from drill.gameday.model import Blackout, Schedule

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TICK = timedelta(microseconds=1)
EARLY = timedelta(minutes=5)
"""A run that begins a little early (a person was quicker than the clock) still counts as the occasion."""


@dataclass(frozen=True)
class Occasion:
    """One time at which a drill is due (UTC). ``blackout`` says why it is not held then; empty: it is."""

    at: datetime
    blackout: str = ""


def occasions(schedule: Schedule, start: datetime, end: datetime) -> list[Occasion]:
    """Return the occasions in ``[start, end)``, those in a blackout included. Raises ValueError (a wrong cron)."""
    found = due(schedule.cron, schedule.timezone, start - TICK, end - TICK)
    zone = ZoneInfo(schedule.timezone)
    return [Occasion(at, blackout_at(schedule, at.astimezone(zone))) for at in found]


def blackout_at(schedule: Schedule, local: datetime) -> str:
    """Return the reason of the blackout that *local* (in the schedule's zone) falls into, or ``''``."""
    for one in schedule.blackout:
        if _covers(one, local.replace(tzinfo=None)):
            return one.reason or _words(one)
    return ""


def _covers(blackout: Blackout, local: datetime) -> bool:
    if blackout.weekdays:
        return WEEKDAYS[local.weekday()] in blackout.weekdays
    start, end = datetime.fromisoformat(blackout.from_), datetime.fromisoformat(blackout.to)
    if len(blackout.to) == 10:  # a day: all of it
        end += timedelta(days=1)
    return start <= local < end


def _words(blackout: Blackout) -> str:
    return f"blackout on {', '.join(blackout.weekdays)}" if blackout.weekdays else (
        f"blackout from {blackout.from_} to {blackout.to}"
    )  # fmt: skip


def missed(
    schedule: Schedule, runs: Sequence[datetime], now: datetime, known_since: datetime | None
) -> list[Occasion]:
    """Return the occasions before *now* that no run took, blackouts left out.

    *runs* are the starts of the drill's game days. Counting begins on ``schedule.since``, else at *known_since*
    (the first thing known of the drill); without either nothing can be said to be missed. An occasion whose grace
    has not ended yet is not missed. Nothing is made up for: a missed run stays missed.
    """
    zone = ZoneInfo(schedule.timezone)
    start = known_since
    if schedule.since:
        start = datetime.fromisoformat(schedule.since).replace(tzinfo=zone).astimezone(UTC)
    grace = timedelta(seconds=schedule.grace)
    if start is None or start >= now - grace:
        return []
    return [
        one
        for one in occasions(schedule, start, now - grace)
        if not one.blackout and not any(one.at - EARLY <= run <= one.at + grace for run in runs)
    ]


def current(schedule: Schedule, now: datetime, within: timedelta) -> Occasion | None:
    """Return the occasion that began at most *within* before *now*, blackouts included; None when there is none."""
    found = occasions(schedule, now - within, now + TICK)
    return found[-1] if found else None


def following(schedule: Schedule, now: datetime, count: int = 3) -> list[Occasion]:
    """Return the next *count* occasions after *now*; fewer when there are no more within five years."""
    found: list[Occasion] = []
    start, days = now + TICK, 32
    while len(found) < count and start < now + timedelta(days=5 * 366):
        end = start + timedelta(days=days)
        found += occasions(schedule, start, end)
        start, days = end, days * 2
    return found[:count]
