"""`drill doctor`: what is missing on this machine and how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from drill.cli.options import format_option

if TYPE_CHECKING:
    from drill.cli.console import Console
    from drill.cli.diagnosis import Check

EPILOG = """\b
Examples:
  drill doctor
  drill doctor --fix      # no root needed: unpacks Debian packages into your cache"""


@click.command(epilog=EPILOG)
@click.option("--fix", is_flag=True, help="Get what is missing: unpack Debian packages into your cache.")
@click.option("--quick", is_flag=True, help="Look for programs only, try no faults.")
@click.option("--quiet", is_flag=True, help="Print only what is wrong.")
@format_option("text", "json")
def command(fix: bool, quick: bool, quiet: bool, format_: str) -> int:
    """Say what is missing on this machine, what it is for and how to get it.

    Tries for every fault which of its backends work here. Exits 3 when the sandbox cannot start.
    """
    from drill.cli import diagnosis
    from drill.cli.console import Console

    console = Console(machine=format_ == "json")
    if fix:
        _fix(console, quiet)
    checks = [*diagnosis.program_checks(), *([] if quick else diagnosis.fault_checks())]
    if format_ == "json":
        import json

        console.data(json.dumps([vars(check) for check in checks], indent=2))
    else:
        _show(checks, console, quiet)
    return 3 if any(check.essential and not check.ok for check in checks) else 0


def _fix(console: Console, quiet: bool) -> None:
    """Get each missing program by itself, so that one that cannot be had does not keep the others away."""
    from drill.core.errors import Unavailable
    from drill.target.sandbox import programs

    for program in programs.missing():
        try:
            programs.fetch([program.name], on_progress=None if quiet and not program.essential else console.say)
        except Unavailable as error:
            console.warn(
                f"{program.name} could not be fetched: {error}" + (f" ({error.hint})" if error.hint else "")
            )


def _show(checks: Sequence[Check], console: Console, quiet: bool) -> None:
    from drill.cli.diagnosis import check_lines

    for check in checks:
        if quiet and check.ok:
            continue
        for line in check_lines(check):
            console.say(line, {"✓": "green", "✗": "red"}.get(line[0], "dim"))
    blocking = [check.name for check in checks if check.essential and not check.ok]
    if blocking:
        console.say(f"the sandbox cannot start without {', '.join(blocking)}: `drill doctor --fix`", "red")
    elif not quiet:
        console.say("the sandbox can start")
