"""`drill k8s`: set drill up in a cluster, take it out again, and say what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from drill.cli.options import complete_targets

if TYPE_CHECKING:
    from drill.target.kubernetes.api import Api
    from drill.target.kubernetes.manifests import Wanted

EPILOG = """\b
Examples:
  drill k8s install --context kind-drill --namespace shop
  drill k8s install --namespace shop --print | kubectl apply -f -
  drill k8s doctor --context kind-drill --namespace shop
  drill k8s uninstall --context kind-drill --namespace shop"""


@click.group(epilog=EPILOG)
def command() -> None:
    """Set drill up in a Kubernetes cluster, with the fewest rights that do the job.

    Creates the namespace drill-system, a ServiceAccount that runs drills and may act only in the namespaces named
    here, and one for helper pods that may ask the API server for nothing. No Secret is ever read.
    """


def _options(function: Any) -> Any:
    for option in (
        click.option(
            "--ephemeral", is_flag=True, help="Also agents in the pods themselves: drill.toml's way."
        ),
        click.option("--nodes", is_flag=True, help="Also cordon and drain: rights on nodes."),
        click.option(
            "--monitoring", metavar="NS", multiple=True, default=("monitoring",), show_default=True,
            help="Where Prometheus and Alertmanager are.",
        ),
        click.option("--namespace", "namespaces", metavar="NS", multiple=True, help="Where drills may act."),
        click.option(
            "--context", metavar="NAME", default="", shell_complete=complete_targets,
            help="The cluster: a context of drill.toml or of your kubeconfig.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


@command.command()
@_options
@click.option(
    "--print", "print_", is_flag=True, help="Print the YAML with the reason for each right; touch nothing."
)
def install(context: str, print_: bool, **scope: Any) -> int:
    """Create what drill needs; doing it twice is harmless. With --print only print it, which needs no cluster."""
    from drill.cli.console import Console
    from drill.target.kubernetes import install as installing
    from drill.target.kubernetes import manifests

    wanted, console = _wanted(**scope), Console()
    if print_:
        console.data(manifests.text(wanted).rstrip())
        return 0
    for line in installing.install(_api(context), wanted):
        console.say(line)
    for namespace in wanted.targets:
        console.say(f"drills are let in by its owner: kubectl label namespace {namespace} drill.dev/allowed=true")
    return 0


@command.command()
@_options
def uninstall(context: str, **scope: Any) -> int:
    """Delete what install created; doing it twice is harmless."""
    from drill.cli.console import Console
    from drill.target.kubernetes import install as installing

    for line in installing.uninstall(_api(context), _wanted(**scope)):
        Console().say(line)
    return 0


@command.command()
@_options
@click.option("--as", "as_user", metavar="ACCOUNT", default="", help="Ask for this ServiceAccount instead of you.")
def doctor(context: str, as_user: str, **scope: Any) -> int:
    """Say what is missing for drills in a cluster, right by right, and what to do. Touches nothing.

    Exits 3 when something is missing.
    """
    from drill.cli.cluster_checks import check_lines, checks
    from drill.cli.console import Console

    found = checks(_api(context, as_user), _wanted(**scope))
    console = Console()
    for line, style in check_lines(found):
        console.say(line, style)
    return 3 if any(not one.ok for one in found) else 0


def _wanted(namespaces: Sequence[str], monitoring: Sequence[str], nodes: bool, ephemeral: bool) -> Wanted:
    from drill.target.kubernetes.manifests import Wanted

    return Wanted(tuple(namespaces), tuple(monitoring), nodes, ephemeral)


def _api(context: str, as_user: str = "") -> Api:
    from drill.cli.cluster import where
    from drill.cli.settings import RunSettings
    from drill.core.errors import UsageError
    from drill.target.kubernetes.api import Api

    if not context:
        raise UsageError("which cluster? --context NAME", hint="a kubeconfig's current context is never used")
    return Api(where(RunSettings(target=context, as_user=as_user)).access)
