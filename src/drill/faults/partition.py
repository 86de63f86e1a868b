"""partition: the replica cannot be reached, by everyone or only by one calling service."""

from __future__ import annotations

from typing import ClassVar, Literal

from drill.core.actions import PacketFault
from drill.core.probes import Effect
from drill.faults.base import ALWAYS, Backend, Outcome, Params, Site, TimedAction, hold


class PartitionParams(Params):
    """``with:`` of partition. ``drop``: packets vanish, callers time out; ``reject``: callers are refused."""

    mode: Literal["drop", "reject"] = "drop"


class Partition:
    """Cuts the way to the serving port; ``target.peer`` narrows it to one calling service."""

    name: ClassVar[str] = "partition"
    summary: ClassVar[str] = "cuts a service off from its callers, or from one of them"
    params: ClassVar[type[Params]] = PartitionParams

    def backends(self, params: PartitionParams) -> tuple[Backend, ...]:
        return (Backend("nft", ("nft",), "nftables drops or rejects", peers=True),)

    def actions(self, params: PartitionParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        fault = PacketFault(
            backend="nft",
            port=site.replica.port,
            drop=params.mode,
            peers=site.peers,
            exempt=site.facts.exempt,
        )
        return hold(site, fault)

    def effect(self, params: PartitionParams, backend: str, site: Site) -> Effect:
        """Connects from the peer (or from the users) fail."""
        return Effect(
            kind="unreachable_ratio",
            expected=1,
            low=0.99,
            high=1,
            unit="ratio",
            peer=site.peer or "users",
            samples=4,
        )

    def outcome(self, params: PartitionParams, backend: str, site: Site) -> Outcome:
        """Every request of a cut-off caller fails: refused at once, or when its patience is over."""
        waits_s = site.facts.client_timeout_s if params.mode == "drop" else 0.0
        return Outcome(failed=ALWAYS, added_s=(0.0, waits_s))
