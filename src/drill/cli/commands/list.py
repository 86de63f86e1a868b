"""`drill list`: the scenarios there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from drill.cli.options import format_option

EPILOG = """\b
Examples:
  drill list
  drill list --tag smoke --format json"""


@click.command(epilog=EPILOG)
@click.option("--tag", metavar="T", multiple=True, help="Only scenarios with this tag.")
@format_option("text", "json")
def command(tag: Sequence[str], format_: str) -> int:
    """List the scenarios: those in ./scenarios, then those that came with drill.

    NEEDS names the parameters that must be given with --set (or --service).
    """
    from drill.cli.catalogue import Entry, catalogue
    from drill.cli.console import Console

    def as_json(entry: Entry) -> dict[str, Any]:
        return {**vars(entry), "file": str(entry.file)}

    entries = [entry for entry in catalogue() if set(tag) <= set(entry.tags)]
    console = Console(machine=format_ == "json")
    if format_ == "json":
        import json

        console.data(json.dumps([as_json(entry) for entry in entries], indent=2))
        return 0
    if not entries:
        console.say("no scenarios" + (f" with the tag {', '.join(tag)}" if tag else ""))
        return 0
    columns = ("name", "title", "tags", "difficulty", "breaks", "needs")
    console.table(columns, [_row(entry) for entry in entries])
    return 0


def _row(entry: Any) -> Sequence[str]:
    tags, needs = ",".join(entry.tags), ",".join(entry.needs)
    return (entry.call, entry.title, tags, entry.difficulty, entry.breaks, needs)
