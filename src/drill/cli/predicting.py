"""`drill predict SCENARIO`: what every alert would do, by the rules of the sandbox, of files, or of servers.

Owns where rules, routes and the healthy state come from for a prediction. Touches nothing; asks only servers the
user names. The target's abilities are taken for granted, because only the alerts are asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from drill.alerting.routing import load_routing, receivers_for, timings
from drill.alerting.rulefile import read_groups
from drill.alerting.rules import BurnAlert, burn_alerts, unread
from drill.cli.alertpath import alert_path, read_text
from drill.cli.config import Context, context
from drill.core.errors import ProblemsFound, UsageError
from drill.core.facts import Endpoints, Facts, Replica, Service
from drill.core.problems import Problem
from drill.core.units import format_duration, format_ratio
from drill.faults.registry import faults, parameter_models
from drill.observe.live import Healthy, healthy, live_rules
from drill.observe.observer import Observer
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
ASSUMED_CPUS, ASSUMED_MEMORY = 1.0, 512 * 2**20
"""For replicas nobody is going to touch (an address reserved for documentation, RFC 5737)."""


@dataclass(frozen=True)
class Assumptions:
    """What the user says of the world; None: as it is measured, or as the sandbox is.

    ``prometheus`` is the address of a server whose loaded rules count, ``alertmanagers`` those of its peers.
    """

    rules: tuple[Path, ...] = ()
    alertmanager: Path | None = None
    prometheus: str = ""
    alertmanagers: tuple[str, ...] = ()
    history_s: float | None = None
    scrape_s: float | None = None
    baseline: float | None = None
    traffic: float = 1.0
    replicas: int = 4


@dataclass(frozen=True)
class Predicted:
    """A plan with its predictions; ``unread`` names the alert rules that are no burn-rate alerts.

    ``notes`` say where rules and numbers come from, where that is not the sandbox.
    """

    plan: Plan
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Basis:
    """What a prediction is made from. ``measure`` gives what the touched alerts' SLOs show now, by SLO id."""

    facts: Facts
    rules: Rules
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    expect: bool = False
    """The scenario's own expectations hold for these rules."""
    measure: Callable[[Sequence[BurnAlert]], Mapping[str, Healthy]] = lambda _: {}


def predict(name_or_path: str, settings: RunSettings, given: Assumptions) -> Predicted:
    """Predict every alert *name_or_path*'s faults touch. Raises ProblemsFound, UsageError or Unavailable."""
    loaded = load(
        find(name_or_path, shipped_roots("scenarios")), faults=parameter_models(), overrides=settings.sets
    )
    if loaded.scenario is None or loaded.problems:
        raise ProblemsFound(loaded.problems)
    with _basis(settings, given) as basis:
        facts = basis.facts
        if given.scrape_s:
            facts = facts.with_(scrape_interval_s=given.scrape_s)
        plan = _compiled(loaded, facts, basis.rules, settings.seed, expect=basis.expect)
        touched = {impact.sloth_id for impact in plan.impacts}
        shown = basis.measure([alert for alert in basis.rules.alerts if alert.sloth_id in touched])
    history_s = min((one.history_s for one in shown.values()), default=plan.history_s)
    again = repredict(
        plan,
        basis.rules,
        history_s=given.history_s if given.history_s is not None else history_s,
        baseline=_baseline(basis.rules.alerts, shown, given.baseline),
        traffic={alert.sloth_id: (given.traffic, given.traffic) for alert in basis.rules.alerts},
    )
    return Predicted(again, basis.unread, (*basis.notes, *_shown(shown)))


def _baseline(
    alerts: Sequence[BurnAlert], shown: Mapping[str, Healthy], stated: float | None
) -> Mapping[str, float]:
    if stated is not None:
        return dict.fromkeys((alert.sloth_id for alert in alerts), stated)
    return {sloth_id: one.error_ratio for sloth_id, one in shown.items() if one.error_ratio is not None}


def _shown(shown: Mapping[str, Healthy]) -> Iterator[str]:
    for sloth_id, one in sorted(shown.items()):
        errors = "errors unknown" if one.error_ratio is None else f"{format_ratio(round(one.error_ratio, 6))} bad"
        rate = one.requests_per_second
        traffic = "traffic unknown" if rate is None else f"{rate:.3g} requests/s"
        yield f"now {sloth_id}: {errors}, {traffic}, history {format_duration(round(one.history_s))}"


@contextmanager
def _basis(settings: RunSettings, given: Assumptions) -> Iterator[Basis]:
    """The sandbox's rules, those of the user's files, or those that servers have loaded."""
    context = _context(settings, given)
    if context is None:
        yield _from_files(settings, given) if given.rules else _from_sandbox(settings)
        return
    observer = Observer(context.reach(), context.options)
    try:
        yield _from_servers(context, observer, settings, given)
    finally:
        observer.close()


