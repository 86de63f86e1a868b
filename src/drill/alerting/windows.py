"""The burn-rate window pairs, and how fast-forward divides them.

Owns the mapping P1 page / P2 ticket / P3 log. Refuses other mixtures: 1h with 6h in one rule says nothing
about either. Source: Google's SRE workbook, chapter 5, table of recommended windows for a 30-day budget.
"""

from __future__ import annotations

from drill.core.units import DURATION_UNITS, prometheus_duration
from drill.core.values import Value
from drill.slo.model import DEFAULT_PERIOD_S

_M, _H, _D = DURATION_UNITS["m"], DURATION_UNITS["h"], DURATION_UNITS["d"]


class Pair(Value):
    """One alert rule's windows: fires when both burn rates are over ``factor``. Seconds of real time."""

    severity: str
    burn_tier: str
    factor: float
    long_s: float
    short_s: float

    @property
    def price(self) -> float:
        """The share of a 30-day budget spent before it can fire: ``F·W/T`` (formula 6 of the design notes)."""
        return self.factor * self.long_s / DEFAULT_PERIOD_S


PAIRS: tuple[Pair, ...] = (
    Pair(severity="page", burn_tier="fast", factor=14.4, long_s=_H, short_s=5 * _M),
    Pair(severity="ticket", burn_tier="medium", factor=6.0, long_s=6 * _H, short_s=30 * _M),
    Pair(severity="log", burn_tier="slow", factor=1.0, long_s=3 * _D, short_s=6 * _H),
)

RECORDED_S: tuple[float, ...] = (5 * _M, 30 * _M, _H, 2 * _H, 6 * _H, _D, 3 * _D)
"""The windows Sloth records for a 30-day period; 2h and 1d feed dashboards and users' own rules."""

QUIET_FOR_S = 10 * _M
"""How long a service must be without traffic, after one 5m window without any, before its alert fires."""


class RuleTiming(Value):
    """How rules run: ``fast_forward`` divides every window and ``for``; ``interval_s`` is as it really runs."""

    fast_forward: float = 1.0
    interval_s: float = 30.0

    def run_s(self, real_s: float) -> float:
        """Return the seconds a real duration takes under this timing."""
        return real_s / self.fast_forward

    def window(self, real_s: float) -> str:
        """Return the range as it is evaluated: ``5m``, or ``5s`` under a fast-forward of 60."""
        return prometheus_duration(self.run_s(real_s))


REAL_TIME = RuleTiming()


def fast_forwarded(factor: float) -> RuleTiming:
    """Return the timing for a fast-forward *factor*: rules evaluated every second instead of every 30."""
    return REAL_TIME if factor == 1 else RuleTiming(fast_forward=factor, interval_s=1.0)
