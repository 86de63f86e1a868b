"""`drill import`: a scenario made of another tool's file."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Examples:
  drill import chaostoolkit experiment.json > scenarios/my-scenario.yaml
  drill import chaostoolkit experiment.yaml -o scenarios/my-scenario.yaml"""


@click.command(epilog=EPILOG)
@click.argument("tool", type=click.Choice(("chaostoolkit",)))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
def command(tool: str, file: Path, output: Path | None) -> int:  # noqa: ARG001 - one tool so far
    """Make a scenario of a Chaos Toolkit experiment, and name what could not be carried over.

    Each loss is said with file, line and column, and stands as a comment in the scenario. Exits 2 when nothing can
    be made of the file, or when the scenario needs something from you before it can run.
    """
    from drill.cli.console import Console
    from drill.cli.textfiles import read_bytes, write_text
    from drill.core.errors import ProblemsFound
    from drill.core.problems import render
    from drill.experiments.importing import import_experiment
    from drill.faults.registry import parameter_models
    from drill.scenario.loader import load

    made = import_experiment(read_bytes(file), str(file), output.stem if output else "")
    console = Console(machine=output is None)
    for one in made.lost:
        console.warn(render(one))
    if made.problems:
        raise ProblemsFound(made.problems)
    if output is None:
        console.data(made.text.rstrip("\n"))
    else:
        write_text(output, made.text)
    missing = load(made.text, faults=parameter_models(), placeholders=True, file=str(output or "scenario")).problems
    for one in missing:
        console.warn(render(one))
    if missing:
        console.warn("the scenario is not complete: it needs what is said above before it can run")
    return 2 if missing else 0
