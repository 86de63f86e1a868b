"""What the engine knows (state), what it is told (seen) and what it orders (commands): plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, Self

from drill.core.actions import AnyAction
from drill.core.observations import AlertmanagerAlert, AlertSpan, Notification, SliSample
from drill.engine.budget import Meter
from drill.journal.events import Phase
from drill.plan.model import Plan, PredictedAlert, Step

LabelKey = tuple[tuple[str, str], ...]
"""An alert's labels, sorted: what tells one alert from another."""


class Stage(StrEnum):
    """Where one injection is."""

    WAITING = "waiting"
    APPLYING = "applying"
    MEASURING = "measuring"
    HOLDING = "holding"
    REVERTING = "reverting"
    CHECKING = "checking"
    ENDED = "ended"


# ---- seen: what the shell tells decide -------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """The snapshot and the healthy values of an injection's replicas were taken, or could not be."""

    injection: str
    error: str = ""


@dataclass(frozen=True)
class Foreseen:
    """A prediction was made anew: it reckoned with these alerts besides the expected ones."""

    alerts: tuple[PredictedAlert, ...]


@dataclass(frozen=True)
class Acted:
    """An action ended; ``error`` is empty when it was done (at ``done_at``, Unix seconds)."""

    injection: str
    action: AnyAction
    undo: bool
    done_at: float
    error: str = ""


@dataclass(frozen=True)
class Measured:
    """The effect of an injection was measured at all its replicas (``holds``), or never showed."""

    injection: str
    holds: bool
    at: float


@dataclass(frozen=True)
class Checked:
    """The state after the undo was compared with the snapshot from before."""

    injection: str
    clean: bool


@dataclass(frozen=True)
class Observed:
    """What the alert path shows now. ``lost`` names the sources that did not answer."""

    spans: tuple[AlertSpan, ...]
    alerts: tuple[AlertmanagerAlert, ...]
    notifications: tuple[Notification, ...]
    lost: tuple[str, ...] = ()
    slis: tuple[SliSample, ...] = ()


@dataclass(frozen=True)
class Guarded:
    """An abort condition holds since ``since`` (None: it does not hold)."""

    index: int
    since: float | None


@dataclass(frozen=True)
class AbortAsked:
    """Somebody or something wants the end."""

    by: str
    reason: str


@dataclass(frozen=True)
class EndAsked:
    """The faults have done their work: end them now in the ordinary way, and see the alerts resolve."""


Seen = Prepared | Foreseen | Acted | Measured | Checked | Observed | Guarded | AbortAsked | EndAsked


# ---- commands: what decide orders ------------------------------------------------------------------------


@dataclass(frozen=True)
class Enter:
    """Go on to a phase."""

    phase: Phase


@dataclass(frozen=True)
class Prepare:
    """Describe the replicas of an injection before the first touch, and measure their healthy values."""

    injection: str


@dataclass(frozen=True)
class MeasureBaseline:
    """Record healthy SLIs and the history's age, and start the timeline (T0)."""


@dataclass(frozen=True)
class Act:
    """Record the undo, then do the step."""

    injection: str
    step: Step


@dataclass(frozen=True)
class Measure:
    """Measure the effect of an injection until it holds or its time is over."""

    injection: str


@dataclass(frozen=True)
class Repredict:
    """Predict anew from what was measured: the effect, or the traffic that is left while it lasts."""

    injection: str
    of: Literal["effect", "traffic"] = "effect"


@dataclass(frozen=True)
class Undo:
    """Do the undo of a step."""

    injection: str
    step: Step


@dataclass(frozen=True)
class Check:
    """Compare the replicas of an injection with their snapshots."""

    injection: str


@dataclass(frozen=True)
class Abort:
    """Record that the run is being ended early."""

    by: str
    reason: str


@dataclass(frozen=True)
class Finish:
    """Collect the last evidence and close the journal."""


Command = Enter | Prepare | MeasureBaseline | Act | Measure | Repredict | Undo | Check | Abort | Finish


# ---- state -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InjectionState:
    """One injection's progress. Times are Unix seconds."""

    stage: Stage = Stage.WAITING
    fired: int = 0
    """Steps ordered so far."""
    answered: int = 0
    """Steps that answered, done or failed."""
    failed: bool = False
    effective: bool = False
    since: float = 0.0
    """When the effect was proven."""
    traffic_told: bool = False
    """The traffic during the fault was looked at."""
    undoing: int = 0
    """Undos ordered: one for each different one."""
    undone: int = 0


@dataclass(frozen=True)
class State:
    """All the engine knows. ``started`` and ``t0`` are Unix seconds; ``t0`` is 0 before the timeline starts."""

    plan: Plan
    started: float
    t0: float = 0.0
    preparing: bool = False
    prepared: frozenset[str] = frozenset()
    phase: Phase = "baseline"
    injections: dict[str, InjectionState] = field(default_factory=dict)
    ended_at: float = 0.0
    """When the last fault was gone."""
    stopping: bool = False
    """No new fault, all running ones end now: aborted, failed, or without effect."""
    aborted: bool = False
    ending: bool = False
    """All faults end now although their time is not over; everything else goes its way."""
    foreseen: tuple[PredictedAlert, ...] = ()
    """Alerts besides the expected ones that a prediction reckoned with, also those it ruled out."""
    seen: Observed = Observed((), (), ())
    lost_since: float = 0.0
    spent: Meter = field(default_factory=Meter)
    """Error budget spent since T0."""
    before: frozenset[LabelKey] = frozenset()
    """Alerts that were firing before T0: not the drill's doing."""
    finished: bool = False

    def with_(self, **changes: object) -> Self:
        """Return a copy with *changes*."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def with_injection(self, name: str, **changes: object) -> Self:
        """Return a copy in which one injection is changed."""
        changed = replace(self.injections[name], **changes)  # type: ignore[arg-type]
        return self.with_(injections={**self.injections, name: changed})


def initial(plan: Plan, now: float) -> State:
    """Return the state at the start of the baseline phase."""
    injections = {item.id: InjectionState() for item in plan.injections}
    return State(plan=plan, started=now, injections=injections, foreseen=plan.also)
