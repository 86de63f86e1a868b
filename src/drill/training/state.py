"""What a session knows, and the questions it answers from that.

It is a fold over what was recorded: the run's journal (``drill.training.fold``) and the session's own events
(``drill.training.fold_people``). Neither decides anything, so the debrief gets the same state from the files alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from drill.core.labels import matches
from drill.core.observations import AlertSpan
from drill.training import events as t
from drill.training.grading import Grade
from drill.training.script import Condition, Script
from drill.training.views import (
    HintGiven,
    InjectionLine,
    Message,
    NoteLine,
    PageText,
    Point,
    Suspicion,
    TimelineLine,
)

SERIES_POINTS = 300
SERIES_STEP_S = 2.0
"""What is kept of each SLI: the last ten minutes, one point every two seconds."""


@dataclass(frozen=True)
class Series:
    """The recent past of one SLO."""

    error_ratio: tuple[Point, ...] = ()
    requests_per_second: tuple[Point, ...] = ()
    burn_rates: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """All a session knows. Times are Unix seconds, 0 for "not yet"."""

    script: Script
    started_at: float = 0.0
    skew_s: float = 0.0
    pages: tuple[PageText, ...] = ()
    spans: Mapping[str, tuple[AlertSpan, ...]] = field(default_factory=dict)
    """Alert states by run."""
    series: Mapping[str, Series] = field(default_factory=dict)
    injections: Mapping[str, InjectionLine] = field(default_factory=dict)
    """By run and id."""
    effect_at: float = 0.0
    unclean: tuple[str, ...] = ()
    run_phase: str = ""
    run_over: bool = False
    run_aborted: str = ""
    budget: Mapping[str, float] = field(default_factory=dict)
    acknowledged_at: float = 0.0
    suspicions: tuple[Suspicion, ...] = ()
    grades: tuple[Grade, ...] = ()
    localized_at: float = 0.0
    hints: tuple[HintGiven, ...] = ()
    notes: tuple[NoteLine, ...] = ()
    messages: tuple[Message, ...] = ()
    acts: tuple[t.Acted, ...] = ()
    looks: int = 0
    pauses: tuple[tuple[float, float], ...] = ()
    """Closed pauses."""
    paused_since: float = 0.0
    injects: Mapping[str, str] = field(default_factory=dict)
    """State by id; absent: planned."""
    healthy: tuple[Condition, ...] = ()
    healthy_since: float = 0.0
    ever_unhealthy: bool = False
    mitigated_at: float = 0.0
    mitigation_told: bool = False
    ending: str = ""
    ending_at: float = 0.0
    said_done_at: float = 0.0
    gave_up: bool = False
    real_incident: str = ""
    aborted: str = ""
    escalations: tuple[t.Escalated, ...] = ()
    timeline: tuple[TimelineLine, ...] = ()
    sentence: str = ""
    over_at: float = 0.0

    def with_(self, **changes: Any) -> Self:
        """Return a copy with *changes*."""
        return replace(self, **changes)

    @property
    def paged_at(self) -> float:
        """When the first page arrived."""
        return next((page.at for page in self.pages if is_page(page)), 0.0)

    @property
    def paged_service(self) -> str:
        """The service of the first page."""
        return next((page.service for page in self.pages if is_page(page)), "")

    @property
    def detected_at(self) -> float:
        """When the first expected alert began to fire, by the server's time, on our clock."""
        return min((span.start - self.skew_s for span in self.expected_spans()), default=0.0)

    def expected_spans(self) -> list[AlertSpan]:
        """The firing times of the expected alerts of the session's own scenario, since the effect."""
        return [
            span
            for span in self.spans.get("", ())
            if span.state == "firing" and any(matches(match, span.labels) for match in self.script.expected)
        ]

    def in_place(self) -> bool:
        """True while a fault of ours is in effect and drill has not begun to take it away."""
        if self.script.mode == "tabletop":
            return bool(self.pages) and not self.ending
        return not self.ending and any(one.state == "in effect" for one in self.injections.values())

    def elapsed(self, now: float, since: float) -> float:
        """Seconds from *since* to *now* without pauses; 0 when *since* has not been."""
        if not since:
            return 0.0
        open_pause = [(self.paused_since, now)] if self.paused_since else []
        paused = sum(max(0.0, min(end, now) - max(start, since)) for start, end in [*self.pauses, *open_pause])
        return max(0.0, now - since - paused)

    def deadline(self, now: float) -> float:
        """When the limit is reached if no pause comes; 0 before the effect."""
        began = self.effect_at or (self.paged_at if self.script.mode == "tabletop" else 0.0)
        return now + self.script.limit_s - self.elapsed(now, began) if began else 0.0


def is_page(page: PageText) -> bool:
    """True for a message that wakes somebody."""
    return page.channel == "pagerduty" and page.status == "firing"


def initial(script: Script) -> State:
    """Return the state before anything happened."""
    return State(script=script, healthy=script.healthy)


def line_added(state: State, at: float, who: Any, what: str) -> State:
    """Return *state* with a line on its timeline."""
    return state.with_(timeline=(*state.timeline, TimelineLine(at=at, who=who, what=what)))
