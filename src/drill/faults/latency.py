"""latency: packets of the serving port are delayed, or requests are, so users wait longer."""

from __future__ import annotations

from typing import ClassVar, Literal

from drill.core.actions import HttpFault, PacketFault
from drill.core.probes import Effect
from drill.faults.base import (
    ALWAYS,
    Backend,
    DurationParam,
    Field,
    Outcome,
    Params,
    Site,
    TimedAction,
    forced,
    hold,
)

BACKENDS = (
    Backend("netem", ("netem",), "kernel qdisc netem", peers=True),
    Backend("nfqueue", ("nfqueue",), "packets held in user space by NFQUEUE", peers=True),
    Backend("envoy", ("envoy",), "requests delayed by an Envoy in front of the port"),
)


class LatencyParams(Params):
    """``with:`` of latency. ``delay`` is added per flight: a new connection pays it twice with packets."""

    delay: DurationParam = Field(gt=0, le=60, description="added per flight of packets, or per request with Envoy")
    jitter: DurationParam = Field(0.0, ge=0, description="the delay varies by this much, up and down")
    backend: Literal["auto", "netem", "nfqueue", "envoy"] = "auto"


class Latency:
    """Delays what arrives at the serving port, or what leaves it; never Prometheus's scrapes."""

    name: ClassVar[str] = "latency"
    summary: ClassVar[str] = "adds delay (and jitter) to the service's packets"
    params: ClassVar[type[Params]] = LatencyParams

    def backends(self, params: LatencyParams) -> tuple[Backend, ...]:
        return forced(params.backend, BACKENDS)

    def actions(self, params: LatencyParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        if backend == "envoy":
            return hold(
                site,
                HttpFault(
                    port=site.replica.port,
                    delay_percent=100,
                    delay_ms=params.delay * 1000,
                    exempt=site.facts.exempt,
                ),
            )
        return hold(
            site,
            PacketFault(
                backend="netem" if backend == "netem" else "nfqueue",
                port=site.replica.port,
                delay_ms=params.delay * 1000,
                jitter_ms=params.jitter * 1000,
                peers=site.peers,
                exempt=site.facts.exempt,
            ),
        )

    def effect(self, params: LatencyParams, backend: str, site: Site) -> Effect:
        """Added connect time (one flight) for packets, added request time for Envoy, within 25 % and jitter."""
        delay, slack = params.delay * 1000, params.jitter * 1000 + 10
        return Effect(
            kind="request_ms" if backend == "envoy" else "connect_ms",
            expected=delay,
            low=delay * 0.75 - slack,
            high=delay * 1.25 + slack + 40,
            unit="ms",
            relative=True,
            samples=3,
        )

    def outcome(self, params: LatencyParams, backend: str, site: Site) -> Outcome:
        """Every request waits: one delay with Envoy, two flights (SYN and request) on a new connection."""
        flights = 1 if backend == "envoy" else 2
        low = flights * max(0.0, params.delay - params.jitter)
        return Outcome(slowed=ALWAYS, added_s=(low, flights * (params.delay + params.jitter)))
