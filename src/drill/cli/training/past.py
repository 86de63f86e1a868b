"""Trainings of the past: found by name, and their seals checked."""

from __future__ import annotations

import json
from pathlib import Path

from drill.cli.console import Console
from drill.cli.training.record import EVENTS
from drill.core.errors import ExitCode, UsageError
from drill.training.debrief import Debrief
from drill.training.script import commitment


def find_session(name: str, out: Path) -> Path:
    """Return a session's folder: a path, its name below *out*, the start of it, or ``last``. Raises UsageError."""
    if (Path(name) / EVENTS).is_file():
        return Path(name)
    known = sorted((path.parent for path in out.glob(f"*/{EVENTS}")), key=lambda path: path.name, reverse=True)
    if known and name == "last":
        return known[0]
    for folder in known:
        if folder.name.startswith(name):
            return folder
    raise UsageError(f"there is no training '{name}' below {out}/", hint="`drill train --random` makes one")


def check_seal(folder: Path, debrief: Debrief, console: Console) -> int:
    """Compute the commitment again from what the run's plan says; say whether it is the one shown."""
    try:
        plan = json.loads((folder / "plan.json").read_text())
        again = commitment(debrief.nonce, plan["source_sha256"], plan["parameters"], debrief.seed)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder}/plan.json cannot be read: {error}") from None
    console.say(f"scenario {debrief.scenario}, file sha256 {plan['source_sha256']}")
    console.say(f"nonce    {debrief.nonce}")
    console.say(f"shown    {debrief.commitment}")
    console.say(f"computed {again}")
    if again != debrief.commitment:
        console.warn("These differ: what was played is not what was sealed.")
        return ExitCode.FAIL
    console.say("They are the same: nothing was changed after the start.", "green")
    return ExitCode.PASS
