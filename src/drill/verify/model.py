"""What a judgement says, as frozen values. Owns the enum of alert verdicts and how they add up to an outcome.

All times are Unix seconds of Prometheus's clock (server time).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import JsonValue

from drill.core.errors import ExitCode
from drill.core.values import Value

Outcome = Literal["pass", "fail", "unknown", "aborted"]
Source = Literal["prometheus", "alertmanager", "sink", "target", "journal"]


class AlertVerdict(StrEnum):
    """What became of one alert; exactly one value per alert, the gravest where several apply."""

    ON_TIME = "ON_TIME"
    EARLY = "EARLY"
    LATE = "LATE"
    NEVER = "NEVER"
    ALREADY_FIRING = "ALREADY_FIRING"
    SUPPRESSED = "SUPPRESSED"
    MISROUTED = "MISROUTED"
    NOT_DELIVERED = "NOT_DELIVERED"
    RESOLVED_WITHOUT_TRAFFIC = "RESOLVED_WITHOUT_TRAFFIC"
    NOT_RESOLVED = "NOT_RESOLVED"
    UNEXPECTED = "UNEXPECTED"
    PREDICTION_INVALID = "PREDICTION_INVALID"
    NO_EVIDENCE = "NO_EVIDENCE"

    @property
    def outcome(self) -> Outcome:
        """``pass`` for ON_TIME, ``unknown`` where the drill could neither prove nor refute, else ``fail``."""
        if self is AlertVerdict.ON_TIME:
            return "pass"
        return "unknown" if self in UNDECIDED else "fail"


UNDECIDED = frozenset({AlertVerdict.NO_EVIDENCE, AlertVerdict.PREDICTION_INVALID, AlertVerdict.ALREADY_FIRING})
"""An alert that fired before its fault can no longer show that the fault makes it fire: neither pass nor fail."""


class Evidence(Value):
    """One thing seen: who said it, to which question, when, and the raw answer."""

    source: Source
    query: str
    at: float
    raw: JsonValue


class Claim(Value):
    """One partial judgement of an alert (timing, delivery or resolution) in words."""

    verdict: AlertVerdict
    why: str


class JudgedAlert(Value):
    """One alert with its verdict, the times that led to it, and the evidence.

    ``claims`` holds every partial judgement, the decisive one being ``verdict`` and ``why``. ``predicted`` is
    the interval in which it had to fire; ``since`` the moment from which all replicas showed the effect;
    ``fault_ended`` when the last fault that causes it was gone.
    """

    match: dict[str, str]
    labels: dict[str, str]
    verdict: AlertVerdict
    why: str
    claims: tuple[Claim, ...] = ()
    predicted: tuple[float, float] | None = None
    predicted_basis: str = ""
    since: float | None = None
    fault_ended: float | None = None
    pending_at: float | None = None
    firing_at: float | None = None
    in_alertmanager_at: float | None = None
    expected_receiver: str = ""
    receivers: tuple[str, ...] = ()
    delivered_at: float | None = None
    resolved_at: float | None = None
    resolve_deadline: float | None = None
    evidence: tuple[Evidence, ...] = ()


class MeasuredEffect(Value):
    """The proof of a fault at one replica, in ``unit``; ``measured`` is the last value taken while it held."""

    replica: str
    measured: float
    baseline: float
    expected: float
    unit: str
    holds: bool


class JudgedInjection(Value):
    """One injection: was it done, did it show, is it gone. ``problem`` is empty when all three are proven."""

    id: str
    fault: str
    backend: str
    replicas: tuple[str, ...]
    applied_at: float | None = None
    first_touch: float | None = None
    effective_at: float | None = None
    effects: tuple[MeasuredEffect, ...] = ()
    reverted_at: float | None = None
    clean: bool | None = None
    differences: tuple[str, ...] = ()
    problem: str = ""

    @property
    def effect_holds(self) -> bool:
        """True when every planned replica showed the effect."""
        shown = {effect.replica for effect in self.effects if effect.holds}
        return self.effective_at is not None and shown >= set(self.replicas)


class Verdict(Value):
    """The judgement of a whole run.

    ``reasons`` says why the outcome is not ``pass`` (empty when it is); ``notes`` what is worth knowing all the
    same. ``also`` are alerts that were predicted to fire besides the expected ones, ``allowed`` those the
    scenario allows; neither changes the outcome.
    """

    outcome: Outcome
    exit_code: ExitCode
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    alerts: tuple[JudgedAlert, ...] = ()
    also: tuple[JudgedAlert, ...] = ()
    allowed: tuple[JudgedAlert, ...] = ()
    unexpected: tuple[JudgedAlert, ...] = ()
    injections: tuple[JudgedInjection, ...] = ()
    undo_complete: bool = True
    t0: float | None = None
    clock_skew_s: float = 0.0
