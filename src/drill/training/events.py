"""What a training session writes down, beside the run's journal: one line each in ``training.jsonl``.

``at`` is Unix seconds on the clock of the run's journal. Together with that journal these events are all that
the debrief is made from.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from drill.core.values import Value
from drill.training.grading import Grade
from drill.training.script import Condition, Script

EndingWhy = Literal["mitigated", "given up", "limit", "told", "real incident", "aborted", "run ended"]


class TrainingEvent(Value):
    """Base: ``seq`` counts from 0 without gaps."""

    seq: int = 0
    at: float = 0.0


class SessionStarted(TrainingEvent):
    """First line: the script, fixed before anything was touched."""

    kind: Literal["session-started"] = "session-started"
    script: Script


class PageTold(TrainingEvent):
    """Tabletop only: the page that the scenario would have caused, told on the clock."""

    kind: Literal["page-told"] = "page-told"
    labels: dict[str, str]


class Acknowledged(TrainingEvent):
    """The trainee took the page."""

    kind: Literal["acknowledged"] = "acknowledged"


class Suspected(TrainingEvent):
    """A suspected cause, and its grade."""

    kind: Literal["suspected"] = "suspected"
    text: str
    component: str = ""
    grade: Grade
    answer: str = ""


class HintShown(TrainingEvent):
    """Hint ``number`` (from 1) was given."""

    kind: Literal["hint"] = "hint"
    number: int
    asked: bool = True


class Noted(TrainingEvent):
    """A note of a person."""

    kind: Literal["note"] = "note"
    by: Literal["trainee", "facilitator"]
    text: str


class Acted(TrainingEvent):
    """The responder changed something. ``via`` says how that is known: the command typed, or their word."""

    kind: Literal["acted"] = "acted"
    text: str
    via: Literal["shell", "said"] = "said"


class Looked(TrainingEvent):
    """The responder ran a command that only reads."""

    kind: Literal["looked"] = "looked"
    text: str


class SaidDone(TrainingEvent):
    """The trainee is done."""

    kind: Literal["done"] = "done"
    gave_up: bool = False


class ClockPaused(TrainingEvent):
    """The session's clock stands."""

    kind: Literal["paused"] = "paused"


class ClockResumed(TrainingEvent):
    """The session's clock runs again."""

    kind: Literal["resumed"] = "resumed"


class InjectMoved(TrainingEvent):
    """An inject was said, held back, or dropped."""

    kind: Literal["inject"] = "inject"
    id: str
    state: Literal["said", "held", "skipped"]


class Whispered(TrainingEvent):
    """The facilitator said something to the trainee."""

    kind: Literal["whisper"] = "whisper"
    text: str


class Escalated(TrainingEvent):
    """A second scenario's faults were added; its journal lies in ``folder`` below the run's."""

    kind: Literal["escalated"] = "escalated"
    scenario: str
    folder: str
    healthy: tuple[Condition, ...] = ()


class RealIncidentDeclared(TrainingEvent):
    """NOT A DRILL: everything is undone at once."""

    kind: Literal["real-incident"] = "real-incident"
    reason: str


class AbortOrdered(TrainingEvent):
    """The facilitator or the trainee ended the session."""

    kind: Literal["abort-ordered"] = "abort-ordered"
    reason: str
    by: Literal["facilitator", "trainee", "system"] = "facilitator"


class HealthSeen(TrainingEvent):
    """``mitigated_when`` began or ceased to hold."""

    kind: Literal["health"] = "health"
    healthy: bool


class MitigationSeen(TrainingEvent):
    """Healthy for long enough after the responder acted; healthy ``since`` then. The fault was still in place.

    ``told`` is true in a tabletop: nothing was measured there.
    """

    kind: Literal["mitigation"] = "mitigation"
    since: float
    told: bool = False


class FaultsEnding(TrainingEvent):
    """drill takes its faults away now."""

    kind: Literal["faults-ending"] = "faults-ending"
    why: EndingWhy


class FaultRemoved(TrainingEvent):
    """The fault is gone from all its replicas, and drill did not take it away: what the responder did ended it."""

    kind: Literal["fault-removed"] = "fault-removed"
    injection: str


class SessionEnded(TrainingEvent):
    """Last line: how it ended, in a sentence."""

    kind: Literal["session-ended"] = "session-ended"
    sentence: str


AnyTrainingEvent = (
    SessionStarted | PageTold | Acknowledged | Suspected | HintShown | Noted | Acted | Looked | SaidDone
    | ClockPaused | ClockResumed | InjectMoved | Whispered | Escalated | RealIncidentDeclared | AbortOrdered
    | HealthSeen | MitigationSeen | FaultRemoved | FaultsEnding | SessionEnded
)  # fmt: skip
TRAINING_EVENT: TypeAdapter[AnyTrainingEvent] = TypeAdapter(
    Annotated[AnyTrainingEvent, Field(discriminator="kind")]
)
