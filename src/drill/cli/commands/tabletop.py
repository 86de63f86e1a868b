"""`drill tabletop`: a scenario told, with no target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drill.cli.options import complete_scenarios, complete_services, out_option

EPILOG = """\b
Examples:
  drill tabletop latency-spike --service checkout
  drill tabletop dependency-down --step
  drill tabletop two-faults --speed 10"""


@click.command(epilog=EPILOG)
@click.argument("scenario", shell_complete=complete_scenarios)
@click.option("--service", metavar="NAME", shell_complete=complete_services, help="The service it happens to.")
@click.option("--set", "sets", metavar="K=V", multiple=True, help="Set a parameter of the scenario.")
@click.option("--step", is_flag=True, help="Step by step: the clock stands until somebody types `next`.")
@click.option(
    "--speed", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, metavar="N",
    help="How many times faster than real time the clock runs.",
)  # fmt: skip
@click.option("--limit", default="60m", show_default=True, metavar="TIME", help="When it ends by itself.")
@out_option
def command(scenario: str, out: Path, **options: Any) -> int:
    """Talk a scenario through around one table: the page and the injects come on a clock, nothing is touched.

    Notes go on the timeline; ends with the same kind of debrief as a training.
    """
    from drill.cli.console import Console
    from drill.cli.options import parse_sets
    from drill.cli.settings import RunSettings
    from drill.cli.training.choose import limit_of
    from drill.cli.training.tabletop import hold_tabletop

    settings = RunSettings(sets=parse_sets(options["sets"], options["service"]), out=out, fast_forward=1.0)
    speed = 0.0 if options["step"] else options["speed"]
    return hold_tabletop(scenario, settings, speed, limit_of(options["limit"]), Console())
