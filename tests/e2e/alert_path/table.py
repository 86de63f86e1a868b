"""The table of seeded faults in the alert path. A new row: what is broken, what preflight says, what the verdict is.

``preflight`` is the ``check`` of a finding that must be there (``block`` or ``warn``), empty where nothing can be
known before. ``verdict`` is the expected alert's; a row may allow several where the servers' timing decides.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drill.alerting.rulefile import Group, Rule
from drill.observe.observer import BUDGET_LEFT
from drill.verify import AlertVerdict
from e2e.alert_path.rig import METRIC, PAGE, Json, Rig, RigSpec

V = AlertVerdict
Hook = Callable[[Rig], None]


@dataclass(frozen=True)
class Case:
    """One row. ``at`` and ``lasts`` place the fault; ``hooks`` act on the rig when a phase is entered."""

    broken: str
    verdict: frozenset[AlertVerdict]
    outcome: frozenset[str]
    preflight: str = ""
    says: str = ""
    """A part of the finding's text or fix."""
    why: str = ""
    """A part of what the verdict says."""
    spec: RigSpec = field(default_factory=RigSpec)
    before: Hook | None = None
    """Done when the servers run and before preflight."""
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    at: str = "0s"
    lasts: str = "7s"
    percent: int = 100
    """Share of the requests that the fault lets fail."""
    ahead_s: float = 0.0
    unexpected: str = ""
    pages: int = 0
    """How often the receiver was told that the alert fires; 0: not asked."""
    """The name of an alert that must be reported as unexpected."""


def case(broken: str, verdict: AlertVerdict | set[AlertVerdict], outcome: str | set[str], **more: Any) -> Case:
    """A row, with single values where sets are allowed."""
    verdicts = frozenset({verdict} if isinstance(verdict, AlertVerdict) else verdict)
    outcomes = frozenset({outcome} if isinstance(outcome, str) else outcome)
    return Case(broken, verdicts, outcomes, **more)


# ---- what breaks rules -----------------------------------------------------------------------------------


def alert(**changes: Any) -> Callable[[list[Group]], list[Group]]:
    """Change the alert rule (``interval_s`` its group)."""
    interval = changes.pop("interval_s", None)

    def change(groups: list[Group]) -> list[Group]:
        record, own = groups
        rule = own.rules[0].with_(**changes)
        return [record, own.with_(rules=(rule,), interval_s=interval or own.interval_s)]

    return change


def in_alert(old: str, new: str) -> Callable[[list[Group]], list[Group]]:
    """Replace a part of the alert's expression."""
    return lambda groups: alert(expr=groups[1].rules[0].expr.replace(old, new))(groups)


def in_records(old: str, new: str) -> Callable[[list[Group]], list[Group]]:
    """Replace a part of every recording rule's expression."""
    return lambda groups: [
        groups[0].with_(rules=tuple(rule.with_(expr=rule.expr.replace(old, new)) for rule in groups[0].rules)),
        groups[1],
    ]


def with_alerts(*rules: Rule) -> Callable[[list[Group]], list[Group]]:
    """Add alert rules in a group of their own."""
    return lambda groups: [*groups, Group(name="more", interval_s=1, rules=rules)]


def budget_left(remaining: float) -> Callable[[list[Group]], list[Group]]:
    """Record what is left of the budget: as if the few seconds of the series were the whole period of a day."""

    def change(groups: list[Group]) -> list[Group]:
        rules = [r.with_(expr=f"vector({remaining})") if r.record == BUDGET_LEFT else r for r in groups[0].rules]
        return [groups[0].with_(rules=tuple(rules)), groups[1]]

    return change


WATCHDOG = Rule(alert="Watchdog", expr="vector(1)", labels={"severity": "none"})
CROWD = Rule(alert="Watchdog", expr='label_replace(vector(1), "n", "1", "", "") or ' + " or ".join(
    f'label_replace(vector(1), "n", "{n}", "", "")' for n in range(2, 9)), labels={"severity": "none"})  # fmt: skip
