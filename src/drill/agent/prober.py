"""Measurements at a replica from the users' side or from a peer's, on sockets of the namespace they are made from.

A socket stays in the network namespace it was made in: whoever makes it has to be there only for that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from drill.agent import httpwire
from drill.agent.kernel import enter_namespace

CONNECT_TIMEOUT_S = 2.0
SLOW_CONNECT_S = 0.9
"""Linux sends a lost SYN again after 1 s: a connect that took this long lost a packet."""
_RETRANS_OFFSET = 100
"""Offset of tcpi_total_retrans in struct tcp_info (linux/tcp.h)."""
BLOB_BYTES = 4 * 2**20
TRANSFER_S = 0.6
WARM_UP_S = 0.2
"""A shaper's bucket is full at first: the first part of a longer transfer does not count."""
NETWORK_KINDS = ("connect_ms", "request_ms", "lost_ratio", "error_ratio", "transfer_kbit", "unreachable_ratio")


@dataclass(frozen=True)
class Patience:
    """How long a probe waits, in seconds.

    ``quick``: for a connect whose success alone counts. A lost SYN is sent again only after 1 s: one that waits
    this long has lost a packet, or meets nobody. ``request``: as long as a user would wait for an answer.
    """

    quick: float
    request: float


@dataclass(frozen=True)
class Try:
    """One connect or request: seconds it took, and whether it succeeded (and without a retransmit)."""

    seconds: float
    ok: bool
    clean: bool = True


def open_sockets(namespaces: Sequence[str], count: int) -> list[socket.socket]:
    """Make *count* sockets, in turn in each of *namespaces* (paths). The calling thread ends up in the last one.

    Raises OSError.
    """
    sockets = []
    for number in range(count):
        enter_namespace(namespaces[number % len(namespaces)])
        sockets.append(httpwire.open_socket())
    return sockets


def sockets_needed(kind: str, samples: int) -> int:
    """How many sockets a probe of *kind* takes."""
    return 1 if kind == "transfer_kbit" else max(1, samples)


async def connect(sock: socket.socket, address: httpwire.Address, timeout_s: float) -> Try:
    """Connect once and close."""
    began = time.perf_counter()
    with sock:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError:  # refused, unreachable, timed out
            return Try(time.perf_counter() - began, ok=False, clean=False)
        seconds = time.perf_counter() - began
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RETRANS_OFFSET + 4)
        (again,) = struct.unpack_from("=I", info, _RETRANS_OFFSET) if len(info) >= _RETRANS_OFFSET + 4 else (0,)
    return Try(seconds, ok=True, clean=not again and seconds < SLOW_CONNECT_S)


async def request(sock: socket.socket, address: httpwire.Address, timeout_s: float) -> Try:
    """GET / once; ok unless it was answered with 5xx or not at all."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            answer = await httpwire.exchange(sock, address, "/")
    except OSError:
        return Try(time.perf_counter() - began, ok=False)
    return Try(time.perf_counter() - began, ok=answer.status < 500)


async def requests(sockets: Sequence[socket.socket], address: httpwire.Address, timeout_s: float) -> list[Try]:
    """One request on each socket, started a little apart so that they do not queue behind each other."""
    gap = min(0.025, 0.3 / max(1, len(sockets)))

    async def later(number: int, sock: socket.socket) -> Try:
        await asyncio.sleep(number * gap)
        return await request(sock, address, timeout_s)

    return list(await asyncio.gather(*(later(number, sock) for number, sock in enumerate(sockets))))


async def transfer_kbit(sock: socket.socket, address: httpwire.Address) -> float:
    """Download a large body for a little more than half a second; kbit/s once the first burst is through."""
    arrivals: list[tuple[float, int]] = []

    def arrived(total: int) -> bool:
        arrivals.append((time.perf_counter(), total))
        return arrivals[-1][0] - arrivals[0][0] < TRANSFER_S

    began = time.perf_counter()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(TRANSFER_S + CONNECT_TIMEOUT_S):
            await httpwire.exchange(sock, address, f"/blob?bytes={BLOB_BYTES}", on_data=arrived)
    return rate_kbit(arrivals, began)


def rate_kbit(arrivals: Sequence[tuple[float, int]], began: float) -> float:
    """kbit/s from ``(time, total bytes)`` pairs; a long transfer counts from after its warm-up."""
    if not arrivals:
        return 0.0
    last_at, last_total = arrivals[-1]
    if last_at - arrivals[0][0] >= 2 * WARM_UP_S:
        first_at, first_total = next(each for each in arrivals if each[0] >= arrivals[0][0] + WARM_UP_S)
    else:
        first_at, first_total = began, 0
    return (last_total - first_total) * 8 / 1000 / max(1e-6, last_at - first_at)


async def answer(
    kind: str, address: httpwire.Address, sockets: Sequence[socket.socket], patience: Patience
) -> float:
    """The number a network probe of *kind* asks for, see ``drill.core.probes.ProbeKind``."""
    if kind == "transfer_kbit":
        return await transfer_kbit(sockets[0], address)
    if kind in ("request_ms", "error_ratio"):
        tries = await requests(sockets, address, patience.request)
    else:
        timeout = CONNECT_TIMEOUT_S if kind == "connect_ms" else patience.quick
        tries = list(await asyncio.gather(*(connect(sock, address, timeout) for sock in sockets)))
    if kind in ("connect_ms", "request_ms"):
        return median(each.seconds for each in tries) * 1000
    bad = sum(not each.clean for each in tries) if kind == "lost_ratio" else sum(not each.ok for each in tries)
    return bad / len(tries)
