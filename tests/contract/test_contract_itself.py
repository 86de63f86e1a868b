"""The suite is fit to judge: a target of numbers keeps every promise, and whoever breaks one is caught by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contract import liars, promises
from contract.cases import CASES, Case, named
from contract.fake import Fake, FakeGround
from contract.promises import Ground
from drill.core.facts import Facts
from drill.plan.model import Plan

LATENCY = CASES[0]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No alert is waited for, no effect comes late, and nothing becomes clean that is not."""
    monkeypatch.setattr("drill.engine.decide.SETTLE_S", 0.0)
    monkeypatch.setattr("drill.engine.effects.CLEAN_WITHIN_S", 0.0)
    monkeypatch.setattr("drill.engine.run.TICK_S", 0.002)
    monkeypatch.setattr("drill.engine.watch.LEAST_S", 0.01)
    plan = promises.planned

    def impatient(facts: Facts, case: Case) -> Plan | None:
        made = plan(facts, case)
        if made is None:
            return None
        injection = made.injections[0]
        return made.with_(injections=(injection.with_(effect=injection.effect.with_(within_s=0)),))

    monkeypatch.setattr(promises, "planned", impatient)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], Case]:
    """A case that is held for an instant."""
    return lambda case: replace(case, hold_s=0.02)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_target_of_numbers_keeps_every_promise(case: Case, quick: Callable[[Case], Case], tmp_path: Path) -> None:
    promises.drills(FakeGround(Fake()), quick(case), tmp_path)


def test_a_target_of_numbers_is_honest_and_careful() -> None:
    ground = FakeGround(Fake())
    promises.tells_the_truth(ground)
    promises.refuses_what_is_not_there(ground)
    promises.refuses_too_much(ground)


Promise = Callable[[Ground, Case, Path], None]


def the_drill(ground: Ground, case: Case, folder: Path) -> None:
    promises.drills(ground, case, folder)


def the_truth(ground: Ground, case: Case, folder: Path) -> None:
    promises.tells_the_truth(ground)


CAUGHT: list[tuple[type[liars.Liar], Promise, str, str]] = [
    (liars.Idle, the_drill, "latency", "no effect was measured"),
    (liars.Boaster, the_drill, "latency", "do not find it slow"),
    (liars.Boaster, the_drill, "pause", "do not find it silent"),
    (liars.Boaster, the_drill, "http-error", "do not find it failing"),
    (liars.Keeper, the_drill, "latency", "was None, is 'packet'"),
    (liars.Hider, the_drill, "latency", "said to be clean, and yet there was"),
    (liars.Spilling, the_drill, "latency", "was None, is 'cpu'"),
    (liars.Once, the_drill, "latency", "undone before"),
    (liars.Flighty, the_drill, "latency", "at was '1'"),
    (liars.Accepting, the_drill, "pod-kill by eviction", "said that it cannot, and did it"),
    (liars.Promising, the_drill, "latency", "this kernel has no sch_netem"),
    (liars.Promising, the_truth, "latency", "it offers what it cannot do"),
    (liars.Mute, the_truth, "latency", "missing without a reason"),
    (liars.Flighty, the_truth, "latency", "nothing was done"),
]


@pytest.mark.parametrize(
    ("liar", "promise", "name", "words"), CAUGHT, ids=lambda one: getattr(one, "__name__", str(one)[:20])
)
def test_whoever_breaks_a_promise_is_caught(
    liar: type[liars.Liar], promise: Promise, name: str, words: str, quick: Callable[[Case], Case],
    tmp_path: Path,
) -> None:  # fmt: skip
    truth = Fake()
    ground = FakeGround(liar(truth), truth)  # type: ignore[arg-type]
    case = next(one for one in CASES if one.name == name)
    with pytest.raises(AssertionError, match=words):
        promise(ground, quick(case), tmp_path)


def test_a_target_that_lacks_what_it_must_have_is_caught() -> None:
    ground = FakeGround(Fake())
    ground.able = frozenset(case.name for case in CASES)
    with pytest.raises(AssertionError, match="it must be able to make pod-kill by eviction"):
        promises.tells_the_truth(ground)


def test_a_deed_before_its_undo_is_on_disk_is_caught(quick: Callable[[Case], Case], tmp_path: Path) -> None:
    """An engine that writes late: the witness asks the file, not the engine."""
    ground, case = FakeGround(Fake()), quick(LATENCY)
    plan = promises.planned(ground.target.facts(), case)
    assert plan is not None
    (tmp_path / "journal.jsonl").write_text("")
    witness = promises.Witness(ground, tmp_path / "journal.jsonl", case)
    witness.execute(plan.injections[0].steps[0].action)
    assert any("before its undo was on disk" in text for text in witness.broken)
    assert any("before anybody looked at it" in text for text in witness.broken)
