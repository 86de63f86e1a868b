"""From impacts to predicted alerts: every alert of a touched SLO, with the reason when it stays silent."""

import pytest

from drill.alerting.rules import BurnAlert
from drill.alerting.windows import PAIRS
from drill.plan.model import Impact, PredictedAlert
from drill.plan.predict import predict_alerts


def alert(severity: str, sloth_id: str = "shop-latency") -> BurnAlert:
    pair = next(pair for pair in PAIRS if pair.severity == severity)
    return BurnAlert(
        alertname="Burn", labels={"severity": severity, "sloth_id": sloth_id}, sloth_id=sloth_id,
        factor=pair.factor, objective=0.99, long_s=pair.long_s / 60, short_s=pair.short_s / 60,
        interval_s=1.0, chained=True, period_s=43200.0,
    )  # fmt: skip


ALERTS = [alert("page"), alert("ticket"), alert("log"), alert("page", "other-latency")]


def impact(low: float, high: float, injection: str = "slow") -> Impact:
    return Impact(injection=injection, sloth_id="shop-latency", error_ratio=(low, high))


def predict(
    *caused: tuple[Impact, float, float],
    history_s: float = 20.0,
    traffic: tuple[float, float] = (1.0, 1.0),
    before: float | None = None,
    **baseline: float,
) -> tuple[PredictedAlert, ...]:
    return predict_alerts(
        ALERTS, caused, scrape_s=1.0, history_s=history_s,
        baseline={name.replace("_", "-"): value for name, value in baseline.items()},
        group_wait_s=0.5, group_interval_s=5.0, receivers_for=lambda labels: (f"to-{labels['severity']}",),
        traffic={"shop-latency": traffic},
        windows={} if before is None else {"shop-latency": {60.0: before}},
    )  # fmt: skip


def firing(**world: object) -> tuple[float, float]:
    found = predict((impact(0.9, 1.0), 0.0, 60.0), **world)[0].firing_s  # type: ignore[arg-type]
    assert found is not None
    return found


def test_traffic_between_two_bounds_gives_what_lies_between_them() -> None:
    little, much = firing(traffic=(0.3, 0.3)), firing(traffic=(0.6, 0.6))
    assert much[0] < little[0]
    assert firing(traffic=(0.3, 0.6)) == (much[0], little[1])
    assert firing(traffic=(0.3, 0.6))[1] > firing()[1]


def test_an_alert_that_needs_more_traffic_than_there_may_be_is_not_certain() -> None:
    page = predict((impact(0.9, 1.0), 0.0, 60.0), traffic=(0.0, 0.6))[0]
    assert (page.fires, page.may_fire, page.firing_s) == (False, True, None)
    assert page.why.startswith("only with more traffic")


def test_what_an_incident_left_in_the_long_window_may_fire_it_sooner() -> None:
    """As seen on a starved machine: 5.2 % of the last minute were bad, nothing in the last five seconds.

    With a history of 40 s the window is as full as with 5.2 % all along; whether the errors are still in it is not
    known, so the interval reaches from there to where it would be without them.
    """
    clean, dirty = firing(history_s=40.0), firing(history_s=40.0, before=0.052)
    all_along = firing(history_s=40.0, shop_latency=0.052)
    assert dirty == (pytest.approx(all_along[0]), pytest.approx(clean[1]))
    assert dirty[0] < clean[0] - 1


def test_a_window_that_is_cleaner_than_now_may_fire_it_later() -> None:
    now, before = firing(shop_latency=0.05), firing(shop_latency=0.05, before=0.0)
    assert before[0] == pytest.approx(now[0])
    assert before[1] > now[1]


