"""The alert path of the embedded sandbox: SLO files to rules, routes and what plan needs to know of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drill.alerting.generate import alert_groups, check, recording_groups
from drill.alerting.routing import Routing, for_sandbox, load_routing, receivers_for, timings
from drill.alerting.rulefile import rule_file
from drill.alerting.rules import burn_alerts
from drill.alerting.windows import fast_forwarded
from drill.core.errors import ProblemsFound, UsageError
from drill.core.problems import Problem
from drill.plan.compile import Rules
from drill.scenario.library import shipped_roots
from drill.slo.model import Slo
from drill.slo.sloth import load_sloth

PAGE = {"severity": "page"}


@dataclass(frozen=True)
class AlertPath:
    """Texts for the servers and the same as values. Group times are seconds as they really run."""

    rules_text: str
    alertmanager_text: str
    rules: Rules
    group_wait_s: float
    group_interval_s: float
    interval_s: float
    chained: bool


def prometheus_folder() -> Path:
    """Return the ``prometheus/`` folder: the working directory's, else the shipped one. Raises UsageError."""
    for root in shipped_roots("prometheus"):
        if (root / "slo").is_dir():
            return root
    raise UsageError(
        "no prometheus/slo folder found", hint="run in a checkout of drill, or install the package again"
    )


def alert_path(fast_forward: float, sink_url: str) -> AlertPath:
    """Read SLOs and routes, divide them by *fast_forward*, and return them. Raises ProblemsFound."""
    folder = prometheus_folder()
    slos = load_slos(sorted((folder / "slo").glob("*.yaml")))
    timing = fast_forwarded(fast_forward)
    groups = [*recording_groups(slos, timing), *alert_groups(slos, timing)]
    routes = for_sandbox((folder / "alertmanager-config.yaml").read_text(), sink_url, fast_forward)
    routing, problems = load_routing(routes, "alertmanager-config.yaml")
    if routing is None:
        raise ProblemsFound(problems)
    alerts = burn_alerts(groups)
    wait_s, interval_s = timings(routing, PAGE)
    return AlertPath(
        rules_text=rule_file(groups),
        alertmanager_text=routes,
        rules=Rules(alerts, _receivers(routing)),
        group_wait_s=wait_s,
        group_interval_s=interval_s,
        interval_s=timing.interval_s,
        chained=any(alert.chained for alert in alerts),
    )


def load_slos(files: list[Path]) -> list[Slo]:
    """Read Sloth files. Raises ProblemsFound with the problems of all of them."""
    slos: list[Slo] = []
    problems: list[Problem] = []
    for file in files:
        found, wrong = load_sloth(file.read_text(), str(file))
        slos += found
        problems += wrong
    problems += check(slos)
    if problems:
        raise ProblemsFound(problems)
    return slos


def _receivers(routing: Routing):  # type: ignore[no-untyped-def]
    return lambda labels: receivers_for(routing, labels)
