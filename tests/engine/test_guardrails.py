"""What ends a run that would do harm: each guardrail as a conversation, and what is no reason to end."""

from __future__ import annotations

import pytest

from drill.core.observations import AlertSpan, SliSample
from drill.engine.budget import Meter, spent
from drill.engine.state import Abort, Acted, Command, Foreseen, Guarded, Measured, Observed, Prepared, Seen, Undo
from drill.plan.model import AbortCondition, Plan, PlannedSlo, PredictedAlert
from engine.conversation import MATCH, Talk, injection, plan

SLO = PlannedSlo(sloth_id="shop-availability", service="shop", name="availability", objective=0.99, period_s=2000)
"""Its whole budget is 20 error-seconds."""
STRANGER = {"alertname": "PaymentDown", "severity": "page", "service": "payment"}


def cluster(**changes: object) -> Plan:
    return plan().with_(target="kind-test", slos=(SLO,), **changes)


def holding(drill_plan: Plan, *before: Seen) -> Talk:
    """A talk in which the fault is held since 6.4 s; T0 was at 5 s."""
    talk = Talk(drill_plan)
    talk.turn(0.0)
    talk.turn(5.0, Prepared("slow"), *before)
    steps = talk.state.plan.injections[0].steps
    talk.turn(6.0, *[Acted("slow", step.action, False, 6.0) for step in steps])
    talk.turn(6.5, Measured("slow", True, 6.4))
    return talk


def firing(labels: dict[str, str], *, open_: bool = True) -> AlertSpan:
    return AlertSpan(labels=labels, state="firing", start=7, end=9, open=open_)


def seen(*spans: AlertSpan, slis: tuple[SliSample, ...] = (), lost: tuple[str, ...] = ()) -> Observed:
    return Observed(spans, (), (), lost, slis)


def sample(at: float, ratio: float) -> SliSample:
    return SliSample(at=at, sloth_id=SLO.sloth_id, error_ratio=ratio, requests_per_second=10, rates={"5s": 1.0})


def aborted(commands: list[Command]) -> str:
    """The reason of the abort; everything that was done must be taken back in the same turn."""
    reasons = [command.reason for command in commands if isinstance(command, Abort)]
    if reasons:
        assert [type(command) for command in commands].count(Undo) == 2
        assert {command.by for command in commands if isinstance(command, Abort)} == {"guardrail"}
    return reasons[0] if reasons else ""


def test_an_abort_condition_that_holds_long_enough_ends_the_run():
    talk = holding(plan(abort_if=(AbortCondition(promql="up == 0", for_s=2),)))
    assert aborted(talk.turn(8.0, Guarded(0, since=7.0))) == ""
    assert "up == 0" in aborted(talk.turn(9.0, Guarded(0, since=7.0)))


def test_more_budget_than_allowed_ends_the_run():
    """Half of 20 error-seconds may go: at full failure that is over after 10 s."""
    limits = plan().guardrails.with_(max_budget_spend=0.5)
    talk = holding(cluster(guardrails=limits))
    for second in range(7, 17):
        assert aborted(talk.turn(float(second), seen(slis=(sample(second, 1.0),)))) == ""
    assert "shop-availability lost 52.5% of its error budget; the limit is 50%" in aborted(
        talk.turn(17.5, seen(slis=(sample(17.5, 1.0),)))
    )


def test_errors_before_t0_cost_the_drill_nothing():
    limits = plan().guardrails.with_(max_budget_spend=0.5)
    talk = Talk(cluster(guardrails=limits))
    talk.turn(0.0)
    talk.turn(1.0, seen(slis=(sample(1.0, 1.0),)))
    talk.turn(4.0, seen(slis=(sample(4.0, 1.0),)))
    assert talk.state.spent == Meter()


