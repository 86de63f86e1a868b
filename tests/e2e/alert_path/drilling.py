"""One drill against a rig: real scenario loading, compile, preflight, engine, observer, journal and judge.

The target is the only thing replaced: its fault makes the shop answer 500, so that its users really get errors.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import requests

from drill.alerting.routing import load_routing, receivers_for
from drill.alerting.rules import burn_alerts
from drill.core.actions import AnyAction, HoldFault, HttpFault, ReleaseFault
from drill.core.errors import ActionFailed
from drill.core.facts import Endpoints, Facts, Replica, Service
from drill.core.probes import Measurement, Probe
from drill.engine.preflight import preflight
from drill.engine.run import Runner
from drill.faults.base import Params
from drill.faults.registry import faults, parameter_models
from drill.journal.events import AnyEvent, PhaseEntered, Preflight
from drill.journal.journal import Journal
from drill.observe.observer import Observer
from drill.plan.compile import Rules, Source, compile_plan, repredict
from drill.plan.model import Plan
from drill.scenario.loader import load
from drill.verify import judge
from drill.verify.model import Verdict
from e2e.alert_path.rig import Rig, good_alertmanager, good_groups

SCENARIO = """
apiVersion: drill/v1
kind: Scenario
metadata: {{name: shop-errors, title: Shop errors, owner: sre}}
hypothesis: Errors of the shop page its owner.
injections:
  - id: errors
    fault: http-error
    target: {{service: shop, pods: 100%}}
    with: {{percent: {percent}%, status: 500}}
    at: {at}
    for: {lasts}
expect:
  alerts:
    - match: {{slo: shop-availability, severity: page}}
      fires: predicted
      receiver: pagerduty
      resolves: {{within: 12s}}
  nothing_else: {{allow: [{{alertname: Watchdog}}]}}
guardrails: {{max_blast_radius: 100%, max_budget_spend: 100%, max_duration: 5m}}
"""
BASELINE_S = 2.0
Hooks = Mapping[str, Callable[[Rig], None]]


class ShopTarget:
    """Implements Target: the fault is a switch in the shop; its proof is made of real requests."""

    name = "shop"

    def __init__(self, rig: Rig, clock: Callable[[], float]) -> None:
        self._rig, self._clock = rig, clock

    def facts(self) -> Facts:
        return Facts(
            target="shop",
            services=(
                Service(name="shop", tier=2, replicas=(Replica(name="shop-0", service="shop", address="127.0.0.1", port=80),)),
            ),
            scrape_interval_s=1,
            evaluation_interval_s=1,
            group_wait_s=0.5,
            group_interval_s=1,
            history_s=5,
        )  # fmt: skip

    def endpoints(self) -> Endpoints:
        return self._rig.endpoints

    def execute(self, action: AnyAction) -> float:
        if isinstance(action, HoldFault):
            assert isinstance(action.fault, HttpFault)
            self._rig.shop.share = action.fault.abort_percent / 100
            self._rig.shop.failing.add(action.replica)
        elif isinstance(action, ReleaseFault):
            self._rig.shop.failing.discard(action.replica)
        else:
            raise ActionFailed(f"the shop cannot do {action.do}")
        return self._clock()

    def measure(self, probe: Probe) -> Measurement:
        url = self._rig.shop.url("shop") + "/shop"
        codes = [requests.get(url, timeout=2).status_code for _ in range(probe.samples)]
        return Measurement(value=sum(code >= 500 for code in codes) / len(codes), at=self._clock())

    def snapshot(self, replica: str) -> Mapping[str, str]:
        return {"failing": str(replica in self._rig.shop.failing)}

    def log_lines(self) -> Sequence[str]:
        return self._rig.logs().splitlines()


@dataclass(frozen=True)
class Drilled:
    """What one drill brought."""

    plan: Plan
    preflight: Preflight
    preflight_s: float
    events: Sequence[AnyEvent]
    verdict: Verdict


def make_plan(target: ShopTarget, folder: Path, **times: object) -> tuple[Plan, Rules]:
    """Compile the scenario against the rules and routes as they should be."""
    file = folder / "shop-errors.yaml"
    file.write_text(SCENARIO.format(**times))
    loaded = load(file, faults=parameter_models(), overrides={})
    assert loaded.scenario is not None, loaded.problems
    routing, problems = load_routing(json.dumps(good_alertmanager()))
    assert routing is not None, problems
    rules = Rules(burn_alerts(good_groups()), lambda labels: receivers_for(routing, labels))
    source = Source(
        loaded.scenario, cast("dict[str, Params]", loaded.fault_params), loaded.parameters, loaded.sha256
    )
    compiled = compile_plan(source, target.facts(), rules, faults(), seed=1, baseline_s=BASELINE_S)
    assert compiled.plan is not None, compiled.complaints
    return compiled.plan, rules


def drill(
    rig: Rig, hooks: Hooks, *, at: str = "0s", lasts: str = "7s", percent: int = 100, ahead_s: float = 0.0
) -> Drilled:
    """Run one drill to its end, forced, and judge it. ``ahead_s``: this machine's clock is that much ahead."""

    def clock() -> float:
        return time.time() + ahead_s

    target = ShopTarget(rig, clock)
    plan, rules = make_plan(target, rig.home, at=at, lasts=lasts, percent=percent)
    observer = Observer(rig.endpoints)
    observer.prometheus._clock = clock
    begun = time.monotonic()
    found = preflight(plan, observer, _skew(observer), clock())
    took = time.monotonic() - begun
    with Journal(rig.home / "journal.jsonl", clock) as journal:
        journal.subscribe(lambda event: _hook(event, rig, hooks))
        runner = Runner(
            plan, target, observer, journal,
            repredict=lambda basis: repredict(plan, rules, **basis._asdict()),
            abort=threading.Event(), clock=clock,
        )  # fmt: skip
        runner.start("run", "0" * 64, found, forced=True)
        runner.run()
        events = list(journal.events)
    observer.close()
    return Drilled(plan, found, took, events, judge(plan, events))


def _skew(observer: Observer) -> float:
    try:
        return observer.clock_skew().skew_s
    except Exception:
        return 0.0


def _hook(event: AnyEvent, rig: Rig, hooks: Hooks) -> None:
    if isinstance(event, PhaseEntered) and event.phase in hooks:
        threading.Thread(target=_act, args=(hooks[event.phase], rig), daemon=True).start()


def _act(hook: Callable[[Rig], None], rig: Rig) -> None:
    """A server that a hook starts dies with the hook's thread, so that it cannot outlive the tests: stay."""
    hook(rig)
    rig.closed.wait()
