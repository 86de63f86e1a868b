"""Carries connections from the host's loopback to servers inside the sandbox.

The listening sockets were made in the host's network namespace and inherited; connections go out in the
sandbox's. When this process dies, so do the ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from drill.agent.httpwire import Address

_PIECE = 65536


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: Address) -> None:
    far: asyncio.StreamWriter | None = None
    try:
        far_reader, far = await asyncio.open_connection(*to)
        await asyncio.gather(_carry(reader, far), _carry(far_reader, writer))
    except OSError:
        pass  # nobody listens inside yet: the caller sees its connection closed
    finally:
        for end in (writer, far):
            if end is not None:
                end.close()


async def forward(door: socket.socket, to: Address) -> asyncio.Server:
    """Forward every connection accepted on *door* to *to*."""
    return await asyncio.start_server(lambda reader, writer: _join(reader, writer, to), sock=door)


def run(doors: list[tuple[socket.socket, Address]]) -> None:
    """Forward until killed."""

    async def serve() -> None:
        servers = [await forward(door, to) for door, to in doors]
        await asyncio.Event().wait()
        del servers

    asyncio.run(serve())
