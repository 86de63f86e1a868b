"""How an effect is measured: a probe asks the target for one number, an effect says what it must be."""

from __future__ import annotations

from typing import Literal

from drill.core.activities import Call
from drill.core.values import Value

ProbeKind = Literal[
    "connect_ms",        # median TCP connect time from the users' side, ms
    "request_ms",        # median time of one HTTP request from the users' side, ms
    "lost_ratio",        # share of connects that needed a retransmit or failed, 0..1
    "error_ratio",       # share of HTTP requests answered with 5xx or not at all, 0..1
    "transfer_kbit",     # download rate of a large body, kbit/s
    "unreachable_ratio", # share of connects from `peer` that were refused or timed out, 0..1
    "throttled_ratio",   # share of CFS periods throttled since the last probe, 0..1
    "cpu_cores",         # CPUs used by the replica's cgroup since the last probe
    "oom_kills",         # OOM kills of the replica since it was created, count
    "memory_ratio",      # memory used / limit, 0..1
    "free_bytes",        # free bytes of the replica's data file system
    "stopped",           # 1 when the main process is stopped, else 0
    "starts",            # times the replica was started or replaced, count
    "ready",             # replicas of the service that serve, count
    "unavailable",       # replicas of the service's workload that should serve and do not, count
    "unschedulable",     # 1 when the replica's node takes no new pods, else 0
    "activity",          # 1 when a Chaos Toolkit probe answers within its tolerance, else 0
]  # fmt: skip


class Probe(Value):
    """One measurement at one replica; ``peer`` names the replica or ``users`` it is made from."""

    kind: ProbeKind
    replica: str
    peer: str = "users"
    samples: int = 5
    call: Call | None = None
    """The Chaos Toolkit probe of kind ``activity``."""


class Effect(Value):
    """What must be measured before the alert clock starts.

    The effect of a probe is ``value - baseline`` when ``relative`` (added delay), else the value itself. It
    holds when it lies in ``[low, high]``. ``expected`` and ``unit`` are what the report shows.
    """

    kind: ProbeKind
    expected: float
    low: float
    high: float = float("inf")
    unit: str
    relative: bool = False
    peer: str = "users"
    samples: int = 5
    within_s: float = 10.0
    """How long the effect may take to show before the injection counts as without effect."""
    most: float = float("inf")
    """The largest value the probe can give; with it, a baseline that leaves no room for the effect is noticed."""
    once: bool = False
    """One measurement speaks for all replicas."""
    call: Call | None = None
    """The Chaos Toolkit probe of kind ``activity``."""

    def holds(self, value: float, baseline: float) -> bool:
        """True when the measured *value* proves the effect against *baseline*."""
        return self.low <= self.size(value, baseline) <= self.high

    def can_show(self, baseline: float) -> bool:
        """True when some value of the probe would prove the effect against *baseline*."""
        return self.size(self.most, baseline) >= self.low

    def size(self, value: float, baseline: float) -> float:
        """Return the effect: the value, or what it added to *baseline*."""
        return value - baseline if self.relative else value


class Measurement(Value):
    """A probe's answer: ``value`` in the unit of its kind, ``at`` Unix seconds when it was finished."""

    value: float
    at: float
    detail: str = ""
    """What the probe answered, where a number does not say it."""
