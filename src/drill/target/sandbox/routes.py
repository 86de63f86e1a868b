"""The list of endpoints: one file that init writes and that edge and services read again when it changed."""

from __future__ import annotations

import json
import random
from pathlib import Path


def write(path: Path, endpoints: dict[str, list[str]]) -> None:
    """Replace the list in one step, so that no reader sees half of it."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(endpoints))
    fresh.rename(path)


class Routes:
    """Chooses an address of a service, in turn and without any look at its health, as kube-proxy does."""

    def __init__(self, path: Path, seed: str) -> None:
        self._path = path
        self._random = random.Random(seed)
        self._stamp = (0, 0)
        self._endpoints: dict[str, list[str]] = {}
        self._turn: dict[str, int] = {}

    def pick(self, service: str) -> str | None:
        """The next address of *service*; None when it has none."""
        self._reload()
        addresses = self._endpoints.get(service)
        if not addresses:
            return None
        turn = self._turn.get(service, self._random.randrange(len(addresses)))
        self._turn[service] = turn + 1
        return addresses[turn % len(addresses)]

    def _reload(self) -> None:
        stat = self._path.stat()
        stamp = (stat.st_mtime_ns, stat.st_ino)
        if stamp != self._stamp:
            self._stamp = stamp
            self._endpoints = json.loads(self._path.read_text())
