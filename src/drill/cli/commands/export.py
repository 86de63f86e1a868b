"""`drill export`: a scenario in the words of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drill.cli.options import complete_scenarios, plan_options, settings_from

EPILOG = """\b
Examples:
  drill export chaostoolkit latency-spike --service checkout -o latency.json
  chaos validate latency.json && chaos run latency.json
  DRILL_TARGET=sandbox:NAME chaos run latency.json
  drill export chaostoolkit latency-spike --service checkout --context C --namespace shop -o latency.json"""


@click.command(epilog=EPILOG)
@click.argument("tool", type=click.Choice(("chaostoolkit",)))
@click.argument("scenario", metavar="SCENARIO|FILE", shell_complete=complete_scenarios)
@plan_options
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
def command(tool: str, scenario: str, output: Path | None, **options: Any) -> int:  # noqa: ARG001 - one tool so far
    """Write a scenario as an experiment that `chaos run` plays.

    Chaos Toolkit leads and drill does the work: its faults, their undo, the proof of effect and the judgement of
    the alerts. The plan is made first, so that an experiment is written only for a scenario that can be run.
    """
    import json

    from drill.cli.console import Console
    from drill.cli.settings import wiring
    from drill.cli.textfiles import write_text
    from drill.experiments.export import experiment_of

    settings = settings_from(options)
    compiled = wiring().compile_plan(scenario, settings)
    given = str(Path(scenario).resolve()) if Path(scenario).is_file() else scenario
    compiled.close()
    place = {"namespace": compiled.plan.namespace, "as_user": settings.as_user}
    made = experiment_of(
        compiled.loaded.scenario, given, settings.sets, settings.target, compiled.plan.fast_forward, place
    )
    text = json.dumps(made, indent=2, ensure_ascii=False)
    if output is None:
        Console(machine=True).data(text)
    else:
        write_text(output, text + "\n")
        Console().say(f"{output}: play it with `chaos run {output}`")
    return 0
