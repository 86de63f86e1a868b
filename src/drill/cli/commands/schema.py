"""`drill schema`: JSON schemas for editors and other programs."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  drill schema scenario > scenario.schema.json
  drill schema report
  drill schema drill > drill.schema.json"""


@click.command(epilog=EPILOG)
@click.argument("which", type=click.Choice(("scenario", "report", "drill")), default="scenario")
def command(which: str) -> int:
    """Print the JSON schema of scenario files (default), of report.json, or of drill files (game days).

    In a scenario or drill file, `# yaml-language-server: $schema=…` on the first line gives an editor completion.
    """
    from drill.cli.console import Console

    Console(machine=True).data(_schema(which).rstrip("\n"))
    return 0


def _schema(which: str) -> str:
    if which == "report":
        from drill.report.json_schema import report_schema

        return report_schema()
    if which == "drill":
        from drill.gameday.schema import export as export_drill

        return export_drill()
    from drill.faults.registry import parameter_models
    from drill.scenario.schema import export

    return export(parameter_models())
