"""`drill compare`: two runs side by side."""

from __future__ import annotations

from pathlib import Path

import click

from drill.cli.options import complete_runs, format_option, out_option

EPILOG = """\b
Examples:
  drill compare 20261123T214228Z 20261123T231045Z
  drill compare 20261123T214228Z last --format json"""


@click.command(epilog=EPILOG)
@click.argument("run_a", shell_complete=complete_runs)
@click.argument("run_b", default="last", shell_complete=complete_runs)
@out_option
@format_option("text", "json")
def command(run_a: str, run_b: str, out: Path, format_: str) -> int:
    """Compare RUN_A with RUN_B (default: the last run): verdicts, times of the alerts, budget.

    Only runs of one scenario with the same parameters are a pair; what else differs is said first. A single pair
    shows no trend.
    """
    from dataclasses import asdict

    from drill.cli.console import Console
    from drill.cli.past import find_run
    from drill.core.errors import UsageError
    from drill.history.compare import compare
    from drill.history.index import read_report

    paths = find_run(run_a, out), find_run(run_b, out)
    reports = []
    for path in paths:
        report = read_report(path)
        if report is None:
            raise UsageError(f"{path} has neither a report nor a journal that can be judged")
        reports.append(report)
    found = compare(*reports)
    console = Console(machine=format_ == "json")
    if format_ == "json":
        import json

        console.data(json.dumps({"runs": [path.name for path in paths], **asdict(found)}, indent=2))
        return 0
    for line in found.unlike:
        console.say(f"! not a pair: {line}")
    console.table(
        ("", paths[0].name, paths[1].name, ""),
        [(row.what, row.before, row.after, row.change) for row in found.rows],
    )
    return 0