def test_budget_lost_after_the_fault_is_no_reason_to_abort():
    """There is nothing left to take back, and an abort would only spoil the verdict."""
    limits = plan().guardrails.with_(max_budget_spend=0.1)
    talk = holding(cluster(guardrails=limits))
    talk.turn(27.0)  # the fault's time is over
    assert aborted(talk.turn(30.0, seen(slis=(sample(28.0, 1.0), sample(31.0, 1.0))))) == ""


def test_the_meter_agrees_with_the_account_at_the_end():
    samples = [sample(at, ratio) for at, ratio in ((0, 0.0), (3, 1.0), (4, 1.0), (4, 1.0), (9, 0.2), (8, 0.7))]
    meter = Meter()
    for one in samples[:5]:
        meter = meter.advanced([one])
    assert meter.advanced(samples[5:]) == meter  # older than what is known
    assert meter.area[SLO.sloth_id] / 20 == pytest.approx(spent(SLO, samples[:5]))


def test_a_page_that_is_not_the_drills_ends_it_on_a_cluster():
    """It may be a real incident: the fault goes first, questions come later."""
    talk = holding(cluster())
    assert "PaymentDown" in aborted(talk.turn(8.0, seen(firing(STRANGER))))


@pytest.mark.parametrize(
    ("spans", "changes"),
    [
        ((firing({"alertname": "A", **MATCH}),), {}),
        ((firing({**STRANGER, "severity": "ticket"}),), {}),
        ((firing(STRANGER, open_=False),), {}),
        ((firing(STRANGER),), {"allow": ({"alertname": "PaymentDown"},)}),
        ((firing(STRANGER),), {"also": (PredictedAlert(labels=STRANGER, fires=True),)}),
        ((firing(STRANGER),), {"target": "sandbox"}),
    ],
    ids=["expected", "not a page", "over", "allowed", "predicted", "in the sandbox"],
)
def test_other_alerts_are_no_reason_to_end(spans: tuple[AlertSpan, ...], changes: dict[str, object]):
    talk = holding(cluster().with_(**changes))
    assert aborted(talk.turn(8.0, seen(*spans))) == ""


def test_a_page_that_only_a_later_prediction_names_is_no_reason_to_end():
    talk = holding(cluster())
    assert aborted(talk.turn(7.0, Foreseen((PredictedAlert(labels=STRANGER, fires=False, may_fire=True),)))) == ""
    assert aborted(talk.turn(8.0, seen(firing(STRANGER)))) == ""


def test_a_page_that_was_on_before_is_no_reason_to_end():
    talk = holding(cluster(), seen(firing(STRANGER)))
    assert aborted(talk.turn(8.0, seen(firing(STRANGER)))) == ""


def test_a_lost_heartbeat_ends_the_run_and_one_answer_resets_it():
    """Twenty scrapes without Prometheus: nobody would see what the fault does."""
    talk = holding(plan(injection("slow", for_s=60)))
    assert aborted(talk.turn(7.0, seen(lost=("prometheus",)))) == ""
    assert aborted(talk.turn(26.9, seen(lost=("prometheus",)))) == ""
    assert aborted(talk.turn(27.0, seen())) == ""
    assert aborted(talk.turn(28.0, seen(lost=("prometheus",)))) == ""
    assert aborted(talk.turn(47.9)) == ""
    assert "has not answered for 20 s" in aborted(talk.turn(48.1))


def test_a_lost_alertmanager_is_no_lost_heartbeat():
    talk = holding(cluster())
    for second in range(7, 26):
        assert aborted(talk.turn(float(second), seen(lost=("alertmanager", "sink")))) == ""


def test_a_run_longer_than_its_limit_is_ended():
    """The limit counts from the start of the baseline, not from T0."""
    limited = plan()
    limited = limited.with_(guardrails=limited.guardrails.with_(max_duration_s=10))
    talk = holding(limited)
    assert aborted(talk.turn(9.9)) == ""
    assert "longer than its limit of 10 s" in aborted(talk.turn(10.1))
