"""Alertmanager's time intervals: when a route is muted, or only active. Pure; the time comes in as an argument.

Form and meaning are those of Alertmanager's ``<time_interval>``: all fields of one entry must hold, any entry of
a list is enough, ends are exclusive for times and inclusive for days, and an absent field always holds.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Range = tuple[int, int]
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = tuple(name.lower() for name in calendar.month_name)


@dataclass(frozen=True)
class _Entry:
    """One entry; empty tuples hold always. Minutes of a day, weekdays from Sunday 0, days < 0 from the end."""

    times: tuple[Range, ...]
    weekdays: tuple[Range, ...]
    days: tuple[Range, ...]
    months: tuple[Range, ...]
    years: tuple[Range, ...]
    zone: tzinfo

    def holds(self, at: float) -> bool:
        """True when Unix time *at* lies in it."""
        now = datetime.fromtimestamp(at, self.zone)
        minute = now.hour * 60 + now.minute
        last = calendar.monthrange(now.year, now.month)[1]
        days = [(_from_end(low, last), _from_end(high, last)) for low, high in self.days]
        return (
            (not self.times or any(low <= minute < high for low, high in self.times))
            and _inside(self.weekdays, now.isoweekday() % 7)
            and _inside(days, now.day)
            and _inside(self.months, now.month)
            and _inside(self.years, now.year)
        )


@dataclass(frozen=True)
class TimeInterval:
    """A named interval: the union of its entries."""

    entries: tuple[_Entry, ...]

    def holds(self, at: float) -> bool:
        """True when Unix time *at* lies in one of its entries."""
        return any(entry.holds(at) for entry in self.entries)


def read_interval(raw: Sequence[Mapping[str, Any]]) -> TimeInterval:
    """Read the list below ``time_intervals:`` of one named interval. Raises ValueError, TypeError or KeyError."""
    return TimeInterval(tuple(_entry(one) for one in raw))


def _entry(raw: Mapping[str, Any]) -> _Entry:
    return _Entry(
        times=tuple((_minute(one["start_time"]), _minute(one["end_time"])) for one in raw.get("times") or ()),
        weekdays=_ranges(raw.get("weekdays"), lambda text: _DAYS.index(text)),
        days=_ranges(raw.get("days_of_month"), int),
        months=_ranges(raw.get("months"), lambda text: int(text) if text.isdigit() else _MONTHS.index(text)),
        years=_ranges(raw.get("years"), int),
        zone=_zone(str(raw.get("location") or "UTC")),
    )


def _ranges(raw: Sequence[object] | None, number: Any) -> tuple[Range, ...]:
    """Read ``["1:5", "-1", "monday:friday"]``; a single value is a range of one."""
    found = []
    for item in raw or ():
        low, _, high = str(item).strip().lower().partition(":")
        found.append((number(low.strip()), number((high or low).strip())))
    return tuple(found)


def _minute(text: object) -> int:
    """Minutes since midnight of ``HH:MM``; YAML 1.1 readers hand over ``22:00`` as a number of minutes."""
    if isinstance(text, int):
        return text
    hours, minutes = str(text).split(":")
    return int(hours) * 60 + int(minutes)


def _zone(name: str) -> tzinfo:
    if name in ("UTC", "Etc/UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"the time zone '{name}' is not known") from error


def _from_end(day: int, last: int) -> int:
    return day if day > 0 else last + 1 + day


def _inside(ranges: Sequence[Range], value: int) -> bool:
    return not ranges or any(low <= value <= high for low, high in ranges)
