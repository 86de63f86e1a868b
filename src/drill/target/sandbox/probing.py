"""One probe of the sandbox as a process of its own, forked by init, which never leaves its own namespace itself."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence

from drill.agent import httpwire, prober
from drill.target.sandbox import kernel
from drill.target.sandbox.topology import CLIENT_TIMEOUT_S, SERVE_PORT

PATIENCE = prober.Patience(quick=0.5, request=CLIENT_TIMEOUT_S)
"""Inside the sandbox a connect takes less than a millisecond."""


async def serves(address: str) -> float:
    """1 when the replica's process answers, else 0."""
    try:
        ready = await httpwire.get((address, SERVE_PORT), "/ready", 1.0)
    except OSError:
        return 0.0
    return 1.0 if ready.status == 200 else 0.0


def run(kind: str, address: str, namespaces: Sequence[int], samples: int, out: int) -> None:
    """Measure and write ``{"value": …, "at": …}`` to the file descriptor *out*."""
    if kind == "serves":
        kernel.enter_netns(namespaces[0])
        value = asyncio.run(serves(address))
    else:
        paths = [f"/proc/self/fd/{number}" for number in namespaces]
        sockets = prober.open_sockets(paths, prober.sockets_needed(kind, samples))
        value = asyncio.run(prober.answer(kind, (address, SERVE_PORT), sockets, PATIENCE))
    os.write(out, json.dumps({"value": value, "at": time.time()}).encode())
