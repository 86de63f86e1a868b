"""The session while it goes on: implements ``Stage`` with a lock around the pure state.

Owns the lock, the version and who is told; the clock, the recorder and whoever runs the faults are handed in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from drill.journal.events import AnyEvent
from drill.training import events as t
from drill.training.build import Around, facilitator_view, trainee_view
from drill.training.commands import Answer, FacilitatorCommand, TraineeCommand
from drill.training.debrief import debrief_of
from drill.training.debrief_text import markdown
from drill.training.fold import see_run
from drill.training.fold_people import see
from drill.training.given import Decision, Given, Order, Tick
from drill.training.script import Script
from drill.training.session import decide
from drill.training.state import State, initial
from drill.training.views import FacilitatorView, TraineeView

CarryOut = Callable[[Order], str]
"""Carries out an order; returns why it cannot be, empty when it is under way. Called without the lock."""


@dataclass
class LiveStage:
    """One session. ``record`` writes an event down before it counts; it must not call back."""

    script: Script
    clock: Callable[[], float]
    record: Callable[[t.AnyTrainingEvent], t.AnyTrainingEvent]
    carry_out: CarryOut

    def __post_init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._state = initial(self.script)
        self._around = Around()
        self._version = 1
        with self._changed:
            self._write(t.SessionStarted(script=self.script, at=self.clock()))

    # ---- the port ----

    def trainee_view(self) -> TraineeView:
        """What the trainee may see now."""
        with self._changed:
            return trainee_view(self._state, self.clock(), self._around, self._version)

    def facilitator_view(self) -> FacilitatorView:
        """Everything, now."""
        with self._changed:
            return facilitator_view(self._state, self.clock(), self._around, self._version)

    def trainee_does(self, command: TraineeCommand) -> Answer:
        """Take what the trainee does."""
        return self.give(command)

    def facilitator_does(self, command: FacilitatorCommand) -> Answer:
        """Take what the facilitator does."""
        return self.give(command)

    def wait_for_change(self, version: int, timeout_s: float) -> int:
        """Block until the version is above *version*, the time is over, or the session is; return the version."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version or bool(self._state.over_at), timeout_s)
            return self._version

    # ---- what the session is told ----

    @property
    def state(self) -> State:
        """The state now."""
        with self._changed:
            return self._state

    def give(self, given: Given) -> Answer:
        """Decide about *given*, record and fold what follows, then carry out what was ordered."""
        with self._changed:
            decision = decide(self._state, self.clock(), given)
            for event in decision.events:
                self._write(event)
            self._note_end()
        return self._carry_out(decision)

    def hear(self, event: AnyEvent, run: str = "") -> None:
        """Take in a line of a run's journal. May be called by any thread."""
        with self._changed:
            self._fold(see_run(self._state, event, run))
        self.give(Tick())

    def look_around(self, **changes: Any) -> None:
        """Replace parts of what is around (links, replicas, logs …)."""
        with self._changed:
            around = replace(self._around, **changes)
            if around != self._around:
                self._around = around
                self._bump()

    def _carry_out(self, decision: Decision) -> Answer:
        for order in decision.orders:
            if refusal := self.carry_out(order):
                return Answer(ok=False, text=refusal)
        return decision.answer

    def _write(self, event: t.AnyTrainingEvent) -> None:
        self._fold(see(self._state, self.record(event)))

    def _note_end(self) -> None:
        if self._state.over_at and not self._around.debrief:
            self._around = replace(self._around, debrief=markdown(debrief_of(self._state)))
            self._bump()

    def _fold(self, state: State) -> None:
        if state is not self._state:
            self._state = state
            self._bump()

    def _bump(self) -> None:
        self._version += 1
        self._changed.notify_all()
