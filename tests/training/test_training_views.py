"""What each side may see: nothing blind reaches the trainee, nothing is kept from the facilitator."""

from __future__ import annotations

import json
import threading
import time

import pytest

from drill.core.observations import SliSample
from drill.journal import events as e
from drill.training import commands as c
from drill.training import events as t
from drill.training.build import Around, facilitator_view, trainee_view
from drill.training.given import EndFaults, Health, Stop, Typed
from drill.training.live import LiveStage
from drill.training.script import commitment
from drill.training.views import FacilitatorView, Link, TraineeView
from training.told import EFFECT, LIMIT_S, PAGED, Talk, broken, firing, gone, paged, script


def book(name: str, service: str) -> str:
    return f"# Answers of {service} are too slow" if name == "latency-spike" else ""


READY = Around(ready=True, runbook=book)
SECRETS = (
    "spike",
    "Slow answers page",
    "network-latency",
    "packet delay",
    "Who measures it",
    "slow network",
    "00ff",
)


def seen(talk: Talk, now: float, around: Around = READY) -> TraineeView:
    return trainee_view(talk.state, now, around, 1)


def sli(at: float, ratio: float) -> e.SliSeen:
    sample = SliSample(
        at=at,
        sloth_id="checkout-latency",
        error_ratio=ratio,
        requests_per_second=20,
        rates={"5s": ratio * 100, "1m": ratio * 20, "30s": 1.0},
    )
    return e.SliSeen(samples=(sample,), at=at)


def moments() -> list[tuple[str, Talk, float]]:
    quiet, hurt, asked = Talk(), Talk().to_the_page(), Talk().to_the_page()
    quiet.hear(*broken())
    asked.give(115, c.Acknowledge())
    asked.give(116, c.AskHint())
    asked.give(117, c.Suspect(text="the disk of checkout"))
    asked.give(118, c.FacilitatorNote(text="network-latency is what they must find"))
    asked.give(119, c.HoldInject(id="inject-1"))
    won = Talk().to_the_page().mended(140)
    return [("quiet", quiet, 105.0), ("paged", hurt, 112.0), ("asked", asked, 120.0), ("mended", won, 157.0)]


@pytest.mark.parametrize("moment", [0, 1, 2, 3])
def test_nothing_blind_reaches_the_trainee_before_the_end(moment: int):
    name, talk, now = moments()[moment]
    text = seen(talk, now, Around(ready=True, debrief="It was latency-spike")).model_dump_json()
    # A page may name its runbook, which is called after the symptom: that is what the alert says.
    text = text.replace("runbooks/latency-spike.md", "").replace('"runbook":"latency-spike"', "")
    for secret in SECRETS:
        assert secret not in text, (name, secret)


def test_the_trainee_is_told_everything_at_the_end():
    talk = Talk().to_the_page()
    talk.give(120, c.Done(give_up=True))
    talk.hear(*gone(125))
    view = seen(talk, 140, Around(ready=True, debrief="It was latency-spike"))
    assert view.phase == "over"
    assert view.debrief == "It was latency-spike"
    assert view.can == ()


def test_the_phase_is_what_the_trainee_may_know():
    talk = Talk()
    assert seen(talk, 2, Around()).phase == "preparing"
    talk.hear(*broken())
    view = seen(talk, 105)
    assert view.phase == "quiet"
    assert view.clock.deadline == 0, "the deadline counts from the effect: before the page it would tell of it"
    talk.hear(firing(), paged())
    view = seen(talk, PAGED + 1)
    assert (view.phase, view.clock.deadline) == ("paged", EFFECT + LIMIT_S)
    talk.give(PAGED + 2, c.Acknowledge())
    assert seen(talk, PAGED + 3).phase == "acknowledged"


def test_the_page_is_what_pagerduty_shows_and_leads_to_its_runbook():
    (page,) = seen(Talk().to_the_page(), 112).pages
    assert page.title == "(page) checkout latency burns its error budget"
    assert "Requests to checkout are slow." in page.body
    assert page.runbook == "latency-spike"
    assert seen(Talk().to_the_page(), 112).runbook == "# Answers of checkout are too slow"


def test_slos_of_the_paged_service_come_first_then_its_neighbours():
    talk = Talk()
    assert {slo.relation for slo in seen(talk, 2).slos} == {"other"}
    talk.to_the_page()
    for number in range(10):
        talk.hear(sli(111 + number, 0.5))
    first, second = seen(talk, 125).slos
    assert (first.sloth_id, first.relation, second.relation) == ("checkout-latency", "paged", "called by it")
    assert list(first.burn_rates) == ["5s", "30s", "1m"]
    assert [at for at, _ in first.error_ratio] == [111, 113, 115, 117, 119], "one point every two seconds"


