"""`drill sandbox`: keep a sandbox running to look around in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drill.cli.settings import DEFAULT_FAST_FORWARD

if TYPE_CHECKING:
    from drill.cli.console import Console
    from drill.cli.settings import SandboxInfo

EPILOG = """\b
Examples:
  drill sandbox up
  drill sandbox status
  drill sandbox down"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Keep a sandbox running to look around in: services, load, Prometheus, Alertmanager, receivers.

    `drill run` does not need it: it starts a fresh one for every run and removes it.
    """


@command.command()
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the load.")
@click.option(
    "--fast-forward",
    type=click.FloatRange(1, 3600),
    default=DEFAULT_FAST_FORWARD,
    show_default=True,
    metavar="N",
    help="Divide the windows by N; 1 is real time.",
)
def up(seed: int, fast_forward: float) -> int:
    """Start one and print its URLs; it stays until `drill sandbox down`."""
    from drill.cli.console import Console
    from drill.cli.settings import wiring

    _say(wiring().sandbox_up(fast_forward, seed), Console())
    return 0


@command.command()
def status() -> int:
    """Show the sandboxes that are kept, with their URLs. Exits 3 when one is not healthy."""
    from drill.cli.console import Console
    from drill.cli.settings import wiring

    console, found = Console(), wiring().sandbox_status()
    for info in found:
        _say(info, console)
    if not found:
        console.say("no sandbox is kept; `drill sandbox up` starts one")
    return 0 if all(info.healthy for info in found) else 3


@command.command()
@click.argument("name", default="")
def down(name: str) -> int:
    """End the sandbox NAME, or all that are kept."""
    from drill.cli.console import Console
    from drill.cli.settings import wiring

    console, ended = Console(), wiring().sandbox_down(name)
    for one in ended:
        console.say(f"ended sandbox {one}")
    if not ended:
        console.say("no sandbox was kept")
    return 0


def _say(info: SandboxInfo, console: Console) -> None:
    health = "healthy" if info.healthy else "NOT healthy"
    note = f": {info.note}" if info.note else ""
    speed = "real time" if info.fast_forward == 1 else f"fast-forward {info.fast_forward:g}"
    console.say(f"sandbox {info.name} (pid {info.pid}, {speed}) is {health}{note}")
    width = max((len(what) for what in info.urls), default=0)
    for what, url in info.urls.items():
        console.say(f"  {what:<{width}}  {url}")
