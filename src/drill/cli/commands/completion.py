"""`drill completion`: the shell completion script."""

from __future__ import annotations

import click

EPILOG = """\b
Examples:
  drill completion bash > ~/.local/share/bash-completion/completions/drill
  drill completion zsh  > ~/.zfunc/_drill
  drill completion fish > ~/.config/fish/completions/drill.fish"""


@click.command(epilog=EPILOG)
@click.argument("shell", metavar="SHELL", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> int:
    """Print the completion script for SHELL: bash, zsh or fish.

    It completes commands, options, scenarios, services and runs.
    """
    from click.shell_completion import get_completion_class

    from drill.cli.app import cli
    from drill.cli.console import Console

    kind = get_completion_class(shell)
    assert kind is not None
    Console(machine=True).data(kind(cli, {}, "drill", "_DRILL_COMPLETE").source().rstrip("\n"))
    return 0
