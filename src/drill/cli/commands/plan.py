"""`drill plan`: what a run would do, cause and cost; nothing is touched."""

from __future__ import annotations

from typing import Any

import click

from drill.cli.options import complete_scenarios, format_option, plan_options, settings_from

EPILOG = """\b
Examples:
  drill plan latency-spike --service checkout
  drill plan latency-spike --service checkout --set delay=100ms --real-time
  drill plan latency-spike --service checkout --format json"""


@click.command(epilog=EPILOG)
@click.argument("scenario", metavar="SCENARIO|FILE", shell_complete=complete_scenarios)
@plan_options
@format_option("text", "json")
def command(scenario: str, **options: Any) -> int:
    """Say exactly what a run would do, cause and cost, and touch nothing.

    Shows every action with its undo, the blast radius, for each alert when it will fire and resolve and which
    receivers get it, the price in error budget, and what stands in the way. Exits 2 when the drill cannot work.
    """
    from drill.cli.reaching import reach

    settings = settings_from(options)
    reach(settings)
    from drill.cli.console import Console
    from drill.cli.plan_text import plan_text
    from drill.cli.settings import wiring

    compiled = wiring().compile_plan(scenario, settings)
    compiled.close()
    plan = compiled.plan
    console = Console(machine=options["format_"] == "json")
    if options["format_"] == "json":
        console.data(plan.model_dump_json(indent=2))
    else:
        console.data(plan_text(plan))
    return 2 if any(finding.level == "block" for finding in plan.findings) else 0
