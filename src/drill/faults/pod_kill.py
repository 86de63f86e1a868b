"""pod-kill: the replica's main process is killed (or its pod deleted), once or several times."""

from __future__ import annotations

from typing import ClassVar, Literal

from drill.core.actions import KillReplica
from drill.core.probes import Effect
from drill.faults.base import Backend, DurationParam, Field, Outcome, Params, Site, TimedAction, forced

EVICT = Backend("evict", ("evict",), "eviction by the API, which respects disruption budgets", api=True)
DELETE = Backend("delete", ("delete",), "deletion of the pod by the API", api=True)
KILL = Backend("kill", ("signals",), "SIGKILL to the main process; the supervisor restarts it")
BACK_WITHIN_S = 60.0
"""A pod that has to be made anew is scheduled, started and probed within this, or something is wrong."""


class PodKillParams(Params):
    """``with:`` of pod-kill."""

    mode: Literal["auto", "kill", "delete", "evict"] = Field("auto", description="auto: evict, else kill")
    times: int = Field(1, ge=1, le=100, description="how often the replica is killed")
    every: DurationParam = Field(60.0, gt=0, description="time between kills (divided by fast-forward)")


class PodKill:
    """Kills; the platform restarts. The undo waits until the replica, or the one in its place, serves again."""

    name: ClassVar[str] = "pod-kill"
    summary: ClassVar[str] = "kills the replica; the platform must bring it back"
    params: ClassVar[type[Params]] = PodKillParams

    def backends(self, params: PodKillParams) -> tuple[Backend, ...]:
        return (EVICT, KILL) if params.mode == "auto" else forced(params.mode, (EVICT, DELETE, KILL))

    def actions(self, params: PodKillParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        kill = KillReplica.model_validate(
            {
                "injection": site.injection,
                "replica": site.replica.name,
                "mode": backend,
                "back_within_s": max(BACK_WITHIN_S, 4 * site.facts.restart_s),
            }
        )
        every = params.every / site.facts.fast_forward
        return tuple((turn * every, kill) for turn in range(params.times))

    def effect(self, params: PodKillParams, backend: str, site: Site) -> Effect:
        """The replica was started once more than before, or another one has taken its place."""
        return Effect(kind="starts", expected=1, low=1, unit="restarts", relative=True, within_s=30)

    def outcome(self, params: PodKillParams, backend: str, site: Site) -> Outcome:
        """Requests to it are refused until it serves again: restart time over the time between kills.

        A replica that is evicted or deleted may end in good order: then nobody feels anything.
        """
        surely = 1.0 if backend == "kill" else 0.0
        down = max(site.facts.restart_s, 0.2)
        if params.times == 1:
            return Outcome(failed=(surely / 2, 1.0), lasts_s=down)
        every = params.every / site.facts.fast_forward
        share = min(1.0, down / every)
        return Outcome(failed=(surely * share / 2, min(1.0, 2 * share)), lasts_s=every * (params.times - 1) + down)
