"""Lessons in order, with progress kept: the scenarios of a drill file, one session each.

Progress is a small file in the user's state folder: which lessons were held, and how they ended. Nobody else
reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from drill.cli.console import Console
from drill.cli.state import state_dir
from drill.cli.training.conduct import Wish
from drill.cli.training.solo import Held, hold_session
from drill.core.errors import ProblemsFound, UsageError
from drill.faults.registry import parameter_models
from drill.gameday.loader import load, scenario_file
from drill.gameday.model import Drill, ScenarioCall
from drill.scenario.library import ENDINGS, find, shipped_roots

Progress = dict[str, dict[str, Any]]
"""By lesson: ``mitigated``, ``localized``, ``ending``, ``session``."""


def next_lesson(name: str, again: str | None, wish: Wish, console: Console, my_card: bool) -> int:
    """Hold the next lesson of the drill *name* (or the lesson *again*) and keep how it went."""
    path = find(name, shipped_roots("drills"), endings=ENDINGS["drills"], what="drill")
    loaded = load(path, parameter_models())
    if loaded.drill is None:
        raise ProblemsFound(loaded.problems)
    drill = loaded.drill
    done = read_progress(drill.metadata.name)
    lesson = chosen(drill, done, again)
    if lesson is None:
        _all_done(drill, done, console)
        return 0
    number, call = lesson
    _introduce(drill, done, number, console)
    scenario = str(scenario_file(call.scenario, loaded.folder))
    sets = {**call.with_, **wish.settings.sets}
    held = hold_session(
        replace(
            wish,
            scenario=scenario,
            settings=replace(wish.settings, sets=sets),
            lesson=drill.step_ids()[number],
            brief=f"Lesson {number + 1}: {call.title}. {call.brief}".strip(),
        ),
        console,
        my_card=my_card,
    )
    keep(drill.metadata.name, drill.step_ids()[number], held)
    _what_next(drill, read_progress(drill.metadata.name), console)
    return held.exit_code


def chosen(drill: Drill, done: Progress, again: str | None) -> tuple[int, ScenarioCall] | None:
    """Return the lesson to hold with its number from 0; None when all are done. Raises UsageError."""
    ids = drill.step_ids()
    if again is not None:
        if again.isdigit() and 1 <= int(again) <= len(ids):
            again = ids[int(again) - 1]
        if again not in ids:
            raise UsageError(f"there is no lesson '{again}'", hint=f"lessons: {', '.join(ids)}")
        return ids.index(again), drill.scenarios[ids.index(again)]
    for number, name in enumerate(ids):
        if not done.get(name, {}).get("mitigated"):
            return number, drill.scenarios[number]
    return None


def _introduce(drill: Drill, done: Progress, number: int, console: Console) -> None:
    console.say(f"{drill.title}: lesson {number + 1} of {len(drill.scenarios)}", "bold")
    if not done:
        console.say(f"  {drill.goal}")
    for line in _marks(drill, done, number):
        console.say(f"  {line}")


def _marks(drill: Drill, done: Progress, current: int) -> Sequence[str]:
    lines = []
    for index, (name, call) in enumerate(zip(drill.step_ids(), drill.scenarios, strict=True)):
        held = done.get(name, {})
        mark = "x" if held.get("mitigated") else "~" if held else " "
        arrow = ">" if index == current else " "
        lines.append(f"{arrow} [{mark}] {index + 1}. {call.title or name}")
    return lines


def _what_next(drill: Drill, done: Progress, console: Console) -> None:
    left = [name for name in drill.step_ids() if not done.get(name, {}).get("mitigated")]
    console.say()
    if left:
        count = f"{len(left)} of {len(drill.scenarios)} lessons are left"
        console.say(f"  {count}: drill train --curriculum {drill.metadata.name}")
    else:
        console.say(f"  That was the last lesson of {drill.title}. Well done.", "bold green")


def _all_done(drill: Drill, done: Progress, console: Console) -> None:
    console.say(f"{drill.title}: all lessons are done.", "bold green")
    for line in _marks(drill, done, -1):
        console.say(f"  {line}")
    console.say(
        f"  One once more: drill train --curriculum {drill.metadata.name} --again 2; or: drill train --random"
    )


def progress_file(name: str) -> Path:
    """Return where progress in the drill *name* is kept."""
    folder = state_dir() / "curricula"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder / f"{name}.json"


def read_progress(name: str) -> Progress:
    """Return what was kept; empty when nothing was, or it cannot be read."""
    try:
        kept = json.loads(progress_file(name).read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): dict(value) for key, value in kept.items() if isinstance(value, Mapping)}


def keep(name: str, lesson: str, held: Held) -> None:
    """Write down how *lesson* went; a lesson once done stays done."""
    done = read_progress(name)
    before = done.get(lesson, {})
    done[lesson] = {
        "mitigated": held.debrief.mitigated or bool(before.get("mitigated")),
        "localized": held.debrief.localized or bool(before.get("localized")),
        "ending": held.debrief.ending,
        "session": held.debrief.session,
    }
    path = progress_file(name)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(done, indent=1))
    fresh.replace(path)
