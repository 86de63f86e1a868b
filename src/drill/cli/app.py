"""The command line's root: lazy subcommands, and the one place where failures become exit codes.

Importing this module imports click and nothing of the rest, so that ``drill --help``, ``--version`` and shell
completion answer at once. ``main`` returns the exit code; it never lets an exception out.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from drill import __version__
from drill.core.errors import DrillError, ExitCode

SECTIONS: dict[str, dict[str, str]] = {
    "Drill": {
        "run": "Break it for real and judge the alerts.",
        "plan": "Say exactly what a run would do, cause and cost; touch nothing.",
        "predict": "Say when alerts fire, at what price, and why not.",
    },
    "Game days": {
        "gameday": "Several scenarios as one occasion, with people and a schedule.",
        "schedule": "Write a drill's schedule for Kubernetes, systemd, cron, GitHub, a calendar.",
    },
    "Runbooks": {
        "runbook": "Check runbooks, show them, walk through one, prove that it works.",
    },
    "Train": {
        "train": "Be on call in a sandbox: a page comes, find the cause, mend it.",
        "facilitate": "Lead a training that goes on: see everything, pause, whisper, escalate.",
        "tabletop": "Talk a scenario through: the clock and the injects, nothing is touched.",
        "debrief": "Show the debrief of a training again.",
    },
    "Look": {
        "list": "The scenarios there are.",
        "validate": "Check scenario files; every mistake with its place.",
        "runs": "Past runs and their verdicts.",
        "report": "Show or render again the report of a run.",
        "compare": "Two runs side by side.",
        "coverage": "Which alert rules are proven, by what, and how long ago.",
        "policy": "Reasons not to rely on the alerts, or not to drill now.",
    },
    "Stop and clean up": {
        "abort": "Stop every run on this machine, undo included.",
        "recover": "Remove what a dead run or sandbox left behind.",
    },
    "Set up": {
        "doctor": "What is missing on this machine and how to get it.",
        "sandbox": "Keep a sandbox running to look around in.",
        "k8s": "Set drill up in a Kubernetes cluster, with the fewest rights.",
        "demo": "The demo shop in a Kubernetes cluster of yours.",
        "slo": "Rules, routes and dashboards from SLO files.",
        "export": "A scenario as an experiment for Chaos Toolkit.",
        "import": "A scenario made of a Chaos Toolkit experiment.",
        "schema": "Print a JSON schema for your editor.",
        "completion": "Print the shell completion script.",
    },
}
COMMANDS = {name: text for section in SECTIONS.values() for name, text in section.items()}


class LazyGroup(click.Group):
    """A group that imports a subcommand's module only when that subcommand runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import and return one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"drill.cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, with a suggestion that needs no import."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from drill.core.problems import did_you_mean

            hint = did_you_mean(name, COMMANDS)
            ctx.fail(f"there is no command '{name}'; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the commands by section; click's own way would import every one of them."""
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(list(commands.items()))


EPILOG = """\b
Examples:
  drill run latency-spike --service checkout
  drill plan latency-spike --service checkout
  drill run --all --tag smoke --junit out.xml

Exit codes: 0 pass, 1 fail, 2 your files or usage, 3 unknown, 4 aborted, 5 undo incomplete."""


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="drill", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar="DRILL_DEBUG", help="Show the traceback when drill itself fails.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Prove, by really breaking things, that your alerts fire and reach the right people.

    Without configuration everything happens in an embedded sandbox on this machine: real services, a real
    Prometheus and Alertmanager, real faults, nothing of yours.
    """
    ctx.obj = {"debug": debug}


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line with *args* (default: the process's) and return the exit code."""
    given = list(sys.argv[1:] if args is None else args)
    try:
        result: Any = cli.main(args=given, prog_name=called(sys.argv[0]), standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        _tell("drill: aborted")
        return ExitCode.ABORTED
    except DrillError as error:
        return _explain(error)
    except BrokenPipeError:
        return _pipe_closed()
    except Exception as error:
        return _apologise(error, debug="--debug" in given)
    return int(result) if isinstance(result, int) else ExitCode.PASS


def called(program: str) -> str:
    """Return how this command line was called, for its usage: kubectl calls plugins by another name."""
    return "kubectl drill" if program.rpartition("/")[2] == "kubectl-drill" else "drill"


def _explain(error: DrillError) -> int:
    from drill.core.problems import render

    for problem in getattr(error, "problems", ()):
        _tell(render(problem))
    _tell(f"drill: {error}")
    if error.hint:
        _tell(f"  hint: {error.hint}")
    return error.exit_code


def _apologise(error: Exception, *, debug: bool) -> int:
    import os
    import traceback

    if debug or os.environ.get("DRILL_DEBUG"):
        _tell("".join(traceback.format_exception(error)).rstrip())
    _tell(f"drill: sorry, this is a mistake in drill itself: {type(error).__name__}: {error}")
    _tell("  hint: `drill --debug …` shows where; if a run was under way, `drill recover` removes what it left")
    return ExitCode.UNKNOWN


def _pipe_closed() -> int:
    """The reader of our output is gone (``drill list | head``): not a failure, and nothing more to flush."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.PASS


def _tell(text: str) -> None:
    from drill.core.redact import redact

    click.echo(redact(text), err=True)
