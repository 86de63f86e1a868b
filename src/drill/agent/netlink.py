"""The two pieces of netfilter's netlink protocol that no installed program offers: a packet queue's socket, and
the rule that sends packets into it on kernels without ``nft_queue``.

Numbers are those of linux/netfilter/{nfnetlink,nfnetlink_queue,nf_tables,nf_tables_compat}.h.
"""

from __future__ import annotations

import os
import socket
import struct

NETLINK_NETFILTER = 12
SO_RCVBUFFORCE = 33
NLMSG_ERROR, REQUEST, ACK, CREATE, APPEND = 2, 0x001, 0x004, 0x400, 0x800
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NESTED = 0x8000

QUEUE = 3 << 8
PACKET, VERDICT, CONFIG, VERDICT_BATCH = QUEUE, QUEUE | 1, QUEUE | 2, QUEUE | 3
DROP, ACCEPT = 0, 1
FAIL_OPEN, GSO = 1, 4
COPY_META = 1
RECEIVE_BUFFER = 64 << 20
NEW_RULE = (10 << 8) | 6
PROTOCOLS = {"inet": 1, "ip": 2}


def attribute(kind: int, data: bytes) -> bytes:
    """Return one netlink attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def message(kind: int, body: bytes = b"", *, flags: int = REQUEST, family: int = 0, resource: int = 0) -> bytes:
    """Return one nfnetlink message; *resource* is a queue's number or a subsystem."""
    header = struct.pack("=IHHII", 20 + len(body), kind, flags, 0, 0)
    return header + struct.pack(">BBH", family, 0, resource) + body


def acknowledged(sock: socket.socket, what: str) -> None:
    """Read until the kernel's answer. Raises OSError with the kernel's code, TimeoutError when none comes."""
    while True:
        reply = sock.recv(65536)
        if struct.unpack_from("=H", reply, 4)[0] == NLMSG_ERROR:  # packets may come before it
            code = -struct.unpack_from("=i", reply, 16)[0]
            if code:
                raise OSError(code, f"{what}: {os.strerror(code)}")
            return


def netfilter_socket() -> socket.socket:
    """Return a bound socket to netfilter in this network namespace."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    sock.bind((0, 0))
    sock.settimeout(5.0)
    return sock


class PacketQueue:
    """One bound packet queue. Closing the last copy of its socket drops every packet it holds.

    Fails open: when the queue or the socket's buffer is full, packets pass undelayed.
    """

    def __init__(self, number: int, limit: int) -> None:
        self.number = number
        self.sock = netfilter_socket()
        try:
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
            except PermissionError:  # in a user namespace: as much as net.core.rmem_max allows
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._configure(attribute(1, struct.pack(">BBH", 1, 0, 0)))  # NFQA_CFG_CMD: bind
            flags = struct.pack(">I", FAIL_OPEN | GSO)
            self._configure(
                attribute(2, struct.pack(">IB", 0, COPY_META))  # NFQA_CFG_PARAMS
                + attribute(4, flags)  # NFQA_CFG_MASK
                + attribute(5, flags)  # NFQA_CFG_FLAGS
                + self._limit(limit)
            )
        except BaseException:
            self.sock.close()
            raise
        self.sock.setblocking(False)
        # A verdict is always these 32 bytes: header, NFQA_VERDICT_HDR, verdict, packet id (both big endian).
        self._verdict = struct.Struct(">20s4sII")
        self._one = struct.pack("=I", 32) + message(VERDICT, resource=number)[4:]
        self._many = struct.pack("=I", 32) + message(VERDICT_BATCH, resource=number)[4:]
        self._attribute = struct.pack("=HH", 12, 2)

    def _configure(self, body: bytes) -> None:
        self.sock.send(message(CONFIG, body, flags=REQUEST | ACK, resource=self.number))
        acknowledged(self.sock, f"packet queue {self.number}")

    @staticmethod
    def _limit(packets: int) -> bytes:
        return attribute(3, struct.pack(">I", packets))  # NFQA_CFG_QUEUE_MAXLEN

    def one(self, packet: int, verdict: int) -> bytes:
        """Return the verdict on one packet."""
        return self._verdict.pack(self._one, self._attribute, verdict, packet)

    def up_to(self, packet: int, verdict: int) -> bytes:
        """Return the verdict on *packet* and every older one still held."""
        return self._verdict.pack(self._many, self._attribute, verdict, packet)

    def let_all_pass(self, last: int) -> None:
        """Hold nothing any more: new packets pass at once, then those held are accepted. Nothing is lost."""
        self.sock.send(message(CONFIG, self._limit(0), resource=self.number))
        self.sock.send(self.up_to((last + 0x3FFFFFFF) & 0xFFFFFFFF, ACCEPT))

    def close(self) -> None:
        """Close this process's copy of the socket."""
        self.sock.close()


def append_xt_queue_rule(family: str, table: str, chain: str, number: int) -> None:
    """Append ``xt target NFQUEUE --queue-num N --queue-bypass`` to a chain. Raises OSError.

    This is what iptables-nft does; nft itself cannot write such a rule.
    """
    info = struct.pack("=HHHH", number, 1, 1, 0)  # xt_NFQ_info_v3: number, total, flags (1: bypass), padding
    target = attribute(1, b"NFQUEUE\0") + attribute(2, struct.pack(">I", 3)) + attribute(3, info)
    expression = attribute(1 | NESTED, attribute(1, b"target\0") + attribute(2 | NESTED, target))
    rule = (
        attribute(1, table.encode() + b"\0")
        + attribute(2, chain.encode() + b"\0")
        + attribute(4 | NESTED, expression)
    )
    flags = REQUEST | ACK | CREATE | APPEND
    with netfilter_socket() as sock:
        sock.send(
            message(BATCH_BEGIN, resource=10)
            + message(NEW_RULE, rule, flags=flags, family=PROTOCOLS[family])
            + message(BATCH_END, resource=10)
        )
        acknowledged(sock, "xt target NFQUEUE")
