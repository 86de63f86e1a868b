"""Packets delayed, lost or shaped by a kernel qdisc: netem and htb.

A qdisc acts on what leaves. For ``ingress`` that means the replica's answers, for ``egress`` its own requests.
Only packets that a set with a timeout selects get into our class (``shaped_selection``): when nobody refreshes it,
the qdisc stays but is empty. Everything else takes the bands it always took.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from drill.agent import tc
from drill.agent.errors import CannotApply, CommandFailed
from drill.agent.fault import Held, Site
from drill.agent.nft import Selection
from drill.agent.shaped_selection import Way, way_to_select
from drill.agent.spec import Packet

PACKETS_PER_SECOND = 100_000
"""netem's queue is sized for this rate (its default of 1000 packets overflows at 5000/s and 200 ms)."""
LINE_RATE = "100gbit"
DRAIN_S = 1.0
"""The undo waits at most this long for packets still in the queue."""


class Shaped(Held):
    """What netem and htb share: the root qdisc on every interface, and the packets' way into our class."""

    minor: int
    way: Way

    def __init__(self, spec: Packet, site: Site) -> None:
        super().__init__(site)
        self.spec = spec
        self.selection = Selection(spec.port, spec.direction, spec.peers, spec.exempt)
        self.links: list[tc.Link] = []
        self.drain = 0.0

    def prepare(self) -> None:
        """Refuse namespaces where somebody shapes already."""
        self.links = tc.links()
        tc.refuse_foreign(self.links)
        self.way = way_to_select(self.site.id, self.selection, self.site.ttl)
        self.way.prepare()

    def variants(self, link: tc.Link) -> list[list[str]]:
        """Return the ways to build the tree on *link*, best first, each as tc commands."""
        raise NotImplementedError

    def apply(self) -> Mapping[str, object]:
        """Build the trees, then let the selected packets in."""
        for link in self.links:
            if link.major == tc.RAISED:
                tc.set_txqlen(link.name, tc.TXQLEN)
            self._build(link)
        self.way.create(self.links, self.minor)
        self.way.hold()
        names = [link.name for link in self.links]
        return {"selection": self.way.title, "set": self.way.name, "links": names, **self.detail()}

    def detail(self) -> dict[str, object]:
        """Return what the report should know of the parameters."""
        return {}

    def _build(self, link: tc.Link) -> None:
        refusals = []
        for commands in self.variants(link):
            try:
                tc.batch(commands)
                return
            except CommandFailed as error:
                refusals.append(str(error))
                if tc.roots().get(link.name, ("", ""))[1] in tc.OURS:
                    tc.batch([f"qdisc del dev {link.name} root"])
        raise CannotApply(f"{link.name}: {'; '.join(dict.fromkeys(refusals))}")

    def refresh(self) -> None:
        """Renew the timeout."""
        self.way.hold()

    def lost(self) -> str:
        """The qdisc of every interface must still be ours."""
        present = tc.roots()
        missing = [link.name for link in self.links if present.get(link.name, ("", ""))[1] not in tc.OURS]
        return f"the qdisc on {', '.join(missing)} is gone" if missing else ""

    def revert(self) -> list[str]:
        """Select nothing, let the queue run empty, remove table and qdiscs."""
        self.way.release()
        if any(handle in tc.OURS for _, handle in tc.roots().values()):
            time.sleep(min(DRAIN_S, self.drain))
        try:
            tc.remove_ours()
            for link in self.links:
                if link.major == tc.RAISED:  # the agent may have died between txqlen and qdisc
                    tc.set_txqlen(link.name, link.txqlen)
        except CommandFailed as error:
            return [*self.way.delete(), *tc.left(), str(error)]
        return self.way.delete() + tc.left()


class Netem(Shaped):
    """Delay, jitter, loss, reorder and duplication on the fourth band of a prio qdisc (or on an htb class)."""

    backend = "netem"
    minor = 4

    def prepare(self) -> None:
        """Refuse what netem cannot do."""
        spec = self.spec
        if spec.drop or spec.rate_bit:
            raise CannotApply("backend netem does not reject or shape: use nft or htb")
        if spec.reorder_percent and not spec.delay_ms:
            raise CannotApply("reordering needs a delay: the packets that are not delayed overtake")
        if not (spec.delay_ms or spec.loss_percent or spec.duplicate_percent):
            raise CannotApply("backend netem needs a delay, a loss or a duplication")
        super().prepare()
        self.drain = (spec.delay_ms + spec.jitter_ms) / 1000

    def detail(self) -> dict[str, object]:
        """Return netem's parameters."""
        return {"netem": self._netem()}

    def _netem(self) -> str:
        spec = self.spec
        seconds = (spec.delay_ms + spec.jitter_ms) / 1000
        words = [f"limit {max(10_000, round(PACKETS_PER_SECOND * seconds * 1.5))}"]
        if spec.delay_ms or spec.jitter_ms:
            words.append(f"delay {round(spec.delay_ms * 1000)}us {round(spec.jitter_ms * 1000)}us")
        for name in ("loss", "duplicate", "reorder"):
            percent = getattr(spec, f"{name}_percent")
            if percent:
                words.append(f"{name} {percent:g}%")
        return " ".join(words)

    def variants(self, link: tc.Link) -> list[list[str]]:
        """Prio keeps its three usual bands for everything else; htb passes everything else at once."""
        dev, major, netem = f"dev {link.name}", f"{link.major:x}", self._netem()
        prio = [
            f"qdisc add {dev} root handle {major}: prio bands 4",
            f"qdisc add {dev} parent {major}:4 handle {major[:3]}a: netem {netem}",
        ]
        htb = [
            f"qdisc add {dev} root handle {major}: htb default 0",
            f"class add {dev} parent {major}: classid {major}:4 htb rate {LINE_RATE} quantum 60000",
            f"qdisc add {dev} parent {major}:4 handle {major[:3]}a: netem {netem}",
        ]
        return [prio, htb]


class Htb(Shaped):
    """A rate for the selected packets; what is not selected bypasses htb's classes at full speed."""

    backend = "htb"
    minor = 0x30

    def prepare(self) -> None:
        """Refuse everything but a rate."""
        spec = self.spec
        if not spec.rate_bit:
            raise CannotApply("backend htb needs a rate")
        if spec.delay_ms or spec.jitter_ms or spec.loss_percent or spec.reorder_percent or spec.drop:
            raise CannotApply("backend htb shapes to a rate and does nothing else")
        super().prepare()
        self.drain = 0.1

    def detail(self) -> dict[str, object]:
        """Return the rate."""
        return {"rate_bit": self.spec.rate_bit}

    def variants(self, link: tc.Link) -> list[list[str]]:
        """One class; ``default 0`` means that unclassified packets are not shaped at all."""
        dev, major = f"dev {link.name}", f"{link.major:x}"
        return [
            [
                f"qdisc add {dev} root handle {major}: htb default 0",
                f"class add {dev} parent {major}: classid {major}:30 htb rate {self.spec.rate_bit}bit quantum 1514",
            ]
        ]
