"""When a schedule is due: a cron expression in a time zone, over a span of time. Pure: reads no clock.

cronsim reads the expression; what a clock change does to it is decided here, by the rule of Debian's cron(8):

- A job at named times (neither minute nor hour starts with ``*``) follows the clock on the wall and runs **once**.
  A time that the clock skips is due at the first moment after the gap, several in one gap only once together.
  A time that comes twice is due the first time.
- Any other job (``15 * * * *``, ``*/10 2 * * *``) follows real time: what is skipped is not made up for, and what
  comes twice is due twice.

Refuses expressions with other than five fields: crontabs and Kubernetes have five.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MARGIN = timedelta(days=2)
"""Local and real order differ around a clock change; the largest one ever was a day (Samoa, 2011)."""
MINUTE = timedelta(minutes=1)


def due(cron: str, tz: str, since: datetime, until: datetime) -> list[datetime]:
    """Return when *cron* is due in the zone *tz*, later than *since* and not later than *until*.

    Both ends must be aware. The times are in UTC and ascend strictly, so that they can be compared and
    subtracted (two times of one zone compare by the wall clock, wrong in the hour that comes twice). Adjoining
    spans neither lose nor repeat a time. Raises ValueError for a wrong expression, an unknown zone, a naive time.
    """
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("since and until need a time zone")
    zone, start, end = _zone(tz), since.astimezone(UTC), until.astimezone(UTC)
    fixed = _at_named_times(cron)
    found = {
        instant
        for local in _local_times(cron, _wall(start, zone) - MARGIN, _wall(end, zone) + MARGIN)
        for instant in (_once(local, zone) if fixed else _as_often_as_it_comes(local, zone))
    }
    return sorted(instant for instant in found if start < instant <= end)


def _zone(tz: str) -> ZoneInfo:
    try:
        return ZoneInfo(tz)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"'{tz}' is not a time zone: write one like Europe/Berlin or UTC") from error


def _at_named_times(cron: str) -> bool:
    fields = cron.split()
    if len(fields) != 5:
        raise ValueError(f"'{cron}' is not a cron expression: it needs five fields, like '0 10 * * 1'")
    return not fields[0].startswith("*") and not fields[1].startswith("*")


def _local_times(cron: str, after: datetime, last: datetime) -> Iterator[datetime]:
    """Matching wall-clock times, naive: cronsim then knows nothing of clock changes."""
    try:
        times = CronSim(cron, after)
    except CronSimError as error:
        raise ValueError(f"'{cron}' is not a cron expression: {str(error).lower()}") from error
    for local in times:
        if local > last:
            return
        yield local


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _instants(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """The real times at which the clock of *zone* shows *local*: none, one, or two."""
    meant = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(instant for instant in meant if _wall(instant, zone) == local)


def _once(local: datetime, zone: ZoneInfo) -> list[datetime]:
    while not (instants := _instants(local, zone)):
        local += MINUTE  # in the gap: on to the first minute that exists
    return instants[:1]


def _as_often_as_it_comes(local: datetime, zone: ZoneInfo) -> list[datetime]:
    return _instants(local, zone)
