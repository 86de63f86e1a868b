"""Conversations with a training session: what follows from what, without a target, a clock or a terminal."""

from __future__ import annotations

import pytest

from drill.journal import events as e
from drill.training import commands as c
from drill.training.debrief import debrief_of, replay, responder_card
from drill.training.given import AbortRun, AddFaults, EndFaults, Gone, Health, Holding, Stop, Tick, Typed
from drill.training.phases import phases_of
from drill.training.session import plainly
from training.told import EFFECT, LIMIT_S, PAGED, Talk, broken, firing, gone, paged, script


def phase(talk: Talk, name: str) -> object:
    return next(one for one in phases_of(talk.state) if one.name == name)


def test_before_the_page_there_is_nothing_to_acknowledge_or_guess():
    talk = Talk()
    talk.hear(*broken())
    for command in (c.Acknowledge(), c.Suspect(text="the network"), c.AskHint(), c.Done()):
        assert not talk.give(105, command).ok
    assert talk.give(105, c.Note(text="all quiet")).ok


def test_a_session_that_is_won():
    talk = Talk().to_the_page()
    assert talk.give(115, c.Acknowledge()).ok
    assert talk.give(130, c.Suspect(text="packets to checkout are delayed")).ok
    talk.mended(140)
    assert talk.state.mitigated_at == 145
    assert talk.orders == [EndFaults()]
    talk.hear(*gone(158))
    assert not talk.state.over_at, "the responder may look around"
    assert talk.give(170, c.Done()).ok
    assert talk.state.over_at == 170
    assert talk.state.sentence == "mitigated 35s after the page"
    after = {one.name: one.after_s for one in phases_of(talk.state)}
    assert after == {
        "effect": 0,
        "detected": 8,
        "acknowledged": 15,
        "localized": 30,
        "mitigated": 45,
        "resolved": 63,
    }


def test_a_fault_that_expires_was_not_mitigated_even_when_all_is_well_afterwards():
    talk = Talk().to_the_page()
    talk.give(115, c.Acknowledge())
    talk.give(EFFECT + LIMIT_S - 1, Tick())
    assert not talk.orders
    talk.give(EFFECT + LIMIT_S, Tick())
    assert talk.orders == [EndFaults()]
    talk.hear(*gone(705))
    talk.give(712, Health(True))
    talk.give(800, Tick())
    assert talk.state.sentence == "fault expired, not mitigated"
    assert phase(talk, "mitigated").after_s is None
    assert phase(talk, "mitigated").note == "fault expired, not mitigated"
    assert phase(talk, "resolved").after_s is not None


def test_what_gets_well_by_itself_is_not_mitigated_and_done_is_refused():
    talk = Talk().to_the_page()
    talk.give(120, Health(True))
    talk.give(160, Tick())
    assert not talk.state.mitigated_at
    answer = talk.give(161, c.Done())
    assert not answer.ok
    assert "changed nothing" in answer.text


def test_health_must_last_after_the_act_to_count():
    talk = Talk().to_the_page()
    talk.give(120, Health(True))
    talk.give(140, Typed("kubectl delete pod checkout-1", changes=True))
    talk.give(145, Tick())
    assert not talk.state.mitigated_at, "only 5 s since the act"
    talk.give(147, Health(False))
    talk.give(152, Health(True))
    talk.give(161, Tick())
    assert not talk.state.mitigated_at
    talk.give(162, Tick())
    assert talk.state.mitigated_at == 152


def test_looking_is_no_act():
    talk = Talk().to_the_page()
    talk.give(120, Typed("kubectl get pods", changes=False))
    talk.give(125, Health(True))
    talk.give(170, Tick())
    assert not talk.state.mitigated_at
    assert talk.state.looks == 1


def test_done_is_refused_while_users_are_hurt_and_giving_up_is_not():
    talk = Talk().to_the_page()
    assert not talk.give(120, c.Done()).ok
    assert talk.give(121, c.Done(give_up=True)).ok
    assert talk.orders == [EndFaults()]
    talk.hear(*gone(125))
    assert talk.state.sentence == "given up, not mitigated"


