"""`drill train`: something breaks, you are on call, and you do not know what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from drill.cli.options import complete_scenarios, complete_services, out_option

EPILOG = """\b
Examples:
  drill train --random
  drill train --curriculum onboarding
  drill train latency-spike --service cart --facilitator
  drill facilitate last          (in a second terminal)

Exit codes: 0 the session was held (won or not), 2 usage, 4 ended early, 5 undo incomplete."""


@click.command(epilog=EPILOG)
@click.argument("scenario", required=False, shell_complete=complete_scenarios)
@click.option("--random", "random_", is_flag=True, help="Let chance choose scenario and service.")
@click.option("--curriculum", metavar="DRILL", help="The next lesson of a drill file, like onboarding.")
@click.option("--again", metavar="LESSON", help="With --curriculum: this lesson once more.")
@click.option("--service", metavar="NAME", shell_complete=complete_services, help="The service to break.")
@click.option("--set", "sets", metavar="K=V", multiple=True, help="Set a parameter of the scenario.")
@click.option("--target", default="sandbox", show_default=True, help="sandbox:NAME is one that was kept.")
@click.option("--facilitator/--solo", default=False, help="Somebody leads with `drill facilitate`; or alone.")
@click.option("--seed", type=click.IntRange(0), help="Seed of all choices; without it: chance.")
@click.option(
    "--limit", default="15m", show_default=True, metavar="TIME", help="The fault is repaired after this long."
)
@click.option("--my-card", is_flag=True, help="Also make a card for you alone: what went well, what to try.")
@click.option("--real-time", is_flag=True, help="Real alert windows, not sped up: the page takes minutes.")
@out_option
def command(scenario: str | None, out: Path, **options: Any) -> int:
    """Be on call in a sandbox: a page comes, find the cause, mend it.

    Blind: what breaks is sealed at the start (its hash is shown) and told at the end. You get the page, the
    runbook it leads to, Prometheus, Alertmanager and a shell. Ends with a debrief about the system.
    """
    from drill.cli.training.choose import Choice, start

    return start(Choice(scenario=scenario, out=out, **options))
