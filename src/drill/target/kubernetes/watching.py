"""Waiting for the cluster by watching it, and reading once what many threads want to know at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import ApiFailed, Forbidden
from drill.target.kubernetes.objects import Listed, Seen, Thing

T = TypeVar("T", bound=Thing)
V = TypeVar("V")
RELIST_S, AGAIN_S = 5.0, 0.2
"""A watch is renewed at least this often: an event that never came must not be waited for longer."""


def follow(
    api: Api, path: str, model: type[T], within_s: float, *, labels: str = "", fields: str = ""
) -> Iterator[dict[str, T]]:
    """Yield the objects of a collection by UID, now and after every change, until *within_s* are over.

    Raises ApiFailed when the server does not answer although it was asked again.
    """
    until = time.monotonic() + within_s
    while True:
        listed: Listed[T] = api.list(path, model, labels=labels, fields=fields)
        here = {one.metadata.uid: one for one in listed.items}
        yield dict(here)
        left = until - time.monotonic()
        if left <= 0:
            return
        try:
            changes = api.watch(
                path,
                labels=labels,
                fields=fields,
                version=listed.metadata.resource_version,
                within_s=max(1.0, min(RELIST_S, left)),
            )
            for change in changes:
                if change.kind == "BOOKMARK":
                    continue
                seen = model.model_validate(change.raw)
                here.pop(seen.metadata.uid, None)
                if change.kind != "DELETED":
                    here[seen.metadata.uid] = seen
                yield dict(here)
        except Forbidden:
            raise
        except ApiFailed:  # the version was too old, or the connection broke: list again, which says what is wrong
            time.sleep(AGAIN_S)
        if time.monotonic() >= until:
            return


class Recent(Generic[V]):
    """A value that is read anew when it is older than wanted; threads that ask together share one reading."""

    def __init__(self, read: Callable[[], V], clock: Callable[[], float] = time.monotonic) -> None:
        self._read, self._clock = read, clock
        self._lock = threading.Lock()
        self._value: V | None = None
        self._at = float("-inf")

    def get(self, max_age_s: float = 0.0) -> V:
        """Return the value, at most *max_age_s* old, never from before this call was made with 0."""
        asked = self._clock()
        with self._lock:
            if self._value is None or self._at < asked - max_age_s:
                started = self._clock()
                self._value = self._read()
                self._at = started
            return self._value


def selector(labels: dict[str, str]) -> str:
    """Return labels as the API's ``labelSelector``."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


__all__ = ["Recent", "Seen", "follow", "selector"]
