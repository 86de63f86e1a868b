"""The verdict says what happened: every value of the enum, every outcome, every exit code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drill.core.observations import AlertSpan
from drill.journal.events import AlertsSeen, EffectMeasured, EvidenceLost, InjectionEnded, Predicted, Recovered
from drill.verify import AlertVerdict, judge
from verify.journals import (
    GOOD,
    PAGE,
    SLO,
    STRANGER,
    T0,
    TICKET,
    WATCHDOG,
    firing,
    journal,
    moved,
    plan,
    prediction,
)
from verify.mutants import ALERT_MUTANTS, OUTCOME_MUTANTS, PLAN_MUTANTS


def test_a_good_run_passes_with_all_its_times() -> None:
    """A complete journal of a good run is a pass, with exact times in server time."""
    verdict = judge(plan(), journal())
    assert (verdict.outcome, verdict.exit_code, verdict.reasons) == ("pass", 0, ())
    (alert,) = verdict.alerts
    assert alert.verdict is AlertVerdict.ON_TIME
    assert alert.predicted == pytest.approx((T0 + 6.0, T0 + 11.9))
    assert alert.pending_at == pytest.approx(T0 + 7.3)
    assert alert.firing_at == pytest.approx(T0 + 9.3)
    assert alert.in_alertmanager_at == pytest.approx(T0 + 9.6)
    assert alert.delivered_at == pytest.approx(T0 + 9.9)
    assert alert.resolved_at == pytest.approx(T0 + 46.3)
    assert alert.receivers == ("pagerduty",)
    assert {row.source for row in alert.evidence} == {"prometheus", "alertmanager", "sink"}


@pytest.mark.parametrize("name", ALERT_MUTANTS)
def test_every_break_of_the_alert_path_has_its_verdict(name: str) -> None:
    """Each broken world is named by its own enum value, and never passes."""
    expected, world = ALERT_MUTANTS[name]
    verdict = judge(plan(), journal(world))
    assert verdict.alerts[0].verdict is expected
    assert verdict.outcome == expected.outcome
    assert verdict.reasons


@pytest.mark.parametrize("name", OUTCOME_MUTANTS)
def test_every_broken_run_has_its_outcome_and_exit_code(name: str) -> None:
    """What breaks the run itself decides outcome and exit code."""
    outcome, code, world = OUTCOME_MUTANTS[name]
    verdict = judge(plan(), journal(world))
    assert (verdict.outcome, int(verdict.exit_code)) == (outcome, code)
    assert verdict.reasons


@pytest.mark.parametrize("name", PLAN_MUTANTS)
def test_deadlines_replace_predictions(name: str) -> None:
    """``within`` of the scenario is the deadline; without it and a prediction nothing can be judged."""
    expected, make = PLAN_MUTANTS[name]
    assert judge(make(), journal(replace(GOOD, predictions=()))).alerts[0].verdict is expected


@pytest.mark.parametrize(("until", "explained"), [(12.3, True), (20.0, False)])
def test_a_page_that_comes_and_goes_between_two_group_intervals_is_explained(until: float, explained: bool) -> None:
    """Group interval 5 s: after 3 s of firing Alertmanager may have told nobody; after 11 s it had its chance."""
    silent = tuple(note for note in GOOD.notifications if note.labels != PAGE)
    verdict = judge(plan(), journal(replace(moved(GOOD, PAGE, 9.3, until), notifications=silent)))
    assert verdict.alerts[0].verdict is AlertVerdict.NOT_DELIVERED
    said = "\n".join(verdict.reasons)
    assert ("it was on for 3s, less than the group_interval of 5s" in said) is explained, said


def test_every_value_of_the_enum_is_reached() -> None:
    """No verdict exists that nothing can cause."""
    reached = {verdict for verdict, _ in ALERT_MUTANTS.values()} | {verdict for verdict, _ in PLAN_MUTANTS.values()}
    stranger = replace(GOOD, spans=(*GOOD.spans, firing(STRANGER, 20, 30)))
    reached |= {alert.verdict for alert in judge(plan(), journal(stranger)).unexpected}
    assert reached == set(AlertVerdict)


def test_an_empty_journal_is_unknown() -> None:
    """No evidence at all is unknown, not an error."""
    verdict = judge(plan(), [])
    assert (verdict.outcome, int(verdict.exit_code)) == ("unknown", 3)


def test_allowed_and_predicted_alerts_are_not_unexpected() -> None:
    """The watchdog is allowed and the ticket predicted: neither fails the drill."""
    world = replace(GOOD, spans=(*GOOD.spans, firing(WATCHDOG, 3, 80)))
    verdict = judge(plan(), journal(world))
    assert verdict.outcome == "pass"
    assert [alert.labels["alertname"] for alert in verdict.allowed] == ["Watchdog"]
    assert [alert.verdict for alert in verdict.also] == [AlertVerdict.ON_TIME]


def test_a_missed_prediction_of_another_alert_is_a_note() -> None:
    """Nobody demands the alerts that were merely predicted too."""
    world = replace(GOOD, spans=tuple(span for span in GOOD.spans if span.labels != TICKET))
    verdict = judge(plan(), journal(world))
    assert verdict.outcome == "pass"
    assert any("did not fire" in note for note in verdict.notes)


def test_others_may_fire_where_the_scenario_says_so() -> None:
    """``nothing_else: null`` reports other alerts without failing."""
    world = replace(GOOD, spans=(*GOOD.spans, firing(STRANGER, 20, 30)))
    verdict = judge(plan(nothing_else=False), journal(world))
    assert verdict.outcome == "pass"
    assert verdict.unexpected[0].verdict is AlertVerdict.UNEXPECTED
    assert any("tolerates" in note for note in verdict.notes)


def test_hindsight_does_not_count() -> None:
    """A prediction made after the alert fired cannot make it on time."""
    late = moved(GOOD, PAGE, 30.0, 45.3)
    world = replace(late, predictions=(*late.predictions, (31.0, prediction(PAGE, (20, 35), "page"))))
    assert judge(plan(), journal(world)).alerts[0].verdict is AlertVerdict.LATE


def test_the_prediction_in_force_before_the_firing_counts() -> None:
    """A prediction refined before the firing replaces the plan's."""
    late = moved(GOOD, PAGE, 30.0, 45.3)
    world = replace(late, predictions=(*late.predictions, (12.0, prediction(PAGE, (20, 35), "page"))))
    assert judge(plan(), journal(world)).alerts[0].verdict is AlertVerdict.ON_TIME