def _context(settings: RunSettings, given: Assumptions) -> Context | None:
    """Return the servers to ask: a context of drill.toml, or those of the command line. Raises UsageError."""
    if given.prometheus:
        ends = Endpoints(prometheus=given.prometheus, alertmanagers=given.alertmanagers)
        return Context(name=given.prometheus, file="", endpoints=ends)
    if settings.target.partition(":")[0] == "sandbox":
        return None
    found = context(settings.target)
    if found.lacks == ("prometheus", "alertmanagers"):
        raise UsageError(
            f"context '{found.name}' names no server to read the rules from",
            hint=f"set prometheus.url and alertmanagers in {found.file}, or give --prometheus URL",
        )
    return found


def _from_sandbox(settings: RunSettings) -> Basis:
    path = alert_path(settings.fast_forward, SINK_URL)
    return Basis(facts_of(path.sandbox_spec(settings.fast_forward, settings.seed), {}, {}), path.rules, expect=True)


def _from_files(settings: RunSettings, given: Assumptions) -> Basis:
    rules, unknown = user_rules(read_rule_files(given.rules), given.alertmanager)
    facts = _with_services(_production(settings), rules.alerts, given.replicas)
    return Basis(facts.with_(history_s=HISTORY_S, scrape_interval_s=SCRAPE_S), rules, unknown)


def _production(settings: RunSettings) -> Facts:
    """The sandbox's services with real windows."""
    return facts_of(alert_path(1.0, SINK_URL).sandbox_spec(1.0, settings.seed), {}, {})


def _from_servers(context: Context, observer: Observer, settings: RunSettings, given: Assumptions) -> Basis:
    found = live_rules(observer, read_rule_files(context.rules) if context.rules else ())
    _need_burn_alerts(found.alerts, found.unread, f"that Prometheus at {observer.prometheus.server.url} has loaded")
    wait_s, interval_s = found.group_times_s
    facts = _production(settings).with_(services=(), target=context.name, fast_forward=context.fast_forward)
    facts = _with_services(facts, found.alerts, given.replicas).with_(
        scrape_interval_s=found.scrape_interval_s,
        evaluation_interval_s=found.evaluation_interval_s,
        group_wait_s=wait_s,
        group_interval_s=interval_s,
        chained=found.chained,
    )
    count = f"{len(found.alerts)} burn-rate alert{'s' if len(found.alerts) != 1 else ''}"
    said = f"as loaded at {context.name}: {count}, scraped every {format_duration(found.scrape_interval_s)}"
    return Basis(
        facts, found.rules, found.unread, (said, *found.notes), measure=lambda alerts: healthy(observer, alerts)
    )


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


def read_rule_files(files: Sequence[Path]) -> tuple[Group, ...]:
    """Read the groups of all rule files. Raises ProblemsFound with what is wrong in any of them, UsageError."""
    groups: list[Group] = []
    problems: list[Problem] = []
    for file in files:
        found, wrong = read_groups(read_text(file), str(file))
        groups += found
        problems += wrong
    if problems:
        raise ProblemsFound(problems)
    return tuple(groups)


def user_rules(groups: Sequence[Group], alertmanager: Path | None) -> tuple[Rules, tuple[str, ...]]:
    """Make rules of groups and, if there is one, an Alertmanager configuration.

    Returns the rules and the names of the alert rules that are no burn-rate alerts. Raises ProblemsFound for a
    configuration that cannot be read, UsageError when no burn-rate alert is among the groups.
    """
    alerts = burn_alerts(groups)
    others = unread(groups, alerts)
    _need_burn_alerts(alerts, others, "in the rule files")
    if alertmanager is None:
        return Rules(alerts, lambda _: ()), others
    routing, problems = load_routing(read_text(alertmanager), str(alertmanager))
    if routing is None:
        raise ProblemsFound(problems)
    return Rules(
        alerts, lambda labels: receivers_for(routing, labels), lambda labels: timings(routing, labels)
    ), others


def _need_burn_alerts(alerts: Sequence[BurnAlert], others: Sequence[str], where: str) -> None:
    if alerts:
        return
    said = f"none of {len(others)} alert rules is one" if others else "there are no alert rules"
    raise UsageError(
        f"no burn-rate alert {where}: {said}",
        hint="the recording rules behind them are needed too: windows are read from their PromQL",
    )


def _with_services(facts: Facts, alerts: Sequence[BurnAlert], replicas: int) -> Facts:
    """Add the services the rules speak of and *facts* do not have, with *replicas* replicas each."""
    known = {service.name for service in facts.services}
    names = dict.fromkeys(alert.service for alert in alerts if alert.service and alert.service not in known)
    added = tuple(
        Service(name=name, tier=0, replicas=tuple(_assumed(name, index) for index in range(replicas)))
        for name in names
    )
    return facts.with_(services=(*facts.services, *added))


def _assumed(service: str, index: int) -> Replica:
    return Replica(
        name=f"{service}-{index}", service=service, address=ASSUMED_ADDRESS, port=ASSUMED_PORT,
        cpu_limit=ASSUMED_CPUS, memory_limit_bytes=ASSUMED_MEMORY, data_path="/data",
    )  # fmt: skip
