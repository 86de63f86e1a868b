"""chaostoolkit: any Chaos Toolkit action as an injection, with its undo and the proof that it did something.

drill knows neither what such an action does nor what users feel of it: the scenario states the undo, a probe of the
effect, and the expected share of bad requests (``error_ratio``).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from drill.core.probes import Effect
from drill.faults.activities import CHAOSLIB, Activities, Ask, Do, proof, run, surroundings, unknown
from drill.faults.base import Backend, Field, Outcome, Params, Site, TimedAction


class ChaosToolkitParams(Activities):
    """``with:`` of chaostoolkit: three activities, and what they are given."""

    action: Do = Field(description="what breaks something")
    undo: Do = Field(description="what takes it back; it may be played although the action was not, and twice")
    probe: Ask = Field(description="what proves that the action had an effect")
    each: Literal["service", "replica"] = Field(
        "service", description="replica: once for each chosen replica, as $${drill_replica}, $${drill_address}"
    )


class ChaosToolkit:
    """Runs what the scenario says, once or at every chosen replica."""

    name: ClassVar[str] = "chaostoolkit"
    summary: ClassVar[str] = "runs any Chaos Toolkit action, with the undo and the proof you state"
    params: ClassVar[type[Params]] = ChaosToolkitParams

    def backends(self, params: ChaosToolkitParams) -> tuple[Backend, ...]:
        return (CHAOSLIB,)

    def actions(self, params: ChaosToolkitParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        around = surroundings(params, site, params.each == "replica")
        return run(
            site,
            params.action.call(f"{site.injection} action", around),
            params.undo.call(f"{site.injection} undo", around),
            replica=site.replica.name if params.each == "replica" else "",
        )

    def effect(self, params: ChaosToolkitParams, backend: str, site: Site) -> Effect:
        """The probe answers within its tolerance, and did not before."""
        around = surroundings(params, site, False)
        return proof(params.probe.call(f"{site.injection} probe", around), params.probe.within)

    def outcome(self, params: ChaosToolkitParams, backend: str, site: Site) -> Outcome:
        return unknown(site)
