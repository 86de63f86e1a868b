"""What the two sides of a training session may do, as a closed union each, and the answer they get.

Every command has a JSON form with its kind in ``do``; ``TRAINEE_COMMAND`` and ``FACILITATOR_COMMAND`` read it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from drill.core.values import Value

Words = Annotated[str, Field(min_length=1, max_length=2000)]
"""What a person typed."""


class Acknowledge(Value):
    """I have the page."""

    do: Literal["acknowledge"] = "acknowledge"


class Suspect(Value):
    """I think this is the cause. ``component`` may be empty when ``text`` names it."""

    do: Literal["suspect"] = "suspect"
    text: Words
    component: str = ""


class AskHint(Value):
    """Give me the next hint."""

    do: Literal["ask-hint"] = "ask-hint"


class Note(Value):
    """Write this on the timeline."""

    do: Literal["note"] = "note"
    text: Words


class Act(Value):
    """I changed something: what, in words or as the command typed. The shell reports what went through it."""

    do: Literal["act"] = "act"
    text: Words


class Done(Value):
    """I am done. Refused while users still suffer, unless ``give_up``."""

    do: Literal["done"] = "done"
    give_up: bool = False


TraineeCommand = Acknowledge | Suspect | AskHint | Note | Act | Done
TRAINEE_COMMAND: TypeAdapter[TraineeCommand] = TypeAdapter(Annotated[TraineeCommand, Field(discriminator="do")])


class Pause(Value):
    """Stop the session's clock: hints, injects and the deadline wait. The fault stays."""

    do: Literal["pause"] = "pause"


class Resume(Value):
    """Let the clock run again."""

    do: Literal["resume"] = "resume"


class HoldInject(Value):
    """Do not say this inject by itself; ``ReleaseInject`` says it, ``SkipInject`` drops it."""

    do: Literal["hold-inject"] = "hold-inject"
    id: str


class ReleaseInject(Value):
    """Say this inject now."""

    do: Literal["release-inject"] = "release-inject"
    id: str


class SkipInject(Value):
    """Never say this inject."""

    do: Literal["skip-inject"] = "skip-inject"
    id: str


class Whisper(Value):
    """Say this to the trainee."""

    do: Literal["whisper"] = "whisper"
    text: Words


class FacilitatorNote(Value):
    """Write this on the timeline; the trainee sees it only in the debrief."""

    do: Literal["facilitator-note"] = "facilitator-note"
    text: Words


class Escalate(Value):
    """Add the faults of a second scenario; refused when they touch what is already in use."""

    do: Literal["escalate"] = "escalate"
    scenario: str


class RealIncident(Value):
    """Something real happened: undo at once and tell everybody that it is NOT A DRILL."""

    do: Literal["real-incident"] = "real-incident"
    reason: Words


class Abort(Value):
    """End the session, undo everything."""

    do: Literal["abort"] = "abort"
    reason: Words


FacilitatorCommand = (
    Pause | Resume | HoldInject | ReleaseInject | SkipInject | Whisper | FacilitatorNote | Escalate
    | RealIncident | Abort
)  # fmt: skip
FACILITATOR_COMMAND: TypeAdapter[FacilitatorCommand] = TypeAdapter(
    Annotated[FacilitatorCommand, Field(discriminator="do")]
)


class Answer(Value):
    """What the session says to a command. ``ok`` is false when it was refused; ``text`` says why, or what now."""

    ok: bool
    text: str
