"""Preflight on an alert path made of values: each thing that is wrong gives its finding, with what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from drill.alerting.relabel import UNCHANGED, Outgoing, Relabel
from drill.core.errors import Unavailable
from drill.core.observations import (
    AlertmanagerAlert,
    AlertSpan,
    Notification,
    Notifier,
    PeerStatus,
    RecordingRule,
    RouteProbe,
    RuleStatus,
    ScrapeTarget,
    Silence,
    SilenceMatcher,
    SliSample,
)
from drill.core.ports import AlertObserver, Hindrance
from drill.engine.preflight import preflight
from drill.engine.preflight.powers import PathObserver
from drill.engine.watch import Measuring
from drill.plan.model import ExpectedAlert, Finding, Plan, PlannedSlo, PredictedAlert
from engine.conversation import plan

NOW = 1_795_470_000.0
SLO = "checkout-latency"
IDS = {"sloth_id": SLO, "sloth_service": "checkout", "sloth_slo": "latency"}
PAGE = {"alertname": "CheckoutBurn", "severity": "page", **IDS}
COUNT = 'http_requests{job="edge", service="checkout"}'
BUCKET = 'http_bucket{job="edge", service="checkout", le="0.2"}'
EXPR = f'ratio5s{{sloth_id="{SLO}"}} > (14.4 * 0.01) and ratio60s{{sloth_id="{SLO}"}} > (14.4 * 0.01)'
CONFIG = """
route:
  receiver: log
  group_by: [alertname, sloth_id]
  group_wait: 1s
  routes: [{matchers: ['severity="page"'], receiver: pagerduty}]
