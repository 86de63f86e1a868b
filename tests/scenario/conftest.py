"""Faults for the tests: small models of our own, since the real ones live in a layer above the scenario's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from drill.scenario.model import Duration


class Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Latency(Params):
    delay: Duration = Field(gt=0, le=60, description="added to every packet")
    jitter: Duration = 0.0
    backend: Literal["auto", "netem", "nfqueue"] = "auto"

    @model_validator(mode="after")
    def jitter_is_smaller(self) -> Latency:
        if self.jitter > self.delay:
            raise ValueError("jitter is larger than delay")
        return self


class CpuStress(Params):
    workers: int = Field(1, ge=1, le=64, description="how many CPUs are burnt")
    load: int = 100


class Pause(Params):
    pass


@pytest.fixture(scope="session")
def faults() -> Mapping[str, type[BaseModel]]:
    return {"latency": Latency, "cpu-stress": CpuStress, "pause": Pause}


GOOD = """\
apiVersion: drill/v1
kind: Scenario
metadata: {name: slow-answers, title: Slow answers, tags: [network], owner: sre}
hypothesis: Slow answers page the owner.
parameters:
  service: {type: string, required: true}
  delay: {type: duration, default: 400ms}
  workers: {type: integer, default: 3}
injections:
  - id: slow
    fault: latency
    target: {service: "${service}", pods: 100%}
    with: {delay: "${delay}", jitter: 20ms}
    for: 5m
  - id: busy
    fault: cpu-stress
    target: {service: payment, pods: 1}
    with: {workers: "${workers}"}
    at: 1m
    for: 2m
expect:
  alerts:
    - match: {slo: "${service}-latency", severity: page}
      receiver: pagerduty
      resolves: {within: 10m}
  nothing_else: {allow: [{alertname: Watchdog}]}
guardrails:
  abort_if: [{promql: 'sum(rate(errors_total[1m])) > 5', for: 15s}]
mitigated_when: {promql: 'errors:ratio{service="${service}"} < 0.01', for: 3m}
"""


@pytest.fixture(scope="session")
def good() -> str:
    """A scenario with every kind of part, and nothing wrong in it."""
    return GOOD
