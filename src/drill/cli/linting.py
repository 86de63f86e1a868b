"""`drill slo lint`: reads the files and the page of metrics, and hands them to :mod:`drill.alerting.lint`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drill.alerting.exposition import Exposition, read_exposition
from drill.alerting.lint import Linted, lint
from drill.alerting.routing import Routing, load_routing
from drill.alerting.rulefile import Group, read_groups
from drill.cli.alertpath import prometheus_folder, read_text
from drill.core.errors import ProblemsFound, Unavailable, UsageError
from drill.core.problems import Problem
from drill.slo.load import load_slos
from drill.slo.positions import Document, load_documents

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Looked:
    """What was looked at and not complained about, and what could not be looked at, in words."""

    looked_at: str
    not_checked: tuple[str, ...] = ()


def lint_files(
    files: Sequence[Path], rules: Sequence[Path], alertmanager: Path | None, metrics: str | None
) -> Looked:
    """Lint; raises ProblemsFound with every finding, UsageError, or Unavailable for a URL that does not answer."""
    if not files and not rules:
        folder = prometheus_folder()
        files = sorted((folder / "slo").glob("*.yaml"))
        alertmanager = alertmanager or folder / "alertmanager-config.yaml"
    slos, problems = load_slos((str(file), read_text(file)) for file in files)
    groups: list[Group] = []
    for file in rules:
        found, wrong = read_groups(read_text(file), str(file))
        groups += found
        problems += wrong
    routes, wrong = _routes(alertmanager) if alertmanager else (None, [])
    problems += wrong
    page = _page(metrics) if metrics else None
    problems += lint(Linted(slos, groups, routes, page))
    if problems:
        raise ProblemsFound(problems)
    alerts = sum(bool(rule.alert) for group in groups for rule in group.rules)
    parts = [f"{len(slos)} SLOs" if files else "", f"{alerts} alert rules" if rules else ""]
    if routes is not None:
        parts.append("their routes")
    left_out = [] if page else ["buckets, zeros at start and traffic (--metrics FILE|URL)"]
    left_out += [] if routes else ["routes (--alertmanager FILE)"]
    return Looked(", ".join(part for part in parts if part), tuple(left_out))


def _routes(file: Path) -> tuple[tuple[Routing, Document] | None, list[Problem]]:
    text = read_text(file)
    routing, problems = load_routing(text, str(file))
    if routing is None:
        return None, problems
    return (routing, load_documents(text, str(file))[0][0]), problems


def _page(where: str) -> Exposition:
    """Read a page of metrics from a file or from ``http(s)://``."""
    if where.startswith(("http://", "https://")):
        text, at = _fetch(where), time.time()
    else:
        path = Path(where)
        text = read_text(path)
        at = path.stat().st_mtime
    try:
        return read_exposition(text, at)
    except ValueError as error:
        hint = "give a page in Prometheus's text format, like http://localhost:8080/metrics"
        raise UsageError(f"{where} is no page of metrics: {error}", hint=hint) from None


def _fetch(url: str) -> str:
    import requests

    try:
        answer = requests.get(url, timeout=TIMEOUT_S, headers={"Accept": "text/plain;version=0.0.4"})
        answer.raise_for_status()
    except requests.RequestException as error:
        raise Unavailable(f"{url} does not answer: {error}", hint="give a file with the page instead") from None
    return answer.text