inhibit_rules: [{source_matchers: [alertname="Maintenance"], target_matchers: [severity="page"]}]
receivers: [{name: log}, {name: pagerduty}]
"""


def the_plan(**changes: Any) -> Plan:
    predicted = PredictedAlert(
        labels=PAGE,
        sloth_id=SLO,
        severity="page",
        factor=14.4,
        long_s=60,
        short_s=5,
        fires=True,
        firing_s=(5, 9),
        budget=0.3,
    )
    expected = ExpectedAlert(match={"sloth_id": SLO, "severity": "page"}, receiver="pagerduty", predicted=predicted)
    slo = PlannedSlo(sloth_id=SLO, service="checkout", name="latency", objective=0.99, period_s=43200)
    return plan().with_(**{"fast_forward": 1, "expected": (expected,), "slos": (slo,), **changes})


def recorded(window: str) -> RecordingRule:
    query = f"(sum(rate({COUNT}[{window}])) - sum(rate({BUCKET}[{window}]))) / sum(rate({COUNT}[{window}]))"
    return RecordingRule(name=f"ratio{window}", labels=IDS, query=query, health="ok", group="record", interval_s=1)


RULE = RuleStatus(
    name="CheckoutBurn", labels={"severity": "page", **IDS}, query=EXPR, health="ok", last_evaluation=NOW - 0.5,
    group="alert", interval_s=1, state="inactive",
)  # fmt: skip
HEALTHY = SliSample(at=NOW, sloth_id=SLO, error_ratio=0.0, requests_per_second=20, rates={"5s": 0.0})

PEER = PeerStatus(peer="http://am", config=CONFIG)
QUEUE = Notifier(queue_length=0, queue_capacity=100, sent=5, errors=0, dropped=0)
TO_PAGERDUTY = RouteProbe(peer="http://am", receivers=("pagerduty",), state="active")


@dataclass
class Path:
    """An alert path that is well unless a field says otherwise. ``gone`` are the selectors without series."""

    rule: RuleStatus | None = RULE
    recording: tuple[RecordingRule, ...] = (recorded("5s"), recorded("60s"))
    gone: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scrape: tuple[ScrapeTarget, ...] = (
        ScrapeTarget(labels={"job": "edge", "instance": "edge"}, url="http://edge/metrics", health="up"),
    )
    notify: Notifier = QUEUE
    sends: tuple[str, ...] = ("http://am",)
    spans: tuple[AlertSpan, ...] = ()
    held: tuple[AlertmanagerAlert, ...] = ()
    peers: tuple[PeerStatus, ...] = (PEER,)
    quiet: tuple[Silence, ...] = ()
    probe: RouteProbe | None = TO_PAGERDUTY
    slis: tuple[SliSample, ...] = (HEALTHY,)
    age_s: float = 3600.0
    left: float | None = 1.0
    out: Outgoing = UNCHANGED
    down: frozenset[str] = frozenset()
    probed: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def _or_down(self, what: str, value: Any) -> Any:
        if what in self.down:
            raise Unavailable(f"{what} is away")
        return value

    def rules(self) -> Sequence[RuleStatus]:
        return self._or_down("rules", (self.rule,) if self.rule else ())

    def recording_rules(self) -> Sequence[RecordingRule]:
        return self._or_down("recording_rules", self.recording)

    def started_at(self) -> float:
        return NOW - 100

    def targets(self) -> Sequence[ScrapeTarget]:
        return self._or_down("targets", self.scrape)

    def notifier(self) -> Notifier:
        return self._or_down("notifier", self.notify)

    def sends_to(self) -> Sequence[str]:
        return self._or_down("sends_to", self.sends)

    def outgoing(self) -> Outgoing:
        return self._or_down("outgoing", self.out)

    def budget_left(self, sloth_id: str, period_s: float) -> float | None:
        return self._or_down("budget_left", self.left)

    def count(self, selector: str) -> int:
        return 0 if any(re.fullmatch(pattern, selector) for pattern in self.gone) else 1

    def label_values(self, selector: str, label: str) -> Sequence[str]:
        return self.values.get(label, ())

    def alert_spans(self, start: float, end: float) -> Sequence[AlertSpan]:
        return self.spans

    def alertmanager_alerts(self) -> Sequence[AlertmanagerAlert]:
        return self._or_down("alertmanager", self.held)

    def alertmanager_status(self) -> Sequence[PeerStatus]:
        return self.peers

    def silences(self) -> Sequence[Silence]:
        return self.quiet

    def probe_route(self, labels: Mapping[str, str], ends_in_s: float) -> Sequence[RouteProbe]:
        self.probed.append((dict(labels), ends_in_s))
        return (self.probe,) if self.probe else ()

    def notifications(self, since: float) -> Sequence[Notification]:
        return ()

    def sli(self, at: float | None = None) -> Sequence[SliSample]:
        return self._or_down("sli", self.slis)

    def query(self, promql: str) -> bool:
        return False

    def history_s(self, sloth_ids: Sequence[str]) -> float:
        return self.age_s

    def evaluation_gaps(self, start: float, end: float) -> Sequence[tuple[float, float]]:
        return ()


def look(path: Path, skew_s: float = 0.0, the: Plan | None = None) -> list[Finding]:
    return list(preflight(the or the_plan(), path, skew_s, NOW - skew_s).findings)


def held(labels: Mapping[str, str]) -> AlertmanagerAlert:
    return AlertmanagerAlert(
        labels=dict(labels), receivers=("log",), state="active", starts_at=NOW, ends_at=NOW + 60
    )


def silence(**matcher: Any) -> Silence:
    one = SilenceMatcher(**{"name": "severity", "value": "pa.*", "is_regex": True, "is_equal": True, **matcher})
    return Silence(
        id="7f", matchers=(one,), state="active", starts_at=NOW - 9, ends_at=NOW + 9, created_by="ann",
        comment="deploy", peer="http://am",
    )  # fmt: skip


def test_the_path_has_all_powers() -> None:
    path: AlertObserver = Path()
    assert isinstance(path, PathObserver)
    assert isinstance(path, Measuring)


def test_a_path_that_is_well_gives_no_finding() -> None:
    assert look(Path()) == []


BROKEN: dict[str, tuple[Path, str, str, str]] = {
    "not loaded": (Path(rule=None), "block", "rule", "loaded no alerting rule"),
    "fails": (Path(rule=RULE.with_(health="err", last_error="many-to-many")), "block", "rule", "many-to-many"),
    "not evaluated": (Path(rule=RULE.with_(last_evaluation=NOW - 60)), "block", "rule", "evaluated 60 s ago"),
    "firing": (Path(rule=RULE.with_(state="firing")), "block", "already firing", "firing already"),
    "active": (Path(held=(held(PAGE),)), "block", "already firing", "active in Alertmanager"),
    "for": (Path(rule=RULE.with_(for_s=30)), "block", "rule drift", "longer than the whole fault"),
    "keeps firing": (Path(rule=RULE.with_(keep_firing_for_s=30)), "block", "rule drift", "keep_firing_for"),
    "slow group": (Path(rule=RULE.with_(interval_s=30)), "block", "rule drift", "every 30s"),
    "factor": (Path(rule=RULE.with_(query=EXPR.replace("14.4", "6"))), "block", "rule drift", "6x over"),
    "no recording": (Path(recording=(), gone=(".*ratio.*",)), "block", "series", "no series is called `ratio5s`"),
    "typo": (
        Path(rule=RULE.with_(query=EXPR.replace("ratio5s", "ratio55s")), gone=(".*ratio55s.*",)),
        "block", "series", "did you mean 'ratio5s'",
    ),
    "job": (
        Path(gone=(".*ratio.*", ".*http_requests.*edge.*"), values={"job": ("front",)}), "block", "series",
        "there is front",
    ),
    "bucket": (
        Path(gone=(".*ratio.*", ".*http_bucket.*le=.*"), values={"le": ("0.1", "0.5")}), "block", "series",
        "give the histogram this bucket",
    ),
    "ended": (
        Path(gone=(".*ratio.*", "http_requests.*")), "block", "series", "the series of",
    ),
    "scrape": (
        Path(scrape=(ScrapeTarget(labels={"job": "edge"}, url="http://edge", health="down", last_error="EOF"),)),
        "block", "scrape", "EOF",
    ),
    "no traffic": (
        Path(slis=(HEALTHY.with_(requests_per_second=0, rates={}),)), "block", "traffic", "has no traffic",
    ),
    "little traffic": (Path(slis=(HEALTHY.with_(requests_per_second=0.001),)), "warn", "traffic", "a single bad one"),
    "no sli": (Path(slis=()), "warn", "traffic", "no error ratio"),
    "failing already": (Path(slis=(HEALTHY.with_(error_ratio=0.2),)), "block", "errors", "over the threshold"),
    "half failing": (Path(slis=(HEALTHY.with_(error_ratio=0.1),)), "warn", "errors", "over half"),
    "young": (Path(age_s=12), "info", "history", "12s of history"),
    "half the alertmanagers": (Path(peers=(PEER, PeerStatus(peer="http://am2", config=CONFIG))), "warn",
                               "alertmanager", "1 of 2 Alertmanagers (http://am)"),
    "no alertmanager": (Path(sends=()), "block", "alertmanager", "no Alertmanager"),
    "queue": (Path(notify=QUEUE.with_(queue_length=95)), "block", "notification queue", "full (95 of 100)"),
    "dropped": (Path(notify=QUEUE.with_(dropped=3)), "warn", "notification queue", "dropped 3"),
    "does not arrive": (
        Path(spans=(AlertSpan(labels={"alertname": "Watchdog"}, state="firing", start=NOW - 25, end=NOW, open=True),)),
        "block", "alertmanager", "Watchdog fires in Prometheus",
    ),
    "silence": (Path(quiet=(silence(),)), "block", "silence", "by ann (deploy)"),
    "inhibited": (Path(held=(held({"alertname": "Maintenance"}),)), "block", "inhibition", "Maintenance"),
    "muted": (
        Path(peers=(PeerStatus(peer="http://am", config=CONFIG.replace(
            "receiver: pagerduty}", "receiver: pagerduty, mute_time_intervals: [always]}"
        ) + "time_intervals: [{name: always, time_intervals: [{years: ['2000:2100']}]}]\n"),)),
        "block", "mute interval", "always",
    ),
    "peer": (
        Path(peers=(*Path.peers, PeerStatus(peer="http://am2", error="refused"))), "warn", "alertmanager", "refused",
    ),
    "routed elsewhere": (
        Path(probe=RouteProbe(peer="http://am", receivers=("log",), state="active")), "block", "routing", "to log, not",
    ),
    "routed elsewhere, no probe": (
        Path(probe=None, peers=(PeerStatus(peer="http://am", config=CONFIG.replace('"page"', '"pager"')),)),
        "block", "routing", "to log, not",
    ),
    "probe inhibited": (
        Path(probe=RouteProbe(peer="http://am", receivers=("pagerduty",), state="suppressed", inhibited_by=("9a",))),
        "block", "inhibition", "9a",
    ),
    "little budget": (Path(left=0.25), "block", "budget", f"spends 30% of {SLO}'s error budget, and 25% is left"),
    "no budget": (Path(left=-0.5), "block", "budget", "none is left"),
    "budget not recorded": (Path(left=None), "info", "budget", "nobody records what is left"),
    "dropped on the way": (
        Path(out=Outgoing({}, (Relabel(action="drop", source_labels=("severity",), regex="page"),))),
        "block", "relabelling", "nobody will hear of it",
    ),
    "relabelled on the way": (
        Path(out=Outgoing({}, (Relabel(target_label="severity", replacement="info"),)), probe=None),
        "block", "routing", "to log, not",
    ),
    "external label": (
        Path(out=Outgoing({"cluster": "blue"}), quiet=(silence(name="cluster", value="blue"),)), "block", "silence",
        "by ann",
    ),
    "prometheus away": (Path(down=frozenset({"rules"})), "block", "prometheus", "rules is away"),
    "alertmanager away": (Path(down=frozenset({"alertmanager"})), "block", "alertmanager", "is away"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_with_what_to_do(name: str) -> None:
    path, level, check, says = BROKEN[name]
    found = [f for f in look(path) if f.check == check and says in f"{f.text} {f.fix}"]
    assert [f.level for f in found] == [level], look(path)
    assert found[0].fix
    if level == "block":
        assert {f.check for f in look(path) if f.level == "block"} <= {check, "rule drift"}


@pytest.mark.parametrize("what", ["recording_rules", "targets", "notifier", "sends_to", "outgoing", "budget_left"])
def test_a_server_that_cannot_say_it_is_no_obstacle(what: str) -> None:
    """Thanos and Mimir have no such endpoints: that is said, and forbids nothing."""
    found = look(Path(down=frozenset({what}), recording=(recorded("5s"), recorded("60s"))))
    assert {f.level for f in found} <= {"info"}


def test_a_clock_that_differs_is_said_and_reckoned_with() -> None:
    (finding,) = look(Path(), skew_s=-40.0)
    assert (finding.level, finding.check) == ("warn", "clock")


def test_the_probe_leaves_no_trace_for_the_real_page() -> None:
    """It lives 0.4 of group_wait, in a group of its own: a group left behind would make the page wait longer."""
    path = Path()
    look(path)
    ((labels, life),) = path.probed
    assert life == pytest.approx(0.4)
    assert (labels["alertname"], labels["sloth_id"]) != (PAGE["alertname"], SLO)
    assert labels["severity"] == "page"


@pytest.mark.parametrize(
    "config",
    [
        CONFIG.replace("1s", "0s"),
        CONFIG.replace("[alertname, sloth_id]", "[severity]"),
        CONFIG.replace("group_by: [alertname, sloth_id]", "group_by: []"),
        "not: an alertmanager",
    ],
    ids=["no group_wait", "routes look at all that groups", "one group for all", "unreadable"],
)
def test_where_a_probe_could_be_heard_the_tree_is_walked_here(config: str) -> None:
    path = Path(peers=(PeerStatus(peer="http://am", config=config),))
    assert not [f for f in look(path) if f.level != "info"]
    assert path.probed == []
    wrong = Path(
        peers=(PeerStatus(peer="http://am", config=config.replace("receiver: pagerduty", "receiver: log")),)
    )
    assert [f.check for f in look(wrong)] == ["routing"]


def test_a_silence_that_does_not_match_is_no_finding() -> None:
    """Not another value, and not one that is over before the alert can fire."""
    assert look(Path(quiet=(silence(value="ticket"),))) == []
    assert look(Path(quiet=(silence(is_equal=False),))) == []
    assert look(Path(quiet=(silence().with_(starts_at=NOW + 3600, ends_at=NOW + 7200),))) == []


def test_replicas_that_are_gone_are_named() -> None:
    class Target:
        name = "kind-test"

        def facts(self) -> Any:
            from drill.core.facts import Facts, Replica, Service

            one = Replica(name="checkout-0", service="checkout", address="10.0.0.1", port=80)
            service = Service(name="checkout", tier=1, replicas=(one,))
            return Facts(target="kind-test", services=(service,), scrape_interval_s=1, evaluation_interval_s=1,
                         group_wait_s=1, group_interval_s=1, history_s=1)  # fmt: skip

    target: Any = Target()
    (finding,) = preflight(the_plan(), Path(), 0.0, NOW, target=target).findings
    assert (finding.check, finding.level) == ("target", "block")
    assert "checkout-1" in finding.text


def test_a_fast_forwarded_budget_is_nobody_s() -> None:
    assert look(Path(left=-3.0), the=the_plan(fast_forward=60)) == []


class Cautious:
    """A target that may not do what is planned."""

    name = "prod"

    def __init__(self, answer: Sequence[Hindrance] | Exception) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def facts(self) -> Any:
        raise Unavailable("not asked for here")

    def hindrances(self, actions: Sequence[Any]) -> Sequence[Hindrance]:
        self.asked += actions
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def permissions(target: Cautious) -> list[Finding]:
    found = preflight(the_plan(), Path(), 0.0, NOW, target=target)  # type: ignore[arg-type]
    return [finding for finding in found.findings if finding.check == "permissions"]


def test_missing_rights_forbid_the_start_and_say_which() -> None:
    missing = Hindrance(
        check="permissions", text="may not create pods/ephemeralcontainers in shop", fix="bind the role"
    )
    target = Cautious([missing])
    assert permissions(target) == [
        Finding(level="block", check="permissions", text=missing.text, fix="bind the role")
    ]
    injection = the_plan().injections[0]
    assert target.asked[:2] == [injection.steps[0].action, injection.steps[0].undo]


def test_rights_that_nobody_can_tell_are_said_and_forbid_nothing() -> None:
    assert permissions(Cautious([])) == []
    (finding,) = permissions(Cautious(Unavailable("the API server is away")))
    assert (finding.level, "API server is away" in finding.text) == ("info", True)


def test_findings_of_the_plan_are_kept_once() -> None:
    known = Finding(level="warn", check="budget", text="dear", fix="shorten")
    assert look(Path(), the=the_plan(findings=(known, known))) == [known]
