"""Less evidence is never a better verdict: whatever is taken from a journal, it does not begin to pass."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from drill.journal.events import AnyEvent
from drill.verify import judge
from verify.journals import GOOD, PAGE, STRANGER, World, firing, journal, moved, plan, renumber
from verify.mutants import ALERT_MUTANTS, OUTCOME_MUTANTS

PLAN = plan()
WORLDS: dict[str, World] = {
    "good": GOOD,
    **{name: world for name, (_, world) in ALERT_MUTANTS.items()},
    **{name: world for name, (_, _, world) in OUTCOME_MUTANTS.items()},
}
JOURNALS: dict[str, list[AnyEvent]] = {name: journal(world) for name, world in WORLDS.items()}
BAD = sorted(set(WORLDS) - {"good"})
EVIDENCE = {
    "run-started", "preflight", "t0", "effect", "injection-effective", "injection-ended", "clean", "sli", "alerts",
    "alertmanager", "notifications", "action-done", "run-finished", "budget", "phase", "baseline",
}  # fmt: skip
"""What shows that something is well; the rest are marks of trouble and predictions."""


@given(name=st.sampled_from(sorted(WORLDS)), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_journal_with_a_hole_never_passes(name: str, data: st.DataObject) -> None:
    """Any lines taken out of any journal, the good one included: never a pass."""
    events = JOURNALS[name]
    gone = data.draw(st.sets(st.integers(0, len(events) - 1), min_size=1, max_size=len(events)))
    left = [event for event in events if event.seq not in gone]
    assert judge(PLAN, left).outcome != "pass"


def test_no_prefix_of_a_good_journal_passes() -> None:
    """A run that is not over has not passed, at no moment of it."""
    events = JOURNALS["good"]
    assert judge(PLAN, events).outcome == "pass"
    assert not [n for n in range(len(events)) if judge(PLAN, events[:n]).outcome == "pass"]


def test_no_prefix_of_any_journal_raises() -> None:
    """Judging is possible at every moment of every run."""
    for events in JOURNALS.values():
        for n in range(0, len(events), 7):
            judge(PLAN, events[:n])


@given(name=st.sampled_from(BAD), data=st.data())
@settings(max_examples=150, deadline=None)
def test_forged_numbers_do_not_help_either(name: str, data: st.DataObject) -> None:
    """Even where lines are numbered anew, taking evidence away never makes a bad run pass."""
    events = JOURNALS[name]
    kinds = data.draw(st.sets(st.sampled_from(sorted(EVIDENCE))))
    some = data.draw(st.sets(st.integers(0, len(events) - 1)))
    left = [e for e in events if e.kind not in EVIDENCE or (e.kind not in kinds and e.seq not in some)]
    assert judge(PLAN, renumber(left)).outcome != "pass"


@given(
    start=st.floats(-6, 60).map(lambda x: round(x, 3)),
    length=st.floats(2, 60).map(lambda x: round(x, 3)),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_a_pass_implies_the_truth_was_good(start: float, length: float, data: st.DataObject) -> None:
    """Whenever the alert fires, and whichever looks are lost: a pass means that it fired inside its interval."""
    world = moved(GOOD, PAGE, start, min(start + length, 75.0) if start < 70 else start + length)
    events = journal(world)
    gone = data.draw(st.sets(st.sampled_from([e.seq for e in events if e.kind in EVIDENCE])))
    verdict = judge(PLAN, renumber([e for e in events if e.seq not in gone]))
    if verdict.outcome == "pass":
        assert 6.0 - 0.002 <= start <= 11.9 + 0.002


@given(start=st.floats(1, 45).map(lambda x: round(x, 3)), length=st.floats(0, 20), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_pass_implies_that_nothing_else_fired(start: float, length: float, data: st.DataObject) -> None:
    """Whichever looks are lost, an unexpected alert is seen or its time is known as unseen."""
    events = journal(replace(GOOD, spans=(*GOOD.spans, firing(STRANGER, start, start + length))))
    looks = [event.seq for event in events if event.kind == "alerts"]
    gone = data.draw(st.sets(st.sampled_from(looks)))
    assert judge(PLAN, renumber([e for e in events if e.seq not in gone])).outcome != "pass"