def test_hints_come_in_order_when_asked_and_by_themselves_when_their_time_has_come():
    talk = Talk().to_the_page()
    assert talk.give(120, c.AskHint()).text == "Wrong, or only late?"
    talk.give(PAGED + 359, Tick())
    assert len(talk.state.hints) == 1
    talk.give(PAGED + 360, Tick())
    assert [(hint.number, hint.asked) for hint in talk.state.hints] == [(1, True), (2, False)]
    assert not talk.give(PAGED + 361, c.AskHint()).ok


def test_no_hint_comes_by_itself_once_the_cause_was_found():
    talk = Talk().to_the_page()
    talk.give(120, c.Suspect(text="the network of checkout is slow"))
    talk.give(PAGED + 400, Tick())
    assert not talk.state.hints


def test_a_pause_stops_hints_injects_and_the_limit():
    talk = Talk().to_the_page()
    talk.give(PAGED + 30, c.Pause())
    talk.give(PAGED + 430, Tick())
    assert not talk.state.messages
    assert not talk.state.hints
    talk.give(PAGED + 430, c.Resume())
    talk.give(PAGED + 459, Tick())
    assert not talk.state.messages
    talk.give(PAGED + 460, Tick())
    assert [one.text for one in talk.state.messages] == ["Forty tickets."]
    talk.give(EFFECT + LIMIT_S + 399, Tick())
    assert not talk.orders
    talk.give(EFFECT + LIMIT_S + 400, Tick())
    assert talk.orders == [EndFaults()]


def test_a_clock_is_not_stopped_for_ever():
    talk = Talk().to_the_page()
    talk.give(120, c.Pause())
    talk.give(120 + 1801, Tick())
    assert not talk.state.paused_since
    assert not talk.give(120 + 1802, c.Pause()).ok


def test_injects_are_held_released_and_skipped():
    talk = Talk().to_the_page()
    assert talk.give(120, c.HoldInject(id="inject-1")).ok
    assert talk.give(121, c.SkipInject(id="inject-2")).ok
    talk.give(PAGED + 200, Tick())
    assert not [one for one in talk.state.messages if one.kind == "inject"]
    assert talk.give(PAGED + 201, c.ReleaseInject(id="inject-1")).ok
    assert [one.text for one in talk.state.messages] == ["Forty tickets."]
    assert not talk.give(PAGED + 202, c.ReleaseInject(id="inject-2")).ok
    assert "inject-1, inject-2" in talk.give(PAGED + 203, c.SkipInject(id="inject-9")).text


def test_a_real_incident_undoes_at_once_and_says_not_a_drill():
    talk = Talk().to_the_page()
    talk.give(120, c.RealIncident(reason="payment is really down"))
    assert talk.orders == [AbortRun("payment is really down")]
    assert talk.state.messages[-1].text.startswith("NOT A DRILL. payment is really down")
    talk.hear(e.RunFinished(aborted=True, undo_complete=True, at=125))
    assert talk.state.over_at == 125
    assert talk.state.sentence == "stopped for a real incident: payment is really down"


@pytest.mark.parametrize("moment", ["before the page", "after the page", "after the mitigation"])
def test_an_abort_ends_it_whenever_it_comes(moment: str):
    talk = Talk()
    if moment == "before the page":
        talk.hear(*broken())
    else:
        talk.to_the_page()
    at = 115.0
    if moment == "after the mitigation":
        talk.mended(120)
        talk.hear(*gone(138))
        at = 150.0
    talk.give(at, Stop("the terminal is gone"))
    if moment != "after the mitigation":
        assert talk.orders == [AbortRun("the terminal is gone")]
        talk.hear(e.RunFinished(aborted=True, undo_complete=True, at=at + 5))
    assert talk.state.over_at


def test_a_run_that_never_began_ends_the_session():
    talk = Talk()
    talk.give(20, Gone("the sandbox did not start"))
    assert talk.state.over_at == 20
    assert "the sandbox did not start" in talk.state.sentence


