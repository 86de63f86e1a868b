"""bandwidth: the replica's answers are shaped to a low rate."""

from __future__ import annotations

from typing import ClassVar

from drill.core.actions import PacketFault
from drill.core.probes import Effect
from drill.faults.base import Backend, Field, Outcome, Params, RateParam, Site, TimedAction, hold


class BandwidthParams(Params):
    """``with:`` of bandwidth."""

    rate: RateParam = Field(ge=8000, description="what is left for the serving port's answers")


class Bandwidth:
    """Shapes only the serving port's answers; everything else keeps full speed."""

    name: ClassVar[str] = "bandwidth"
    summary: ClassVar[str] = "limits the transfer rate of the service's answers"
    params: ClassVar[type[Params]] = BandwidthParams

    def backends(self, params: BandwidthParams) -> tuple[Backend, ...]:
        return (Backend("htb", ("htb",), "kernel qdisc htb", peers=True),)

    def actions(self, params: BandwidthParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        fault = PacketFault(
            backend="htb",
            port=site.replica.port,
            rate_bit=params.rate,
            peers=site.peers,
            exempt=site.facts.exempt,
        )
        return hold(site, fault)

    def effect(self, params: BandwidthParams, backend: str, site: Site) -> Effect:
        """Download rate of a body large enough for the shaper's burst not to matter."""
        rate = params.rate / 1000
        return Effect(
            kind="transfer_kbit", expected=rate, low=rate * 0.3, high=rate * 1.5, unit="kbit/s", samples=1
        )

    def outcome(self, params: BandwidthParams, backend: str, site: Site) -> Outcome:
        """Depends on the size of the answers, which a fault cannot know."""
        return Outcome(slowed=(0.0, 1.0), added_s=(0.0, 3.0), failed=(0.0, 1.0))
