"""The debrief as data: what happened, what the system's card says, and the responder's own card. Pure.

Made from what was recorded and nothing else. The team's card speaks of the system: alerts, pages, runbook,
recovery. The responder's card is for the responder; nobody is compared with anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from drill.core.labels import matches
from drill.core.units import format_duration, format_ratio
from drill.core.values import Value
from drill.journal.events import AnyEvent
from drill.training import events as t
from drill.training.fold import see_run
from drill.training.fold_people import see
from drill.training.phases import phases_of, resolved_at
from drill.training.state import State, initial, is_page
from drill.training.views import InjectionLine, PhaseTime, TimelineLine


class Finding(Value):
    """One line of the system's card. ``mark``: what was found is ``good``, ``look`` (talk about it) or ``info``."""

    mark: str
    about: str
    text: str


class Suspected(Value):
    """One suspicion with its grade."""

    after_page_s: float
    text: str
    outcome: str
    why: str


class Debrief(Value):
    """A whole debrief; ``training.json`` is its JSON form."""

    session: str
    mode: str
    lesson: str = ""
    scenario: str
    title: str
    hypothesis: str
    service: str
    seed: int
    nonce: str
    commitment: str
    ending: str
    mitigated: bool
    localized: bool
    component: str
    cause: str
    started_at: float
    ended_at: float
    paused_s: float
    fast_forward: float
    injections: tuple[InjectionLine, ...]
    phases: tuple[PhaseTime, ...]
    system: tuple[Finding, ...]
    suspicions: tuple[Suspected, ...]
    hints: tuple[str, ...]
    escalations: tuple[str, ...]
    real_incident: str = ""
    timeline: tuple[TimelineLine, ...]
    questions: tuple[str, ...]
    actions: tuple[str, ...]


class ResponderCard(Value):
    """For the responder only: what they did, and what to try next."""

    session: str
    acknowledged_after_s: float | None
    localized_after_s: float | None
    mitigated_after_s: float | None
    suspicions: int
    hints: int
    looks: int
    acts: tuple[str, ...]
    went_well: tuple[str, ...]
    try_next: tuple[str, ...]


def replay(events: Sequence[t.AnyTrainingEvent], journals: Mapping[str, Iterable[AnyEvent]]) -> State | None:
    """Fold everything that was recorded, in the order of time; None when there is no session in *events*.

    *journals* maps a run (empty: the session's own; else an escalation's folder) to its events.
    """
    first = next((event for event in events if isinstance(event, t.SessionStarted)), None)
    if first is None:
        return None
    state = initial(first.script)
    told = [(event.at, 1, index, ("", event)) for index, event in enumerate(events)]
    seen = [
        (event.at, 0, index, (run, event)) for run, lines in journals.items() for index, event in enumerate(lines)
    ]
    for *_, (run, event) in sorted([*told, *seen], key=lambda one: one[:3]):
        state = see(state, event) if isinstance(event, t.TrainingEvent) else see_run(state, event, run)
    return state


def debrief_of(state: State) -> Debrief:
    """Make the debrief of a session that is over."""
    script = state.script
    return Debrief(
        session=script.session,
        mode=script.mode,
        lesson=script.lesson,
        scenario=script.scenario,
        title=script.title,
        hypothesis=script.hypothesis,
        service=script.service,
        seed=script.seed,
        nonce=script.nonce,
        commitment=script.commitment,
        ending=state.sentence or "the session did not end: drill was killed",
        mitigated=bool(state.mitigated_at),
        localized=bool(state.localized_at),
        component=script.answer.component,
        cause=script.answer.cause,
        started_at=state.started_at,
        ended_at=state.over_at,
        paused_s=sum(end - start for start, end in state.pauses),
        fast_forward=script.fast_forward,
        injections=tuple(state.injections.values()),
        phases=phases_of(state),
        system=tuple(_system(state)),
        suspicions=tuple(
            Suspected(
                after_page_s=max(0.0, said.at - state.paged_at), text=said.text, outcome=one.outcome, why=one.why
            )
            for said, one in zip(state.suspicions, state.grades, strict=True)
        ),
        hints=tuple(
            f"hint {hint.number}: {hint.text} ({'asked for' if hint.asked else 'came by itself'}, "
            f"{format_duration(round(max(0.0, hint.at - state.paged_at)))} after the page)"
            for hint in state.hints
        ),
        escalations=tuple(one.scenario for one in state.escalations),
        real_incident=state.real_incident,
        timeline=tuple(sorted(state.timeline, key=lambda line: line.at)),
        questions=tuple(_questions(state)),
        actions=tuple(_actions(state)),
    )


# ---- the system's card -----------------------------------------------------------------------------------


def _system(state: State) -> Iterable[Finding]:
    if state.script.mode == "tabletop":
        yield Finding(mark="info", about="Target", text="none: everything was told, nothing was measured")
        return
    yield _detection(state)
    yield from _pages(state)
    yield from _budget(state)
    yield _recovery(state)
    if state.unclean:
        yield Finding(mark="look", about="Left behind", text="; ".join(state.unclean))


def _detection(state: State) -> Finding:
    if not state.detected_at:
        return Finding(mark="look", about="Detection", text="no expected alert fired: nobody would have known")
    after_s, target_s = max(0.0, state.detected_at - state.effect_at), state.script.targets.detect_s
    delivery = (
        f"; the page arrived {_s(max(0.0, state.paged_at - state.detected_at))} later" if state.paged_at else ""
    )
    late = target_s is not None and after_s > target_s
    aim = f" (target {_s(target_s)})" if target_s is not None else ""
    text = f"the alert fired {_s(after_s)} after the effect{aim}{delivery}"
    return Finding(mark="look" if late or not state.paged_at else "good", about="Detection", text=text)


