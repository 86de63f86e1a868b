"""How long each fault takes from the order to its measured effect, and from the order to end it until it is gone.

python bench/effects.py [--repeat N]

One replica of one sandbox; every round is the real agent, a real probe, a real undo. Goals: p95 at most 1 s each.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from drill.cli.alertpath import alert_path
from drill.core.actions import HoldFault, undo_of
from drill.core.probes import Effect, Probe
from drill.faults.base import Site
from drill.faults.registry import faults
from drill.target.sandbox import SINK_URL, Sandbox

GOAL_S = 1.0
GIVEN = {"latency": {"delay": "100ms"}, "packet-loss": {"loss": "50%"}, "bandwidth": {"rate": "1mbit"}}
"""Parameters that have no default; the delay is short so that the probe's own time does not hide drill's."""
PAUSE_S = 0.3


@dataclass
class Timing:
    fault: str
    backend: str
    to_effect: list[float]
    to_clear: list[float]


def size(sandbox: Sandbox, effect: Effect, replica: str, healthy: float) -> float:
    measured = sandbox.measure(Probe(kind=effect.kind, replica=replica, peer=effect.peer, samples=effect.samples))
    return effect.size(measured.value, healthy)


def once(sandbox: Sandbox, effect: Effect, action: HoldFault) -> tuple[float, float]:
    probe = Probe(kind=effect.kind, replica=action.replica, peer=effect.peer, samples=effect.samples)
    healthy = sandbox.measure(probe).value if effect.relative else 0.0
    began = time.perf_counter()
    sandbox.execute(action)
    while not effect.low <= size(sandbox, effect, action.replica, healthy) <= effect.high:
        if time.perf_counter() - began > 20:
            raise SystemExit(f"{action.injection}: the effect never showed")
    to_effect = time.perf_counter() - began
    began = time.perf_counter()
    sandbox.execute(undo_of(action))
    return to_effect, time.perf_counter() - began


def measure(repeat: int) -> list[Timing]:
    path = alert_path(60, SINK_URL)
    timings = []
    with Sandbox.start(path.sandbox_spec(60, seed=0)) as sandbox:
        facts = sandbox.facts()
        service = facts.service("catalog")
        assert service
        for name, fault in faults().items():
            params = fault.params.model_validate(GIVEN.get(name, {}))
            for backend in fault.backends(params):
                if any(need in facts.missing for need in backend.needs):
                    continue
                site = Site(name, facts, service, service.replicas[0], for_s=60)
                action = fault.actions(params, backend.name, site)[0][1]
                if not isinstance(action, HoldFault) or name == "oom-kill":
                    continue  # a kill and its restart are the platform's time, not drill's
                timing = Timing(name, backend.name, [], [])
                for _ in range(repeat):
                    effect, clear = once(sandbox, fault.effect(params, backend.name, site), action)
                    timing.to_effect.append(effect)
                    timing.to_clear.append(clear)
                    time.sleep(PAUSE_S)
                timings.append(timing)
    return timings


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=10)
    timings = measure(parser.parse_args().repeat)
    print(f"{'fault':<12} {'backend':<10} {'to effect p50':>13} {'p95':>7} {'to clear p50':>13} {'p95':>7}")
    for one in timings:
        effect, clear = statistics.median(one.to_effect), statistics.median(one.to_clear)
        print(
            f"{one.fault:<12} {one.backend:<10} {effect:>11.2f} s {p95(one.to_effect):>5.2f} s "
            f"{clear:>11.2f} s {p95(one.to_clear):>5.2f} s"
        )
    to_effect = [value for one in timings for value in one.to_effect]
    to_clear = [value for one in timings for value in one.to_clear]
    print(f"all: to effect p95 {p95(to_effect):.2f} s, to clear p95 {p95(to_clear):.2f} s (goal {GOAL_S:g} s)")


if __name__ == "__main__":
    main()
