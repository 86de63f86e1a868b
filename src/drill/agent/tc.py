"""Queueing disciplines: what hangs on which interface, whose it is, and putting ours there and away again.

Only interfaces that are up and not loopback count. A root qdisc with a handle was put there by somebody; the
kernel's own have none (``0:``). Ours have one of two handles, which also say how to restore the interface.
"""

from __future__ import annotations

from dataclasses import dataclass

from drill.agent.commands import run, run_json
from drill.agent.errors import CannotApply, CommandFailed

KEPT, RAISED = 0xD110, 0xD111
"""Major of our root's handle. RAISED: the interface's txqlen was 0 and we set it, so the undo sets 0 again."""
OURS = {f"{KEPT:x}:": KEPT, f"{RAISED:x}:": RAISED}
TXQLEN = 1000
"""The kernel's default length of a transmit queue (ether_setup)."""


@dataclass(frozen=True)
class Link:
    """One interface: its name, transmit queue length and the major of the handle our root gets or has."""

    name: str
    txqlen: int
    major: int


def links() -> list[Link]:
    """Return the interfaces a fault must cover. Raises CommandFailed."""
    found = []
    for row in run_json("ip", "-j", "link", "show"):
        flags = row.get("flags", [])
        if "UP" in flags and "LOOPBACK" not in flags:
            length = int(row.get("txqlen", 0))
            found.append(Link(str(row["ifname"]), length, KEPT if length else RAISED))
    return found


def roots() -> dict[str, tuple[str, str]]:
    """Return kind and handle of the root qdisc of every interface. Raises CommandFailed."""
    rows = run_json("tc", "-j", "qdisc", "show")
    return {row["dev"]: (row["kind"], row["handle"]) for row in rows if row.get("root") and "dev" in row}


def refuse_foreign(wanted: list[Link]) -> None:
    """Raise CannotApply when somebody's root qdisc (or our own, left or held) is on one of *wanted*."""
    if not wanted:
        raise CannotApply("no interface but loopback is up in this network namespace")
    present = roots()
    for link in wanted:
        kind, handle = present.get(link.name, ("", "0:"))
        if handle in OURS:
            raise CannotApply(
                f"{link.name} has drill's own qdisc {kind} {handle} already: another agent holds a fault here, "
                "or one left it; `drill recover` removes it"
            )
        if handle != "0:":
            raise CannotApply(f"{link.name} has the root qdisc {kind} {handle}, which is not drill's: left alone")


def batch(lines: list[str]) -> None:
    """Run tc commands in order, stopping at the first that fails. Raises CommandFailed."""
    run("tc", "-batch", "-", stdin="\n".join(lines) + "\n")


def set_txqlen(name: str, length: int) -> None:
    """Set the transmit queue length of *name*. Raises CommandFailed."""
    run("ip", "link", "set", "dev", name, "txqueuelen", str(length))


def remove_ours() -> list[str]:
    """Remove every root qdisc of ours and restore txqlen; return what was removed. Raises CommandFailed."""
    removed = []
    for name, (kind, handle) in roots().items():
        if handle in OURS:
            run("tc", "qdisc", "del", "dev", name, "root")
            if OURS[handle] == RAISED:
                set_txqlen(name, 0)
            removed.append(f"qdisc {kind} {handle} on {name}")
    return removed


def left() -> list[str]:
    """Return the qdiscs of ours that are still there."""
    try:
        return [f"qdisc {kind} {handle} on {name}" for name, (kind, handle) in roots().items() if handle in OURS]
    except CommandFailed as error:
        return [f"qdiscs cannot be read: {error}"]
