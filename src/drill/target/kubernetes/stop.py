"""The abort marker of a cluster: while it is there no drill starts on it, and those under way end and undo."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from drill.core.errors import DrillError, Refused
from drill.target.kubernetes import objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import Clash, NotThere
from drill.target.kubernetes.leases import not_installed

NAME = "drill-abort"
PATH = paths.one("ConfigMap", paths.SYSTEM, NAME)
LOOK_S = 2.0


class Marker(objects.Thing):
    """The ConfigMap; ``data`` says who set it and when."""

    data: dict[str, str] = {}


def read(api: Api) -> Marker | None:
    """Return the marker, None when there is none. Raises ApiFailed."""
    try:
        return api.get(PATH, Marker)
    except NotThere:
        return None


def check(api: Api) -> None:
    """Raise Refused while an abort is in force on this cluster."""
    marker = read(api)
    if marker is not None:
        by = marker.data.get("by", "somebody")
        raise Refused(
            f"an abort is in force on {api.context}, set by {by} at {marker.data.get('at', 'some time')}",
            hint=f"`drill abort --context {api.context} --clear` allows drills again",
        )


def put(api: Api, by: str) -> None:
    """Set the marker; one that is there stays. Raises Refused when drill is not installed, ApiFailed."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": paths.SYSTEM},
        "data": {"by": by, "at": datetime.now(UTC).isoformat(timespec="seconds")},
    }
    try:
        api.create(paths.all_of("ConfigMap", paths.SYSTEM), body)
    except Clash:
        return
    except NotThere as error:
        raise not_installed(api.context, error) from error


def clear(api: Api) -> bool:
    """Remove the marker; False when there was none. Raises ApiFailed."""
    return api.delete(PATH)


class Ear:
    """Looks for the marker while entered, and says once when it is there."""

    def __init__(self, api: Api, heard: Callable[[str], None]) -> None:
        self._api, self._heard = api, heard
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="drill-ear", daemon=True)

    def __enter__(self) -> Ear:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)

    def _listen(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                marker = read(self._api)
            except DrillError:
                time.sleep(LOOK_S)
                continue
            if marker is not None:
                self._heard(f"drill abort on {self._api.context}, by {marker.data.get('by', 'somebody')}")
                return
