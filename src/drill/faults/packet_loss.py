"""packet-loss: a share of the serving port's packets is lost, so users see retransmits and time-outs."""

from __future__ import annotations

from typing import ClassVar, Literal

from drill.core.actions import PacketFault
from drill.core.probes import Effect
from drill.faults.base import Backend, Field, Outcome, Params, PercentParam, Site, TimedAction, forced, hold

BACKENDS = (
    Backend("netem", ("netem",), "kernel qdisc netem", peers=True),
    Backend("nft", ("nft",), "nftables drops a random share", peers=True),
    Backend("nfqueue", ("nfqueue",), "a user-space queue drops a random share", peers=True),
)
SAMPLES = 40


class PacketLossParams(Params):
    """``with:`` of packet-loss."""

    loss: PercentParam = Field(ge=0.05, le=1, description="share of packets that is lost")
    backend: Literal["auto", "netem", "nft", "nfqueue"] = "auto"


class PacketLoss:
    """Loses packets at random; TCP hides some of it behind retransmits, which users feel as slowness."""

    name: ClassVar[str] = "packet-loss"
    summary: ClassVar[str] = "loses a share of the service's packets"
    params: ClassVar[type[Params]] = PacketLossParams

    def backends(self, params: PacketLossParams) -> tuple[Backend, ...]:
        return forced(params.backend, BACKENDS)

    def actions(self, params: PacketLossParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        return hold(
            site,
            PacketFault(
                backend="netem" if backend == "netem" else "nft" if backend == "nft" else "nfqueue",
                port=site.replica.port,
                loss_percent=params.loss * 100,
                peers=site.peers,
                exempt=site.facts.exempt,
            ),
        )

    def effect(self, params: PacketLossParams, backend: str, site: Site) -> Effect:
        """The share of connects whose first SYN (or SYN-ACK) was lost; 40 samples, so three sigma are allowed."""
        spread = 3 * (params.loss * (1 - params.loss) / SAMPLES) ** 0.5 + 0.03
        return Effect(
            kind="lost_ratio",
            expected=params.loss,
            low=max(0.02, params.loss - spread),
            high=min(1.0, params.loss + spread),
            unit="ratio",
            samples=SAMPLES,
        )

    def outcome(self, params: PacketLossParams, backend: str, site: Site) -> Outcome:
        """A lost SYN costs 1 s, a lost request or answer at least TCP's least retransmission time of 200 ms."""
        keep = 1 - params.loss
        slow_low, slow_high = params.loss, 1 - keep**4
        return Outcome(slowed=(slow_low, slow_high), added_s=(0.2, 3.0), failed=(0.0, slow_high))
