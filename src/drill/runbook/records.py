"""What became of a runbook's steps: one JSON line each, written the moment the step is over."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from drill.core.redact import redacted
from drill.core.values import Value

STEPS = "steps.jsonl"
Outcome = Literal["proven", "done-unproven", "failed", "skipped", "contradicted", "unavailable"]
MAX_BYTES = 16 * 2**20


class Step(Value):
    """One step and what became of it; times are Unix seconds.

    ``proven``: evidence shows that it did or found what it should. ``done-unproven``: done, and nothing checked it.
    ``failed``: the command failed. ``skipped``: nobody did it. ``contradicted``: done, and the evidence says
    otherwise. ``unavailable``: it could not be done or asked at all.
    """

    runbook: str
    sha256: str
    name: str
    """The cell's name, or the text of a check box."""
    section: str = ""
    line: int = 0
    tag: Literal["diagnose", "mitigate", "verify", "undo", "human", "check"] = "diagnose"
    """``check``: not a step of the runbook, but a look at whether users are well."""
    outcome: Outcome
    began: float
    ended: float
    command: str = ""
    """What was really run or asked, with its values."""
    target: str = ""
    answer: str = ""
    """The answer in one line."""
    why: str = ""
    meets: bool | None = None
    """Whether the answer was the expected one; None: nothing was expected."""
    by: str = ""
    role: str = ""
    owner: str = ""
    """Who owns the runbook."""

    @property
    def changes(self) -> bool:
        """True when it was meant to change something."""
        return self.tag in ("mitigate", "undo")


def append(path: Path, step: Step) -> None:
    """Add *step* to the file at *path*, synced; secrets are left out. Raises OSError."""
    line = Step.model_validate(redacted(step.model_dump())).model_dump_json().encode() + b"\n"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def read(folder: Path) -> Sequence[Step]:
    """Return the steps taken during the run in *folder*, in their order; lines that are none are left out."""
    try:
        with (folder / STEPS).open("rb") as file:
            lines = file.read(MAX_BYTES).splitlines()
    except OSError:
        return ()
    steps = []
    for line in lines:
        try:
            steps.append(Step.model_validate_json(line))
        except ValidationError:
            continue  # the last line of a process that was killed
    return sorted(steps, key=lambda step: step.began)
