"""The engine's decisions, told as conversations: what it sees, what it orders."""

from __future__ import annotations

import pytest

from drill.core.actions import KillReplica, RunActivity, undo_of
from drill.core.activities import Activity, Call, ProcessProvider
from drill.core.observations import AlertSpan, Notification
from drill.engine.state import (
    Abort,
    AbortAsked,
    Act,
    Acted,
    Check,
    Checked,
    Command,
    EndAsked,
    Enter,
    Finish,
    Guarded,
    Measure,
    MeasureBaseline,
    Measured,
    Observed,
    Prepare,
    Prepared,
    Repredict,
    Stage,
    Undo,
)
from drill.plan.model import AbortCondition, Step, WindowPair
from engine.conversation import MATCH, Talk, injection, plan


def kinds(commands: list[Command]) -> list[str]:
    return [type(command).__name__ for command in commands]


def acted(talk: Talk, name: str, *, undo: bool = False, error: str = "", at: float = 6.0) -> list[Acted]:
    planned = next(item for item in talk.state.plan.injections if item.id == name)
    return [Acted(name, step.undo if undo else step.action, undo, at, error) for step in planned.steps]


def to_t0(talk: Talk) -> list[Command]:
    assert talk.turn(0.0) == [Prepare(item.id) for item in talk.state.plan.injections]
    return talk.turn(5.0, *[Prepared(item.id) for item in talk.state.plan.injections])


def to_hold(talk: Talk, at: float = 6.0) -> None:
    to_t0(talk)
    talk.turn(at, *acted(talk, "slow"))
    talk.turn(at + 0.5, Measured("slow", True, at + 0.4))


def firing(*, open_: bool) -> AlertSpan:
    return AlertSpan(labels={"alertname": "A", **MATCH}, state="firing", start=10, end=20, open=open_)


def note(status: str) -> Notification:
    return Notification(at=21, receiver="pagerduty", status=status, labels={"alertname": "A", **MATCH})


def test_nothing_is_touched_before_snapshots_and_baseline():
    talk = Talk(plan())
    talk.turn(0.0)
    assert talk.turn(10.0) == []
    assert kinds(talk.turn(10.1, Prepared("slow"))) == ["MeasureBaseline", "Enter", "Act", "Act"]


def test_the_timeline_starts_with_the_baseline_measured():
    commands = to_t0(Talk(plan()))
    assert commands[0] == MeasureBaseline()
    assert commands[1] == Enter("inject")
    assert all(isinstance(command, Act) for command in commands[2:])


def test_a_later_injection_waits_for_its_time():
    talk = Talk(plan(injection("slow"), injection("slower", at_s=10)))
    assert [c.injection for c in to_t0(talk) if isinstance(c, Act)] == ["slow", "slow"]
    assert [c.injection for c in talk.turn(15.0) if isinstance(c, Act)] == ["slower", "slower"]


def test_the_fault_is_held_from_its_proven_effect_not_from_the_order():
    talk = Talk(plan())
    to_t0(talk)
    assert talk.turn(6.0, *acted(talk, "slow")) == [Measure("slow")]
    assert kinds(talk.turn(9.0, Measured("slow", True, 9.0))) == ["Repredict", "Enter"]
    assert talk.turn(28.9) == []
    assert kinds(talk.turn(29.0)) == ["Undo", "Undo", "Enter"]


def test_the_traffic_is_looked_at_once_when_the_short_window_holds_nothing_but_the_fault():
    pair = WindowPair(severity="page", factor=14.4, long_s=60, short_s=5, real_long_s=3600, real_short_s=300)
    talk = Talk(plan().with_(windows=(pair,)))
    to_t0(talk)
    talk.turn(6.0, *acted(talk, "slow"))
    talk.turn(9.0, Measured("slow", True, 9.0))
    assert talk.turn(17.9) == []  # 5 s window, two scrapes and two evaluations of 1 s
    assert talk.turn(18.0) == [Repredict("slow", "traffic")]
    assert talk.turn(19.0) == []


def test_undo_then_check_then_resolve_then_finish():
    talk = Talk(plan())
    to_hold(talk)
    talk.turn(40.0)
    assert talk.turn(41.0, *acted(talk, "slow", undo=True)) == [Check("slow")]
    assert talk.turn(42.0, Checked("slow", True)) == [Enter("resolve")]
    assert talk.turn(46.0, Observed((firing(open_=True),), (), (note("firing"),))) == []
    done = Observed((firing(open_=False),), (), (note("firing"), note("resolved")))
    assert talk.turn(48.0, done) == [Enter("done"), Finish()]


def test_resolving_has_an_end_even_when_the_alert_goes_on():
    talk = Talk(plan())
    to_hold(talk)
    talk.turn(40.0)
    talk.turn(41.0, *acted(talk, "slow", undo=True))
    talk.turn(42.0, Checked("slow", True), Observed((firing(open_=True),), (), ()))
    assert talk.turn(60.0) == []
    assert Finish() in talk.turn(80.0)


