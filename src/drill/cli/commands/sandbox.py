"""`drill sandbox`: keep a sandbox running to look around in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from drill.cli.options import fast_forward_option

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
@fast_forward_option("Divide the windows by N; 1 is real time.")
def up(seed: int, fast_forward: float) -> int:
    """Start one and print its URLs; it stays until `drill sandbox down`."""
    from drill.cli.console import Console
    from drill.cli.keeping import keep
    from drill.cli.settings import wiring

    info = wiring().sandbox_up(fast_forward, seed)
    keep(info.name)
    _say(info, Console())
    return 0


@command.command()
def status() -> int:
    """Show every sandbox that runs, also those of runs under way. Exits 3 when one is not healthy."""
    from drill.cli.console import Console
    from drill.cli.keeping import kept
    from drill.cli.settings import wiring

    console, found = Console(), wiring().sandbox_status()
    mine = kept(info.name for info in found)
    for info in found:
        _say(info, console, "" if info.name in mine else "not started by `drill sandbox up`: a run may be using it")
    if not found:
        console.say("no sandbox is running; `drill sandbox up` starts one")
    return 0 if all(info.healthy for info in found) else 3


@command.command()
@click.argument("name", default="")
def down(name: str) -> int:
    """End the sandbox NAME; without it those that `drill sandbox up` started, and no other.

    A sandbox that a run is using is ended only when it is named.
    """
    from drill.cli.console import Console
    from drill.cli.keeping import kept
    from drill.cli.settings import wiring

    wires, console = wiring(), Console()
    wanted = [name] if name else kept(info.name for info in wires.sandbox_status())
    for one in wanted:
        for ended in wires.sandbox_down(one):
            console.say(f"ended sandbox {ended}")
    if not wanted:
        console.say("no sandbox was kept")
    return 0


def _say(info: SandboxInfo, console: Console, remark: str = "") -> None:
    health = "healthy" if info.healthy else "NOT healthy"
    note = "".join(f": {text}" for text in (info.note, remark) if text)
    speed = "real time" if info.fast_forward == 1 else f"fast-forward {info.fast_forward:g}"
    console.say(f"sandbox {info.name} ({f'pid {info.pid}, ' if info.pid else ''}{speed}) is {health}{note}")
    width = max((len(what) for what in info.urls), default=0)
    for what, url in info.urls.items():
        console.say(f"  {what:<{width}}  {url}")
