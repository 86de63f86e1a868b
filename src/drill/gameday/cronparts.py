"""A cron expression taken apart, and written for other schedulers. Pure.

What another scheduler cannot say (a second Tuesday, a day *and* a weekday) becomes a superset of times: whatever
is scheduled asks drill itself (`--if-due`) whether its time has come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from drill.gameday.due import due

LAST_DAY, LAST_WORKDAY = CronSim.LAST, CronSim.LAST_WEEKDAY
ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS = set(range(1, 32)), set(range(1, 13)), set(range(7))


@dataclass(frozen=True)
class CronParts:
    """The fields as sets. ``weekdays`` are 0 (Sunday) to 6; ``nth`` pairs of weekday and 1 to 5 or LAST_DAY.

    ``days`` may hold LAST_DAY and LAST_WORKDAY. ``either``: a day is due when day *or* weekday fits.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]]
    either: bool

    @property
    def every_day(self) -> bool:
        """True when the day of the month does not matter."""
        return self.days >= ALL_DAYS

    @property
    def every_weekday(self) -> bool:
        """True when the weekday does not matter."""
        return self.weekdays >= ALL_WEEKDAYS


def parts(cron: str) -> CronParts:
    """Take *cron* apart. Raises ValueError when it is none."""
    try:
        sim = CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"'{cron}' is not a cron expression: {str(error).lower()}") from error
    plain = frozenset(day % 7 for day in sim.weekdays if isinstance(day, int))
    nth = frozenset((day[0] % 7, day[1]) for day in sim.weekdays if not isinstance(day, int))
    return CronParts(
        frozenset(sim.minutes), frozenset(sim.hours), frozenset(sim.days), frozenset(sim.months), plain, nth,
        either=not sim.day_and,
    )  # fmt: skip


def plain_cron(cron: str) -> str:
    """Return an expression without ``L`` and ``#`` that is due whenever *cron* is, and as seldom more as can be.

    Only whole fields are ``*``: Kubernetes and cron(8) differ about ``*/2`` beside a weekday.
    """
    found = parts(cron)
    weekdays = set(found.weekdays) | {day for day, _ in found.nth}
    days = {day for day in found.days if day > 0}
    days |= {28, 29, 30, 31} if LAST_DAY in found.days else set()
    days |= set(range(26, 32)) if LAST_WORKDAY in found.days else set()
    day_field, weekday_field = _field(days, ALL_DAYS), _field(weekdays, ALL_WEEKDAYS)
    if not found.either and "*" not in (day_field, weekday_field):
        weekday_field = "*"  # both would mean either of them
    minutes, hours = _field(found.minutes, set(range(60))), _field(found.hours, set(range(24)))
    return f"{minutes} {hours} {day_field} {_field(found.months, ALL_MONTHS)} {weekday_field}"


def _field(values: Iterable[int], everything: set[int]) -> str:
    """Write a set as cron does: ``*``, ``1-5``, ``1,15``."""
    ordered = sorted(set(values))
    if everything <= set(ordered):
        return "*"
    runs: list[list[int]] = []
    for value in ordered:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def utc_crons(cron: str, tz: str, start: datetime, years: int = 5) -> list[str]:
    """Return expressions in UTC that together are due whenever *cron* is in the zone *tz*, for that many years.

    One for each time of day in UTC, because a zone with summer time has two; each is due too often by itself.
    """
    seen: dict[tuple[int, int], list[datetime]] = {}
    for at in due(cron, tz, start, start + timedelta(days=366 * years)):
        seen.setdefault((at.hour, at.minute), []).append(at)
    lines = []
    for (hour, minute), times in sorted(seen.items()):
        weekdays = {(at.weekday() + 1) % 7 for at in times}
        days = {at.day for at in times}
        by_weekday = len(weekdays) * 31 <= len(days) * 7
        day_field = "*" if by_weekday else _field(days, ALL_DAYS)
        weekday_field = _field(weekdays, ALL_WEEKDAYS) if by_weekday else "*"
        months = _field({at.month for at in times}, ALL_MONTHS)
        lines.append(f"{minute} {hour} {day_field} {months} {weekday_field}")
    return lines


def clock_change_hits(cron: str, tz: str, start: datetime, years: int = 10) -> list[datetime]:
    """Return the occasions that a clock change moves or doubles (UTC): other schedulers may differ there."""
    zone = ZoneInfo(tz)
    found = parts(cron)
    hits = []
    for at in due(cron, tz, start, start + timedelta(days=366 * years)):
        local = at.astimezone(zone)
        twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        if twice or local.hour not in found.hours or local.minute not in found.minutes:
            hits.append(at)
    return hits
