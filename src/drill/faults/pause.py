"""pause: every process of the replica is stopped; it still accepts connections but never answers."""

from __future__ import annotations

from typing import ClassVar

from drill.core.actions import PauseFault
from drill.core.probes import Effect
from drill.faults.base import ALWAYS, Backend, Outcome, Params, Site, TimedAction, hold


class PauseParams(Params):
    """``with:`` of pause; it has no parameters."""


class Pause:
    """SIGSTOP, and SIGCONT at the end; the way a long garbage collection or a stuck disk looks."""

    name: ClassVar[str] = "pause"
    summary: ClassVar[str] = "stops the replica's processes without ending them"
    params: ClassVar[type[Params]] = PauseParams

    def backends(self, params: PauseParams) -> tuple[Backend, ...]:
        return (Backend("signals", ("signals",), "SIGSTOP to every process of the replica"),)

    def actions(self, params: PauseParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        return hold(site, PauseFault())

    def effect(self, params: PauseParams, backend: str, site: Site) -> Effect:
        """The main process is in state T."""
        return Effect(kind="stopped", expected=1, low=1, high=1, unit="stopped")

    def outcome(self, params: PauseParams, backend: str, site: Site) -> Outcome:
        """Every request to it times out: it counts as an error once the user's patience is over."""
        return Outcome(failed=ALWAYS, added_s=(site.facts.client_timeout_s, site.facts.client_timeout_s))
