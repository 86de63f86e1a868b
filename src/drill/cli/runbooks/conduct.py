"""Joins a walk through a runbook with its target, its record and a run that is under way there."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drill.cli.console import Console
from drill.cli.folders import new_folder
from drill.cli.leases import held_by
from drill.cli.runbooks.find import find_runbook
from drill.cli.runbooks.walkthrough import Walkthrough
from drill.cli.runbooks.world import world_of
from drill.core.errors import UsageError
from drill.core.problems import did_you_mean
from drill.runbook.records import STEPS, Step
from drill.runbook.walk import Walker


@dataclass(frozen=True)
class Wish:
    """What a walk is asked for."""

    runbook: str
    values: dict[str, str]
    out: Path
    target: str = ""
    prometheus: str = ""
    context: str = ""
    cells: Sequence[str] = ()
    by: str = ""


def conduct(wish: Wish, console: Console, read: Callable[[str], str | None]) -> tuple[Sequence[Step], Path]:
    """Walk; return what became of the steps and the folder with the record. Raises UsageError, Unavailable."""
    runbook = find_runbook(wish.runbook)
    names = [cell.name for cell in runbook.cells]
    for name in wish.cells:
        if name not in names:
            raise UsageError(f"{runbook.file} has no cell '{name}'", hint=did_you_mean(name, names))
    with world_of(wish.target, wish.prometheus, wish.context) as world:
        folder = new_folder(wish.out, f"runbook-{Path(runbook.file).stem}")
        values = {"NAMESPACE": "default", "DATA": "/data"} if wish.target else {}
        walker = Walker(runbook, world, {**values, **wish.values}, wish.by or _who())
        files = [folder / STEPS, *_under_way(wish)]
        if len(files) > 1:
            console.say(f"a run is under way there: its timeline gets these steps too ({files[1].parent.name})")
        return Walkthrough(walker, console, files, read, frozenset(wish.cells)).walk(), folder


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _under_way(wish: Wish) -> list[Path]:
    """The record of the run that drills the same sandbox now, where it lies below the same ``--out``."""
    sandbox = wish.target.partition(":")[2]
    found = [wish.out / run for run in held_by(f"sandbox {sandbox}/")] if sandbox else []
    return [folder / STEPS for folder in dict.fromkeys(found) if (folder / "journal.jsonl").is_file()]