def _pages(state: State) -> Iterable[Finding]:
    pages = [page for page in state.pages if is_page(page)]
    expected = [page for page in pages if any(matches(match, page.labels) for match in state.script.expected)]
    others = [page for page in pages if page not in expected]
    if not pages:
        yield Finding(mark="look", about="Pages", text="none arrived")
        return
    what = f"{len(pages)} arrived" + ("" if not others else f", {len(others)} of them for something else:")
    names = ", ".join(sorted({page.labels.get("alertname", "") for page in others}))
    yield Finding(mark="look" if others else "good", about="Pages", text=f"{what} {names}".strip())
    linked = expected[0].runbook if expected else pages[0].runbook
    if linked:
        yield Finding(mark="good", about="Runbook", text=f"the page leads to {linked}")
    else:
        yield Finding(mark="look", about="Runbook", text="the page leads to no runbook")


def _budget(state: State) -> Iterable[Finding]:
    burned = sorted(((share, name) for name, share in state.budget.items() if share >= 0.001), reverse=True)
    if burned:
        sped = (
            f", with windows sped up {state.script.fast_forward:g}-fold" if state.script.fast_forward != 1 else ""
        )
        text = ", ".join(f"{name} {format_ratio(round(share, 3))}" for share, name in burned[:3])
        yield Finding(mark="info", about="Error budget", text=f"of the period's budget went: {text}{sped}")


def _recovery(state: State) -> Finding:
    if not resolved_at(state):
        return Finding(mark="look", about="Recovery", text="the alerts were not seen to resolve")
    gone = max((one.ended_at for one in state.injections.values()), default=0.0)
    over = resolved_at(state)
    text = f"alerts were over {_s(max(0.0, over - (state.mitigated_at or gone)))} after the service was well"
    return Finding(mark="good", about="Recovery", text=text)


def _questions(state: State) -> Iterable[str]:
    yield "What did the page tell, and what was missing from it?"
    if state.hints:
        yield "Where would the answer to the hints have stood: on a dashboard, in the runbook, nowhere?"
    wrong = [said.text for said, one in zip(state.suspicions, state.grades, strict=True) if one.outcome != "right"]
    if wrong:
        yield f'What in the system looked like "{wrong[0]}"?'
    if not state.mitigated_at and state.script.mode == "drill":
        yield "Which step of the runbook should have ended it, and what kept it from being taken?"
    yield "What would make this page shorter, or not happen at all?"


def _actions(state: State) -> Iterable[str]:
    """Draft actions about the system; people give them owners and dates, or strike them out."""
    if state.script.mode == "drill" and not state.detected_at:
        yield "An alert must see this: rule owner."
    if state.paged_at and not next((page.runbook for page in state.pages if is_page(page)), ""):
        yield "The alert needs a runbook_url: rule owner."
    if state.hints and state.localized_at:
        took = "one hint" if len(state.hints) == 1 else f"{len(state.hints)} hints"
        yield f"It took {took} to find the cause: write into the runbook what they say (runbook owner)."
    if state.paged_at and not state.localized_at and state.ending in ("limit", "given up"):
        yield "The runbook did not lead to the cause in time: walk through it together: runbook owner."
    if state.localized_at and not state.mitigated_at and state.ending in ("limit", "given up"):
        yield "The cause was known and nothing ended it: is there a mitigation step, and who may take it?"


# ---- the responder's card --------------------------------------------------------------------------------


def responder_card(state: State) -> ResponderCard:
    """Make the card that only the responder gets."""
    return ResponderCard(
        session=state.script.session,
        acknowledged_after_s=_after(state, state.acknowledged_at),
        localized_after_s=_after(state, state.localized_at),
        mitigated_after_s=_after(state, state.mitigated_at),
        suspicions=len(state.suspicions),
        hints=len(state.hints),
        looks=state.looks,
        acts=tuple(act.text for act in state.acts),
        went_well=tuple(_went_well(state)),
        try_next=tuple(_try_next(state)),
    )


def _after(state: State, at: float) -> float | None:
    return max(0.0, at - state.paged_at) if at and state.paged_at else None


def _went_well(state: State) -> Iterable[str]:
    aim = state.script.targets.acknowledge_s
    acked = _after(state, state.acknowledged_at)
    if acked is not None and (aim is None or acked <= aim):
        yield "You took the page quickly, so nobody else had to get up."
    if state.localized_at and len(state.suspicions) == 1:
        yield "Your first stated cause was right."
    if state.mitigated_at and state.localized_at and state.localized_at <= state.acts[0].at:
        yield "You knew the cause before you changed anything."
    if state.mitigated_at:
        yield "Users were well again because of what you did."
    if any(note.by == "trainee" for note in state.notes):
        yield "You wrote down what you saw; whoever takes over can read it."


def _try_next(state: State) -> Iterable[str]:
    if state.paged_at and not state.acknowledged_at:
        yield "Acknowledge first: until then the page goes on to the next person."
    if state.acts and (not state.localized_at or state.acts[0].at < state.localized_at):
        yield "Say what you suspect before you change something: if it helps, you know why."
    if len([one for one in state.grades if one.outcome != "right"]) >= 2:
        yield "Before you state a cause, look for one observation that would speak against it."
    if not state.notes:
        yield "Write a note when you rule something out."
    if state.paged_at and not state.mitigated_at:
        yield "Users first: a mitigation that you can undo may come before the cause is certain."


def _s(seconds: float | None) -> str:
    return format_duration(round(seconds or 0.0, 1 if (seconds or 0.0) < 10 else 0))
