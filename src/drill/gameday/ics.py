"""A drill's schedule as a calendar (RFC 5545): one recurring event with its time zone. Pure text.

A rule that RRULE cannot say becomes the dates of the next two years; blackouts are left out by EXDATE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from drill.gameday.cronparts import ALL_MONTHS, LAST_DAY, LAST_WORKDAY, CronParts, parts
from drill.gameday.model import Drill, Schedule
from drill.gameday.windows import Occasion, occasions

DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
YEARS = 10
"""How far the time zone's changes and the blackouts' dates reach."""
DATES_YEARS = 2
FOLD = 75
"""Octets in a line (RFC 5545, 3.1)."""


def calendar(drill: Drill, schedule: Schedule, now: datetime, lasts: timedelta) -> str:
    """Return the calendar from *now* on. Raises ValueError when the schedule is never due."""
    year = timedelta(days=366)
    found = occasions(schedule, now, now + year * YEARS)
    if not found:
        raise ValueError(f"'{schedule.cron}' is not due within {YEARS} years")
    rule = recurrence(parts(schedule.cron))
    if rule is None:
        found = [one for one in found if one.at < now + year * DATES_YEARS]
    zone = ZoneInfo(schedule.timezone)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//drill//drill schedule//EN", "CALSCALE:GREGORIAN"]
    lines += _timezone(zone, schedule.timezone, found[0].at) if schedule.timezone != "UTC" else []
    lines += _event(drill, schedule, found, rule, (now, lasts))
    return "".join(f"{folded}\r\n" for line in [*lines, "END:VCALENDAR"] for folded in _fold(line))


def _event(
    drill: Drill, schedule: Schedule, found: Sequence[Occasion], rule: str | None, when: tuple[datetime, timedelta]
) -> Iterator[str]:
    now, lasts = when
    zone = ZoneInfo(schedule.timezone)
    held = [one.at for one in found if not one.blackout]
    who = ", ".join(f"{one.name} ({one.role})" for one in drill.participants)
    about = [drill.goal, drill.hypothesis, f"Target: {drill.target}", *([f"With: {who}"] if who else [])]
    yield "BEGIN:VEVENT"
    yield f"UID:{drill.metadata.name}@drill"
    yield f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    yield f"SUMMARY:{_text(drill.title)}"
    yield f"DESCRIPTION:{_text(chr(10).join(about))}"
    yield "CATEGORIES:DRILL"
    yield _stamped("DTSTART", found[0].at if rule else (held or [found[0].at])[0], zone)
    yield f"DURATION:PT{max(1, round(lasts.total_seconds() / 60))}M"
    if rule:
        yield f"RRULE:{rule}"
        yield from (_stamped("EXDATE", one.at, zone) for one in found if one.blackout)
    else:
        yield from (_stamped("RDATE", at, zone) for at in held[1:])
    yield "END:VEVENT"


def recurrence(found: CronParts) -> str | None:
    """Return the RRULE of a cron expression, or None when there is none that says the same."""
    both = not found.every_day and (not found.every_weekday or found.nth)
    if (found.either and both) or (found.nth and (found.weekdays or not found.every_day)):
        return None
    out = [f"BYMONTH={_list(found.months)}"] if set(found.months) != ALL_MONTHS else []
    frequency = "DAILY"
    if found.nth:
        frequency = "MONTHLY"
        out.append("BYDAY=" + ",".join(f"{-1 if n == LAST_DAY else n}{DAYS[day]}" for day, n in sorted(found.nth)))
    elif not found.every_weekday:
        out.append("BYDAY=" + ",".join(DAYS[day] for day in sorted(found.weekdays)))
    if LAST_WORKDAY in found.days:
        if len(found.days) > 1 or not found.every_weekday or len(found.hours) * len(found.minutes) > 1:
            return None
        frequency = "MONTHLY"
        out.append("BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1")
    elif not found.every_day:
        out.append("BYMONTHDAY=" + _list({-1 if day == LAST_DAY else day for day in found.days}))
    out += [f"BYHOUR={_list(found.hours)}", f"BYMINUTE={_list(found.minutes)}", "BYSECOND=0"]
    return ";".join([f"FREQ={frequency}", *out])


def _list(values: frozenset[int] | set[int]) -> str:
    return ",".join(str(value) for value in sorted(values))


def _stamped(name: str, at: datetime, zone: ZoneInfo) -> str:
    if zone.key == "UTC":
        return f"{name}:{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return f"{name};TZID={zone.key}:{at.astimezone(zone):%Y%m%dT%H%M%S}"


def _timezone(zone: ZoneInfo, name: str, start: datetime) -> Iterator[str]:
    """One part per kind of change, with the dates of all of them: what a reader of rules cannot get wrong."""
    changes: dict[tuple[timedelta, timedelta, str, bool], list[datetime]] = {}
    begin = start - timedelta(days=366)
    before = begin.astimezone(zone)
    changes[_offset(before), _offset(before), before.tzname() or "", _summer(before)] = [
        before.replace(tzinfo=None, microsecond=0)
    ]
    for instant in transitions(zone, begin, start + timedelta(days=366 * (YEARS + 1))):
        old, new = (instant - timedelta(seconds=1)).astimezone(zone), instant.astimezone(zone)
        onset = (instant + _offset(old)).replace(tzinfo=None)  # local time by the clock that ends (RFC 5545, 3.6.5)
        changes.setdefault((_offset(old), _offset(new), new.tzname() or "", _summer(new)), []).append(onset)
    yield "BEGIN:VTIMEZONE"
    yield f"TZID:{name}"
    for (old_offset, new_offset, called, summer), onsets in changes.items():
        kind = "DAYLIGHT" if summer else "STANDARD"
        yield f"BEGIN:{kind}"
        yield f"DTSTART:{onsets[0]:%Y%m%dT%H%M%S}"
        yield from (f"RDATE:{onset:%Y%m%dT%H%M%S}" for onset in onsets[1:])
        yield f"TZOFFSETFROM:{_signed(old_offset)}"
        yield f"TZOFFSETTO:{_signed(new_offset)}"
        yield f"TZNAME:{called}"
        yield f"END:{kind}"
    yield "END:VTIMEZONE"


def _offset(at: datetime) -> timedelta:
    return at.utcoffset() or timedelta()


def _summer(at: datetime) -> bool:
    return bool(at.dst())


def _signed(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def transitions(zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Return the moments (UTC, to the second) between *start* and *end* at which the zone's offset changes."""
    found = []
    day, low = timedelta(days=1), start.astimezone(UTC).replace(microsecond=0)
    while low < end:
        high = low + day
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            left, right = low, high
            while right - left > timedelta(seconds=1):
                middle = left + timedelta(seconds=int((right - left).total_seconds()) // 2)
                same = middle.astimezone(zone).utcoffset() == left.astimezone(zone).utcoffset()
                left, right = (middle, right) if same else (left, middle)
            found.append(right)
        low = high
    return found


def _text(value: str) -> str:
    """Escape a TEXT value (RFC 5545, 3.3.11)."""
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\r\n", "\\n").replace("\n", "\\n")


def _fold(line: str) -> Iterator[str]:
    """Break a line after at most 75 octets, never inside a character; what follows begins with a space."""
    piece = ""
    for character in line:
        if len((piece + character).encode()) > FOLD:
            yield piece
            piece = " "
        piece += character
    yield piece
