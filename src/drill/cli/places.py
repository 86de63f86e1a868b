"""Where a plan is compiled for and run: the embedded sandbox, or a namespace of a cluster that was named.

Owns the choice between them. A place gives facts and rules to compile with, and opens for one run: what forbids a
start there is looked at, the lease is taken, and everything is let go of at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from drill.cli.alertpath import AlertPath, alert_path
from drill.cli.kept import kept_sandbox
from drill.cli.leases import leases
from drill.cli.settings import RunSettings
from drill.core.facts import Facts
from drill.core.ports import Target
from drill.plan.compile import Rules
from drill.target.sandbox import Sandbox, SandboxSpec, planned_facts
from drill.target.sandbox.topology import SINK_URL

if TYPE_CHECKING:
    from drill.observe.observer import ObserverOptions


@dataclass
class Opening:
    """One run that wants in. ``stop`` ends it; ``reasons`` then says why, where it was not the user."""

    run_id: str
    services: Sequence[str]
    stop: threading.Event
    progress: Callable[[str], None] | None = None
    reasons: list[str] = field(default_factory=list)

    def end(self, reason: str) -> None:
        """End the run because of *reason*."""
        self.reasons.append(reason)
        self.stop.set()


class Place(Protocol):
    """Where a plan is compiled for and run."""

    @property
    def rules(self) -> Rules:
        """The alert rules and routes a plan is judged against."""

    @property
    def namespace(self) -> str:
        """The namespace, empty in the sandbox."""

    @property
    def observer_options(self) -> ObserverOptions | None:
        """How its servers want to be asked; None: as usual."""

    @property
    def stays(self) -> bool:
        """False for a place that changes by itself: a plan for it is made anew before it is run."""

    def facts(self) -> Facts:
        """What compile needs. Raises Unavailable."""

    def opened(self, opening: Opening) -> AbstractContextManager[Target]:
        """Let one run in. Raises Refused, Unavailable, UndoIncomplete."""

    def close(self) -> None:
        """Let go of what was opened to compile, when no run follows."""


@dataclass(frozen=True)
class SandboxPlace:
    """A sandbox that is started for the run and ends with it, or one that was kept and stays."""

    path: AlertPath
    spec: SandboxSpec
    target: str
    kept: Sandbox | None
    namespace: str = ""
    stays: bool = True
    observer_options: ObserverOptions | None = None

    @property
    def rules(self) -> Rules:
        """The shipped rules and routes, divided as the sandbox runs them."""
        return self.path.rules

    def facts(self) -> Facts:
        """Facts of the kept sandbox, or of one that would be started."""
        return self.kept.facts() if self.kept else planned_facts(self.spec)

    @contextmanager
    def opened(self, opening: Opening) -> Iterator[Target]:
        """Start a sandbox, or join the kept one; hold the leases of its services."""
        with self._sandbox(opening.progress) as sandbox:
            names = [f"sandbox {sandbox.id}/{name}" for name in opening.services]
            with leases(names, opening.run_id):
                yield sandbox

    @contextmanager
    def _sandbox(self, progress: Callable[[str], None] | None) -> Iterator[Sandbox]:
        kept = kept_sandbox(self.target)
        if kept is None:
            with Sandbox.start(self.spec, on_progress=progress) as sandbox:
                yield sandbox
            return
        try:
            yield kept
        finally:
            kept.detach()

    def close(self) -> None:
        """Nothing was opened."""


def is_sandbox(target: str) -> bool:
    """True for ``sandbox`` and ``sandbox:NAME``."""
    return target.partition(":")[0] == "sandbox"


def place_for(settings: RunSettings, concerned: Sequence[str], *, agents: bool) -> Place:
    """Return the place *settings* name. With *agents* somebody must be near the pods of the *concerned* services.

    Raises UsageError, Refused, Unavailable.
    """
    if not is_sandbox(settings.target):
        from drill.cli.cluster import ClusterPlace

        return ClusterPlace.open(settings, concerned, agents=agents)
    kept = kept_sandbox(settings.target)
    fast_forward = kept.spec.fast_forward if kept else settings.fast_forward
    path = alert_path(fast_forward, SINK_URL)
    spec = kept.spec if kept else path.sandbox_spec(fast_forward, settings.seed)
    return SandboxPlace(path, spec, settings.target, kept)
