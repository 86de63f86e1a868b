"""`drill schema`: JSON schemas for editors and other programs."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  drill schema scenario > scenario.schema.json
  drill schema report"""


@click.command(epilog=EPILOG)
@click.argument("which", type=click.Choice(("scenario", "report")), default="scenario")
def command(which: str) -> int:
    """Print the JSON schema of scenario files (default) or of report.json.

    In a scenario file, `# yaml-language-server: $schema=…` on the first line gives an editor completion.
    """
    from drill.cli.console import Console

    Console(machine=True).data(_schema(which).rstrip("\n"))
    return 0


def _schema(which: str) -> str:
    if which == "report":
        from drill.report.json_schema import report_schema

        return report_schema()
    from drill.faults.registry import parameter_models
    from drill.scenario.schema import export

    return export(parameter_models())