def test_several_faults_are_counted_as_late_as_each_of_them() -> None:
    def page(late_s: float) -> PredictedAlert:
        one, two = (impact(0.5, 0.5, name).with_(late_s=late_s) for name in ("a", "b"))
        return predict((one, 0.0, 60.0), (two, 1.0, 60.0))[0]

    at_once, late = page(0.0), page(2.0)
    assert at_once.firing_s is not None
    assert late.firing_s is not None
    assert late.firing_s[0] == pytest.approx(at_once.firing_s[0])
    assert at_once.firing_s[1] + 1.5 <= late.firing_s[1] <= at_once.firing_s[1] + 3
    assert at_once.resolved_s is not None
    assert late.resolved_s is not None
    assert at_once.resolved_s[1] < late.resolved_s[1]


def test_all_alerts_of_the_touched_slo_and_no_other() -> None:
    found = predict((impact(0.9, 1.0), 10.0, 60.0))
    assert [(a.severity, a.fires, a.receivers) for a in found] == [
        ("page", True, ("to-page",)), ("ticket", True, ("to-ticket",)), ("log", True, ("to-log",)),
    ]  # fmt: skip
    page = found[0]
    assert (page.starts_at_s, page.ends_at_s) == (10.0, 70.0)
    assert page.labels["alertname"] == "Burn"
    assert page.price == pytest.approx(0.02)
    assert page.firing_s is not None
    assert page.delivered_s == (page.firing_s[0] + 0.5, page.firing_s[1] + 0.5)


def test_history_counts_from_the_injection_not_from_t0() -> None:
    early, late = predict((impact(0.9, 1.0), 0.0, 60.0))[0], predict((impact(0.9, 1.0), 40.0, 60.0))[0]
    assert early.firing_s is not None
    assert late.firing_s is not None
    assert late.firing_s[0] > early.firing_s[0]


def test_one_that_cannot_fire_says_why_and_has_no_times() -> None:
    page = predict((impact(0.05, 0.1), 0.0, 60.0))[0]
    assert not page.fires
    assert not page.may_fire
    assert (page.firing_s, page.resolved_s, page.delivered_s) == (None, None, None)
    assert "never exceeds 14.4%" in page.why


def test_one_that_only_may_fire_is_told_apart() -> None:
    page = predict((impact(0.05, 0.9), 0.0, 60.0))[0]
    assert (page.fires, page.may_fire, page.firing_s) == (False, True, None)
    assert "not for certain" in page.why


def test_a_measured_baseline_brings_firing_forward() -> None:
    clean = predict((impact(0.5, 0.5), 0.0, 60.0), history_s=100)[0]
    dirty = predict((impact(0.5, 0.5), 0.0, 60.0), history_s=100, shop_latency=0.1)[0]
    assert clean.firing_s is not None
    assert dirty.firing_s is not None
    assert dirty.firing_s[0] < clean.firing_s[0]


def test_two_weak_injections_fire_together_from_the_second_one() -> None:
    weak = impact(0.1, 0.12, "one"), impact(0.35, 0.4, "two")
    found = predict((weak[0], 0.0, 100.0), (weak[1], 50.0, 50.0), history_s=3600)[0]
    assert found.fires
    assert (found.starts_at_s, found.ends_at_s) == (50.0, 100.0)
    assert found.firing_s is not None
    assert found.firing_s[0] > 0
    assert found.error_ratio == (0.1, 0.4)
    assert found.budget > max(
        a.budget for a in (predict((weak[0], 0.0, 100.0))[0], predict((weak[1], 50.0, 50.0))[0])
    )


def test_a_rule_with_two_pairs_gives_one_prediction_that_of_the_first_to_fire() -> None:
    slow = alert("page").with_(long_s=360.0, short_s=30.0, factor=6.0)
    found = predict_alerts(
        [slow, alert("page")], [(impact(1.0, 1.0), 0.0, 60.0)], scrape_s=1.0, history_s=3600.0, baseline={},
        group_wait_s=0.5, group_interval_s=5.0, receivers_for=lambda labels: (),
    )  # fmt: skip
    assert [(a.factor, a.fires) for a in found] == [(14.4, True)]
