"""Finding the same alert again on its way, though its labels change; and what the silence of an alert shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drill.journal.events import AnyEvent, BaselineMeasured, SliSeen
from drill.verify import AlertVerdict, judge
from drill.verify.record import same_alert
from drill.verify.spans import SeenSpan
from verify.journals import GOOD, PAGE, SLO, TICKET, WANTED, World, journal, pending, plan
from verify.mutants import ALERT_MUTANTS

V = AlertVerdict
FIRING = SeenSpan(PAGE, "firing", 1000.0, 1030.0, False, "ALERTS")
BARE = {name: PAGE[name] for name in ("alertname", "severity")}


@pytest.mark.parametrize(
    ("labels", "starts_at", "same"),
    [
        ({**PAGE, "cluster": "blue"}, 0.0, True),
        (BARE, 1000.004, True),
        ({**BARE, "cluster": "blue"}, 1000.0, True),
        (BARE, 1001.0, False),
        ({**BARE, "severity": "ticket"}, 1000.0, False),
        ({"severity": "page"}, 1000.0, False),
        (TICKET, 1000.0, False),
    ],
    ids=["added", "dropped", "dropped and added", "another firing", "another severity", "no name", "another tier"],
)
def test_an_alert_is_recognised_though_its_labels_change(
    labels: dict[str, str], starts_at: float, same: bool
) -> None:
    """External labels add, relabelling takes away; what contradicts or began at another time is another alert."""
    assert same_alert(WANTED, FIRING, labels, starts_at) is same


def test_a_page_that_lost_labels_on_its_way_is_delivered() -> None:
    held = tuple(a.with_(labels=BARE) if a.labels == PAGE else a for a in GOOD.in_alertmanager)
    notes = tuple(n.with_(labels=BARE) if n.labels == PAGE else n for n in GOOD.notifications)
    verdict = judge(plan(), journal(replace(GOOD, in_alertmanager=held, notifications=notes)))
    assert verdict.outcome == "pass"
    assert verdict.alerts[0].receivers == ("pagerduty",)


NEVER: World = ALERT_MUTANTS["never fires"][1]


def quiet(events: list[AnyEvent], *, since: float) -> list[AnyEvent]:
    """The journal as it is when nobody sends a request from *since* (s after T0) on."""
    t0 = next(e.at for e in events if e.kind == "t0")
    out = []
    for event in events:
        if isinstance(event, SliSeen | BaselineMeasured) and event.at - t0 >= since:
            samples = tuple(
                s.with_(requests_per_second=0.0, error_ratio=0.0, rates={})
                for s in (event.samples if isinstance(event, SliSeen) else event.slis)
            )
            event = event.with_(**{"samples" if isinstance(event, SliSeen) else "slis": samples})
        out.append(event)
    return out


def test_without_any_traffic_silence_shows_nothing() -> None:
    verdict = judge(plan(), quiet(journal(NEVER), since=-100))
    (alert,) = verdict.alerts
    assert (alert.verdict, verdict.outcome) == (V.NO_EVIDENCE, "unknown")
    assert "no traffic" in alert.why


def test_traffic_that_goes_with_the_fault_is_no_excuse() -> None:
    """Users suffered, and the alert was blind: that is what a drill must find."""
    (alert,) = judge(plan(), quiet(journal(NEVER), since=1.0)).alerts
    assert alert.verdict is V.NEVER
    assert "its traffic was gone" in alert.why


def test_an_alert_that_only_pended_names_its_for() -> None:
    (alert,) = judge(plan(), journal(replace(NEVER, spans=(*NEVER.spans, pending(PAGE, 7.3, 40.3))))).alerts
    assert alert.verdict is V.NEVER
    assert "pending for 33s" in alert.why


def test_an_error_ratio_born_with_the_fault_predicts_nothing() -> None:
    """Its history is not that of its traffic, so the formulas do not hold; a deadline needs none."""
    events = [e.with_(slis=()) if isinstance(e, BaselineMeasured) else e for e in journal()]
    verdict = judge(plan(), events)
    assert (verdict.alerts[0].verdict, verdict.outcome) == (V.PREDICTION_INVALID, "unknown")
    assert SLO in verdict.alerts[0].why
    deadline = plan(expected=(plan().expected[0].with_(within_s=12.0),))
    assert judge(deadline, events).outcome == "pass"


def test_traffic_is_looked_at_when_the_alert_resolves_not_before() -> None:
    """The last rate before the end still counts requests from before they stopped: 45.3 s is the last sample."""
    events = quiet(journal(), since=45.8)
    verdict = judge(plan(), events)
    assert verdict.alerts[0].verdict is V.RESOLVED_WITHOUT_TRAFFIC
