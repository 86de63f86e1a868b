"""``report.json`` as types: a contract with other programs, exported to ``schemas/report.v1.json``.

All times are RFC 3339 in UTC with milliseconds, in server time (Prometheus's clock). Seconds carry ``_s`` in
their name, shares are percent where the name says so. A value that was not seen is null, never a guess.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from drill.plan.model import Occasion
from drill.verify.model import AlertVerdict, Outcome, Source

Time = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", examples=["2026-11-23T21:42:28.123Z"])
]
Date = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$", examples=["2026-12-07"])]


class Part(BaseModel):
    """Base of all parts: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Window(Part):
    """One burn-rate window pair as it was tested and as it stands in production; durations in seconds."""

    severity: str
    factor: float
    long_s: float
    short_s: float
    real_long_s: float
    real_short_s: float


class Windows(Part):
    """Which burn-rate windows were tested; production's are ``fast_forward`` times as long."""

    fast_forward: float
    tested: tuple[Window, ...]


class ReplicaEffect(Part):
    """The measured effect at one replica."""

    replica: str
    measured: float | None
    holds: bool


class Effect(Part):
    """The measured effect of an injection: the median over its replicas, against what was expected."""

    measured: float | None
    expected: float | None
    unit: str
    holds: bool
    replicas: tuple[ReplicaEffect, ...] = ()


class Injection(Part):
    """One fault: what was done, what it measurably did, and whether it is gone.

    ``clean`` is true when a comparison with the state before showed no difference, null when nobody looked.
    """

    id: str
    fault: str
    backend: str
    why: str
    service: str
    targets: tuple[str, ...]
    of_replicas: int
    applied_at: Time | None
    effective_at: Time | None
    effect: Effect
    reverted_at: Time | None
    clean: bool | None
    differences: tuple[str, ...] = ()
    problem: str = ""


class Prediction(Part):
    """The interval in which an alert had to fire, and what it was computed from.

    ``after_s`` is the same interval in seconds after the fault was in effect.
    """

    earliest: Time
    latest: Time
    after_s: tuple[float, float] | None = None
    basis: str = ""


class EvidenceRow(Part):
    """One thing seen: who said it, to which question, when, and the raw answer."""

    source: Source
    query: str
    at: Time
    raw: JsonValue


class Alert(Part):
    """One alert: its verdict, the times of its way, and the evidence.

    ``firing_after_s`` is measured from the moment the fault was in effect, ``resolved_after_s`` from its end.
    """

    labels: dict[str, str]
    match: dict[str, str]
    verdict: AlertVerdict
    why: str
    notes: tuple[str, ...] = ()
    predicted: Prediction | None
    pending_at: Time | None
    firing_at: Time | None
    in_alertmanager_at: Time | None
    expected_receiver: str
    receivers: tuple[str, ...]
    delivered_at: Time | None
    resolved_at: Time | None
    firing_after_s: float | None = None
    delivered_after_s: float | None = None
    resolved_after_s: float | None = None
    evidence: tuple[EvidenceRow, ...] = ()


class Budget(Part):
    """What the run cost of one SLO's error budget, in percent of the budget of the whole period."""

    slo: str
    spent_percent: float | None
    remaining_percent: float | None


class Impact(Part):
    """What users had of it, integrated over the SLI samples between T0 and the end of the run."""

    slo: str
    peak_error_percent: float | None
    bad_requests: int | None
    requests: int | None
    bad_for_s: float | None


class TimelineRow(Part):
    """One thing that happened; ``offset_s`` is seconds after T0 (before: negative; null without a T0)."""

    at: Time
    offset_s: float | None
    source: Literal["drill", "target", "prometheus", "alertmanager", "receiver", "people"]
    kind: str
    text: str
    query: str = ""
    link: str = ""


class ActionItem(Part):
    """A draft: what should be done, by whom, until when. People decide; it closes with a green re-run."""

    title: str
    owner: str
    due: Date
    why: str
    closed_by: str = ""
    """The later green run of the same drill that no longer asks for it; empty: open."""


class RunbookStep(Part):
    """One step of a runbook that was taken during the run, and what became of it.

    ``outcome`` is proven (evidence shows it), done-unproven, failed, skipped, contradicted (done, and the evidence
    says otherwise) or unavailable. ``kind`` is the cell's tag, ``human`` for a check box, ``check`` for a look at
    the users.
    """

    runbook: str
    name: str
    kind: str
    outcome: str
    at: Time
    took_s: float
    command: str = ""
    answer: str = ""
    why: str = ""
    by: str = ""
    role: str = ""


class PeoplePart(Part):
    """A part that only people can write; ``text`` is theirs, empty while nobody wrote it."""

    title: str
    question: str = ""
    text: str = ""


class PreflightFinding(Part):
    """One thing known before the run; ``block`` findings forbid it unless forced."""

    level: Literal["info", "warn", "block"]
    check: str
    text: str
    fix: str = ""


class Series(Part):
    """One SLI over time: parallel arrays, ``offset_s`` after T0; ``burn_rates`` by window; null: no value."""

    slo: str
    service: str
    objective: float
    offset_s: tuple[float, ...]
    error_ratio: tuple[float | None, ...]
    requests_per_second: tuple[float | None, ...]
    burn_rates: dict[str, tuple[float | None, ...]]


class Span(Part):
    """One uninterrupted time an alert was pending or firing, in seconds after T0."""

    labels: dict[str, str]
    state: Literal["pending", "firing"]
    start_s: float
    end_s: float
    open: bool


class Notice(Part):
    """One notification that arrived at a receiver, in seconds after T0."""

    receiver: str
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    offset_s: float


class Report(BaseModel):
    """The whole report. Fields are only ever added to version 1."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["drill.report/v1"] = Field("drill.report/v1", alias="schema")
    verdict: Outcome
    exit_code: int
    headline: str
    """The one sentence to read when there is time for only one."""
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    scenario: str
    title: str
    hypothesis: str
    owner: str
    tags: tuple[str, ...]
    runbook: str
    parameters: dict[str, str]
    source_sha256: str
    service: str
    target: str
    occasion: Occasion = "drill"
    """Unless ``drill``, the target was mended meanwhile: only what alerts did right is evidence."""
    run_id: str
    drill_version: str
    forced: bool
    windows: Windows
    windows_line: str
    """``windows`` in one line of words."""
    started_at: Time | None
    t0: Time | None
    finished_at: Time | None
    injections: tuple[Injection, ...]
    alerts: tuple[Alert, ...]
    also_alerts: tuple[Alert, ...]
    allowed_alerts: tuple[Alert, ...]
    unexpected_alerts: tuple[Alert, ...]
    budget: Budget | None
    """The SLO of the first expected alert, or the one that paid most."""
    budgets: tuple[Budget, ...]
    impacts: tuple[Impact, ...]
    timeline: tuple[TimelineRow, ...]
    action_items: tuple[ActionItem, ...]
    findings: tuple[PreflightFinding, ...]
    series: tuple[Series, ...]
    spans: tuple[Span, ...]
    notifications: tuple[Notice, ...]
    steps: tuple[RunbookStep, ...] = ()
    people: tuple[PeoplePart, ...] = ()

    def to_json(self) -> str:
        """Render as ``report.json``: two spaces of indent, a newline at the end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"