MAINTENANCE = Rule(alert="Maintenance", expr="vector(1)", labels={"severity": "none"})
STRANGER = Rule(
    alert="ShopErrors", expr=f'sum(rate({METRIC}{{code="500"}}[5s])) > 1', labels={"severity": "ticket"}
)


# ---- what breaks routes and scrapes ----------------------------------------------------------------------


def route(**changes: Any) -> Callable[[Json], Json]:
    """Change the page's route; ``routes=[]`` takes it away."""

    def change(config: Json) -> Json:
        if "routes" in changes:
            config["route"]["routes"] = changes["routes"]
        else:
            config["route"]["routes"][0] |= changes
        return config

    return change


def muted(config: Json) -> Json:
    """Mute the page's route at all times."""
    config["time_intervals"] = [{"name": "always", "time_intervals": [{"years": ["2000:2100"]}]}]
    return route(mute_time_intervals=["always"])(config)


def inhibited(config: Json) -> Json:
    """Pages are inhibited while Maintenance or ShopErrors is active."""
    config["inhibit_rules"] = [
        {"source_matchers": ['alertname=~"Maintenance|ShopErrors"'], "target_matchers": ['severity="page"']}
    ]
    return config


def scrape(**changes: Any) -> Callable[[Json], Json]:
    """Change the scrape job."""

    def change(config: Json) -> Json:
        config["scrape_configs"][0] |= changes
        return config

    return change


def sending(**changes: Any) -> Callable[[Json], Json]:
    """Change how Prometheus sends alerts, and its external labels."""

    def change(config: Json) -> Json:
        config["global"]["external_labels"] = changes.pop("external_labels", {"cluster": "blue"})
        config["alerting"] |= changes
        return config

    return change


# ---- what happens while the drill runs -------------------------------------------------------------------


def after(seconds: float, act: Hook) -> Hook:
    """Do *act* some seconds after the phase began."""

    def hook(rig: Rig) -> None:
        time.sleep(seconds)
        act(rig)

    return hook


def pause(name: str, seconds: float) -> Hook:
    """SIGSTOP a server for some seconds."""

    def hook(rig: Rig) -> None:
        rig.signal(name, signal.SIGSTOP)
        time.sleep(seconds)
        rig.signal(name, signal.SIGCONT)

    return hook


def restart(rig: Rig) -> None:
    """Kill Prometheus and start it again on its data."""
    rig.kill("prometheus")
    rig.start_prometheus()


def shop(**values: Any) -> Hook:
    """Set attributes of the shop."""

    def hook(rig: Rig) -> None:
        for name, value in values.items():
            setattr(rig.shop, name, value)

    return hook


def incident(rig: Rig) -> None:
    """Something else breaks the shop, before the drill does."""
    rig.shop.failing.add("somebody-else")


def no_more_users(rig: Rig) -> None:
    """The users go away while the fault is in place."""
    rig.shop.rate = 0.0


