"""http-error: a share of the requests is answered with an error status by an Envoy in front of the port."""

from __future__ import annotations

from typing import ClassVar, Literal

from drill.core.actions import HttpFault
from drill.core.probes import Effect
from drill.faults.base import Backend, Field, Outcome, Params, PercentParam, Site, TimedAction, hold

SAMPLES = 40
FEW_SAMPLES = 10


class HttpErrorParams(Params):
    """``with:`` of http-error."""

    percent: PercentParam = Field(1.0, gt=0, le=1, description="share of requests that is answered with `status`")
    status: int = Field(503, ge=500, le=599, description="HTTP status of the answer")
    backend: Literal["auto", "envoy"] = "auto"


class HttpError:
    """Answers requests with an error before they reach the service; new connections only."""

    name: ClassVar[str] = "http-error"
    summary: ClassVar[str] = "answers a share of the requests with an error status"
    params: ClassVar[type[Params]] = HttpErrorParams

    def backends(self, params: HttpErrorParams) -> tuple[Backend, ...]:
        return (Backend("envoy", ("envoy",), "Envoy's fault filter in front of the port"),)

    def actions(self, params: HttpErrorParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        fault = HttpFault(
            port=site.replica.port,
            abort_percent=params.percent * 100,
            status=params.status,
            exempt=site.facts.exempt,
        )
        return hold(site, fault)

    def effect(self, params: HttpErrorParams, backend: str, site: Site) -> Effect:
        """The share of error answers over 40 requests (10 where all must fail); three sigma are allowed."""
        samples = SAMPLES if params.percent < 1 else FEW_SAMPLES
        spread = 3 * (params.percent * (1 - params.percent) / samples) ** 0.5 + 0.03
        return Effect(
            kind="error_ratio",
            expected=params.percent,
            low=max(0.02, params.percent - spread),
            high=min(1.0, params.percent + spread),
            unit="ratio",
            samples=samples,
        )

    def outcome(self, params: HttpErrorParams, backend: str, site: Site) -> Outcome:
        """Exactly the share asked for."""
        return Outcome(failed=(params.percent, params.percent))
