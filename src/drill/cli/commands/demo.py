"""`drill demo`: the demo shop in a Kubernetes cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drill import __version__
from drill.cli.options import complete_targets, fast_forward_option
from drill.cli.settings import DEFAULT_FAST_FORWARD

if TYPE_CHECKING:
    from drill.cli.demo import Chosen

EPILOG = """\b
Examples:
  drill demo deploy --context kind-drill
  drill demo deploy --context kind-drill --real-time
  drill demo remove --context kind-drill
  drill demo generate --out -                  # all objects, for kubectl apply -f -"""


def where(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which cluster; a kubeconfig's current context alone is never touched."""
    options = (
        click.option(
            "--context",
            required=True,
            metavar="NAME",
            shell_complete=complete_targets,
            help="The cluster: a context of drill.toml or of your kubeconfig.",
        ),
        click.option("--yes", is_flag=True, help="Do not ask."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def namespaces(function: Callable[..., Any]) -> Callable[..., Any]:
    """The two namespaces."""
    for option in (
        click.option(
            "--monitoring-namespace",
            "monitoring",
            default="monitoring",
            show_default=True,
            metavar="NAME",
            help="Of Prometheus, Alertmanager and the receivers.",
        ),
        click.option("--namespace", default="shop", show_default=True, metavar="NAME", help="Of the services."),
    ):
        function = option(function)
    return function


def contents(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is deployed."""
    options = (
        click.option(
            "--image",
            default=f"drill.dev/drill:{__version__}",
            show_default=True,
            help="Image of the services (deploy/images/Dockerfile).",
        ),
        click.option(
            "--monitoring-image",
            default=f"drill.dev/monitoring:{__version__}",
            show_default=True,
            help="Image of Prometheus and Alertmanager.",
        ),
        click.option(
            "--node-selector",
            "nodes",
            multiple=True,
            metavar="[SERVICE:]KEY=VALUE",
            help="Run the services, or one of them, on nodes with this label.",
        ),
        click.option(
            "--load",
            type=click.FloatRange(min=0.05, max=20),
            default=1.0,
            show_default=True,
            metavar="X",
            help="Users' requests, as a multiple of the usual number: less for slow nodes.",
        ),
        click.option(
            "--cpu-limit",
            type=click.FloatRange(min=0.05, max=8),
            default=0.2,
            show_default=True,
            metavar="CPUS",
            help="What a replica may use: more for slow nodes.",
        ),
        click.option("--real-time", is_flag=True, help="Real windows, not fast-forwarded ones."),
        fast_forward_option(),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group(epilog=EPILOG)
def command() -> None:
    """The demo shop in a Kubernetes cluster: services, users, Prometheus, Alertmanager, receivers.

    It lives in two namespaces of its own and touches nothing else.
    """


@command.command()
@where
@namespaces
@contents
def deploy(context: str, yes: bool, **options: Any) -> int:
    """Put the demo into the cluster and wait until users get answers. Doing it again changes what differs."""
    from drill.cli import demo
    from drill.cli.console import Console

    chosen = _chosen(options)
    _ask(f"Put the demo into namespaces {chosen.namespace} and {chosen.monitoring} of {context}?", yes)
    demo.put(chosen, context, Console())
    return 0


@command.command()
@where
@namespaces
def remove(context: str, yes: bool, **options: Any) -> int:
    """Delete the demo's namespaces and wait until nothing is left. Namespaces of others are refused."""
    from drill.cli import demo
    from drill.cli.console import Console

    chosen = _chosen(options)
    _ask(f"Delete namespaces {chosen.namespace} and {chosen.monitoring} of {context}?", yes)
    demo.take_away(chosen, context, Console())
    return 0


@command.command()
@namespaces
@contents
@click.option("--out", default="deploy/demo", show_default=True, metavar="DIR|-", help="- is standard output.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file differs from what would be written.")
def generate(out: str, check: bool, **options: Any) -> int:
    """Write the demo as a folder for kustomize, or as one stream of objects; touch no cluster."""
    from drill.cli import demo
    from drill.cli.console import Console
    from drill.target.demo.layout import stream

    chosen, console = _chosen(options), Console()
    if out == "-":
        console.data(stream(chosen.spec()).rstrip("\n"))
        return 0
    files = demo.files(chosen)
    if check:
        found = demo.differing(files, Path(out))
        for path in found:
            console.warn(f"{Path(out) / path} differs from what `drill demo generate` writes")
        return 1 if found else 0
    demo.write(files, Path(out))
    console.say(f"wrote {len(files)} files below {out}")
    return 0


def _chosen(options: dict[str, Any]) -> Chosen:
    from drill.cli.demo import Chosen

    real_time = options.pop("real_time", False)
    fast_forward = options.pop("fast_forward", DEFAULT_FAST_FORWARD)
    return Chosen(
        namespace=options["namespace"],
        monitoring=options["monitoring"],
        image=options.get("image", ""),
        monitoring_image=options.get("monitoring_image", ""),
        fast_forward=1.0 if real_time else fast_forward,
        nodes=options.get("nodes", ()),
        **{name: options[name] for name in ("load", "cpu_limit") if name in options},
    )


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        from drill.core.errors import UsageError

        raise UsageError("nobody is there to ask", hint="--yes says that it is meant")
    click.confirm(question, abort=True, err=True)
