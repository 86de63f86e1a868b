"""The measured effect corrects the planned impact only where it contradicts it."""

import pytest

from drill.core.actions import HoldFault, HttpFault, undo_of
from drill.core.probes import Effect
from drill.plan.measured import counted, with_measured
from drill.plan.model import Guardrails, Impact, Plan, PlannedInjection, PlannedSlo, Step


def plan(planned: float, share: float = 0.5, kind: str = "error_ratio") -> Plan:
    hold = HoldFault(
        injection="errors", replica="a-0", fault=HttpFault(port=80, abort_percent=50, status=503), deadline_s=9
    )
    effect = Effect(kind=kind, expected=planned, low=0, unit="ratio", samples=40)  # type: ignore[arg-type]
    injection = PlannedInjection(
        id="errors", fault="http-error", backend="envoy", service="a", replicas=("a-0", "a-1"), of_replicas=4,
        at_s=0, for_s=60, steps=(Step(action=hold, undo=undo_of(hold)),), effect=effect,
    )  # fmt: skip
    bad = planned * share
    return Plan(
        scenario="s", title="s", hypothesis="", owner="", source_sha256="", parameters={}, service="a", target="t",
        seed=0, fast_forward=1, windows=(), scrape_interval_s=1, evaluation_interval_s=1, group_wait_s=1,
        group_interval_s=1, history_s=1, baseline_s=1, injections=(injection,), expected=(),
        impacts=(Impact(injection="errors", sloth_id="a-ok", error_ratio=(bad, bad)),
                 Impact(injection="errors", sloth_id="a-fast", error_ratio=(0, 1))),
        slos=(PlannedSlo(sloth_id="a-ok", service="a", name="ok", objective=0.99, period_s=1),
              PlannedSlo(sloth_id="a-fast", service="a", name="fast", objective=0.99, period_s=1, threshold_s=0.2)),
        guardrails=Guardrails(max_budget_spend=1, max_blast_radius=1, max_duration_s=1),
    )  # fmt: skip


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.45, 0.6], []])
def test_a_share_that_agrees_leaves_the_plan_as_it_is(shares: list[float]) -> None:
    before = plan(0.5)
    assert with_measured(before, {"errors": shares}) is before


def test_a_share_that_cannot_come_from_the_planned_one_takes_its_place() -> None:
    after = with_measured(plan(0.5), {"errors": [0.2, 0.25]})
    low, high = after.impacts[0].error_ratio
    assert low < 0.225 / 2 < high < 0.25
    assert after.impacts[1] == plan(0.5).impacts[1]


def test_other_effects_say_nothing_of_failures() -> None:
    before = plan(0.5, kind="connect_ms")
    assert with_measured(before, {"errors": [400.0]}) is before


def test_a_count_has_the_width_of_its_sample() -> None:
    assert counted(1.0, 40)[1] == 1.0
    assert counted(1.0, 40)[0] == pytest.approx(40 / 49)
    wide, narrow = counted(0.5, 10), counted(0.5, 1000)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]
