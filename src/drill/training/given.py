"""What a session's ``decide`` is given, what it orders, and the decision it returns: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from drill.training import commands as c
from drill.training import events as t

# ---- what decide is given beside commands ----------------------------------------------------------------


@dataclass(frozen=True)
class Tick:
    """Time went by, or the run's journal has grown."""


@dataclass(frozen=True)
class Health:
    """``mitigated_when`` was evaluated."""

    healthy: bool


@dataclass(frozen=True)
class Typed:
    """A command of the responder's shell: ``changes`` is true for one that changes something."""

    text: str
    changes: bool


@dataclass(frozen=True)
class Holding:
    """Which faults the target still holds, as (injection's id in its own run, replica)."""

    held: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Told:
    """Tabletop: this page arrives now."""

    event: t.PageTold


@dataclass(frozen=True)
class Added:
    """The faults of a second scenario are being added."""

    event: t.Escalated


@dataclass(frozen=True)
class Stop:
    """The session must end: Ctrl-C, a terminal that is gone, or a run that could not start."""

    reason: str
    by_person: bool = True


@dataclass(frozen=True)
class Gone:
    """The run is no more: it ended, or never began. Nothing is waited for from here on."""

    error: str = ""


Given = Tick | Health | Typed | Holding | Told | Added | Stop | Gone | c.TraineeCommand | c.FacilitatorCommand


# ---- what decide orders ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class EndFaults:
    """Take all faults away in the ordinary way, and go on observing until the alerts have resolved."""


@dataclass(frozen=True)
class AbortRun:
    """Take all faults away at once and end."""

    reason: str


@dataclass(frozen=True)
class AddFaults:
    """Start the faults of a second scenario; whether that can be is known to who has the target."""

    scenario: str


Order = EndFaults | AbortRun | AddFaults


@dataclass
class Decision:
    """What follows from what was given."""

    events: list[t.AnyTrainingEvent] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    answer: c.Answer = field(default_factory=lambda: c.Answer(ok=True, text=""))

    def refuse(self, text: str) -> None:
        """Answer no."""
        self.answer = c.Answer(ok=False, text=text)

    def agree(self, text: str, *events: t.AnyTrainingEvent) -> None:
        """Answer yes and record *events*."""
        self.answer = c.Answer(ok=True, text=text)
        self.events += events
