"""The alert path of the embedded sandbox: SLO files to rules, routes and what plan needs to know of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drill.alerting.generate import alert_groups, check, recording_groups
from drill.alerting.routing import Routing, for_sandbox, load_routing, receivers_for, timings
from drill.alerting.rulefile import rule_file
from drill.alerting.rules import burn_alerts
from drill.alerting.windows import fast_forwarded
from drill.core.errors import ProblemsFound, UsageError
from drill.core.labels import Labels
from drill.plan.compile import Rules
from drill.scenario.library import shipped_roots
from drill.slo.load import load_slos as read_slos
from drill.slo.model import Slo
from drill.target.sandbox import SandboxSpec

PAGE = {"severity": "page"}
REAL_SCRAPE_S = 15.0
"""Scrape interval with real windows: four samples in the shortest, as rate() wants."""
HISTORY_S = 3.0
"""Age of the series when a fresh sandbox is handed over: its start waits for the first samples."""


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

    def sandbox_spec(self, fast_forward: float, seed: int) -> SandboxSpec:
        """Return what a sandbox with this alert path is started with."""
        return SandboxSpec(
            rules=self.rules_text,
            alertmanager=self.alertmanager_text,
            scrape_interval_s=1.0 if fast_forward > 1 else REAL_SCRAPE_S,
            evaluation_interval_s=self.interval_s,
            fast_forward=fast_forward,
            group_wait_s=self.group_wait_s,
            group_interval_s=self.group_interval_s,
            history_s=HISTORY_S,
            chained=self.chained,
            seed=seed,
        )


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
    """Read SLO files of any form. Raises ProblemsFound with the problems of all of them."""
    slos, problems = read_slos((str(file), read_text(file)) for file in files)
    problems += check(slos)
    if problems:
        raise ProblemsFound(problems)
    return slos


def read_text(file: Path) -> str:
    """Read a text file of the user's. Raises UsageError when that fails."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None


def _receivers(routing: Routing) -> Callable[[Labels], tuple[str, ...]]:
    return lambda labels: receivers_for(routing, labels)
