"""The port between a training session and its front ends: a terminal, a web page, the facilitator's view.

A front end asks for a view, shows it, sends what the person does, and waits for the next change. All methods may be
called from several threads; none blocks longer than a moment but ``wait_for_change``, and none raises for what a
person does wrong: that is an ``Answer`` with ``ok`` false.
"""

from __future__ import annotations

from typing import Protocol

from drill.training.commands import Answer, FacilitatorCommand, TraineeCommand
from drill.training.views import FacilitatorView, TraineeView


class Stage(Protocol):
    """One training session, seen from its front ends."""

    def trainee_view(self) -> TraineeView:
        """What the trainee may see now; never anything blind."""

    def facilitator_view(self) -> FacilitatorView:
        """Everything, now."""

    def trainee_does(self, command: TraineeCommand) -> Answer:
        """Take what the trainee does."""

    def facilitator_does(self, command: FacilitatorCommand) -> Answer:
        """Take what the facilitator does."""

    def wait_for_change(self, version: int, timeout_s: float) -> int:
        """Block until the views' version is above *version* or *timeout_s* is over; return the version now.

        A session that is over changes no more: the last version is returned at once then, again and again, so a
        front end looks at ``phase`` to end its loop.
        """
