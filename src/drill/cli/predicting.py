"""`drill predict SCENARIO`: what every alert would do, by the sandbox's rules or by files of the user's.

Owns reading the user's rule files and Alertmanager configuration for prediction. Touches nothing and asks
nobody: the target's abilities are taken for granted, because only the alerts are asked about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from drill.alerting.routing import load_routing, receivers_for, timings
from drill.alerting.rulefile import read_groups
from drill.alerting.rules import BurnAlert, burn_alerts
from drill.cli.alertpath import alert_path, read_text
from drill.core.errors import ProblemsFound, UsageError
from drill.core.facts import Facts, Replica, Service
from drill.core.problems import Problem
from drill.faults.registry import faults, parameter_models
from drill.plan.compile import Rules, Source, compile_plan, repredict
from drill.plan.model import Plan
from drill.scenario.library import find, shipped_roots
from drill.scenario.loader import Loaded, load
from drill.target.sandbox import SINK_URL
from drill.target.sandbox.planned import facts_of

if TYPE_CHECKING:
    from drill.alerting.rulefile import Group
    from drill.cli.settings import RunSettings
    from drill.faults.base import Params

HISTORY_S, SCRAPE_S = 30 * 86400.0, 30.0
"""Assumed with the user's own rules: their Prometheus is old, and scrapes as production does."""
BASELINE_S = 6.0
"""As `drill run` watches healthy traffic before T0; it adds to the history."""
ASSUMED_ADDRESS, ASSUMED_PORT = "192.0.2.1", 8080
"""For replicas nobody is going to touch (an address reserved for documentation, RFC 5737)."""


@dataclass(frozen=True)
class Assumptions:
    """What the user says of the world instead of what the sandbox is; None: as the sandbox is, or unknown."""

    rules: tuple[Path, ...] = ()
    alertmanager: Path | None = None
    history_s: float | None = None
    scrape_s: float | None = None
    baseline: float = 0.0
    traffic: float = 1.0
    replicas: int = 4


@dataclass(frozen=True)
class Predicted:
    """A plan with its predictions; ``unread`` names the alert rules that are no burn-rate alerts."""

    plan: Plan
    unread: tuple[str, ...] = ()


def predict(name_or_path: str, settings: RunSettings, given: Assumptions) -> Predicted:
    """Predict every alert *name_or_path*'s faults touch. Raises ProblemsFound or UsageError."""
    loaded = load(
        find(name_or_path, shipped_roots("scenarios")), faults=parameter_models(), overrides=settings.sets
    )
    if loaded.scenario is None or loaded.problems:
        raise ProblemsFound(loaded.problems)
    fast_forward = 1.0 if given.rules else settings.fast_forward
    path = alert_path(fast_forward, SINK_URL)
    facts = facts_of(path.sandbox_spec(fast_forward, settings.seed), {}, {})
    rules, unread = path.rules, tuple[str, ...]()
    if given.rules:
        rules, unread = user_rules(given.rules, given.alertmanager)
        facts = _with_services(facts, rules.alerts, given.replicas)
        facts = facts.with_(history_s=HISTORY_S, scrape_interval_s=SCRAPE_S)
    if given.history_s is not None:
        facts = facts.with_(history_s=max(0.0, given.history_s - BASELINE_S))
    if given.scrape_s:
        facts = facts.with_(scrape_interval_s=given.scrape_s)
    plan = _compiled(loaded, facts, rules, settings.seed, expect=not given.rules)
    baseline = dict.fromkeys({alert.sloth_id for alert in rules.alerts}, given.baseline)
    again = repredict(plan, rules, history_s=plan.history_s, baseline=baseline, traffic=given.traffic)
    return Predicted(again, unread)


def _compiled(loaded: Loaded, facts: Facts, rules: Rules, seed: int, *, expect: bool) -> Plan:
    """Compile; without *expect* the alerts the scenario names are left out, for its names are not the rules'."""
    scenario = loaded.scenario
    assert scenario is not None
    if not expect:
        scenario = scenario.model_copy(update={"expect": scenario.expect.model_copy(update={"alerts": ()})})
    params = cast("dict[str, Params]", loaded.fault_params)
    source = Source(scenario, params, loaded.parameters, loaded.sha256)
    compiled = compile_plan(source, facts, rules, faults(), seed=seed, baseline_s=BASELINE_S)
    if compiled.plan is None:
        raise ProblemsFound([loaded.problem_at(one.path, one.message, one.hint) for one in compiled.complaints])
    return compiled.plan


def user_rules(files: Sequence[Path], alertmanager: Path | None) -> tuple[Rules, tuple[str, ...]]:
    """Read rule files and, if there is one, an Alertmanager configuration.

    Returns the rules and the names of the alert rules that are no burn-rate alerts. Raises ProblemsFound for
    files that cannot be read, UsageError when no burn-rate alert is among them.
    """
    groups: list[Group] = []
    problems: list[Problem] = []
    for file in files:
        found, wrong = read_groups(read_text(file), str(file))
        groups += found
        problems += wrong
    routing = None
    if alertmanager is not None:
        routing, wrong = load_routing(read_text(alertmanager), str(alertmanager))
        problems += wrong
    if problems:
        raise ProblemsFound(problems)
    alerts = burn_alerts(groups)
    unread = _unread(groups, alerts)
    if not alerts:
        said = f"none of {len(unread)} alert rules is one" if unread else "there are no alert rules in them"
        raise UsageError(
            f"no burn-rate alert in the rule files: {said}",
            hint="give the files with the recording rules too: windows are read from their PromQL",
        )
    if routing is None:
        return Rules(alerts, lambda _: ()), unread
    return Rules(
        alerts, lambda labels: receivers_for(routing, labels), lambda labels: timings(routing, labels)
    ), unread


def _unread(groups: Sequence[Group], alerts: Sequence[BurnAlert]) -> tuple[str, ...]:
    read = {(alert.file, alert.line) for alert in alerts}
    names = [
        rule.alert for group in groups for rule in group.rules if rule.alert and (group.file, rule.line) not in read
    ]
    return tuple(dict.fromkeys(names))


def _with_services(facts: Facts, alerts: Sequence[BurnAlert], replicas: int) -> Facts:
    """Add the services the rules speak of and the sandbox does not have, with *replicas* replicas each."""
    known = {service.name for service in facts.services}
    names = dict.fromkeys(alert.service for alert in alerts if alert.service and alert.service not in known)
    model = facts.services[0].replicas[0]
    added = tuple(
        Service(
            name=name,
            tier=0,
            replicas=tuple(_assumed(model, name, index) for index in range(replicas)),
        )
        for name in names
    )
    return facts.with_(services=(*facts.services, *added))


def _assumed(model: Replica, service: str, index: int) -> Replica:
    return model.with_(
        name=f"{service}-{index}", service=service, address=ASSUMED_ADDRESS, port=ASSUMED_PORT, node=""
    )
