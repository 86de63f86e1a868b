"""pod-kill: the replica's main process is killed (or its pod deleted), once or several times."""

from __future__ import annotations

from typing import ClassVar, Literal

from drill.core.actions import KillReplica
from drill.core.probes import Effect
from drill.faults.base import Backend, DurationParam, Field, Outcome, Params, Site, TimedAction

SIGNALS = Backend("kill", ("signals",), "SIGKILL to the main process; the supervisor restarts it")


class PodKillParams(Params):
    """``with:`` of pod-kill."""

    mode: Literal["kill", "delete", "evict"] = "kill"
    times: int = Field(1, ge=1, le=100, description="how often the replica is killed")
    every: DurationParam = Field(60.0, gt=0, description="time between kills (divided by fast-forward)")


class PodKill:
    """Kills; the platform restarts. The undo waits until the replica serves again."""

    name: ClassVar[str] = "pod-kill"
    summary: ClassVar[str] = "kills the replica; the platform must bring it back"
    params: ClassVar[type[Params]] = PodKillParams

    def backends(self, params: PodKillParams) -> tuple[Backend, ...]:
        return (SIGNALS,)

    def actions(self, params: PodKillParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        kill = KillReplica(injection=site.injection, replica=site.replica.name, mode=params.mode)
        every = params.every / site.facts.fast_forward
        return tuple((turn * every, kill) for turn in range(params.times))

    def effect(self, params: PodKillParams, backend: str, site: Site) -> Effect:
        """The replica was started once more than before."""
        return Effect(kind="starts", expected=1, low=1, unit="restarts", relative=True, within_s=30)

    def outcome(self, params: PodKillParams, backend: str, site: Site) -> Outcome:
        """Requests to it are refused until it serves again: restart time over the time between kills."""
        down = max(site.facts.restart_s, 0.2)
        if params.times == 1:
            return Outcome(failed=(0.5, 1.0), lasts_s=down)
        every = params.every / site.facts.fast_forward
        share = min(1.0, down / every)
        return Outcome(failed=(share / 2, min(1.0, 2 * share)), lasts_s=every * (params.times - 1) + down)
