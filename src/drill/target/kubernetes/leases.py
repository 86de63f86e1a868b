"""One drill per Service of a cluster: a coordination.k8s.io Lease in drill-system, kept alive while a run goes on.

Whether a holder lives is judged as client-go does it: by watching whether its Lease changes, never by comparing
clocks of two machines. A Lease that does not change for as long as it says it lasts is dead, and is taken over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from drill.core.errors import DrillError, Refused
from drill.target.kubernetes import objects, paths
from drill.target.kubernetes.api import JSON_PATCH, Api
from drill.target.kubernetes.failures import ApiFailed, Clash, NotThere

LASTS_S = 30
"""Longer than an API server takes to restart (15 to 20 s on kind): its restart must not cost a run its lease."""
RENEW_S = 5.0
PREFIX = "drill."
LOOK_S = 0.5


class LeaseSpec(objects.Seen):
    """What a Lease says."""

    holder_identity: str = ""
    lease_duration_seconds: int = LASTS_S
    renew_time: str = ""


class Lease(objects.Thing):
    """A Lease."""

    spec: LeaseSpec = LeaseSpec()


def lease_name(namespace: str, service: str) -> str:
    """Return the name of the Lease of a Service."""
    return f"{PREFIX}{namespace}.{service}"


@contextmanager
def leases(
    api: Api, namespace: str, services: Iterable[str], holder: str, lost: Callable[[str], None]
) -> Iterator[None]:
    """Hold the Lease of every one of *services* while inside; *lost* is told in words when one is gone.

    Raises Refused, naming the holder, when another run lives at one of them; Refused when drill is not installed.
    """
    with ExitStack() as stack:
        for service in sorted(set(services)):
            held = Held(api, lease_name(namespace, service), f"{namespace}/{service}", holder, lost)
            stack.enter_context(held)
        yield


class Held:
    """One Lease, held while entered."""

    def __init__(self, api: Api, name: str, place: str, holder: str, lost: Callable[[str], None]) -> None:
        self._api, self._name, self._place, self._holder, self._lost = api, name, place, holder, lost
        self._path = paths.one("Lease", paths.SYSTEM, name)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="drill-lease", daemon=True)

    def __enter__(self) -> Held:
        try:
            self._acquire()
        except NotThere as error:
            raise not_installed(self._api.context, error) from error
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(5)
        release(self._api, self._path, self._holder)

    def _acquire(self) -> None:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": paths.SYSTEM},
            "spec": {"holderIdentity": self._holder, "leaseDurationSeconds": LASTS_S, **_times(acquired=True)},
        }
        while True:
            try:
                self._api.create(paths.all_of("Lease", paths.SYSTEM), body)
                return
            except Clash:
                pass
            seen = read(self._api, self._path)
            if seen is None:
                continue
            if not is_dead(self._api, seen):
                raise Refused(
                    f"{self._place} is being drilled already, by {seen.spec.holder_identity}",
                    hint=f"wait for its end, or end it: `drill abort --context {self._api.context}`",
                )
            try:
                self._api.replace(self._path, {**body, "metadata": _same_version(seen)})
                return
            except ApiFailed as error:
                if error.status not in (404, 409):  # else somebody else was faster: look again
                    raise

    def _renew(self) -> None:
        renewed = time.monotonic()
        while not self._over.wait(RENEW_S):
            try:
                self._api.patch(self._path, renewal(self._holder), JSON_PATCH)
                renewed = time.monotonic()
            except DrillError as error:
                taken = isinstance(error, NotThere) or (isinstance(error, ApiFailed) and error.status == 422)
                if taken or time.monotonic() - renewed > LASTS_S:
                    why = "somebody else has taken it" if taken else f"it could not be renewed: {error}"
                    self._lost(f"the lease of {self._place} is lost: {why}")
                    return


def not_installed(context: str, error: Exception) -> Refused:
    """Return the exception for a cluster without drill's own namespace."""
    return Refused(
        f"drill is not installed on {context}: {error}",
        hint=f"`drill k8s install --context {context} --namespace NAMESPACE`",
    )


def read(api: Api, path: str) -> Lease | None:
    """Return the Lease, None when there is none."""
    try:
        return api.get(path, Lease)
    except NotThere:
        return None


def is_dead(api: Api, lease: Lease) -> bool:
    """Watch *lease* until it changes (it lives) or its time is over (it is dead); one without holder is dead."""
    if not lease.spec.holder_identity:
        return True
    path = paths.one("Lease", paths.SYSTEM, lease.name)
    until = time.monotonic() + lease.spec.lease_duration_seconds
    while time.monotonic() < until:
        time.sleep(LOOK_S)
        now = read(api, path)
        if now is None or not now.spec.holder_identity:
            return True
        if now.metadata.resource_version != lease.metadata.resource_version:
            return False
    return True


def release(api: Api, path: str, holder: str) -> None:
    """Delete the Lease if *holder* has it; that it cannot be deleted is no harm: it ends by itself."""
    try:
        seen = read(api, path)
        if seen is not None and seen.spec.holder_identity == holder:
            api.delete(path, uid=seen.metadata.uid)
    except DrillError:
        return


def _times(*, acquired: bool = False) -> Mapping[str, str]:
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"renewTime": now, "acquireTime": now} if acquired else {"renewTime": now}


def renewal(holder: str) -> list[Any]:
    """Return the patch that renews a Lease, and fails when somebody else has it."""
    return [
        {"op": "test", "path": "/spec/holderIdentity", "value": holder},
        {"op": "replace", "path": "/spec/renewTime", "value": _times()["renewTime"]},
    ]


def _same_version(lease: Lease) -> Mapping[str, str]:
    return {
        "name": lease.name,
        "namespace": paths.SYSTEM,
        "resourceVersion": lease.metadata.resource_version,
        "uid": lease.metadata.uid,
    }
