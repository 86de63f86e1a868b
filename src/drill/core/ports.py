"""The ports between the engine and the world. Adapters implement them; ``drill.cli.wiring`` joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

from drill.core.actions import AnyAction
from drill.core.facts import Endpoints, Facts
from drill.core.observations import AlertmanagerAlert, AlertSpan, Notification, RuleStatus, SliSample
from drill.core.probes import Measurement, Probe
from drill.core.values import Value


class Target(Protocol):
    """Where a drill runs. All methods block, may be called from several threads, and have a time limit."""

    @property
    def name(self) -> str:
        """``sandbox`` or the name of a Kubernetes context."""

    def facts(self) -> Facts:
        """Return what compile needs to know. Raises Unavailable."""

    def endpoints(self) -> Endpoints:
        """Return where Prometheus, Alertmanager and the notification sink are reached from here."""

    def execute(self, action: AnyAction) -> float:
        """Do *action* and return the Unix time at which it was done. Raises ActionFailed.

        HoldFault returns once the agent has said ``applied``; ReleaseFault once it has said ``reverted`` or
        nothing of it is left, so doing it twice is harmless.
        """

    def measure(self, probe: Probe) -> Measurement:
        """Answer *probe*. Raises Unavailable when it cannot be measured."""

    def snapshot(self, replica: str) -> Mapping[str, str]:
        """Describe everything faults may change at *replica* (qdiscs, nft ruleset, processes, limits, files).

        Two snapshots without a fault in between are equal. Raises Unavailable.
        """

    def log_lines(self) -> Sequence[str]:
        """Return the last lines its own servers logged, for a report that must explain an unknown."""


@runtime_checkable
class Remembering(Protocol):
    """An optional power of a target: it keeps outside this process what has to be undone, so that anybody can."""

    def begin(self, run_id: str, steps: Sequence[tuple[AnyAction, AnyAction]]) -> None:
        """Learn what the run *run_id* will do: each action with its undo. Raises Unavailable, Refused."""

    def settled(self, injection: str) -> None:
        """Forget what *injection* had to undo: it was undone and looked at. Raises ActionFailed."""


class Hindrance(Value):
    """Something that will keep a target from doing what is asked of it, with what to do about it.

    ``check`` is what a person would call the matter: ``permissions``, ``quota``, ``nodes``. ``warn`` is for what
    may keep it, and forbids nothing.
    """

    level: Literal["warn", "block"] = "block"
    check: str
    text: str
    fix: str


@runtime_checkable
class Foreseeing(Protocol):
    """An optional power of a target: it knows before the start what it may not or cannot do."""

    def hindrances(self, actions: Sequence[AnyAction]) -> Sequence[Hindrance]:
        """Return what is missing to do *actions*, their undo included: rights above all. Touches nothing.

        Raises Unavailable when it cannot be found out.
        """


class AlertObserver(Protocol):
    """The alert path as its APIs show it. All times are Unix seconds of the server's clock."""

    def rules(self) -> Sequence[RuleStatus]:
        """All alerting rules Prometheus has loaded. Raises Unavailable."""

    def alert_spans(self, start: float, end: float) -> Sequence[AlertSpan]:
        """All alert states between *start* and *end*, from raw ``ALERTS`` samples. Raises Unavailable."""

    def alertmanager_alerts(self) -> Sequence[AlertmanagerAlert]:
        """All alerts of all Alertmanager peers now. Raises Unavailable when no peer answers."""

    def notifications(self, since: float) -> Sequence[Notification]:
        """What the notification sink got since *since*; empty where there is none. Raises Unavailable."""

    def sli(self, at: float | None = None) -> Sequence[SliSample]:
        """All SLIs now (or at *at*). Raises Unavailable."""

    def started_at(self) -> float:
        """When Prometheus's process started; a change during a run makes predictions invalid."""
