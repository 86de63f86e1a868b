"""Which alert rules are proven, by which scenario, and how old the proof is. Pure.

A proof is a run in which an alert of the rule fired, was judged on time and was delivered as expected. What fired
besides, as predicted, counts as *fired*: seen, but its way to a receiver was not demanded.

A training, or the proof of a runbook, gives proofs (what was on time and delivered was measured like any other) and
says nothing against a rule: the target is mended in it while the fault is in place, and with it what alerts do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from drill.alerting.rulefile import Group, Rule
from drill.core.clock import parse_rfc3339, rfc3339
from drill.core.labels import Labels
from drill.history.index import PastRun
from drill.report.model import Alert
from drill.verify.model import AlertVerdict

PROOF_AGE_S = 90 * 86400.0
"""From this age on a proof is old."""
State = Literal["proven", "late", "silent", "failed", "noise", "fired", "unknown", "untested"]
MEANINGS: dict[State, str] = {
    "proven": "fired on time, reached its receiver and resolved",
    "late": "fired outside of its predicted interval",
    "silent": "did not fire although it had to",
    "failed": "fired, but was misrouted, suppressed, not delivered or not resolved",
    "noise": "fired although nobody expected it",
    "fired": "fired besides, as predicted; nobody demanded its delivery",
    "unknown": "the evidence did not suffice",
    "untested": "no run says anything about it",
}
_OF_VERDICT: dict[AlertVerdict, State] = {
    AlertVerdict.ON_TIME: "proven",
    AlertVerdict.LATE: "late",
    AlertVerdict.EARLY: "late",
    AlertVerdict.NEVER: "silent",
    AlertVerdict.UNEXPECTED: "noise",
    AlertVerdict.NO_EVIDENCE: "unknown",
    AlertVerdict.PREDICTION_INVALID: "unknown",
    AlertVerdict.ALREADY_FIRING: "unknown",
}


class Part(BaseModel):
    """Base: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Cell(Part):
    """The latest word of one scenario (on one service) about one rule."""

    scenario: str
    service: str
    state: State
    fired_after_s: float | None
    run: str
    at: str
    target: str
    fast_forward: float


class RuleCoverage(Part):
    """One alert rule. ``proven_at`` is the latest proof, ``proof_age_s`` its age; null when there is none.

    ``state`` is the latest decisive word: what the rule did when it was last demanded, else what it did besides.
    """

    alertname: str
    severity: str
    labels: dict[str, str]
    file: str
    line: int
    runbook_url: str
    state: State
    proven_at: str | None
    proof_age_s: float | None
    cells: tuple[Cell, ...]


class Coverage(Part):
    """The matrix. ``scenarios`` are its columns: the scenarios (with service) that said anything."""

    schema_: Literal["drill.coverage/v1"] = Field("drill.coverage/v1", alias="schema")
    at: str
    rules: tuple[RuleCoverage, ...]
    scenarios: tuple[str, ...]

    @property
    def pages(self) -> tuple[RuleCoverage, ...]:
        """The rules that page somebody."""
        return tuple(rule for rule in self.rules if rule.severity == "page")


def coverage(groups: Sequence[Group], runs: Sequence[PastRun], now: float) -> Coverage:
    """Return the coverage of the alert rules in *groups* by *runs* (oldest first) at the time *now*."""
    rules = [(group, rule) for group in groups for rule in group.rules if rule.alert]
    found = tuple(_of_rule(group, rule, runs, now) for group, rule in rules)
    columns = {f"{cell.scenario} {cell.service}" for rule in found for cell in rule.cells}
    return Coverage(at=rfc3339(now), rules=found, scenarios=tuple(sorted(columns)))


def _of_rule(group: Group, rule: Rule, runs: Sequence[PastRun], now: float) -> RuleCoverage:
    cells = [cell for run in runs for cell in _said(rule, run)]
    latest: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        before = latest.get((cell.scenario, cell.service))
        if before is None or cell.state != "fired" or before.state == "fired":
            latest[cell.scenario, cell.service] = cell
    proofs = [cell.at for cell in cells if cell.state == "proven"]
    proven_at = max(proofs, default=None)
    return RuleCoverage(
        alertname=rule.alert,
        severity=rule.labels.get("severity", ""),
        labels=rule.labels,
        file=group.file,
        line=rule.line,
        runbook_url=rule.annotations.get("runbook_url", ""),
        state=_state(cells),
        proven_at=proven_at,
        proof_age_s=None if proven_at is None else round(now - parse_rfc3339(proven_at), 3),
        cells=tuple(latest[key] for key in sorted(latest)),
    )


def _state(cells: Sequence[Cell]) -> State:
    """The latest word that decides; an unknown outcome takes nothing from an older proof."""
    for kinds in (("proven", "late", "silent", "failed", "noise"), ("fired",), ("unknown",)):
        said = [cell for cell in cells if cell.state in kinds]
        if said:
            return max(said, key=lambda cell: cell.at).state
    return "untested"


def _said(rule: Rule, run: PastRun) -> Iterator[Cell]:
    report = run.report
    demanded = (*report.alerts, *report.unexpected_alerts)
    for alert in (*demanded, *report.also_alerts, *report.allowed_alerts):
        if not is_of(rule, alert):
            continue
        state = _OF_VERDICT.get(alert.verdict, "failed")
        if state == "proven" and report.verdict not in ("pass", "fail"):
            state = "unknown"  # an alert on time in a run that itself shows nothing is no proof
        if report.occasion != "drill" and (state != "proven" or alert not in demanded):
            continue
        if alert not in demanded:
            if alert.firing_at is None:
                continue  # it was not demanded: its silence proves nothing
            state = "fired"
        yield Cell(
            scenario=report.scenario,
            service=report.service,
            state=state,
            fired_after_s=alert.firing_after_s,
            run=run.name,
            at=report.finished_at or report.started_at or rfc3339(run.started_at),
            target=report.target,
            fast_forward=report.windows.fast_forward,
        )


def is_of(rule: Rule, alert: Alert) -> bool:
    """True when *alert* is one of *rule*'s: no label contradicts, and the name is the rule's.

    An alert that never fired has no labels but those the scenario matched; these must then all be the rule's.
    """
    fixed = {"alertname": rule.alert, **{k: v for k, v in rule.labels.items() if "{{" not in v}}
    seen = alert.labels or alert.match
    if "alertname" in seen:
        return seen["alertname"] == rule.alert and _agree(fixed, seen)
    return bool(seen) and all(fixed.get(name) == value for name, value in seen.items())


def _agree(rule: Labels, alert: Labels) -> bool:
    return all(alert.get(name, value) == value for name, value in rule.items())