def test_an_outage_of_the_api_that_a_later_look_covers_does_no_harm() -> None:
    """Raw samples are read after the fact, so one unanswered poll loses nothing."""
    world = replace(GOOD, extra=((6.0, EvidenceLost(source="prometheus", error="timed out")),))
    assert judge(plan(), journal(world)).outcome == "pass"


def test_missed_evaluations_make_the_prediction_invalid() -> None:
    """A paused Prometheus answers again later, but evaluated nothing meanwhile."""
    hole = AlertsSeen(start=T0 - 8, end=T0 + 12, spans=(), missed=((T0 + 3, T0 + 7),))
    verdict = judge(plan(), journal(replace(GOOD, extra=((12.5, hole),))))
    assert verdict.alerts[0].verdict is AlertVerdict.PREDICTION_INVALID
    assert verdict.outcome == "unknown"


def test_missed_evaluations_after_the_firing_leave_nothing_else_unknown() -> None:
    """Where no rule was evaluated, nobody knows what else would have fired."""
    hole = AlertsSeen(start=T0 + 15, end=T0 + 30, spans=(), missed=((T0 + 18, T0 + 25),))
    assert judge(plan(), journal(replace(GOOD, extra=((31.0, hole),)))).outcome == "unknown"


def test_silence_after_a_fault_that_ended_too_early_shows_nothing() -> None:
    """A fault that was gone before the alert could fire is no proof against the alert."""
    world = replace(ALERT_MUTANTS["never fires"][1], fault_ends=3.0)
    assert judge(plan(), journal(world)).alerts[0].verdict is AlertVerdict.NO_EVIDENCE


