"""Packets dropped or rejected by nftables alone: partition, and loss of a random share."""

from __future__ import annotations

from collections.abc import Mapping

from drill.agent.errors import CannotApply
from drill.agent.fault import Held, Site
from drill.agent.nft import Selection, Table, chain
from drill.agent.spec import Packet

PARTS = 100_000
"""Resolution of the random share: 0.001 %."""


class NftDrop(Held):
    """``drop`` and ``reject`` of everything selected, or ``loss_percent`` of it by a random number per packet."""

    backend = "nft"

    def __init__(self, spec: Packet, site: Site) -> None:
        super().__init__(site)
        self.spec = spec
        self.table = Table(site.id, Selection(spec.port, spec.direction, spec.peers, spec.exempt), site.ttl)

    def prepare(self) -> None:
        """Refuse what nftables cannot do to packets."""
        spec = self.spec
        if spec.delay_ms or spec.jitter_ms or spec.reorder_percent or spec.duplicate_percent or spec.rate_bit:
            raise CannotApply("backend nft can drop, reject and lose packets, not delay, reorder or shape them")
        if not spec.drop and not spec.loss_percent:
            raise CannotApply("backend nft needs drop, reject or a loss percentage")
        self.table.prepare()

    def _verdict(self) -> str:
        if self.spec.drop == "reject":
            return "reject with tcp reset"
        if self.spec.drop == "drop" or self.spec.loss_percent >= 100:
            return "drop"
        return f"numgen random mod {PARTS} < {round(self.spec.loss_percent * PARTS / 100)} drop"

    def apply(self) -> Mapping[str, object]:
        """Hook in where packets arrive for ingress, where they leave for egress."""
        arriving = self.spec.direction == "ingress"
        hook = f"{'input' if arriving else 'output'} priority -10"
        rules = self.table.selection.rules(arriving=arriving, verdict=self._verdict())
        self.table.create(chain("pick", hook, rules))
        return {"table": self.table.name, "verdict": self._verdict()}

    def refresh(self) -> None:
        """Renew the timeout."""
        self.table.hold()

    def revert(self) -> list[str]:
        """Delete the table."""
        return self.table.delete()