def test_a_run_that_a_guardrail_stopped_is_no_loss_of_the_trainee():
    talk = Talk().to_the_page()
    talk.hear(e.AbortRequested(by="guardrail", reason="Prometheus has not answered", at=130))
    talk.hear(e.RunFinished(aborted=True, undo_complete=True, at=131))
    assert talk.state.sentence == "the run was stopped: Prometheus has not answered"


def test_an_escalation_is_ordered_only_while_a_fault_is_in_effect():
    talk = Talk()
    assert not talk.give(10, c.Escalate(scenario="pod-kill on cart")).ok
    talk.to_the_page()
    assert talk.give(120, c.Escalate(scenario="pod-kill on cart")).ok
    assert talk.orders == [AddFaults("pod-kill on cart")]


def test_a_fault_that_the_responder_ended_is_told_from_one_that_drill_ended():
    talk = Talk().to_the_page()
    talk.give(120, Holding(frozenset({("slow", "checkout-1")})))
    assert talk.state.injections["slow"].removed_by == ""
    talk.give(121, Typed("kubectl delete pod checkout-1", changes=True))
    talk.give(125, Holding(frozenset()))
    talk.give(126, Health(True))
    talk.give(140, Tick())
    talk.hear(*gone(142))
    assert talk.state.injections["slow"].removed_by == "responder"
    assert phase(talk, "mitigated").note == "what the responder did ended the fault"


def test_with_a_facilitator_the_answer_does_not_say_whether_it_was_right():
    talk = Talk(script(solo=False)).to_the_page()
    right = talk.give(120, c.Suspect(text="slow network at checkout")).text
    wrong = talk.give(121, c.Suspect(text="full disk at checkout")).text
    assert right == wrong
    assert [one.outcome for one in talk.state.grades] == ["right", "partly"]


def test_the_debrief_from_the_files_is_the_debrief_of_the_session():
    talk = Talk().to_the_page()
    talk.give(115, c.Acknowledge())
    talk.give(118, c.AskHint())
    talk.give(120, c.Suspect(text="the disk of checkout is full"))
    talk.give(130, c.Suspect(text="packets to checkout are delayed"))
    talk.mended(140)
    talk.hear(*gone(158))
    talk.give(170, c.Done())
    again = replay(talk.events, {"": talk.journal})
    assert again is not None
    assert debrief_of(again) == debrief_of(talk.state)
    assert responder_card(again) == responder_card(talk.state)


def test_the_cards_speak_of_the_system_and_of_nobody_else():
    talk = Talk().to_the_page()
    talk.give(115, c.Acknowledge())
    talk.give(300, c.Done(give_up=True))
    talk.hear(*gone(305))
    debrief = debrief_of(talk.state)
    assert [one.about for one in debrief.system] == ["Detection", "Pages", "Runbook", "Recovery"]
    assert debrief.actions
    for word in ("you ", "trainee", "slow person", "rank", "score"):
        assert not any(word in one.text.lower() for one in debrief.system), word


def test_an_alert_that_never_fires_is_the_systems_failure():
    talk = Talk()
    talk.hear(*broken())
    talk.give(EFFECT + LIMIT_S, Tick())
    talk.hear(
        e.InjectionEnded(injection="slow", first=701, last=701, at=701),
        e.RunFinished(aborted=False, undo_complete=True, at=705),
    )
    debrief = debrief_of(talk.state)
    assert debrief.system[0].mark == "look"
    assert "nobody would have known" in debrief.system[0].text
    assert any("rule owner" in action for action in debrief.actions)


def test_a_resolved_page_is_told_as_resolved():
    talk = Talk().to_the_page()
    talk.hear(firing(open_=False, end=200), paged("resolved", 205))
    assert [page.status for page in talk.state.pages] == ["firing", "resolved"]
    assert talk.state.pages[1].title.startswith("RESOLVED: ")


def test_a_reason_is_told_without_the_labels_of_an_alert() -> None:
    reason = 'not healthy before anything was broken: CartLatencyBudgetBurn{severity="ticket", tier="1"} is firing'
    assert plainly(reason) == "not healthy before anything was broken: CartLatencyBudgetBurn is firing"
