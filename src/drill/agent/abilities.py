"""Which faults can be made here, found out by trying: in a throw-away network namespace, never in the victim's.

Every check runs in its own forked process, all at once, and answers with ``''`` or a reason. An ability that
cannot be tried is missing.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drill.agent import cgroups
from drill.agent.errors import CannotApply
from drill.agent.fault import Site
from drill.agent.kernel import enter_namespace, unshare
from drill.agent.nft import Selection, Table, chain
from drill.agent.spec import Disk, Packet

if TYPE_CHECKING:
    from drill.agent.packet_shape import Shaped

LIMIT_S = 30.0
"""A check that takes longer counts as missing."""


@dataclass(frozen=True)
class Place:
    """What is known of the replica whose faults are asked for; empty: not known."""

    netns: str = ""
    cgroups: tuple[str, ...] = ()
    pid: int = 0
    root: str = "/"
    path: str = ""
    envoy: str = ""
    stress_ng: str = ""
    protected: tuple[str, ...] = ()


def abilities(place: Place) -> dict[str, str]:
    """Return for every ability ``''`` or the reason why it is missing."""
    checks = _checks(place)
    readers = {name: _start(check) for name, check in checks.items()}
    until = time.monotonic() + LIMIT_S
    return {name: _answer(pid, reader, until) for name, (pid, reader) in readers.items()}


def _checks(place: Place) -> dict[str, Callable[[], None]]:
    def inside(check: Callable[[], None]) -> Callable[[], None]:
        def work() -> None:
            _new_namespace(place.netns)
            check()

        return work

    return {
        "netem": inside(_netem),
        "nfqueue": inside(_nfqueue),
        "nft": inside(_nft),
        "htb": inside(_htb),
        "envoy": inside(lambda: _envoy(place.envoy)),
        "cgroup-cpu": lambda: _cgroup(place.cgroups, cgroups.CPU_LIMITS, "CPU"),
        "cgroup-memory": lambda: _cgroup(place.cgroups, cgroups.MEMORY_LIMITS, "memory"),
        "stress-ng": lambda: _stress_ng(place.stress_ng),
        "disk": lambda: _disk(place),
        "signals": lambda: _signals(place.pid),
    }


def _start(check: Callable[[], None]) -> tuple[int, int]:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        os.setsid()
        try:
            check()
            reason = "ok"
        except (CannotApply, OSError) as error:
            reason = str(error) or type(error).__name__
        os.write(writer, reason.encode())
    finally:
        os._exit(0)


def _answer(pid: int, reader: int, until: float) -> str:
    words = b""
    if select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
        words = os.read(reader, 4096)
    else:
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reader)
    text = words.decode(errors="replace")
    return "" if text == "ok" else text or "the check itself failed or took too long"


def _new_namespace(netns: str) -> None:
    from drill.agent.kernel import CLONE_NEWNET

    try:
        if netns:
            enter_namespace(netns)  # may we at all?
        unshare(CLONE_NEWNET)
    except OSError as error:
        raise CannotApply(f"no right to change network namespaces (CAP_SYS_ADMIN): {error}") from error


def _netem() -> None:
    from drill.agent.packet_shape import Netem

    _shape(Netem, Packet("netem", 80, delay_ms=1, exempt=("192.0.2.2",)), "sch_netem (and sch_prio or sch_htb)")


def _htb() -> None:
    from drill.agent.packet_shape import Htb

    _shape(Htb, Packet("htb", 80, rate_bit=1_000_000), "sch_htb")


def _shape(kind: type[Shaped], spec: Packet, modules: str) -> None:
    """Really make the fault, on the new namespace's loopback."""
    from drill.agent.shaped_selection import way_to_select
    from drill.agent.tc import KEPT, Link

    fault = kind(spec, Site("ability", ttl=1, deadline=1, lease=1))
    fault.links = [Link("lo", 1000, KEPT)]
    fault.way = way_to_select("ability", fault.selection, 1.0)
    try:
        fault.apply()
    except CannotApply as error:
        raise CannotApply(f"the kernel lacks {modules}, or cannot select packets: {error}") from error


def _table(kind: str, hook: str, rule: str) -> Table:
    table = Table("ability", Selection(80, peers=("192.0.2.1",), exempt=("192.0.2.2",)), 1.0)
    table.prepare()
    table.create("chain fault { }\n" + chain("pick", hook, rule, kind=kind))
    table.hold()
    return table


def _nfqueue() -> None:
    from drill.agent.netlink import PacketQueue
    from drill.agent.packet_nfqueue import queue_rule

    table = _table("filter", "prerouting priority -310", "tcp dport @ports goto fault")
    PacketQueue(1, 1).close()
    queue_rule(table, "fault", 1)


def _nft() -> None:
    rules = (
        "tcp dport @ports reject with tcp reset",
        "tcp dport @ports ip saddr @peers drop",
        "tcp dport @ports numgen random mod 100000 < 10 drop",
    )
    _table("filter", "input priority -10", "\n".join(rules))


def _envoy(given: str) -> None:
    from drill.agent.http_envoy import find_envoy

    find_envoy(given)
    _table("nat", "prerouting priority dstnat - 1", "tcp dport @ports redirect to :1")


def _stress_ng(given: str) -> None:
    from drill.agent.stress import find_stress_ng

    find_stress_ng(given)


def _cgroup(directories: Sequence[str], limits: Sequence[str], what: str) -> None:
    cgroups.require_joinable(directories)
    directory, name = cgroups.find(directories, limits)
    if not directory:
        raise CannotApply(f"the replica's cgroup has no {what} controller")
    try:
        for path in directories:
            Path(path, "cgroup.procs").write_text("0")  # this process, for a moment
    except OSError as error:
        raise CannotApply(f"{path} cannot be joined: {error}") from error
    if what == "memory":
        cgroups.memory_limit(directories)
    elif cgroups.read(directory, name).split()[:1] in (["max"], ["-1"]):
        raise CannotApply("the replica's cgroup has no CPU quota: nothing would be throttled")


def _disk(place: Place) -> None:
    if place.path:
        from drill.agent.disk import DiskFill

        site = Site(id="ability", ttl=1, deadline=1, lease=1, root=place.root, protected=place.protected)
        DiskFill(Disk(path=place.path), site).prepare()


def _signals(pid: int) -> None:
    if pid:
        from drill.agent.pause import replica_processes

        if not replica_processes(pid, ()):
            raise CannotApply(f"process {pid} does not run")
        os.kill(pid, 0)
