"""Options and arguments that several commands share, and how the shell completes them.

Completion looks at file names only: it must answer while somebody holds the tab key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from drill.cli.settings import DEFAULT_FAST_FORWARD, DEFAULT_OUT, RunSettings
from drill.core.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
AS_HELP = "Act as system:serviceaccount:NAMESPACE:NAME of the cluster, with its rights."


def complete_scenarios(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Scenario names from file names, else files."""
    from click.shell_completion import CompletionItem

    from drill.scenario.library import shipped

    names = [path.stem for path in shipped("scenarios") if path.stem.startswith(incomplete)]
    return [*names] or [CompletionItem(incomplete, type="file")]


def complete_services(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Service names as they stand in the SLO files (``service: checkout``)."""
    from drill.scenario.library import shipped_roots

    names: set[str] = set()
    for root in shipped_roots("prometheus"):
        for file in (root / "slo").glob("*.y*ml"):
            names.update(re.findall(r"^service:\s*[\"']?([a-z0-9-]+)", file.read_text(), re.MULTILINE))
    return [*sorted(name for name in names if name.startswith(incomplete))]


def complete_runs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Run directories below ``--out``, newest first, and ``last``."""
    out = Path(ctx.params.get("out") or DEFAULT_OUT)
    names = sorted((path.parent.name for path in out.glob("*/journal.jsonl")), reverse=True)
    return [name for name in ["last", *names] if name.startswith(incomplete)]


def complete_targets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """``sandbox`` and the contexts of the nearest drill.toml; a broken file completes nothing."""
    import os
    import tomllib

    named = os.environ.get("DRILL_CONFIG")
    folders = (Path.cwd(), *Path.cwd().parents)
    files = [Path(named)] if named else [folder / "drill.toml" for folder in folders]
    names = ["sandbox"]
    try:
        file = next((file for file in files if file.is_file()), None)
        names += tomllib.loads(file.read_text()).get("contexts", {}) if file else []
    except (OSError, ValueError, TypeError, AttributeError):
        pass
    return [name for name in names if name.startswith(incomplete)]


def complete_drills(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    """Drill names from file names, else files."""
    from click.shell_completion import CompletionItem

    from drill.scenario.library import shipped

    names = [path.stem for path in shipped("drills") if path.stem.startswith(incomplete)]
    return [*names] or [CompletionItem(incomplete, type="file")]


def duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Any:
    """Read an option like ``24h`` as a timedelta; None stays None."""
    from datetime import timedelta

    from drill.core.units import parse_duration

    try:
        return None if value is None else timedelta(seconds=parse_duration(value))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Any:
    """Read an option like ``2027-01-12T10:00`` as an aware time, UTC without a zone; None stays None."""
    from datetime import UTC, datetime

    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"'{value}' is not a time: write it like 2027-01-12T10:00+01:00") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def out_option(function: F) -> F:
    """``--out DIR``."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_OUT,
        show_default=True,
        envvar="DRILL_OUT",
        help="Where runs are kept.",
    )(function)


def format_option(*formats: str) -> Callable[[F], F]:
    """``--format``; the first of *formats* is the default."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Output format.",
    )


def fast_forward_option(told: str = "Divide the windows by N.") -> Callable[[F], F]:
    """``--fast-forward``, with what help *told*."""
    return click.option(
        "--fast-forward",
        type=click.FloatRange(1, 3600),
        default=DEFAULT_FAST_FORWARD,
        show_default=True,
        metavar="N",
        help=told,
    )


def cluster_options(function: F) -> F:
    """``--context``, ``--namespace`` and ``--as``, for commands that act on a cluster only when one is named."""
    options = (
        click.option(
            "--context",
            metavar="NAME",
            default="",
            shell_complete=complete_targets,
            help="The cluster it is about.",
        ),
        click.option("--namespace", metavar="NS", default="", help="Only this namespace of the cluster."),
        click.option("--as", "as_user", metavar="ACCOUNT", default="", help=AS_HELP),
    )
    for option in reversed(options):
        function = option(function)
    return function


def plan_options(function: F) -> F:
    """The options that decide what the plan is: service, parameters, target, seed, time."""
    options = (
        click.option(
            "--service",
            metavar="NAME",
            shell_complete=complete_services,
            help="The service to break; short for --set service=NAME.",
        ),
        click.option("--set", "sets", metavar="K=V", multiple=True, help="Set a parameter of the scenario."),
        click.option(
            "--target",
            "--context",
            default="sandbox",
            show_default=True,
            metavar="NAME",
            shell_complete=complete_targets,
            help="Where it runs: a context of drill.toml; sandbox:NAME is one that was kept.",
        ),
        click.option("--namespace", metavar="NS", default="", help="The cluster's namespace with the service."),
        click.option(
            "--as",
            "as_user",
            metavar="ACCOUNT",
            default="",
            help=AS_HELP,
        ),
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all random choices."
        ),
        click.option("--real-time", is_flag=True, help="Test the real windows, not fast-forwarded ones."),
        fast_forward_option(),
    )
    for option in reversed(options):
        function = option(function)
    return function


def settings_from(options: Mapping[str, Any]) -> RunSettings:
    """Make settings of a command's options. Raises UsageError for a ``--set`` that is not ``k=v``."""
    return RunSettings(
        sets=parse_sets(options.get("sets", ()), options.get("service")),
        target=options["target"],
        namespace=options.get("namespace", ""),
        as_user=options.get("as_user", ""),
        out=options.get("out", DEFAULT_OUT),
        seed=options["seed"],
        fast_forward=1.0 if options["real_time"] else options["fast_forward"],
        force=options.get("force", False),
        assume_yes=options.get("yes", False),
        allow_activities=options.get("allow_activities", False),
    )


def parse_sets(sets: Sequence[str], service: str | None) -> Mapping[str, str]:
    """Turn ``("delay=400ms",)`` into ``{"delay": "400ms"}``; the last of one name wins. Raises UsageError."""
    found = {}
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text}: expected NAME=VALUE", hint="for example --set delay=400ms")
        found[name.strip()] = value
    if service is None:
        return found
    if found.get("service", service) != service:
        raise UsageError(f"--service {service} and --set service={found['service']} contradict each other")
    return {**found, "service": service}