TABLE: dict[str, Case] = {
    "healthy": case("nothing", V.ON_TIME, "pass"),
    "young prometheus": case(
        "Prometheus has two seconds of history", V.ON_TIME, "pass", spec=RigSpec(history_s=2.0)
    ),
    "external labels and relabelling": case(
        "alerts get a cluster label and lose their sloth_slo and sloth_id", V.ON_TIME, "pass",
        spec=RigSpec(prometheus=sending(alert_relabel_configs=[{"action": "labeldrop", "regex": "sloth_.*"}])),
    ),
    "one of two alertmanagers down": case(
        "the second Alertmanager peer is dead", V.ON_TIME, "pass", preflight="alertmanager", says="silent",
        spec=RigSpec(peers=2), before=lambda rig: rig.kill("alertmanager-1"),
    ),
    "a cluster of two": case(
        "nothing: two Alertmanager peers gossip, and one notification comes", V.ON_TIME, "pass", pages=1,
        spec=RigSpec(peers=2, clustered=True),
    ),
    "first of a cluster down": case(
        "the peer that notifies first is dead", V.ON_TIME, "pass", preflight="alertmanager", says="silent", pages=1,
        spec=RigSpec(peers=2, clustered=True), before=lambda rig: rig.kill("alertmanager-0"),
    ),
    "second of a cluster down": case(
        "the peer that notifies last is dead", V.ON_TIME, "pass", preflight="alertmanager", says="silent", pages=1,
        spec=RigSpec(peers=2, clustered=True), before=lambda rig: rig.kill("alertmanager-1"),
    ),
    "one of a cluster dies during the drill": case(
        "the peer that notifies first dies as the fault begins", V.ON_TIME, "pass", pages=1,
        spec=RigSpec(peers=2, clustered=True), hooks={"inject": lambda rig: rig.kill("alertmanager-0")},
    ),
    "only one of a cluster is told": case(
        "Prometheus sends its alerts to the second peer alone", V.ON_TIME, "pass", pages=1, preflight="alertmanager",
        spec=RigSpec(peers=2, clustered=True, told=(1,)),
    ),
    "both of a cluster down": case(
        "both Alertmanager peers die as the fault begins", V.NOT_DELIVERED, "fail",
        spec=RigSpec(peers=2, clustered=True),
        hooks={"inject": lambda rig: (rig.kill("alertmanager-0"), rig.kill("alertmanager-1"))[0]},
    ),
    "two that do not know each other": case(
        "two peers that do not gossip notify twice", V.ON_TIME, "pass", pages=2, spec=RigSpec(peers=2),
    ),
    "clock ahead": case(
        "the runner's clock is 40 s ahead", V.ON_TIME, "pass", preflight="clock", ahead_s=40.0,
    ),
    "clock behind": case(
        "the runner's clock is 40 s behind", V.ON_TIME, "pass", preflight="clock", ahead_s=-40.0,
    ),
    # ---- rules
    "typo in rule": case(
        "the alert reads a series that nobody records", V.NEVER, "fail", preflight="series", says="no series is called",
        spec=RigSpec(rules=in_alert("ratio_rate10s", "ratio_rate10sec")),
    ),
    "wrong selector": case(
        "the recording rules look for another job", V.NEVER, "fail", preflight="series", says='job="egde"',
        spec=RigSpec(rules=in_records('job="edge"', 'job="egde"')),
    ),
    "failing rule": case(
        "the alert's expression cannot be evaluated", V.NEVER, "fail", preflight="rule", says="fails",
        spec=RigSpec(rules=alert(expr=f'{METRIC} + on() {METRIC} > 0')),
    ),
    "rule not loaded": case(
        "the rule file has no such alert", V.NEVER, "fail", preflight="rule", says="loaded no alerting rule",
        spec=RigSpec(rules=lambda groups: groups[:1]),
    ),
    "for too long": case(
        "the alert waits a minute before it fires", V.NEVER, "fail", preflight="rule drift", says="`for` is 1m",
        why="pending", spec=RigSpec(rules=alert(for_s=60.0)),
    ),
    "threshold too low": case(
        "the alert fires at 0.7 % of errors instead of 14.4 %", {V.EARLY}, "fail", preflight="rule drift", says="watches", percent=30, lasts="10s",
        spec=RigSpec(rules=in_alert("(14.4 * 0.01)", "(0.7 * 0.01)"), history_s=14.0),
    ),
    "slow evaluation": case(
        "the alert's group is evaluated every 15 s", {V.LATE, V.NEVER}, "fail", preflight="rule drift", says="evaluated every",
        spec=RigSpec(rules=alert(interval_s=15.0)),
    ),
    "keeps firing": case(
        "the alert keeps firing for a minute", V.NOT_RESOLVED, "fail", preflight="rule drift", says="keep_firing_for",
        spec=RigSpec(rules=alert(keep_firing_for_s=60.0)),
    ),
    "another alert fires": case(
        "an alert nobody expects fires too", V.ON_TIME, "fail", unexpected="ShopErrors",
        spec=RigSpec(rules=with_alerts(STRANGER)),
    ),
    # ---- scrapes and traffic
    "dead scrape": case(
        "the shop does not answer scrapes", {V.NEVER, V.PREDICTION_INVALID}, {"fail", "unknown"}, preflight="scrape",
        before=lambda rig: (shop(scrape_down=True)(rig), time.sleep(2.5))[0],
    ),
    "scrape dies during the drill": case(
        "the shop stops answering scrapes with the fault", V.NEVER, "fail", hooks={"inject": shop(scrape_down=True)},
    ),
    "relabelled job": case(
        "the job is renamed by relabelling", V.NEVER, "fail", preflight="series", says='job="edge"',
        spec=RigSpec(prometheus=scrape(relabel_configs=[{"target_label": "job", "replacement": "edge-v2"}])),
    ),
    "no traffic": case(
        "nobody uses the shop", V.NO_EVIDENCE, "unknown", preflight="traffic", why="no traffic",
        spec=RigSpec(shop={"rate": 0.0}),
    ),
    "traffic stops with the fault": case(
        "users leave as soon as the alert fires", V.RESOLVED_WITHOUT_TRAFFIC, "fail", lasts="14s",
        hooks={"hold": after(3.5, no_more_users)},
    ),
    "metric born with the first error": case(
        "the error counter does not exist before the first error", V.PREDICTION_INVALID, "unknown", preflight="series", says="initialise this counter at 0",
        spec=RigSpec(shop={"zero_init": False}),
    ),
    "incident before the fault": case(
        "the shop fails before the drill breaks it", V.ALREADY_FIRING, "unknown", at="6s", lasts="4s",
        hooks={"baseline": after(1.4, incident)},
    ),
    # ---- Alertmanager
    "wrong receiver": case(
        "pages go to Slack", V.MISROUTED, "fail", preflight="routing", says="to slack, not to pagerduty",
        spec=RigSpec(alertmanager=route(receiver="slack")),
    ),
    "missing route": case(
        "there is no route for pages", V.MISROUTED, "fail", preflight="routing", says="to log, not to pagerduty",
        spec=RigSpec(alertmanager=route(routes=[])),
    ),
    "silence": case(
        "the alert is silenced", V.SUPPRESSED, "fail", preflight="silence", says="maintenance", why="silence",
        before=lambda rig: rig.silence(alertname=PAGE["alertname"]),
    ),
    "silence during the drill": case(
        "somebody silences the alert while the drill runs", V.SUPPRESSED, "fail", why="silence",
        hooks={"inject": lambda rig: rig.silence(severity="page")},
    ),
    "inhibition": case(
        "an active alert inhibits pages", V.SUPPRESSED, "fail", preflight="inhibition", says="Maintenance", why="inhibition",
        spec=RigSpec(rules=with_alerts(MAINTENANCE), alertmanager=inhibited, history_s=8.0),
    ),
    "inhibition during the drill": case(
        "the fault fires another alert that inhibits the page", V.SUPPRESSED, "fail", why="inhibition",
        unexpected="ShopErrors", spec=RigSpec(rules=with_alerts(STRANGER), alertmanager=inhibited),
    ),
    "mute interval": case(
        "a time interval mutes the route", V.SUPPRESSED, "fail", preflight="mute interval", says="always", why="mute interval",
        spec=RigSpec(alertmanager=muted),
    ),
    "alertmanager down": case(
        "Alertmanager is dead", V.NOT_DELIVERED, "fail", preflight="alertmanager",
        before=lambda rig: rig.kill("alertmanager-0"),
    ),
    "alertmanager dies during the drill": case(
        "Alertmanager dies as the fault begins", V.NOT_DELIVERED, "fail",
        hooks={"inject": lambda rig: rig.kill("alertmanager-0")},
    ),
    "alertmanager stands still": case(
        "Alertmanager is stopped until long after the fault", {V.LATE, V.NOT_DELIVERED}, "fail",
        hooks={"inject": pause("alertmanager-0", 16.0)},
    ),
    "alertmanager restarts during the drill": case(
        "Alertmanager is restarted before the alert fires", V.ON_TIME, "pass",
        hooks={"inject": lambda rig: (rig.kill("alertmanager-0"), rig.start_alertmanager())[1]},
    ),
    "queue full": case(
        "Prometheus's queue is full, its Alertmanager never answers", V.NOT_DELIVERED, "fail",
        preflight="notification queue", spec=RigSpec(
            tarpit=True, rules=with_alerts(CROWD), flags=("--alertmanager.notification-queue-capacity=2",), history_s=8.0,
        ),
    ),
    "wrong alertmanager": case(
        "Prometheus sends to an address where nobody answers", V.NOT_DELIVERED, "fail", preflight="alertmanager",
        says="does not hold it", spec=RigSpec(tarpit=True, rules=with_alerts(WATCHDOG), history_s=16.0),
    ),
    "dropped by relabelling": case(
        "alert relabelling drops pages", V.NOT_DELIVERED, "fail", preflight="relabelling", says="drops",
        spec=RigSpec(prometheus=sending(
            alert_relabel_configs=[{"action": "drop", "source_labels": ["severity"], "regex": "page"}],
        )),
    ),
    "renamed by relabelling": case(
        "alert relabelling makes a ticket of the page", {V.MISROUTED, V.NOT_DELIVERED}, "fail", preflight="routing",
        says="to log, not to pagerduty", spec=RigSpec(prometheus=sending(
            alert_relabel_configs=[{"source_labels": ["severity"], "regex": "page", "target_label": "severity",
                                    "replacement": "ticket"}],
        )),
    ),
    "budget spent": case(
        "nothing is left of the day's error budget", V.ON_TIME, "pass", preflight="budget", says="spends",
        spec=RigSpec(rules=budget_left(-20000.0), history_s=8.0),
    ),
    # ---- receivers
    "webhook answers 500": case(
        "the webhook refuses", V.NOT_DELIVERED, "fail", spec=RigSpec(shop={"webhook_status": 500}),
    ),
    "slow webhook": case(
        "the webhook takes nine seconds", V.LATE, "fail", why="delivered", lasts="9s",
        spec=RigSpec(shop={"webhook_delay_s": 9.0}),
    ),
    "expired certificate": case(
        "the webhook's certificate ended", V.NOT_DELIVERED, "fail", spec=RigSpec(expired_webhook=True),
    ),
    "no sink": case(
        "nothing can say whether the page arrived", V.NO_EVIDENCE, "unknown", spec=RigSpec(sink=False),
    ),
    # ---- servers that stop during the drill
    "evaluation paused": case(
        "Prometheus is stopped while the alert is due", V.PREDICTION_INVALID, "unknown",
        hooks={"inject": after(0.3, pause("prometheus", 6.0))}, lasts="9s",
    ),
    "evaluation paused after firing": case(
        "Prometheus is stopped from the firing to the fault's end", {V.NO_EVIDENCE, V.ON_TIME, V.PREDICTION_INVALID}, "unknown",
        hooks={"hold": after(4.5, pause("prometheus", 7.0))}, lasts="8s",
    ),
    "restart during the drill": case(
        "Prometheus is restarted while the alert is due", {V.PREDICTION_INVALID, V.NO_EVIDENCE}, "unknown",
        hooks={"inject": after(0.5, restart)}, lasts="9s",
    ),
    "prometheus dies during the drill": case(
        "Prometheus is killed and stays dead", {V.NO_EVIDENCE, V.PREDICTION_INVALID}, {"unknown", "aborted"},
        hooks={"inject": after(0.5, lambda rig: rig.kill("prometheus"))},
    ),
}  # fmt: skip
