"""The kinds of fault that every target is asked for, with parameters small enough to be made in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """One fault with its parameters. ``felt`` is what users must notice of it, as a name in ``promises.FELT``."""

    name: str
    fault: str
    params: Mapping[str, object] = field(default_factory=dict)
    felt: str = ""
    hold_s: float = 1.0


HELD = (
    Case("latency", "latency", {"delay": "150ms"}, felt="slow"),
    Case("packet-loss", "packet-loss", {"loss": "60%"}),
    Case("bandwidth", "bandwidth", {"rate": "400kbit"}),
    Case("partition", "partition", {"mode": "reject"}, felt="silent"),
    Case("http-error", "http-error", {"percent": "100%", "status": 503}, felt="failing"),
    Case("cpu-stress", "cpu-stress"),
    Case("memory-hog", "memory-hog", {"fill": "70%"}),
    Case("oom-kill", "oom-kill"),
    Case("disk-full", "disk-full"),
    Case("pause", "pause", felt="silent"),
    Case("pod-kill by SIGKILL", "pod-kill", {"mode": "kill"}),
)
"""What an agent near the replica makes."""

BY_API = (
    Case("pod-kill by eviction", "pod-kill", {"mode": "evict"}),
    Case("pod-kill by deletion", "pod-kill", {"mode": "delete"}),
    Case("scale-down", "scale-down"),
    Case("node-cordon", "node-cordon"),
    Case("node-drain", "node-drain"),
    Case("bad-rollout of an image", "bad-rollout", {"kind": "image"}),
    Case("bad-rollout of a probe", "bad-rollout", {"kind": "readiness"}),
)
"""What only a platform's API makes."""

CASES: Sequence[Case] = (*HELD, *BY_API)


def named(case: Case) -> str:
    """The case's name as a test's."""
    return case.name
