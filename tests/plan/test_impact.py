"""What a fault means for SLIs: of the service it hits, of its callers, and of nobody else."""

from __future__ import annotations

import pytest

from drill.faults.base import Outcome
from drill.plan.impact import Hit, impacts
from drill.plan.model import PlannedSlo
from faults.world import facts


def slo(service: str, threshold_s: float | None = None) -> PlannedSlo:
    name = "latency" if threshold_s else "availability"
    return PlannedSlo(
        sloth_id=f"{service}-{name}",
        service=service,
        name=name,
        objective=0.99 if threshold_s else 0.999,
        period_s=43200,
        threshold_s=threshold_s,
    )


SLOS = (slo("checkout"), slo("checkout", 0.2), slo("payment"), slo("payment", 0.2), slo("cart"), slo("cart", 0.5))


def ratios(outcome: Outcome, service: str, share: float = 1.0, peer: str = "") -> dict[str, tuple[float, float]]:
    found = impacts([Hit("x", service, share, outcome, peer)], facts(), SLOS)
    return {impact.sloth_id: impact.error_ratio for impact in found}


def test_slow_answers_above_the_threshold_are_all_bad_and_none_fails():
    slow = Outcome(slowed=(1, 1), added_s=(0.76, 0.84))
    assert ratios(slow, "checkout") == {"checkout-latency": (1, 1)}


def test_a_slow_dependency_makes_its_caller_slow_and_leaves_its_siblings():
    slow = Outcome(slowed=(1, 1), added_s=(0.76, 0.84))
    assert ratios(slow, "payment") == {"payment-latency": (1, 1), "checkout-latency": (1, 1)}


def test_slowness_below_every_threshold_has_no_impact():
    assert ratios(Outcome(slowed=(1, 1), added_s=(0.01, 0.02)), "checkout") == {}


def test_slowness_around_the_threshold_may_or_may_not_count():
    assert ratios(Outcome(slowed=(1, 1), added_s=(0.1, 0.3)), "checkout") == {"checkout-latency": (0, 1)}


def test_a_share_of_the_replicas_is_a_share_of_the_requests():
    assert ratios(Outcome(failed=(0.5, 0.5)), "cart", share=1 / 2)["cart-availability"] == (0.25, 0.25)


def test_a_partition_from_one_caller_hits_the_caller_and_not_the_service():
    found = ratios(Outcome(failed=(1, 1)), "payment", peer="checkout")
    assert found["checkout-availability"] == (1, 1)
    assert "payment-availability" not in found


def test_answers_that_come_after_the_users_gave_up_are_failures_not_slow_ones():
    found = ratios(Outcome(slowed=(1, 1), added_s=(5, 5)), "checkout")
    assert found["checkout-availability"] == (1, 1)
    assert found["checkout-latency"][0] == 0


def lateness(outcome: Outcome, service: str) -> dict[str, float]:
    return {impact.sloth_id: impact.late_s for impact in impacts([Hit("x", service, 1.0, outcome)], facts(), SLOS)}


def test_a_bad_request_is_counted_when_it_is_answered():
    slow = lateness(Outcome(slowed=(1, 1), added_s=(0.76, 0.84)), "payment")
    assert slow == {"payment-latency": pytest.approx(0.92), "checkout-latency": pytest.approx(0.92)}


def test_a_bad_request_is_counted_at_the_latest_when_its_user_gives_up():
    assert lateness(Outcome(failed=(1, 1), added_s=(5, 5)), "cart")["cart-availability"] == facts().client_timeout_s


def test_what_is_refused_is_counted_at_once_also_at_its_caller():
    failing = lateness(Outcome(failed=(1, 1)), "payment")
    assert failing["payment-availability"] < 0.1
    assert failing["checkout-availability"] < 0.1
