"""What a person reads when a run is over: verdict, reasons, alerts, what it cost, where the report is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drill.cli.settings import RunResult
from drill.core.errors import DrillError
from drill.plan.model import Plan

COLUMNS = ("scenario", "service", "verdict", "took", "headline")


def recover_command(plan: Plan, run_dir: Path) -> str:
    """Return what a person types to undo what the run of *plan* in *run_dir* left."""
    if plan.namespace:
        return f"drill recover --all --context {plan.target} --namespace {plan.namespace}"
    return f"drill recover {run_dir}"


@dataclass(frozen=True)
class Outcome:
    """One run of a batch: a result, or the error that kept it from having one."""

    scenario: str
    service: str
    result: RunResult | None = None
    error: DrillError | None = None

    @property
    def exit_code(self) -> int:
        """The run's exit code."""
        if self.result is not None:
            return self.result.exit_code
        return int(self.error.exit_code) if self.error else 0

    def json(self) -> Mapping[str, Any]:
        """Return the content of ``report.json`` to the letter, or what went wrong."""
        if self.result is not None:
            return self.result.json()
        return {
            "scenario": self.scenario,
            "verdict": "unknown",
            "error": str(self.error),
            "exit_code": self.exit_code,
        }

    def row(self) -> Sequence[str]:
        """Return its line in the table of a batch, by COLUMNS."""
        if self.result is None:
            return (self.scenario, self.service, "unknown", "", f"did not run: {self.error}")
        report = self.result.json()
        return (self.scenario, self.service, report["verdict"], took(report), report.get("headline", ""))


def took(report: Mapping[str, Any]) -> str:
    """Return how long a run took, like ``1m12s``; empty when it did not finish."""
    from drill.core.clock import parse_rfc3339
    from drill.core.units import format_duration

    started, finished = report.get("started_at"), report.get("finished_at")
    if not started or not finished:
        return ""
    return format_duration(parse_rfc3339(finished) - parse_rfc3339(started))


def result_lines(report: Mapping[str, Any], run_dir: Path) -> Sequence[str]:
    """Return the end of a run in lines; the first is the verdict."""
    lines = [f"verdict: {report['verdict']}"]
    if report.get("headline"):
        lines.append(f"  {report['headline']}")
    lines += [f"  - {reason}" for reason in report.get("reasons", ()) if reason != report.get("headline")]
    for alert in [*report.get("alerts", ()), *report.get("unexpected_alerts", ())]:
        lines.append(f"  {_alert_line(alert)}")
    budget = report.get("budget")
    if budget and budget.get("spent_percent") is not None:
        lines.append(f"  budget of {budget['slo']}: {budget['spent_percent']:.2g}% of the month spent")
    lines.append(f"report: {run_dir / 'report.html'}")
    if report["verdict"] == "aborted":
        undone = all(one.get("clean") for one in report.get("injections", ()) if one.get("applied_at"))
        how = "aborted and undone" if undone else "aborted"
        lines.append(f"{how}; what was seen until then is in {run_dir / 'journal.jsonl'}")
    return lines


def _alert_line(alert: Mapping[str, Any]) -> str:
    labels = alert.get("labels") or alert.get("match") or {}
    about = labels.get("sloth_id") or labels.get("alertname") or ""
    text = f"{alert['verdict']:<12} {about} {labels.get('severity', '')}".rstrip()
    if alert.get("firing_after_s") is not None:
        text += f": fired {alert['firing_after_s']:.1f} s after the effect"
    if alert.get("delivered_at") and alert.get("receivers"):
        text += f", delivered to {', '.join(alert['receivers'])}"
    return text + (", resolved" if alert.get("resolved_at") else "")
