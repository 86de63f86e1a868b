"""What a sandbox is started with, and its JSON form between runner and keeper."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drill.target.sandbox.topology import SERVICES


def default_rates() -> dict[str, float]:
    """Requests per second by service."""
    return {service.name: service.rate for service in SERVICES}


@dataclass(frozen=True)
class SandboxSpec:
    """Everything that may differ between two sandboxes.

    ``rules`` and ``alertmanager`` are the texts of a Prometheus rule file and of an Alertmanager
    configuration, already fast-forwarded; times are seconds as the sandbox really runs them. Alertmanager's
    webhooks go to ``topology.SINK_URL/<receiver>``. ``rates`` are requests per second by service; a service
    that is not in it keeps its default.
    """

    rules: str
    alertmanager: str
    scrape_interval_s: float = 1.0
    evaluation_interval_s: float = 1.0
    fast_forward: float = 60.0
    group_wait_s: float = 0.5
    group_interval_s: float = 5.0
    history_s: float = 10.0
    chained: bool = True
    seed: int = 0
    rates: Mapping[str, float] = field(default_factory=default_rates)
    restart_delay_s: float = 1.0

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({**dataclasses.asdict(self), "rates": dict(self.rates)})

    @staticmethod
    def from_json(text: str) -> SandboxSpec:
        """Read what :meth:`to_json` wrote. Raises ValueError or TypeError when it is something else."""
        fields: dict[str, Any] = json.loads(text)
        return SandboxSpec(**fields)

    def rate(self, service: str) -> float:
        """Requests per second for *service*."""
        return self.rates.get(service, default_rates()[service])


@dataclass(frozen=True)
class Launch:
    """What the runner hands to the keeper beside the spec: paths of the programs it found."""

    spec: SandboxSpec
    prometheus: str
    alertmanager: str
    ip: str
    quick_discovery: bool = False
    """Prometheus 3: first scrape after 1 s instead of 5 s."""

    def to_json(self) -> str:
        """One line of JSON."""
        rest = {key: value for key, value in vars(self).items() if key != "spec"}
        return json.dumps({**rest, "spec": self.spec.to_json()})

    @staticmethod
    def from_json(text: str) -> Launch:
        """Read what :meth:`to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return Launch(**{**fields, "spec": SandboxSpec.from_json(fields["spec"])})
