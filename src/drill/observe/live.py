"""The alert path as it is loaded now: rules from Prometheus, routes from Alertmanager, as what a plan is made from.

Owns which API answers which part of :class:`drill.plan.compile.Rules`. Reads only; refuses to fill in what a server
does not say by anything but the servers' own defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from drill.alerting import promql
from drill.alerting.loaded import loaded_groups
from drill.alerting.relabel import UNCHANGED, Outgoing
from drill.alerting.routing import GROUP_INTERVAL_S, GROUP_WAIT_S, Routing, load_routing, receivers_for, timings
from drill.alerting.rulefile import Group
from drill.alerting.rules import BurnAlert, burn_alerts, counted_by, shortest_windows, unread
from drill.core.errors import DrillError
from drill.core.labels import Labels
from drill.core.observations import ScrapeTarget
from drill.observe.observer import Observer
from drill.plan.compile import Rules

T = TypeVar("T")
SCRAPE_S = 60.0
"""Prometheus's default ``scrape_interval``, for servers that do not tell theirs (Mimir, Thanos)."""


@dataclass(frozen=True)
class LiveRules:
    """What is loaded. ``rules`` is for ``compile_plan``; all times in seconds as they run.

    ``unread`` names the alerting rules that are no burn-rate alerts, ``notes`` what the servers would not tell and
    what was assumed instead.
    """

    rules: Rules
    unread: tuple[str, ...]
    scrape_interval_s: float
    outgoing: Outgoing
    routing: Routing | None
    notes: tuple[str, ...] = ()

    @property
    def alerts(self) -> tuple[BurnAlert, ...]:
        """The burn-rate alerts, in the order of their groups."""
        return self.rules.alerts

    @property
    def evaluation_interval_s(self) -> float:
        """The longest interval at which one of them is evaluated."""
        return max((alert.interval_s for alert in self.alerts), default=SCRAPE_S)

    @property
    def chained(self) -> bool:
        """True when one of them reads what another group records."""
        return any(alert.chained for alert in self.alerts)

    @property
    def group_times_s(self) -> tuple[float, float]:
        """The longest ``group_wait`` and ``group_interval`` one of them waits for."""
        if self.rules.timings_for is None or not self.alerts:
            return GROUP_WAIT_S, GROUP_INTERVAL_S
        found = [self.rules.timings_for(alert.labels) for alert in self.alerts]
        return max(wait for wait, _ in found), max(interval for _, interval in found)


def live_rules(observer: Observer, groups: Sequence[Group] = ()) -> LiveRules:
    """Read rules and routes from the servers. Raises Unavailable when Prometheus does not tell its rules.

    With *groups* (read from files) the rules are those, and Prometheus is not asked for any. Where no Alertmanager
    peer tells its configuration, nobody knows who is told: ``receivers_for`` gives nothing, and ``notes`` says so.
    """
    groups = groups or loaded_groups(observer.rules(), observer.recording_rules())
    alerts = burn_alerts(groups)
    notes: list[str] = []
    outgoing = _asked(observer.outgoing, UNCHANGED, "external labels and alert relabelling", notes)
    routing = _routing(observer, notes)
    targets: Sequence[ScrapeTarget] = _asked(observer.targets, (), "scrape intervals", notes)
    return LiveRules(
        rules=_rules(alerts, routing, outgoing),
        unread=unread(groups, alerts),
        scrape_interval_s=scrape_interval_s(alerts, targets),
        outgoing=outgoing,
        routing=routing,
        notes=tuple(notes),
    )


def _asked(ask: Callable[[], T], otherwise: T, what: str, notes: list[str]) -> T:
    try:
        return ask()
    except DrillError as error:
        notes.append(f"{what} are not known: {error}")
        return otherwise


def _routing(observer: Observer, notes: list[str]) -> Routing | None:
    """Return the routes of the first peer that tells them; peers of one cluster share a configuration."""
    said: list[str] = []
    for peer in observer.alertmanager_status():
        routing, problems = load_routing(peer.config, peer.peer) if peer.config else (None, [])
        if routing is not None:
            return routing
        said += [peer.error] if peer.error else [f"{peer.peer}: {problem.message}" for problem in problems]
    notes.append(f"routes are not known: {'; '.join(said) or 'no Alertmanager is named'}")
    return None


def _rules(alerts: tuple[BurnAlert, ...], routing: Routing | None, outgoing: Outgoing) -> Rules:
    if routing is None:
        return Rules(alerts, lambda _: ())

    def receivers(labels: Labels) -> tuple[str, ...]:
        sent = outgoing.sent(labels)
        return receivers_for(routing, sent) if sent is not None else ()

    return Rules(alerts, receivers, lambda labels: timings(routing, outgoing.sent(labels) or labels))


@dataclass(frozen=True)
class Healthy:
    """What one SLO shows now: the age of its series (s), its error ratio, requests per second (None: not known)."""

    history_s: float
    error_ratio: float | None
    requests_per_second: float | None


def healthy(observer: Observer, alerts: Sequence[BurnAlert]) -> Mapping[str, Healthy]:
    """Measure every SLO behind *alerts*, by its id, through what its rules read. Raises Unavailable.

    Works for rules of any generator: ratio and traffic are evaluated as the alert's short window does it, and the
    age is that of the counters.
    """
    return {sloth_id: _healthy(observer, alert) for sloth_id, alert in shortest_windows(alerts).items()}


def _healthy(observer: Observer, alert: BurnAlert) -> Healthy:
    ages = [observer.age_s(selector) for selector in counted_by(alert)]
    ratios, rates = observer.values(alert.ratio), observer.values(alert.total)
    return Healthy(min(ages, default=0.0), max(ratios, default=None), sum(rates) if rates else None)


def scrape_interval_s(alerts: Sequence[BurnAlert], targets: Sequence[ScrapeTarget]) -> float:
    """Return the longest interval (s) of the targets whose series *alerts* may be made from.

    Those of all targets where none can be told to be meant, Prometheus's default where no target says any.
    """
    totals = [selector for alert in alerts for selector in _selectors(alert.total)]
    told = [target for target in targets if target.interval_s > 0]
    meant = [
        target
        for target in told
        if any(promql.accepts(one, target.labels) is not False and _named(one) for one in totals)
    ]
    return max((target.interval_s for target in meant or told), default=SCRAPE_S)


def _selectors(total: str) -> Sequence[object]:
    try:
        return promql.selectors(promql.parse(total)) if total else ()
    except ValueError:
        return ()


def _named(selector: object) -> bool:
    """True when the selector says which targets it means: most selectors without a job accept every target."""
    return bool({"job", "instance", "namespace", "pod", "service"} & set(promql.equals(selector)))
