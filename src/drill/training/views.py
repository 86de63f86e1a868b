"""What the two sides of a training session may see, as frozen values with a JSON form.

``TraineeView`` is blind: no field of it ever holds the scenario's name, title, faults, hints not yet given, injects
not yet said, or anything else that is known only because drill itself broke the service. ``FacilitatorView`` holds
everything. Times are Unix seconds unless a docstring says otherwise; a time of 0 means "not yet".
"""

from __future__ import annotations

from typing import Literal

from drill.core.values import Value

Point = tuple[float, float]
"""(Unix seconds, value): one sample of a series."""

Phase = Literal["preparing", "quiet", "paged", "acknowledged", "mitigated", "over"]
"""Where the session is, as the trainee may know it. ``preparing``: the system is being set up; ``quiet``: on call,
no page yet; ``paged``: a page arrived; ``acknowledged``: the trainee took it; ``mitigated``: the SLI is healthy and
stayed so; ``over``: the debrief can be read."""

Relation = Literal["paged", "calls it", "called by it", "other"]
"""How a service stands to the paged one. Before the first page every service is ``other``."""


class Link(Value):
    """A place to look: ``name`` is what to write on it."""

    name: str
    url: str


class PageText(Value):
    """One message as its receiver would show it. ``body`` is plain text of several lines."""

    at: float
    channel: Literal["pagerduty", "slack", "log"]
    status: Literal["firing", "resolved"]
    title: str
    body: str
    service: str = ""
    severity: str = ""
    runbook: str = ""
    """Name of the runbook the alert's ``runbook_url`` leads to, e.g. ``latency-spike``; empty when it has none."""
    labels: dict[str, str] = {}


class AlertLine(Value):
    """One alert as Prometheus has it now, or had it last."""

    name: str
    service: str
    slo: str
    severity: str
    state: Literal["pending", "firing", "resolved"]
    since: float


class SloSeries(Value):
    """One SLO's recent past, oldest first. Ratios are bad to all requests, 0 to 1."""

    sloth_id: str
    service: str
    slo: str
    relation: Relation = "other"
    objective: float
    """The fraction of good requests that is promised, e.g. 0.999."""
    error_ratio: tuple[Point, ...] = ()
    requests_per_second: tuple[Point, ...] = ()
    burn_rates: dict[str, tuple[Point, ...]] = {}
    """By window as the rules record it, e.g. ``{"5s": …, "1m": …}``; 1 spends the budget exactly in its period."""
    page_at: float = 0.0
    """The burn rate from which on a page fires (14.4); 0: unknown."""


class ReplicaLine(Value):
    """One replica as the platform shows it (what ``kubectl get pods`` says)."""

    name: str
    service: str
    state: Literal["serving", "not serving", "out of service", "down"]
    """``out of service``: taken out of the endpoints by somebody; ``not serving``: running, but not ready."""
    started_at: float = 0.0
    restarts: int = 0


class LogLine(Value):
    """A line that ``source`` wrote at ``at``: a replica into its log, or the platform as an event."""

    at: float
    source: str
    text: str


class HintGiven(Value):
    """A hint the trainee got. ``number`` counts from 1; ``asked`` is false when it came by itself."""

    number: int
    at: float
    text: str
    asked: bool = True


class Message(Value):
    """Something somebody says to the trainee: an inject of the scenario, or the facilitator's whisper.

    ``to`` is the role it is meant for (``comms``, ``ic`` …), empty for the trainee; ``said_by`` is what to show.
    """

    at: float
    kind: Literal["inject", "whisper", "notice"]
    text: str
    said_by: str = ""
    to: str = ""


class NoteLine(Value):
    """A note on the timeline, written by a person."""

    at: float
    by: Literal["trainee", "facilitator"]
    text: str


class Suspicion(Value):
    """A suspected cause the trainee stated. ``answer`` is what the session said to it (never why: that is for the
    debrief)."""

    at: float
    text: str
    component: str = ""
    answer: str = ""


class SessionClock(Value):
    """The session's clock. It stands still while the facilitator has it paused."""

    now: float
    """When this view was made."""
    started_at: float = 0.0
    paged_at: float = 0.0
    elapsed_s: float = 0.0
    """Seconds of the session so far without pauses."""
    paused: bool = False
    deadline: float = 0.0
    """When the session ends by itself if the clock is not paused any more; 0 before the first page."""


