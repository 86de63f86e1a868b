"""drill's own nftables tables: one per injection, named ``drill_…``; nobody else's table is ever changed.

Every table has a set ``ports`` whose elements carry a timeout, and every rule that faults a packet matches that
set. So the kernel itself ends the fault when nobody refreshes it, whatever happened to the processes.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from drill.agent.commands import run
from drill.agent.errors import CannotApply, CommandFailed

PREFIX = "drill_"
FAMILIES = ("inet", "ip")
"""Of tables: both IP versions, or only IPv4 on kernels without CONFIG_NF_TABLES_INET."""


NO_TABLES = "cache initialization failed: Invalid argument"
"""What nft says where the kernel has no nf_tables at all."""


def table_name(injection: str) -> str:
    """Return the name of *injection*'s table: readable, and different for different ids."""
    readable = re.sub(r"[^A-Za-z0-9]", "_", injection)[:40]
    return f"{PREFIX}{readable}_{zlib.crc32(injection.encode()):08x}"


def drill_tables() -> list[str]:
    """Return all tables of drill's in this namespace as ``FAMILY NAME``. Raises CommandFailed."""
    try:
        listed = run("nft", "list", "tables")
    except CommandFailed as error:
        if NO_TABLES in str(error):
            return []
        raise
    rows = (line.split() for line in listed.splitlines())
    ours = (row for row in rows if row[1] in FAMILIES and row[2].startswith(PREFIX))
    return [f"{row[1]} {row[2]}" for row in ours]


def delete_table(table: str) -> None:
    """Delete *table* (``FAMILY NAME``); that it is not there is no error. Raises CommandFailed."""
    # `add` first makes `delete` succeed in either case, in one transaction.
    run("nft", "-f", "-", stdin=f"add table {table}\ndelete table {table}\n")


def family_for(name: str) -> str:
    """Return the first family in which the kernel would make a table *name*; only asks, makes nothing.

    Raises CannotApply when there is one of that name, CommandFailed when no family would do.
    """
    refusals = []
    for family in FAMILIES:
        try:
            run("nft", "-c", "create", "table", family, name)  # unlike `add`, refused when the table is there
            return family
        except CommandFailed as error:
            refusals.append(str(error))
        if f"{family} {name}" in drill_tables():
            raise CannotApply(
                f"nft table {name} is already there: another agent holds this injection, or one left it; "
                "`drill recover` removes it"
            )
    raise CommandFailed(f"the kernel's nf_tables does not know IPv4: {refusals[-1]}")


@dataclass(frozen=True)
class Selection:
    """Which packets are faulted: those of TCP ``port`` of the replica, or of its peers for ``egress``."""

    port: int
    direction: str = "ingress"
    peers: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ()

    def sets(self, ttl: float) -> str:
        """Return the sets that ``rules`` refers to; the port is selected for *ttl* seconds."""
        lines = [f"set ports {{ type inet_service; flags timeout; elements = {{ {self.port} {_timeout(ttl)} }} }}"]
        for name, addresses in (("peers", self.peers), ("exempt", self.exempt)):
            if addresses:
                lines.append(
                    f"set {name} {{ type ipv4_addr; elements = {{ {', '.join(sorted(set(addresses)))} }} }}"
                )
        return "\n".join(lines)

    def rules(self, *, arriving: bool, verdict: str) -> str:
        """Return the rules of a chain that sees packets *arriving* at, or leaving, the namespace.

        Loopback is never faulted: it is the replica talking to itself.
        """
        interface, address = ("iifname", "saddr") if arriving else ("oifname", "daddr")
        port = "dport" if arriving == (self.direction == "ingress") else "sport"
        lines = [f'{interface} "lo" accept']
        if self.exempt:
            lines.append(f"ip {address} @exempt accept")
        peers = f"ip {address} @peers " if self.peers else ""
        lines.append(f"tcp {port} @ports {peers}{verdict}")
        return "\n".join(lines)


def _timeout(seconds: float) -> str:
    return f"timeout {max(1, round(seconds * 1000))}ms"


class Table:
    """The table of one injection."""

    def __init__(self, injection: str, selection: Selection, ttl: float) -> None:
        self.name, self.selection, self.ttl = table_name(injection), selection, ttl
        self.family = FAMILIES[0]

    @property
    def full(self) -> str:
        """The family and name."""
        return f"{self.family} {self.name}"

    def prepare(self) -> None:
        """Choose the family. Raises CannotApply when the table is there already, CommandFailed."""
        self.family = family_for(self.name)

    def create(self, chains: str) -> None:
        """Create the table with its sets and *chains*; the port is selected at once. Raises CommandFailed."""
        run("nft", "-f", "-", stdin=f"table {self.full} {{\n{self.selection.sets(self.ttl)}\n{chains}\n}}\n")

    def hold(self) -> None:
        """Select the port for another ``ttl`` seconds. Raises CommandFailed when the table is gone."""
        # Adding an element that is there keeps its old timeout: it is deleted and added in one transaction.
        what = f"element {self.full} ports {{ {self.selection.port}"
        timed = f"add {what} {_timeout(self.ttl)} }}\n"
        run("nft", "-f", "-", stdin=f"{timed}delete {what} }}\n{timed}")

    def release(self) -> None:
        """Select nothing any more; the table stays. That it is not there is no error."""
        with contextlib.suppress(CommandFailed):
            run("nft", "flush", "set", self.family, self.name, "ports")

    def delete(self) -> list[str]:
        """Delete the table and return what is left of it."""
        try:
            delete_table(self.full)
        except CommandFailed as error:
            return [f"nft table {self.full}: {error}"]
        return [f"nft table {self.full}"] if self.full in drill_tables() else []


def chain(name: str, hook: str, rules: Sequence[str] | str, *, kind: str = "filter") -> str:
    """Return a base chain; *hook* is ``prerouting priority -310``, *rules* its lines."""
    body = rules if isinstance(rules, str) else "\n".join(rules)
    return f"chain {name} {{\ntype {kind} hook {hook}; policy accept;\n{body}\n}}"
