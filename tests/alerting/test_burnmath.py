"""The mathematics of firing, against worked examples and against itself."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drill.alerting.burnmath import (
    BurnCondition,
    Course,
    Disturbance,
    Phase,
    budget_spent,
    crossing_s,
    delivered_s,
    error_ratio_needed,
    forecast,
    outcome,
)


def p1(objective: float = 0.999, factor: float = 14.4, **more: float) -> BurnCondition:
    return BurnCondition(objective=objective, factor=factor, long_s=3600, short_s=300, **more)  # type: ignore[arg-type]


def fault(error_ratio: float, duration_s: float, **more: float) -> Disturbance:
    return Disturbance(error_ratio=(error_ratio, error_ratio), duration_s=duration_s, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("condition", "disturbance", "fired", "resolved"),
    [
        (p1(0.9999, 14), fault(0.02, 600), 270, 300),
        (p1(0.9999, 14), fault(1.0, 300), 30, 300),
        (p1(0.999, 14), fault(0.05, 1500, baseline=0.0002), 1020, 240),
        (BurnCondition(objective=0.999, factor=6, long_s=21600, short_s=1800), fault(0.05, 3600), 2610, 1590),
    ],
)  # fmt: skip
def test_real_promtool_times_lie_inside(
    condition: BurnCondition, disturbance: Disturbance, fired: float, resolved: float
) -> None:
    said = forecast(condition, disturbance)
    assert said.fires
    assert said.firing_s is not None
    assert said.resolved_s is not None
    assert said.firing_s[0] <= fired <= said.firing_s[1]
    assert said.resolved_s[0] <= resolved <= said.resolved_s[1]
    assert said.firing_s[1] - said.firing_s[0] <= 30 + 30 + 30


def test_price_depends_on_factor_and_window_only() -> None:
    assert p1(0.9999).price == pytest.approx(0.02)
    assert p1(0.99).price == pytest.approx(0.02)
    assert BurnCondition(objective=0.99, factor=1, long_s=259200, short_s=21600).price == pytest.approx(0.1)


def test_budget_of_an_outage_is_its_share_of_the_allowed_minutes() -> None:
    assert budget_spent(p1(0.999), fault(1.0, 2592), 1.0) == pytest.approx(1.0)


def test_a_minute_of_half_failing_cannot_page_and_why_says_what_would() -> None:
    said = forecast(p1(), fault(0.5, 60))
    assert not said.may_fire
    assert said.firing_s is None
    assert said.needs_duration_s is not None
    assert said.needs_error_ratio is not None
    assert "1h window" in said.why
    assert "make the fault last at least 1m45s or make the error ratio at least 87" in said.why
    assert forecast(p1(), fault(0.5, said.needs_duration_s)).fires
    assert forecast(p1(), fault(said.needs_error_ratio, 60)).fires


def test_an_error_ratio_below_the_threshold_needs_strength_not_length() -> None:
    said = forecast(p1(), fault(0.01, 7200))
    assert not said.may_fire
    assert said.needs_duration_s is None
    assert said.needs_error_ratio == pytest.approx(0.0144, rel=0.05)
    assert "never exceeds 1.44%" in said.why


def test_one_slow_pod_of_eight_cannot_page_a_p99() -> None:
    assert not forecast(p1(0.99), fault(1 / 8, 86400)).may_fire


def test_an_interval_of_error_ratios_gives_the_widest_times() -> None:
    wide = forecast(p1(), Disturbance(error_ratio=(0.2, 0.8), duration_s=1200))
    slow, fast = forecast(p1(), fault(0.2, 1200)), forecast(p1(), fault(0.8, 1200))
    assert wide.firing_s is not None
    assert slow.firing_s is not None
    assert fast.firing_s is not None
    assert wide.firing_s == (fast.firing_s[0], slow.firing_s[1])


def test_requests_that_are_counted_late_make_it_fire_later_and_resolve_later_never_sooner() -> None:
    """A request is counted when it ends: of those that take 2 s none is counted in the fault's first 2 s."""
    at_once, late = (forecast(p1(), fault(0.5, 1200, late_s=late_s)) for late_s in (0.0, 2.0))
    assert at_once.firing_s is not None
    assert late.firing_s is not None
    assert late.firing_s[0] == pytest.approx(at_once.firing_s[0])
    assert at_once.firing_s[1] + 2 <= late.firing_s[1] <= at_once.firing_s[1] + 3
    assert at_once.resolved_s is not None
    assert late.resolved_s is not None
    assert late.resolved_s[0] == pytest.approx(at_once.resolved_s[0], abs=1)
    assert at_once.resolved_s[1] < late.resolved_s[1] <= at_once.resolved_s[1] + 3


