"""bad-rollout: a new version that cannot start (an image nobody can pull) or never becomes ready is rolled out."""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from drill.core.actions import ChangeTemplate
from drill.core.probes import Effect
from drill.faults.base import Backend, Field, Outcome, Params, Site, TimedAction

API = Backend("rollout", ("rollout",), "the workload's pod template by the API", api=True)
NO_IMAGE = "drill.invalid/no-such-image:drill"
"""The top level domain ``.invalid`` never resolves (RFC 2606): no registry is asked."""
NEVER_READY = {"exec": {"command": ["/drill-says-not-ready"]}, "periodSeconds": 1, "failureThreshold": 1}
"""A program no image has: every probe fails, whatever the container serves."""


class BadRolloutParams(Params):
    """``with:`` of bad-rollout."""

    kind: Literal["image", "readiness"] = Field(
        "image", description="image: it cannot be pulled; readiness: the new pods never become ready"
    )


class BadRollout:
    """Starts a rollout that gets stuck; the undo puts the former template back and waits for it."""

    name: ClassVar[str] = "bad-rollout"
    summary: ClassVar[str] = "rolls out a version that cannot start or never becomes ready"
    params: ClassVar[type[Params]] = BadRolloutParams

    def backends(self, params: BadRolloutParams) -> tuple[Backend, ...]:
        return (API,)

    def actions(self, params: BadRolloutParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        workload = site.service.workload
        if workload is None:
            return ()
        image = params.kind == "image"
        change = ChangeTemplate(
            injection=site.injection,
            service=site.service.name,
            workload=workload.name,
            container=workload.container,
            field="image" if image else "readinessProbe",
            value=json.dumps(NO_IMAGE if image else NEVER_READY),
            before=json.dumps(workload.image) if image else workload.readiness,
        )
        return ((0.0, change),)

    def effect(self, params: BadRolloutParams, backend: str, site: Site) -> Effect:
        """The rollout was begun and at least one replica of it does not become available."""
        return Effect(kind="unavailable", expected=1, low=1, unit="replicas", within_s=60)

    def outcome(self, params: BadRolloutParams, backend: str, site: Site) -> Outcome:
        """As many replicas go as the workload's ``maxUnavailable`` lets go; the others carry the load."""
        return Outcome(failed=(0.0, 1.0), slowed=(0.0, 1.0), added_s=(0.0, 3.0))
