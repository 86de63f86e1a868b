"""Sets of ports with timeouts on kernels whose nf_tables knows no IPv4, or that have none: the older ipset.

Only what a shaped fault needs: one set per injection with one port in it, which expires by itself like an element
of an nftables set does. tc asks the set through its ``ipset`` match. Spoken over netlink, since the ipset program
is rarely installed. Numbers are those of linux/netfilter/ipset/ip_set.h.
"""

from __future__ import annotations

import contextlib
import errno
import math
import struct

from drill.agent.errors import CannotApply
from drill.agent.netlink import (
    ACK,
    NESTED,
    NLMSG_ERROR,
    REQUEST,
    acknowledged,
    attribute,
    message,
    netfilter_socket,
)

IPSET = 6 << 8
CREATE, DESTROY, FLUSH, LIST, ADD = IPSET | 2, IPSET | 3, IPSET | 4, IPSET | 7, IPSET | 9
EXCLUSIVE, DUMP, NLMSG_DONE = 0x200, 0x300, 3
PROTOCOL, NAME, TYPE, REVISION, FAMILY, DATA, FLAGS = 1, 2, 3, 4, 5, 7, 6
PORT, PORT_TO, TIMEOUT = 4, 5, 6
BIG_ENDIAN = 0x4000
VERSION = b"\6"
SETNAME_ONLY = 2
IPV4 = 2
ABSENT = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTONOSUPPORT)
"""How a kernel says that it has no ipset at all."""


def _number(kind: int, form: str, value: int) -> bytes:
    return attribute(kind | BIG_ENDIAN, struct.pack(form, value))


def _ask(command: int, what: str, *attributes: bytes, flags: int = 0) -> None:
    body = attribute(PROTOCOL, VERSION) + b"".join(attributes)
    with netfilter_socket() as sock:
        sock.send(message(command, body, flags=REQUEST | ACK | flags, family=IPV4))
        acknowledged(sock, what)


def _named(name: str) -> bytes:
    return attribute(NAME, name.encode() + b"\0")


def create(name: str, port: int, seconds: float) -> None:
    """Create an empty set that can hold *port*. Raises CannotApply."""
    data = _number(PORT, ">H", port) + _number(PORT_TO, ">H", port) + _number(TIMEOUT, ">I", math.ceil(seconds))
    try:
        _ask(
            CREATE,
            f"ipset {name}",
            _named(name),
            attribute(TYPE, b"bitmap:port\0"),
            attribute(REVISION, b"\0"),
            attribute(FAMILY, b"\0"),
            attribute(DATA | NESTED, data),
            flags=EXCLUSIVE,
        )
    except OSError as error:
        raise CannotApply(f"the kernel makes no ipset with timeouts: {error}") from error


def hold(name: str, port: int, seconds: float) -> None:
    """Put *port* into the set for another *seconds* (rounded up to whole ones). Raises OSError."""
    data = _number(PORT, ">H", port) + _number(TIMEOUT, ">I", math.ceil(seconds))
    _ask(ADD, f"ipset {name}", _named(name), attribute(DATA | NESTED, data))


def flush(name: str) -> None:
    """Empty the set; that there is none is no error."""
    with contextlib.suppress(OSError):
        _ask(FLUSH, f"ipset {name}", _named(name))


def destroy(name: str) -> None:
    """Remove the set; that there is none is no error. Raises OSError while a filter still uses it."""
    try:
        _ask(DESTROY, f"ipset {name}", _named(name))
    except OSError as error:
        if error.errno not in ABSENT:
            raise


def names(prefix: str) -> list[str]:
    """Return the names of the sets that begin with *prefix*; none where the kernel has no ipset."""
    found: set[str] = set()
    flags = attribute(FLAGS | BIG_ENDIAN, struct.pack(">I", SETNAME_ONLY))
    try:
        with netfilter_socket() as sock:
            sock.send(message(LIST, attribute(PROTOCOL, VERSION) + flags, flags=REQUEST | DUMP, family=IPV4))
            while _collect(sock.recv(1 << 16), found):
                pass
    except OSError as error:
        if error.errno not in ABSENT:
            raise
    return sorted(name for name in found if name.startswith(prefix))


def _collect(data: bytes, found: set[str]) -> bool:
    """Add the set names in one datagram to *found*; False when it was the last."""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        if kind == NLMSG_DONE:
            return False
        if kind == NLMSG_ERROR:
            code = -struct.unpack_from("=i", data, 16)[0]
            if code:
                raise OSError(code, "list of ipsets")
            return False
        body = data[20:length]
        while len(body) >= 4:
            size, attribute_kind = struct.unpack_from("=HH", body)
            if attribute_kind == NAME:
                found.add(body[4:size].rstrip(b"\0").decode())
            body = body[(size + 3) & ~3 :]
        data = data[(length + 3) & ~3 :]
    return True