def test_a_fault_that_is_over_before_anything_is_counted_is_not_certain_to_fire() -> None:
    assert forecast(p1(), fault(1.0, 1200)).fires
    said = forecast(p1(), fault(1.0, 1200, late_s=1200))
    assert (said.fires, said.may_fire) == (False, True)
    assert said.needs_duration_s is not None


def test_firing_only_at_the_high_end_is_possible_not_certain() -> None:
    said = forecast(p1(), Disturbance(error_ratio=(0.001, 0.9), duration_s=600))
    assert said.may_fire
    assert not said.fires
    assert said.firing_s is not None
    assert math.isinf(said.firing_s[1])


def test_young_history_inverts_the_order_of_the_tiers() -> None:
    p2 = BurnCondition(objective=0.99, factor=6, long_s=360, short_s=30, scrape_s=1, interval_s=1)
    p3 = BurnCondition(objective=0.99, factor=1, long_s=4320, short_s=360, scrape_s=1, interval_s=1)
    page = BurnCondition(objective=0.99, factor=14.4, long_s=60, short_s=5, scrape_s=1, interval_s=1)
    shape = fault(0.9, 60, history_s=20)
    times = [crossing_s(condition, 0.9, shape) for condition in (page, p2, p3)]
    assert times == sorted(times, reverse=True)


def test_for_counts_whole_evaluations_and_chained_rules_one_more() -> None:
    plain, held, chained = (
        forecast(condition, fault(0.5, 1800)).firing_s for condition in (p1(), p1(for_s=75), p1(chained=True))
    )
    assert plain is not None
    assert held == (plain[0] + 90, plain[1] + 90)
    assert chained == (plain[0], plain[1] + 30)


def test_keep_firing_for_delays_the_resolve_alone() -> None:
    plain, kept = forecast(p1(), fault(0.5, 1800)), forecast(p1(keep_firing_for_s=120), fault(0.5, 1800))
    assert plain.firing_s == kept.firing_s
    assert plain.resolved_s is not None
    assert kept.resolved_s == (plain.resolved_s[0] + 120, plain.resolved_s[1] + 120)


def test_two_short_faults_page_where_one_would_not() -> None:
    one = Course((Phase(60, 0.5),))
    two = Course((Phase(60, 0.5), Phase(120, 0.0), Phase(180, 0.5)))
    assert outcome(p1(), one, one).firing_s is None
    found = outcome(p1(), two, two)
    assert found.firing_s is not None
    assert 120 < found.firing_s[0] < 180


def test_delivery_waits_for_the_group() -> None:
    assert delivered_s((10, 20), 30, 300) == (40, 50)
    assert delivered_s((10, 20), 30, 300, new_group=False) == (10, 320)


def test_no_traffic_never_crosses() -> None:
    assert math.isinf(crossing_s(p1(), 1.0, fault(1.0, 600, traffic=0.0)))


ratios = st.floats(0.0, 1.0)


@given(
    st.sampled_from([0.9999, 0.999, 0.99]),
    st.floats(0.02, 1),
    st.floats(60, 7200),
    st.floats(0, 0.5),
    st.floats(0.1, 4),
)
def test_needed_error_ratio_and_crossing_are_inverse(
    objective: float, error_ratio: float, history: float, base: float, traffic: float
) -> None:
    condition = p1(objective)
    disturbance = fault(error_ratio, 1, baseline=base * condition.threshold, history_s=history, traffic=traffic)
    crossing = crossing_s(condition, error_ratio, disturbance)
    if math.isfinite(crossing) and crossing > 0:
        needed = error_ratio_needed(condition, disturbance.with_(duration_s=crossing))
        assert needed == pytest.approx(error_ratio, rel=1e-6)


@given(st.sampled_from([0.9999, 0.999, 0.99]), ratios, ratios, st.floats(30, 7200), st.floats(300, 1e6))
def test_a_stronger_fault_never_fires_later(
    objective: float, a: float, b: float, length: float, history: float
) -> None:
    weak, strong = sorted((a, b))
    low = forecast(p1(objective), fault(weak, length, history_s=history))
    high = forecast(p1(objective), fault(strong, length, history_s=history))
    if low.fires:
        assert high.fires
        assert low.firing_s is not None
        assert high.firing_s is not None
        assert high.firing_s[0] <= low.firing_s[0] + 1e-6