def test_retries_before_the_effect_shows_are_normal() -> None:
    """The effect may need some looks until it holds; the last one counts."""
    weak = EffectMeasured(injection="slow", replica="checkout-0", measured=2, baseline=1, expected=400, unit="ms",
                          holds=False)  # fmt: skip
    assert judge(plan(), journal(replace(GOOD, extra=((0.9, weak),)))).outcome == "pass"
    assert judge(plan(), journal(replace(GOOD, extra=((20.0, weak),)))).outcome == "unknown"


def test_a_failed_look_after_the_fault_is_not_its_effect() -> None:
    """After the undo the effect is gone, as it should be."""
    gone = EffectMeasured(injection="slow", replica="checkout-0", measured=2, baseline=1, expected=400, unit="ms",
                          holds=False)  # fmt: skip
    assert judge(plan(), journal(replace(GOOD, extra=((50.0, gone),)))).outcome == "pass"


def test_recovery_takes_the_alarm_back_but_not_the_verdict() -> None:
    """After `drill recover` nothing is left, so exit 5 ends; the run still does not pass."""
    events = journal(replace(GOOD, clean=False))
    events.append(Recovered(seq=len(events), at=T0 + 300, undone=("slow",)))
    verdict = judge(plan(), events)
    assert (verdict.outcome, int(verdict.exit_code), verdict.undo_complete) == ("fail", 1, True)


def test_recovery_that_leaves_something_stays_the_alarm() -> None:
    """What recovery could not remove is still there."""
    events = journal(replace(GOOD, clean=False))
    events.append(Recovered(seq=len(events), at=T0 + 300, undone=(), remaining=("checkout-1: table",)))
    assert int(judge(plan(), events).exit_code) == 5


def test_a_second_fault_prolongs_the_time_to_resolve() -> None:
    """The deadline to resolve runs from the end of the last fault that causes the alert."""
    second = plan().injections[0].with_(id="again", at_s=20.0)
    both = plan(
        injections=(plan().injections[0], second),
        impacts=(plan().impacts[0], plan().impacts[0].with_(injection="again")),
    )
    events = [
        event.with_(first=event.first + 20, last=event.last + 20)
        if isinstance(event, InjectionEnded) and event.injection == "again" else event
        for event in journal(moved(GOOD, PAGE, 9.3, 80.0), both)
    ]  # fmt: skip
    verdict = judge(both, events)
    assert verdict.alerts[0].resolve_deadline == pytest.approx(T0 + 90.6)
    assert verdict.alerts[0].verdict is AlertVerdict.ON_TIME


def test_predictions_made_during_the_run_name_further_alerts() -> None:
    """An alert that the measured effect predicts is not unexpected."""
    also = (prediction(STRANGER, (15, 25), "page"),)
    world = replace(
        GOOD,
        spans=(*GOOD.spans, firing(STRANGER, 20, 30)),
        extra=((2.0, Predicted(basis="history", expected=(None,), also=also)),),
    )
    assert judge(plan(), journal(world)).outcome == "pass"


def test_looks_that_cut_a_span_are_joined() -> None:
    """Queries over adjoining windows cut a firing into pieces; it is still one."""
    world = replace(GOOD, spans=(AlertSpan(labels=PAGE, state="firing", start=9.3, end=45.3),))
    (alert,) = judge(plan(), journal(world)).alerts
    assert (alert.firing_at, alert.resolved_at) == pytest.approx((T0 + 9.3, T0 + 46.3))


def test_an_alert_of_no_slo_takes_the_traffic_of_its_service() -> None:
    """Resolution needs traffic also where the alert names no SLO."""
    match = {"alertname": "CheckoutSlow"}
    labels = {**match, "service": "checkout"}
    predicted = prediction(labels, (5, 14), "page").with_(sloth_id="")
    expected = plan().expected[0].with_(match=match, predicted=predicted)
    world = replace(
        GOOD,
        spans=tuple(span.with_(labels=labels) if span.labels == PAGE else span for span in GOOD.spans),
        in_alertmanager=tuple(a.with_(labels=labels) if a.labels == PAGE else a for a in GOOD.in_alertmanager),
        notifications=tuple(n.with_(labels=labels) if n.labels == PAGE else n for n in GOOD.notifications),
        predictions=(),
    )
    verdict = judge(plan(expected=(expected,)), journal(world))
    assert verdict.outcome == "pass"
    assert SLO in str(verdict.alerts[0].evidence[-1].raw)
