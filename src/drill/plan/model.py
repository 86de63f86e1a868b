"""The plan as data: everything a run will do, its undo, what it is expected to cause, and its price.

All times are seconds as the target really runs them (fast-forward already applied), measured from T0, the
moment the drill's timeline starts, unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from drill.core.actions import Action
from drill.core.labels import render
from drill.core.probes import Effect
from drill.core.values import Value

Interval = tuple[float, float]
Occasion = Literal["drill", "training", "proof"]
"""What a run is held for. In a training somebody changes the target while it goes on, as they see fit; in the proof
of a runbook its cells do."""


class Step(Value):
    """One action at ``at_s`` seconds after the start of its injection, and the undo written before it."""

    at_s: float = 0.0
    action: Action
    undo: Action


class PlannedInjection(Value):
    """One fault on named replicas. ``backend`` says how it is made and ``why`` why it was chosen.

    ``way`` is ``api``, ``helper`` or ``ephemeral`` where a platform offers several, ``places`` where each replica
    is in that platform's words.
    """

    id: str
    fault: str
    backend: str
    why: str = ""
    way: str = ""
    places: dict[str, str] = {}
    service: str
    replicas: tuple[str, ...]
    of_replicas: int
    at_s: float
    for_s: float
    steps: tuple[Step, ...]
    effect: Effect


class Impact(Value):
    """How an injection is expected to change one SLI: the share of bad requests lies in ``error_ratio``."""

    injection: str
    sloth_id: str
    error_ratio: Interval
    lasts_s: float | None = None
    """How long it lasts when that is not the injection's ``for_s`` (a kill lasts as long as the restart)."""
    late_s: float = 0.0
    """How long after its start a bad request is counted at the latest: when it is answered, or given up."""


class PredictedAlert(Value):
    """What one alert rule will do, by the formulas of the SRE workbook (see ``drill.alerting.burnmath``).

    ``firing_s`` is measured from the start of the injection's effect, ``resolved_s`` from the end of the
    fault; both are None when ``fires`` is false, and ``why`` then says which condition fails and what would
    make it fire. ``price`` is the share of the budget spent before the alert can fire (F·W/T).
    """

    labels: dict[str, str]
    sloth_id: str = ""
    severity: str = ""
    factor: float = 0.0
    long_s: float = 0.0
    short_s: float = 0.0
    for_s: float = 0.0
    keep_firing_for_s: float = 0.0
    fires: bool
    """It fires for certain, wherever in ``error_ratio`` the truth lies."""
    may_fire: bool = False
    """It fires at least at the high end of ``error_ratio``: not to be relied on, and no surprise."""
    starts_at_s: float = 0.0
    """When the injection that causes it starts, from T0."""
    ends_at_s: float = 0.0
    """When the last injection that causes it ends, from T0."""
    firing_s: Interval | None = None
    delivered_s: Interval | None = None
    resolved_s: Interval | None = None
    receivers: tuple[str, ...] = ()
    error_ratio: Interval = (0.0, 0.0)
    price: float = 0.0
    budget: float = 0.0
    why: str = ""
    crossing_s: float | None = None
    """When both windows exceed the threshold, from the start of the effect, if the fault lasts; None: never."""
    needs_duration_s: float | None = None
    """How long the fault would have to last for it to fire for certain; None: it fires, or that does not help."""
    needs_error_ratio: float | None = None
    """The error ratio that would make it fire for certain; None: it fires, or that does not help."""


def foreseen(*predictions: Iterable[PredictedAlert]) -> tuple[PredictedAlert, ...]:
    """Return the alerts that any of *predictions*, oldest first, says fire or may; the latest of each."""
    found: dict[str, PredictedAlert] = {}
    for alerts in predictions:
        found |= {render(alert.labels): alert for alert in alerts if alert.fires or alert.may_fire}
    return tuple(found.values())


class ExpectedAlert(Value):
    """An alert the scenario says must fire. ``within_s`` replaces the prediction where the scenario sets it."""

    match: dict[str, str]
    receiver: str = ""
    within_s: float | None = None
    resolves_within_s: float | None = None
    predicted: PredictedAlert | None = None


class AbortCondition(Value):
    """Ends the run when the PromQL returns any non-zero sample for ``for_s`` seconds."""

    promql: str
    for_s: float


class Guardrails(Value):
    """Limits the engine enforces."""

    max_budget_spend: float
    max_blast_radius: float
    max_duration_s: float
    abort_if: tuple[AbortCondition, ...] = ()


class PlannedSlo(Value):
    """An SLO a verdict or a report speaks of. ``objective`` is a fraction; ``period_s`` the budget's period."""

    sloth_id: str
    service: str
    name: str
    objective: float
    period_s: float
    threshold_s: float | None = None


class WindowPair(Value):
    """A burn-rate window pair as tested, and as it stands in production (``real_*``)."""

    severity: str
    factor: float
    long_s: float
    short_s: float
    real_long_s: float
    real_short_s: float


class Finding(Value):
    """One thing a person should know before the run; ``block`` findings forbid it unless forced."""

    level: Literal["info", "warn", "block"]
    check: str
    text: str
    fix: str = ""


class Plan(Value):
    """The whole plan; ``Plan.model_dump_json`` is ``plan.json``."""

    schema_: Literal["drill.plan/v1"] = "drill.plan/v1"
    scenario: str
    title: str
    hypothesis: str
    owner: str
    tags: tuple[str, ...] = ()
    runbook: str = ""
    source_sha256: str
    parameters: dict[str, str]
    service: str
    """The service the drill is about: that of the first injection."""
    target: str
    occasion: Occasion = "drill"
    namespace: str = ""
    """Where in the target's cluster; empty in the sandbox."""
    seed: int
    fast_forward: float
    windows: tuple[WindowPair, ...]
    scrape_interval_s: float
    evaluation_interval_s: float
    group_wait_s: float
    group_interval_s: float
    chained: bool = True
    history_s: float
    baseline_s: float
    """How long healthy traffic is watched before T0."""
    injections: tuple[PlannedInjection, ...]
    impacts: tuple[Impact, ...]
    expected: tuple[ExpectedAlert, ...]
    also: tuple[PredictedAlert, ...] = ()
    """Other alerts the faults will make fire, by prediction: not unexpected when they do."""
    allow: tuple[dict[str, str], ...] = ()
    nothing_else: bool = True
    slos: tuple[PlannedSlo, ...]
    budget_spend: float = 0.0
    """The largest share of any SLO's budget the run is expected to spend, 0..1 and above."""
    guardrails: Guardrails
    findings: tuple[Finding, ...] = ()

    @property
    def end_s(self) -> float:
        """When the last fault ends, from T0."""
        return max(injection.at_s + injection.for_s for injection in self.injections)
