"""How long 1000 scenario files of ordinary size take to be read and checked, on one core.

The files are copies of one scenario under different names, so that nothing is answered from a cache; imports
are not counted. Goal: at most 0.5 s.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from drill.faults.registry import parameter_models
from drill.scenario.loader import load

COUNT = 1000
ROUNDS = 3
"""The best round counts: the others measure what else the machine does."""
SCENARIO = """\
apiVersion: drill/v1
kind: Scenario
metadata: {name: bench-NUMBER, title: Slow answers, tags: [network, bench], owner: sre, difficulty: beginner}
hypothesis: Slow answers page the owner before a fiftieth of the month's budget is gone.
parameters:
  service: {type: string, required: true, description: the service to slow down}
  delay: {type: duration, default: 400ms}
injections:
  - id: slow
    fault: latency
    target: {service: "${service}", pods: 100%}
    with: {delay: "${delay}", jitter: 20ms}
    at: 0s
    for: 5m
  - id: lossy
    fault: packet-loss
    target: {service: "${service}", pods: 1}
    with: {loss: 5%}
    at: 6m
    for: 2m
expect:
  alerts:
    - match: {slo: "${service}-latency", severity: page}
      fires: predicted
      receiver: pagerduty
      resolves: {within: 10m}
  nothing_else: {allow: [{alertname: Watchdog}]}
guardrails:
  max_budget_spend: 5%
  max_blast_radius: 100%
  abort_if: [{promql: 'sum(rate(http_requests_total{code=~"5.."}[1m])) > 100', for: 15s}]
runbook: latency-spike
people:
  roles: {ic: required, ops: required, scribe: optional}
  hints: [{after: 5m, text: Is it errors or latency?}, {after: 10m, text: Compare one replica with the others.}]
  answer: {component: checkout, cause: network-latency, accept: [tc delay, slow network]}
"""


def best() -> float:
    """Seconds for COUNT files, the best of ROUNDS."""
    faults = parameter_models()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"bench-{number}.yaml" for number in range(COUNT)]
        for number, path in enumerate(paths):
            path.write_text(SCENARIO.replace("NUMBER", str(number)))
        took = float("inf")
        for _ in range(ROUNDS):
            started = time.perf_counter()
            wrong = [path for path in paths if load(path, faults=faults, placeholders=True).problems]
            took = min(took, time.perf_counter() - started)
    if wrong:
        raise SystemExit(f"{len(wrong)} of the files have problems: the figure would mean nothing")
    return took


def main() -> None:
    print(f"validate {COUNT} files: {best():.2f} s")


if __name__ == "__main__":
    main()