@pytest.mark.parametrize("when", ["prepare", "act", "effect"])
def test_whatever_goes_wrong_ends_without_a_new_fault(when: str):
    """A snapshot that cannot be taken, an action that fails, an effect that never shows: all are undone."""
    talk = Talk(plan(injection("slow"), injection("later", at_s=60)))
    if when == "prepare":
        talk.turn(0.0)
        assert kinds(talk.turn(1.0, Prepared("slow", error="no answer"))) == ["Abort", "Enter", "Finish"]
        return
    to_t0(talk)
    if when == "act":
        commands = talk.turn(6.0, *acted(talk, "slow", error="no such device"))
    else:
        talk.turn(6.0, *acted(talk, "slow"))
        commands = talk.turn(16.0, Measured("slow", False, 16.0))
    assert kinds(commands).count("Undo") == 2
    talk.turn(17.0, *acted(talk, "slow", undo=True))
    ended = talk.turn(18.0, Checked("slow", True)) + talk.turn(18.1)
    assert Finish() in ended
    assert talk.state.injections["later"].fired == 0


def test_an_abort_waits_for_actions_under_way_and_undoes_every_one():
    talk = Talk(plan())
    to_t0(talk)
    first, second = acted(talk, "slow")
    assert talk.turn(6.0, first, AbortAsked("user", "ctrl-c")) == [Abort("user", "ctrl-c")]
    assert kinds(talk.turn(6.5, second)) == ["Undo", "Undo", "Enter"]


def test_a_second_abort_changes_nothing():
    talk = Talk(plan())
    to_hold(talk)
    assert kinds(talk.turn(10.0, AbortAsked("user", "ctrl-c"))) == ["Abort", "Undo", "Undo", "Enter"]
    assert talk.turn(10.1, AbortAsked("user", "ctrl-c")) == []
    assert talk.state.injections["slow"].stage is Stage.REVERTING


def test_an_abort_condition_must_hold_for_its_time():
    talk = Talk(plan(abort_if=(AbortCondition(promql="up == 0", for_s=2),)))
    to_hold(talk)
    assert talk.turn(10.0, Guarded(0, since=9.0)) == []
    assert talk.turn(10.5, Guarded(0, since=None)) == []
    assert kinds(talk.turn(13.0, Guarded(0, since=11.0)))[:3] == ["Abort", "Undo", "Undo"]


def test_a_blind_run_ends():
    """Without Prometheus nobody sees what the fault does, so it is taken back."""
    talk = Talk(plan())
    to_hold(talk)
    blind = Observed((), (), (), lost=("prometheus",))
    assert talk.turn(7.0, blind) == []
    assert kinds(talk.turn(27.5, blind))[:1] == ["Abort"]


def test_the_first_touch_waits_for_health():
    """A newborn sandbox on a busy machine heals by itself; then the timeline starts."""
    talk = Talk(plan())
    talk.turn(0.0)
    assert talk.turn(5.0, Prepared("slow"), Observed((firing(open_=True),), (), ())) == []
    assert MeasureBaseline() in talk.turn(20.0, Observed((firing(open_=False),), (), ()))


def test_an_alert_that_fires_already_forbids_the_first_touch():
    talk = Talk(plan())
    talk.turn(0.0)
    assert talk.turn(5.0, Prepared("slow"), Observed((firing(open_=True),), (), ())) == []
    commands = talk.turn(36.0)
    assert kinds(commands)[0] == "Abort"
    assert not any(isinstance(command, Act | Undo) for command in commands)


def test_faults_end_early_in_the_ordinary_way_and_the_alert_is_seen_to_resolve():
    talk = Talk(plan(injection("slow", for_s=2000)))
    to_hold(talk)
    assert kinds(talk.turn(12, EndAsked())) == ["Undo", "Undo", "Enter"]
    assert talk.state.phase == "recover"
    assert not talk.state.stopping
    assert not talk.state.aborted
    assert kinds(talk.turns(12.5, acted(talk, "slow", undo=True))) == ["Check"]
    assert kinds(talk.turn(13, Checked("slow", clean=True))) == ["Enter"]
    assert talk.state.phase == "resolve"


def test_faults_that_have_not_begun_never_do_once_the_end_was_asked_for():
    talk = Talk(plan(injection("slow"), injection("later", at_s=30)))
    to_hold(talk)
    assert kinds(talk.turn(12, EndAsked())) == ["Undo", "Undo", "Enter"]
    assert talk.state.injections["later"].stage.value == "ended"


def test_the_same_undo_is_done_once():
    kill = KillReplica(injection="kill", replica="checkout-1")
    steps = tuple(Step(at_s=float(number), action=kill, undo=undo_of(kill)) for number in range(3))
    once = injection("kill", for_s=5, replicas=1).with_(steps=steps)
    talk = Talk(plan(once))
    to_t0(talk)
    for at in (6.0, 7.0, 8.0):
        talk.turn(at)
        talk.turn(at + 0.1, Acted("kill", kill, False, at))
    talk.turn(8.5, Measured("kill", True, 8.5))
    assert kinds(talk.turn(20)) == ["Undo", "Enter"]
    assert kinds(talk.turn(21, Acted("kill", undo_of(kill), True, 21.0))) == ["Check"]


def test_an_undo_whose_arguments_are_a_list_is_ordered_like_any_other():
    provider = ProcessProvider(type="process", path="thaw", arguments=["checkout-0"])
    call = Call(activity=Activity(name="thaw", provider=provider))
    freeze = RunActivity(
        injection="hang", replica="checkout-0", service="checkout", call=call, undo=call, hold_s=60
    )
    step = Step(at_s=0, action=freeze, undo=undo_of(freeze))
    talk = Talk(plan(injection("hang", for_s=5, replicas=1).with_(steps=(step,))))
    to_t0(talk)
    talk.turn(6.0)
    talk.turn(6.1, Acted("hang", freeze, False, 6.1))
    talk.turn(6.5, Measured("hang", True, 6.5))
    assert kinds(talk.turn(20)) == ["Undo", "Enter"]