class TraineeView(Value):
    """All a trainee may see, and nothing blind."""

    version: int
    """Grows with every change; see ``Stage.wait_for_change``."""
    session: str
    """The session's name, e.g. ``20261125T024500Z-training``; says nothing of the scenario."""
    commitment: str
    """SHA-256 (hex) of nonce and scenario: what was fixed before the start."""
    phase: Phase
    ending: str = ""
    """Once ``over``: one sentence how it ended, e.g. ``mitigated after 6 min 10 s``."""
    clock: SessionClock
    pages: tuple[PageText, ...] = ()
    links: tuple[Link, ...] = ()
    """Prometheus, Alertmanager, the dashboard page."""
    runbook: str = ""
    """The runbook of the first page, as Markdown with the alert's values filled in; empty before the page."""
    alerts: tuple[AlertLine, ...] = ()
    slos: tuple[SloSeries, ...] = ()
    """The paged service first, then its neighbours, then the others."""
    replicas: tuple[ReplicaLine, ...] = ()
    logs: tuple[LogLine, ...] = ()
    hints: tuple[HintGiven, ...] = ()
    hints_left: int = 0
    messages: tuple[Message, ...] = ()
    notes: tuple[NoteLine, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()
    can: tuple[str, ...] = ()
    """Kinds of ``TraineeCommand`` that make sense now, e.g. ``acknowledge``."""
    solo: bool = True
    real_incident: str = ""
    """Not empty: NOT A DRILL. The reason; show it above everything else."""
    debrief: str = ""
    """Once ``over``: the debrief as Markdown (the system's card; the responder's own card is never in here)."""


class PlannedInject(Value):
    """Something that will be said. ``due_s`` is the session's clock (seconds from the first page)."""

    id: str
    due_s: float
    to: str
    text: str
    expects: str = ""
    """What should follow, in words; empty: nothing in particular."""
    state: Literal["planned", "held", "said", "skipped"] = "planned"


class InjectionLine(Value):
    """One fault of the session."""

    id: str
    fault: str
    service: str
    replicas: tuple[str, ...]
    state: Literal["waiting", "applying", "in effect", "undoing", "undone", "not clean"]
    effective_at: float = 0.0
    ended_at: float = 0.0
    removed_by: Literal["", "drill", "responder"] = ""
    what: str = ""
    """What is done to each replica, in words: ``delay by 400 ms packets ingress to port 8080 (netem)``."""
    held: bool = True
    """Held until it is taken away; false for a deed that is done again and again (a kill)."""
    scenario: str = ""
    """The scenario it came with: the session's own, or one of an escalation."""


class TimelineLine(Value):
    """One line of the timeline, in the order things happened."""

    at: float
    who: Literal["drill", "system", "trainee", "facilitator"]
    what: str


class PhaseTime(Value):
    """One phase of the incident as measured. Seconds count from T0; ``target_s`` is a target, not a grade."""

    name: Literal["effect", "detected", "acknowledged", "localized", "mitigated", "resolved"]
    at: float = 0.0
    after_s: float | None = None
    target_s: float | None = None
    note: str = ""


class FacilitatorView(Value):
    """Everything, for the person who leads the session."""

    version: int
    trainee: TraineeView
    scenario: str
    title: str
    hypothesis: str
    service: str
    answer_component: str
    answer_cause: str
    injections: tuple[InjectionLine, ...] = ()
    injects: tuple[PlannedInject, ...] = ()
    hints: tuple[str, ...] = ()
    """All of the ladder, in order, given or not."""
    timeline: tuple[TimelineLine, ...] = ()
    phases: tuple[PhaseTime, ...] = ()
    grades: tuple[str, ...] = ()
    """One line per ``Suspicion``, in the same order: the grade and why."""
    healthy_since: float = 0.0
    """Since when ``mitigated_when`` holds; 0: it does not."""
    escalations: tuple[str, ...] = ()
    """Scenarios that may be added now: their faults touch nothing that is in use."""
    can: tuple[str, ...] = ()
    """Kinds of ``FacilitatorCommand`` that make sense now."""
