"""`drill slo generate` and `drill slo lint`: rules, routes and dashboard from SLO files, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from drill.alerting.windows import RuleTiming
    from drill.slo.model import Slo

EPILOG = """\b
Examples:
  drill slo generate                         # all of prometheus/slo, into this directory
  drill slo generate mine.yaml --out -       # one rule file on standard output
  drill slo generate --check                 # CI: do the committed files still fit?
  drill slo generate mine.yaml --format crd --out -"""


LINT_EPILOG = """\b
Examples:
  drill slo lint                                   # prometheus/slo with its routes
  drill slo lint mine.yaml --metrics http://localhost:8080/metrics
  drill slo lint --rules rules.yaml --alertmanager alertmanager.yaml"""
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def command() -> None:
    """Rules, routes and dashboards from SLO files: Sloth's prometheus/v1, its CRD, Pyrra's, OpenSLO's."""


@command.command(epilog=EPILOG)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out", metavar="DIR|-", default=".", show_default=True, help="Where to write; - is standard output."
)
@click.option(
    "--fast-forward", type=click.FloatRange(1, 3600), default=1.0, metavar="N", help="Divide all windows by N."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("files", "crd")),
    default="files",
    show_default=True,
    help="Plain files, or one PrometheusRule.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file differs from what would be written.")
def generate(files: Sequence[Path], out: str, fast_forward: float, format_: str, check: bool) -> int:
    """Generate recording rules, burn-rate alerts, their tests, Alertmanager's routes and the dashboard.

    Without FILES: every file of prometheus/slo. The same files give the same bytes.
    """
    from drill.alerting.windows import REAL_TIME, fast_forwarded
    from drill.cli.alertpath import load_slos, prometheus_folder
    from drill.cli.console import Console

    slos = load_slos(list(files) or sorted((prometheus_folder() / "slo").glob("*.yaml")))
    timing = fast_forwarded(fast_forward) if fast_forward != 1 else REAL_TIME
    console = Console()
    if out == "-":
        console.data(_one_file(slos, timing, format_).rstrip("\n"))
        return 0
    wanted = _files(slos, timing, format_)
    if check:
        differing = [path for path, text in wanted.items() if _read(Path(out) / path) != text]
        for path in differing:
            console.warn(f"{Path(out) / path} differs from what `drill slo generate` writes")
        return 1 if differing else 0
    for path, text in wanted.items():
        _write(Path(out) / path, text)
        console.say(f"wrote {Path(out) / path}")
    return 0


def _one_file(slos: Sequence[Slo], timing: RuleTiming, format_: str) -> str:
    from drill.alerting.generate import alert_groups, recording_groups
    from drill.alerting.rulefile import prometheus_rule, rule_file

    groups = [*recording_groups(slos, timing), *alert_groups(slos, timing)]
    return prometheus_rule(groups, "drill-slo") if format_ == "crd" else rule_file(groups)


def _files(slos: Sequence[Slo], timing: RuleTiming, format_: str) -> Mapping[str, str]:
    from drill.alerting.artifacts import artifacts, rule_tests
    from drill.alerting.windows import REAL_TIME

    if format_ == "crd":
        return {"prometheus/prometheus-rule.yaml": _one_file(slos, timing, format_)}
    tests = rule_tests(slos) if timing == REAL_TIME else {}
    return {**artifacts(slos, timing), **tests}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    from drill.core.errors import UsageError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None


@command.command(epilog=LINT_EPILOG)
@click.argument("files", nargs=-1, type=FILE)
@click.option("--rules", multiple=True, type=FILE, metavar="FILE", help="Rule files, of any generator.")
@click.option("--alertmanager", type=FILE, metavar="FILE", help="Which of its routes does no alert reach?")
@click.option("--metrics", metavar="FILE|URL", help="What the service shows Prometheus: buckets, zeros, traffic.")
def lint(files: Sequence[Path], rules: Sequence[Path], alertmanager: Path | None, metrics: str | None) -> int:
    """Say why alerts would stay silent, shout without cause, or reach nobody; exit 2 when there is a problem.

    Without FILES and --rules: every file of prometheus/slo, and the routes beside it.
    """
    from drill.cli.console import Console
    from drill.cli.linting import lint_files

    found = lint_files(files, rules, alertmanager, metrics)
    console = Console()
    console.data(f"{found.looked_at}: nothing to complain about")
    for left_out in found.not_checked:
        console.say(f"not checked: {left_out}")
    return 0
