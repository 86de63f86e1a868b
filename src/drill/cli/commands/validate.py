"""`drill validate`: every mistake in scenario files, with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from drill.cli.options import format_option

if TYPE_CHECKING:
    from drill.core.problems import Problem

EPILOG = """\b
Examples:
  drill validate
  drill validate scenarios/*.yaml
  drill validate --format json mine.yaml"""


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1)
@format_option("text", "json")
def command(files: Sequence[str], format_: str) -> int:
    """Check scenario files (names or paths; without any: all of `drill list`) and print every mistake.

    Each with file, line and column, the offending line, and what would be right. Exits 2 if there is any;
    nothing is run. Required parameters get a sample value.
    """
    from drill.cli.console import Console
    from drill.core.problems import render
    from drill.faults.registry import parameter_models
    from drill.scenario.library import find_all
    from drill.scenario.loader import load

    models = parameter_models()
    paths = find_all(files, "scenarios")
    problems: list[Problem] = []
    for path in paths:
        problems += load(path, faults=models, placeholders=True).problems
    console = Console(machine=format_ == "json")
    if format_ == "json":
        import json

        console.data(json.dumps([asdict(problem) for problem in problems], indent=2))
    else:
        for problem in problems:
            console.data(render(problem))
        console.say(_summary(len(paths), problems))
    return 2 if problems else 0


def _summary(checked: int, problems: Sequence[Problem]) -> str:
    wrong = len({problem.file for problem in problems})
    files = f"{checked} file{'s' if checked != 1 else ''}"
    if not problems:
        return f"{files}: no mistakes"
    mistakes = f"{len(problems)} mistake{'s' if len(problems) != 1 else ''}"
    return f"{mistakes} in {wrong} of {files}"
