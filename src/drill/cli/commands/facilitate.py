"""`drill facilitate`: the other side of a training."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  drill facilitate
  drill facilitate 20261125T024500Z-training"""


@click.command(epilog=EPILOG)
@click.argument("session", default="last")
def command(session: str) -> int:
    """Lead a training that goes on in another terminal of yours: SESSION, or the one that began last.

    Shows scenario, answer and timeline as they happen. Pause the clock, hold or skip an inject, whisper, add a
    second fault, declare a real incident, abort. Leaving this view does not end the training.
    """
    from drill.cli.training.door import RemoteStage
    from drill.cli.training.door import session as find_session
    from drill.cli.training.facilitator import Facilitator

    address = find_session(session)
    Facilitator(RemoteStage(address), address.page).run()
    return 0
