"""The process that holds packets: reads the queue, asks the delay line, sends verdicts.

It shares with agent and guard a few numbers (``Board``) and the queue's socket. It ends on SIGTERM, which it also
gets when the agent dies, and lets everything pass before it does. If it is killed, the guard does that.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import mmap
import os
import random
import select
import signal
import struct
import time
from typing import NoReturn

from drill.agent.delay_line import DelayLine, Shape
from drill.agent.kernel import die_with_parent, fine_timers
from drill.agent.netlink import ACCEPT, DROP, PACKET, PacketQueue

BURST = 256
"""Packets read, and verdicts sent, at one go."""
IDLE_S = 0.2
BEAT, LAST, WORKER, SEEN, OVERRUN = range(5)


class Board:
    """Numbers in shared memory: 8-byte aligned, so that a reader never sees half of one."""

    def __init__(self) -> None:
        self.slots = memoryview(mmap.mmap(-1, 4096)).cast("Q")

    def beat(self) -> None:
        """Say that the worker lives."""
        self.slots[BEAT] = time.monotonic_ns()

    def silent_for(self) -> float:
        """Return the seconds since the last beat."""
        return (time.monotonic_ns() - self.slots[BEAT]) / 1e9


class Worker:
    """The loop."""

    def __init__(self, queue: PacketQueue, shape: Shape, board: Board) -> None:
        self.queue, self.board = queue, board
        self.line = DelayLine(shape, random.random)
        self.stopping = False

    def run(self) -> None:
        """Hold packets until SIGTERM, then let all pass."""
        sock, slots, queue = self.queue.sock, self.board.slots, self.queue
        wait, last = 0.0, 0
        while not self.stopping:
            ready = select.select([sock], [], [], wait)[0]  # poll() would round to milliseconds
            out = self._receive(last) if ready else []
            last = slots[LAST]
            now = time.monotonic()
            out += [queue.up_to(packet, ACCEPT if lives else DROP) for packet, lives in self.line.due(now)]
            for at in range(0, len(out), BURST):
                sock.send(b"".join(out[at : at + BURST]))
            self.board.beat()
            due = self.line.next_due()
            wait = IDLE_S if due is None else min(IDLE_S, max(0.0, due - time.monotonic()))
        queue.let_all_pass(last)

    def _receive(self, last: int) -> list[bytes]:
        """Read what has arrived into the delay line; return the verdicts on packets that overtake."""
        slots, put, now, out = self.board.slots, self.line.put, time.monotonic(), []
        receive = self.queue.sock.recv_into
        buffer = bytearray(4096)
        kind_at, packet_at = struct.Struct("=H").unpack_from, struct.Struct(">I").unpack_from
        for _ in range(BURST):
            try:
                receive(buffer)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                slots[OVERRUN] += 1  # the kernel let those pass
                continue
            if kind_at(buffer, 4)[0] != PACKET:
                continue  # the refusal of a verdict on a packet that is gone
            last = packet_at(buffer, 24)[0]  # NFQA_PACKET_HDR is always the first attribute
            slots[SEEN] += 1
            lives = put(now, last)
            if lives is not None:
                out.append(self.queue.one(last, ACCEPT if lives else DROP))
        slots[LAST] = last
        return out


def start_worker(queue: PacketQueue, shape: Shape, board: Board) -> int:
    """Fork the worker and return its pid, which also stands on the board."""
    parent = os.getpid()
    board.beat()
    worker = os.fork()
    if worker == 0:
        _worker_main(queue, shape, board, parent)
    board.slots[WORKER] = worker
    return worker


def _worker_main(queue: PacketQueue, shape: Shape, board: Board, parent: int) -> NoReturn:
    try:
        worker = Worker(queue, shape, board)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "stopping", True))
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        _keep_only(queue.sock.fileno())
        fine_timers()
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -15)  # a late verdict is a longer delay
        gc.disable()
        worker.run()
        os._exit(0)
    finally:
        os._exit(1)


def _keep_only(descriptor: int) -> None:
    os.closerange(0, descriptor)
    os.closerange(descriptor + 1, 1 << 20)