def test_the_facilitator_sees_everything():
    talk = Talk().to_the_page()
    talk.give(117, c.Suspect(text="the disk of checkout is full"))
    view = facilitator_view(talk.state, 118, Around(ready=True, escalations=("pod-kill on cart",)), 7)
    assert view.scenario == "latency-spike"
    assert (view.answer_component, view.answer_cause) == ("checkout", "network-latency")
    assert [one.state for one in view.injections] == ["in effect"]
    assert [one.due_s for one in view.injects] == [60, 120]
    assert view.escalations == ("pod-kill on cart",)
    assert view.grades[0].startswith("partly: ")
    assert [line.at for line in view.timeline] == sorted(line.at for line in view.timeline)
    assert {"pause", "escalate", "real-incident", "hold-inject"} <= set(view.can)
    assert FacilitatorView.model_validate_json(view.model_dump_json()) == view


def test_seals_differ_although_the_scenario_is_the_same():
    first = commitment("aa", "f" * 64, {"service": "cart"}, 3)
    assert first == commitment("aa", "f" * 64, {"service": "cart"}, 3)
    others = [("bb", "f" * 64, {"service": "cart"}, 3), ("aa", "e" * 64, {"service": "cart"}, 3)]
    others += [("aa", "f" * 64, {"service": "checkout"}, 3), ("aa", "f" * 64, {"service": "cart"}, 4)]
    assert len({first, *(commitment(*other) for other in others)}) == 5


class Clock:
    now = 1.0

    def __call__(self) -> float:
        return self.now


def stage(orders: list[object]) -> tuple[LiveStage, Clock, list[t.AnyTrainingEvent]]:
    clock, written = Clock(), list[t.AnyTrainingEvent]()

    def record(event: t.AnyTrainingEvent) -> t.AnyTrainingEvent:
        written.append(event.with_(seq=len(written)))
        return written[-1]

    def carry_out(order: object) -> str:
        orders.append(order)
        return "" if isinstance(order, EndFaults) else "it is not up"

    return LiveStage(script(), clock, record, carry_out), clock, written


def test_a_change_wakes_who_waits_and_versions_only_grow():
    live, clock, _ = stage([])
    live.look_around(ready=True)
    before = live.wait_for_change(0, 1)
    woken: list[int] = []
    thread = threading.Thread(target=lambda: woken.append(live.wait_for_change(before, 20)))
    thread.start()
    time.sleep(0.05)
    clock.now = 50
    live.hear(broken()[0])
    thread.join(10)
    assert woken
    assert woken[0] > before
    assert live.trainee_view().version >= woken[0]
    began = time.monotonic()
    assert live.wait_for_change(10**9, 0.05) >= woken[0]
    assert time.monotonic() - began < 5


def test_an_order_that_cannot_be_carried_out_is_refused_with_its_reason():
    live, clock, _ = stage([])
    for event in [*broken(), firing(), paged()]:
        clock.now = event.at
        live.hear(event)
    answer = live.facilitator_does(c.Escalate(scenario="pod-kill"))
    assert (answer.ok, answer.text) == (False, "it is not up")


def test_a_live_session_ends_with_its_debrief_and_keeps_what_it_wrote():
    orders: list[object] = []
    live, clock, written = stage(orders)
    live.look_around(ready=True, links=(Link(name="Prometheus", url="http://127.0.0.1:1"),))
    for event in [*broken(), firing(), paged()]:
        clock.now = event.at
        live.hear(event)
    clock.now = 112
    live.give(Health(False))
    live.trainee_does(c.Acknowledge())
    clock.now = 120
    live.give(Typed("kubectl rollout restart deploy/checkout", changes=True))
    clock.now = 125
    live.give(Health(True))
    clock.now = 136
    live.give(Health(True))
    assert orders == [EndFaults()]
    for event in gone(140):
        clock.now = event.at
        live.hear(event)
    live.trainee_does(c.Done())
    view = live.trainee_view()
    assert view.phase == "over"
    assert view.debrief.startswith("# Debrief: Latency spike")
    assert [event.seq for event in written] == list(range(len(written)))
    assert written[-1].kind == "session-ended"
    again = [t.TRAINING_EVENT.validate_json(event.model_dump_json()) for event in written]
    assert again == written
    assert not live.give(Stop("too late")).ok
    json.dumps(view.model_dump(mode="json"))
