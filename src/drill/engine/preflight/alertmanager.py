"""The way from Prometheus through Alertmanager to the receiver: discovery, queue, silence, inhibition, mute, route.

The route is asked of Alertmanager itself by a probe that is over before its group is flushed, so that nothing is
sent; where that cannot be done safely, the configuration is read and the tree walked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drill.alerting.relabel import UNCHANGED, Outgoing
from drill.alerting.routing import (
    Route,
    Routing,
    inhibited_by,
    load_routing,
    matching_routes,
    muted_by,
    receivers_for,
    timings,
)
from drill.core.clock import rfc3339
from drill.core.errors import DrillError
from drill.core.labels import matches, render
from drill.core.observations import AlertmanagerAlert, Notifier, PeerStatus, RouteProbe, Silence, SilenceMatcher
from drill.engine.preflight.findings import block, info, warn
from drill.engine.preflight.powers import PathObserver
from drill.plan.model import ExpectedAlert, Finding, Plan

DISCOVERY_S = 15.0
"""Prometheus learns of its Alertmanagers up to 5 s after its start; before this age an empty list says nothing."""
FULL = 0.9
ARRIVES_WITHIN_S = 10.0
"""An alert that has been firing this long must be in Alertmanager."""
LOOK_BACK_S = 30.0
PROBE_SHARE = 0.4
PROBE_LONGEST_S = 5.0
PROBE_LEAST_S = 0.15
"""A probe lives 0.4 of group_wait: the rest is for slow requests and clocks that differ. Shorter is not safe."""


def already_active(plan: Plan, alerts: Sequence[AlertmanagerAlert]) -> Iterator[Finding]:
    """Find expected alerts that Alertmanager already holds."""
    for expected in plan.expected:
        if any(matches(expected.match, alert.labels) and alert.state == "active" for alert in alerts):
            text = f"{render(expected.match)} is active in Alertmanager already"
            yield block("already firing", text, "let it resolve first; a drill cannot prove an alert that is on")


def discovered(observer: PathObserver, age_s: float) -> Iterator[Finding]:
    """Find a Prometheus, running for *age_s*, that sends to no Alertmanager, or to fewer than a cluster has.

    Peers tell each other of notifications and silences, never of alerts: each must get every alert itself
    (https://prometheus.io/docs/alerting/latest/alertmanager/#high-availability). Raises Unavailable.
    """
    sends_to = observer.sends_to()
    peers = [one for one in observer.alertmanager_status() if not one.error]
    if not sends_to and age_s > DISCOVERY_S:
        text = "Prometheus sends its alerts to no Alertmanager"
        yield block("alertmanager", text, "set alerting.alertmanagers in its configuration")
    elif 0 < len(sends_to) < len(peers):
        text = (
            f"Prometheus sends alerts to {len(sends_to)} of {len(peers)} Alertmanagers ({', '.join(sends_to)}): "
            "the others know of none, and cannot page when it is down"
        )
        yield warn("alertmanager", text, "list every peer in alerting.alertmanagers, not a load balancer")


def queue(notifier: Notifier) -> Iterator[Finding]:
    """Find a queue that is full, or has lost alerts since Prometheus started."""
    capacity, waiting = notifier.queue_capacity, notifier.queue_length
    if capacity and waiting >= FULL * capacity:
        text = f"Prometheus's notification queue is full ({waiting:.0f} of {capacity:.0f}): alerts are dropped"
        yield block("notification queue", text, "make Alertmanager answer, or raise the queue's capacity")
    elif notifier.dropped or notifier.errors:
        text = (
            f"since its start Prometheus dropped {notifier.dropped:.0f} alerts and failed to send "
            f"{notifier.errors:.0f}, of {notifier.sent:.0f}"
        )
        yield warn("notification queue", text, "see its log for why, and whether that is over")


def arrives(observer: PathObserver, now: float) -> Iterator[Finding]:
    """Find alerts that fire in Prometheus and are unknown in Alertmanager: none arrives. Raises Unavailable."""
    spans = observer.alert_spans(now - LOOK_BACK_S, now)
    old = [s for s in spans if s.state == "firing" and s.open and s.end - s.start > ARRIVES_WITHIN_S]
    if not old:
        return
    there = {alert.labels.get("alertname") for alert in observer.alertmanager_alerts()}
    firing = {span.labels.get("alertname", "") for span in old}
    missing = sorted(firing - there)
    if missing:
        say = warn if firing & there else block  # some arrive: the others may be dropped on purpose
        text = f"{', '.join(missing)} fires in Prometheus, and Alertmanager does not hold it: alerts do not arrive"
        yield say("alertmanager", text, "check alerting.alertmanagers, alert relabelling and Prometheus's log")


@dataclass(frozen=True)
class _Peer:
    """One peer that answered, with its configuration as far as it can be read."""

    url: str
    routing: Routing | None


class Way:
    """The way of the expected alerts through every Alertmanager peer, at server time *now*."""

    def __init__(self, plan: Plan, observer: PathObserver, now: float) -> None:
        self._plan, self._observer, self._now = plan, observer, now

    def check(self) -> Iterator[Finding]:
        """Find everything that would keep the expected alerts from their receivers. Raises Unavailable."""
        status = self._observer.alertmanager_status()
        yield from _silent_peers(status)
        peers = [_Peer(one.peer, _routing(one)) for one in status if not one.error]
        held, silences = self._observer.alertmanager_alerts(), self._observer.silences()
        outgoing = self._outgoing()
        for expected in self._plan.expected:
            labels = outgoing.sent(_labels(expected))
            if labels is None:
                text = f"Prometheus drops {render(expected.match)} by alert relabelling: nobody will hear of it"
                yield block("relabelling", text, "correct alerting.alert_relabel_configs in its configuration")
                continue
            yield from self._silences(expected, labels, silences)
            for peer in peers:
                if peer.routing is not None:
                    yield from self._suppressed(expected, labels, peer.routing, held, outgoing)
            yield from self._route(expected, labels, peers, held)

    def _outgoing(self) -> Outgoing:
        try:
            return self._observer.outgoing()
        except DrillError:  # not every server tells its configuration; matching goes without
            return UNCHANGED

    def _silences(
        self, expected: ExpectedAlert, labels: Mapping[str, str], silences: Sequence[Silence]
    ) -> Iterator[Finding]:
        ends = self._now + self._plan.baseline_s + self._plan.end_s
        for silence in silences:
            if silence.starts_at > ends or not all(_matcher_holds(one, labels) for one in silence.matchers):
                continue
            by = f" by {silence.created_by}" if silence.created_by else ""
            comment = f" ({silence.comment})" if silence.comment else ""
            until = rfc3339(silence.ends_at)
            text = f"silence {silence.id}{by}{comment} swallows {render(expected.match)} until {until}"
            yield block("silence", text, f"expire it: amtool silence expire {silence.id}")

    def _suppressed(
        self,
        expected: ExpectedAlert,
        labels: Mapping[str, str],
        routing: Routing,
        held: Sequence[AlertmanagerAlert],
        outgoing: Outgoing,
    ) -> Iterator[Finding]:
        source = inhibited_by(routing, labels, [alert.labels for alert in held if alert.state == "active"])
        if source is not None:
            text = f"{render(source)} is active and inhibits {render(expected.match)}"
            yield block("inhibition", text, "let it resolve first, or correct inhibit_rules")
        also = [sent for a in self._plan.also if a.fires and (sent := outgoing.sent(a.labels)) is not None]
        later = inhibited_by(routing, labels, list(also)) if source is None else None
        if later is not None:
            text = f"{render(later)} will fire too and inhibits {render(expected.match)}"
            yield warn("inhibition", text, "expect the alert that inhibits it, or one that is not inhibited")
        for name in muted_by(routing, labels, self._now):
            text = f"the time interval '{name}' mutes the route of {render(expected.match)} now"
            yield block("mute interval", text, "drill at another time, or change the route's time intervals")

    def _route(
        self,
        expected: ExpectedAlert,
        labels: Mapping[str, str],
        peers: Sequence[_Peer],
        held: Sequence[AlertmanagerAlert],
    ) -> Iterator[Finding]:
        if not expected.receiver:
            return
        aside = _in_a_group_of_its_own(labels, [peer.routing for peer in peers if peer.routing])
        life = _probe_life(aside, peers, held) if aside else None
        probes = self._observer.probe_route(aside, life) if aside and life else ()
        asked = {probe.peer for probe in probes}
        for probe in probes:
            yield from _probed(expected, probe)
        for peer in peers:
            if peer.url in asked:
                continue
            if peer.routing is None:
                yield info("routing", f"{peer.url} did not tell where {render(expected.match)} goes")
            else:
                yield from _misrouted(expected, receivers_for(peer.routing, labels))


def _labels(expected: ExpectedAlert) -> dict[str, str]:
    return {**(expected.predicted.labels if expected.predicted else {}), **expected.match}


def _silent_peers(status: Sequence[PeerStatus]) -> Iterator[Finding]:
    for peer in status:
        if peer.error:
            yield warn("alertmanager", f"one Alertmanager peer is silent: {peer.error}", "start it, or take it out")


def _routing(peer: PeerStatus) -> Routing | None:
    return load_routing(peer.config)[0] if peer.config else None


def _matcher_holds(matcher: SilenceMatcher, labels: Mapping[str, str]) -> bool:
    actual = labels.get(matcher.name, "")
    same = re.fullmatch(matcher.value, actual) is not None if matcher.is_regex else actual == matcher.value
    return same == matcher.is_equal


def _in_a_group_of_its_own(labels: Mapping[str, str], routings: Sequence[Routing]) -> dict[str, str] | None:
    """Return *labels* with one grouping label changed that no route looks at; None when there is none.

    A probe in the alert's own group would leave that group behind, and the real page would then wait for
    ``group_interval`` instead of ``group_wait``.
    """
    for name in dict.fromkeys(name for one in routings for name in matching_routes(one.route, labels)[0].group_by):
        if name == "...":
            return dict(labels)  # every alert is a group of its own
        if any(name in _looked_at(one.route) for one in routings):
            continue
        return {**labels, name: f"{labels.get(name, '')}-drill-probe"}
    return None


def _looked_at(route: Route) -> frozenset[str]:
    """The labels that *route* and all below it match on."""
    own = frozenset(matcher.name for matcher in route.matchers)
    return own.union(*(_looked_at(child) for child in route.routes))


def _probe_life(
    labels: Mapping[str, str], peers: Sequence[_Peer], held: Sequence[AlertmanagerAlert]
) -> float | None:
    """How long a probe may live without anything being sent (s); None when it must not be made.

    Safe only where every peer's ``group_wait`` is known and long enough, and where no live alert shares the
    group: a group that has notified already would mention the ended probe.
    """
    waits = []
    for peer in peers:
        if peer.routing is None:
            return None
        routes = matching_routes(peer.routing.route, labels)
        for route in routes:
            if any(_same_group(route.group_by, labels, alert.labels) for alert in held):
                return None
        waits.append(min(min(route.group_wait_s for route in routes), timings(peer.routing, labels)[0]))
    life = min(PROBE_LONGEST_S, PROBE_SHARE * min(waits, default=0.0))
    return life if life >= PROBE_LEAST_S else None


def _same_group(group_by: Sequence[str], labels: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return "..." not in group_by and all(labels.get(name, "") == other.get(name, "") for name in group_by)


def _probed(expected: ExpectedAlert, probe: RouteProbe) -> Iterator[Finding]:
    yield from _misrouted(expected, probe.receivers)
    if probe.state == "suppressed" and probe.silenced_by:
        text = f"Alertmanager silences {render(expected.match)} ({', '.join(probe.silenced_by)})"
        yield block("silence", text, f"expire it: amtool silence expire {probe.silenced_by[0]}")
    elif probe.state == "suppressed":
        text = f"Alertmanager inhibits {render(expected.match)} now ({', '.join(probe.inhibited_by)})"
        yield block("inhibition", text, "let the inhibiting alert resolve first, or correct inhibit_rules")


def _misrouted(expected: ExpectedAlert, receivers: Sequence[str]) -> Iterator[Finding]:
    if expected.receiver not in receivers:
        there = ", ".join(receivers) or "nobody"
        text = f"Alertmanager routes {render(expected.match)} to {there}, not to {expected.receiver}"
        yield block("routing", text, "correct its routes (amtool config routes test shows the way)")
