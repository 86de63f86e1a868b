"""How packets get into our class of a qdisc, and stop getting there when nobody refreshes it: two ways.

By nftables where it knows IPv4: a rule sets the packets' priority to our class. Else by tc's own filters, which ask
an ipset. Both sets time out in the kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol

from drill.agent import ipset, tc
from drill.agent.errors import CannotApply, CommandFailed
from drill.agent.nft import PREFIX, Selection, Table, chain, family_for, table_name

TCP = 6


class Way(Protocol):
    """One way to select what leaves; the qdiscs are there when ``create`` is called, gone when ``delete`` is."""

    name: str
    title: str

    def prepare(self) -> None:
        """Refuse leftovers. Raises CannotApply."""

    def create(self, links: Sequence[tc.Link], minor: int) -> None:
        """Make what selects; nothing is selected yet. Raises CannotApply."""

    def hold(self) -> None:
        """Select for another TTL. Raises CannotApply, OSError."""

    def release(self) -> None:
        """Select nothing any more."""

    def delete(self) -> list[str]:
        """Remove it and return what is left."""


class ByNft:
    """Packets' priority set by nftables."""

    title = "nftables"

    def __init__(self, injection: str, selection: Selection, ttl: float) -> None:
        self.table = Table(injection, selection, ttl)
        self.name = self.table.name
        self.prepare, self.hold = self.table.prepare, self.table.hold
        self.release, self.delete = self.table.release, self.table.delete

    def create(self, links: Sequence[tc.Link], minor: int) -> None:
        """One rule per interface, since the handle's major may differ."""
        sets = [f'oifname "{link.name}" meta priority set 0x{link.major:04x}{minor:04x}' for link in links]
        rules = self.table.selection.rules(arriving=False, verdict="jump fault")
        lines = "\n".join(sets)
        self.table.create(f"chain fault {{\n{lines}\n}}\n{chain('pick', 'output priority mangle', rules)}")


class ByFilter:
    """tc's ``basic`` filter with an ipset match. IPv4 only."""

    title = "tc filter and ipset"

    def __init__(self, injection: str, selection: Selection, ttl: float) -> None:
        self.selection, self.ttl = selection, ttl
        self.name = f"{PREFIX}{table_name(injection)[-8:]}"  # ipset allows 31 characters

    def prepare(self) -> None:
        """Refuse a set that is there already."""
        if self.name in ipset.names(PREFIX):
            raise CannotApply(f"ipset {self.name} is already there: `drill recover` removes it")

    def create(self, links: Sequence[tc.Link], minor: int) -> None:
        """Create the set, then the filters that ask it."""
        ipset.create(self.name, self.selection.port, self.ttl)
        for link in links:
            where = f"filter add dev {link.name} parent {link.major:x}: protocol ip prio 1"
            tc.batch([f"{where} basic match '{self._expression()}' classid {link.major:x}:{minor:x}"])

    def _expression(self) -> str:
        side = "src" if self.selection.direction == "ingress" else "dst"
        terms = [f"cmp(u8 at 9 layer network eq {TCP})", f"ipset({self.name} {side})"]
        terms += [f"not {_destination(address)}" for address in self.selection.exempt]
        if self.selection.peers:
            terms.append(f"( {' or '.join(_destination(peer) for peer in self.selection.peers)} )")
        return " and ".join(terms)

    def hold(self) -> None:
        """Renew the timeout."""
        ipset.hold(self.name, self.selection.port, self.ttl)

    def release(self) -> None:
        """Empty the set."""
        ipset.flush(self.name)

    def delete(self) -> list[str]:
        """Destroy the set; its filters went with the qdisc."""
        try:
            ipset.destroy(self.name)
        except OSError as error:
            return [f"ipset {self.name}: {error}"]
        return []


def _destination(address: str) -> str:
    return f"u32(u32 0x{socket.inet_aton(address).hex()} 0xffffffff at 16)"


def way_to_select(injection: str, selection: Selection, ttl: float) -> Way:
    """Return the way this kernel offers. Raises CannotApply."""
    try:
        family_for(table_name(injection))
    except CommandFailed:
        return ByFilter(injection, selection, ttl)
    return ByNft(injection, selection, ttl)
