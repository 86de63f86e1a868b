"""`drill schema`: JSON schemas for editors and other programs."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  drill schema scenario > scenario.schema.json
  drill schema report
  drill schema drill > drill.schema.json
  drill schema config > config.schema.json   # drill.toml"""


@click.command(epilog=EPILOG)
@click.argument("which", type=click.Choice(("scenario", "report", "drill", "config")), default="scenario")
def command(which: str) -> int:
    """Print the JSON schema of scenario files (default), report.json, drill files (game days), or drill.toml.

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
    if which == "config":
        from drill.cli.config import Config
        from drill.gameday.schema import schema_of

        return schema_of(Config, "drill.toml")
    from drill.faults.registry import parameter_models
    from drill.scenario.schema import export

    return export(parameter_models())
