"""Packets delayed, lost or reordered in user space, on kernels without sch_netem.

The hook is prerouting, where packets arrive: holding a local sender's own packets would keep them charged to the
sender's socket and starve its TCP. So for ``ingress`` requests are held, for ``egress`` the peers' answers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import zlib
from collections.abc import Mapping

from drill.agent.commands import run
from drill.agent.delay_line import Shape
from drill.agent.errors import CannotApply, CommandFailed
from drill.agent.fault import Held, Site
from drill.agent.kernel import command_line, gone, process_state
from drill.agent.netlink import PacketQueue, append_xt_queue_rule
from drill.agent.nft import Selection, Table, chain
from drill.agent.queue_worker import LAST, OVERRUN, SEEN, WORKER, Board, start_worker
from drill.agent.spec import Packet

PACKETS = 20_000
"""Packets held at most; more pass undelayed. At 200 ms that is 100,000 packets/s."""
STALE_S = 1.0
"""A worker that is silent for this long hangs; the guard then lets everything pass."""
TRIES = 16


class Nfqueue(Held):
    """Delay, jitter without reordering, loss, reorder."""

    backend = "nfqueue"
    guard_every = 0.1

    def __init__(self, spec: Packet, site: Site) -> None:
        super().__init__(site)
        self.spec = spec
        self.table = Table(site.id, Selection(spec.port, spec.direction, spec.peers, spec.exempt), site.ttl)
        self.board = Board()
        self.way = "nft queue"
        self._worker: int | None = None

    def prepare(self) -> None:
        """Bind a queue; without a rule no packet gets there."""
        spec = self.spec
        if spec.duplicate_percent:
            raise CannotApply("backend nfqueue cannot duplicate packets: netem can")
        if spec.drop or spec.rate_bit:
            raise CannotApply("backend nfqueue does not reject or shape: use nft or htb")
        if spec.reorder_percent and not spec.delay_ms:
            raise CannotApply("reordering needs a delay: the packets that are not delayed overtake")
        if not (spec.delay_ms or spec.loss_percent):
            raise CannotApply("backend nfqueue needs a delay or a loss percentage")
        self.table.prepare()
        self.queue = self._bound()

    def _bound(self) -> PacketQueue:
        first = zlib.crc32(self.site.id.encode()) % 60_000 + 1000
        for number in range(first, first + TRIES):
            try:
                return PacketQueue(number, PACKETS)
            except OSError as error:
                refusal = error
        raise CannotApply(f"no packet queue can be bound: {refusal}")

    def apply(self) -> Mapping[str, object]:
        """Start the worker, then send it packets."""
        spec = self.spec
        shape = Shape(
            delay=spec.delay_ms / 1000,
            jitter=spec.jitter_ms / 1000,
            loss=spec.loss_percent / 100,
            reorder=spec.reorder_percent / 100,
        )
        self._worker = os.pidfd_open(start_worker(self.queue, shape, self.board))
        rules = self.table.selection.rules(arriving=True, verdict="goto fault")
        self.table.create(f"chain fault {{ }}\n{chain('pick', 'prerouting priority -310', rules)}")
        self.way = queue_rule(self.table, "fault", self.queue.number)
        return {"table": self.table.name, "queue": self.queue.number, "way": self.way}

    def refresh(self) -> None:
        """Renew the timeout, as long as somebody holds the packets."""
        if self._worker is not None and not gone(self._worker):
            self.table.hold()

    def watched(self) -> list[int]:
        """The worker."""
        return [] if self._worker is None else [self._worker]

    def lost(self) -> str:
        """The worker must live and move."""
        if self._worker is None or gone(self._worker):
            return "the process that delays packets died; packets pass undelayed"
        if self.board.silent_for() > 2 * STALE_S:
            return "the process that delays packets hangs; packets pass undelayed"
        return ""

    def revert(self) -> list[str]:
        """End the worker before the table: deleting a chain drops what is held."""
        self.table.release()
        left = self._end_worker()
        with contextlib.suppress(OSError):
            self.queue.let_all_pass(self.board.slots[LAST])
        return left + self.table.delete()

    def _end_worker(self) -> list[str]:
        worker = self.board.slots[WORKER]
        for number, patience in ((signal.SIGTERM, 0.5), (signal.SIGKILL, 0.5)):
            if _ended(worker):
                return []
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, number)
            _wait_for_end(worker, patience)
        return [] if _ended(worker) else [f"process {worker}, which delays packets"]

    def guard_tick(self) -> None:
        """Let everything pass when the worker died or hangs: its socket alone would drop what it held."""
        worker = self.board.slots[WORKER]
        if worker and (_ended(worker) or self.board.silent_for() > STALE_S):
            with contextlib.suppress(OSError):
                self.queue.let_all_pass(self.board.slots[LAST])

    def report(self) -> Mapping[str, object]:
        """Packets that were held, and how often the buffer overran, so that some passed undelayed."""
        return {"packets": self.board.slots[SEEN], "overruns": self.board.slots[OVERRUN]}


def queue_rule(table: Table, chain_name: str, number: int) -> str:
    """Append the rule that queues packets, natively or by the xt target; return which. Raises CannotApply."""
    try:
        run("nft", "add", "rule", table.family, table.name, chain_name, "queue", "num", str(number), "bypass")
        return "nft queue"
    except CommandFailed as native:
        try:
            append_xt_queue_rule(table.family, table.name, chain_name, number)
        except OSError as error:
            raise CannotApply(f"the kernel queues no packets: {native}; {error}") from error
        return "xt target NFQUEUE"


def _ended(pid: int) -> bool:
    """True when *pid*, a fork of the agent, has ended; as the agent also take its status."""
    if not pid:
        return True
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
    # A fork has our command line; another one means that the number went to somebody else.
    return process_state(pid) in ("", "Z", "X") or command_line(pid) != command_line(os.getpid())


def _wait_for_end(pid: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not _ended(pid):
        time.sleep(0.005)
