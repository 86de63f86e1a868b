"""The scenarios there are, read leniently: a scenario with mistakes is listed with them, never left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drill.faults.registry import parameter_models
from drill.scenario.library import shipped
from drill.scenario.loader import load


@dataclass(frozen=True)
class Entry:
    """One scenario. ``call`` is what to give to `drill run`; ``problems`` is how many mistakes its file has;
    ``needs`` are the parameters without a default."""

    call: str
    file: Path
    title: str
    tags: tuple[str, ...]
    difficulty: str
    breaks: str
    needs: tuple[str, ...]
    parameters: tuple[str, ...]
    problems: int


def catalogue() -> Sequence[Entry]:
    """Read every scenario in the working directory's ``scenarios/`` and the shipped ones."""
    return [read_entry(file) for file in shipped("scenarios")]


def read_entry(file: Path) -> Entry:
    """Read one scenario file; a required parameter gets a sample value."""
    loaded = load(file, faults=parameter_models(), placeholders=True)
    scenario = loaded.scenario
    if scenario is None:
        count = len(loaded.problems)
        return Entry(file.stem, file, f"{count} mistakes: drill validate {file}", (), "", "", (), (), count)
    faults = dict.fromkeys(injection.fault for injection in scenario.injections)
    required = tuple(name for name, one in scenario.parameters.items() if one.required)
    return Entry(
        call=file.stem,
        file=file,
        title=scenario.metadata.title or scenario.metadata.name,
        tags=scenario.metadata.tags,
        difficulty=scenario.metadata.difficulty,
        breaks=", ".join(faults),
        needs=required,
        parameters=tuple(scenario.parameters),
        problems=0,
    )
