"""`drill recover` and `drill abort` for a cluster: from what stands on its Services, on any machine."""

from __future__ import annotations

import getpass
import platform
import time
from collections.abc import Callable, Sequence

from drill.cli.cluster import where
from drill.cli.settings import AbortResult, RunSettings
from drill.core.errors import DrillError
from drill.target.kubernetes import leases, paths, stop
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.ports import NodeAgents
from drill.target.kubernetes.recover import Cleared, Recovery, opted_in

ENDS_WITHIN_S = 60.0
"""How long `drill abort` waits until runs on other machines have undone everything and let go."""
LOOK_S = 1.0


def recover_cluster(settings: RunSettings) -> Cleared:
    """Undo what dead runs left in the namespace *settings* name, else in all opted in. Raises DrillError."""
    named = where(settings)
    api = Api(named.access)
    try:
        return _recover(api, settings.namespace, named.context.helper_image, named.context.way)
    finally:
        api.close()


def _recover(api: Api, namespace: str, image: str, way: str) -> Cleared:
    everything = not namespace
    namespaces = opted_in(api) if everything else [namespace]
    made: list[NodeAgents] = []

    def agents() -> NodeAgents:
        from drill.cli.cluster import make_agents

        if not made:
            made.append(make_agents(api, image, way))
        return made[0]

    recovery = Recovery(api, agents)
    try:
        return recovery.run(namespaces, everything=everything)
    finally:
        _close(made, recovery.cleared)


def _close(made: Sequence[NodeAgents], cleared: Cleared) -> None:
    for one in made:
        try:
            one.close()
        except DrillError as error:
            cleared.remaining.append(f"{error}; {error.hint}" if error.hint else str(error))


def abort_cluster(settings: RunSettings, clear: bool, tell: Callable[[str], None]) -> AbortResult:
    """Forbid new drills on the cluster, let living ones end, undo what dead ones left; or with *clear* allow them.

    Raises UsageError, Refused when drill is not installed there, Unavailable.
    """
    named = where(settings)
    api = Api(named.access)
    marker = f"ConfigMap {paths.SYSTEM}/{stop.NAME} on {api.context}"
    try:
        if clear:
            stop.clear(api)
            return AbortResult(marker)
        stop.put(api, f"{getpass.getuser()} on {platform.node()}")
        before = holders(api)
        if before:
            tell(f"waiting for {len(before)} drill(s) to undo and end, at most {ENDS_WITHIN_S:g} s")
        living = _wait(api)
        cleared = _recover(api, settings.namespace, named.context.helper_image, named.context.way)
        return AbortResult(
            marker,
            stopped=tuple(sorted(set(before) - set(living))),
            removed=tuple(cleared.removed),
            remaining=(*cleared.remaining, *(f"a run that does not end: {one}" for one in living)),
        )
    finally:
        api.close()


def holders(api: Api) -> dict[str, leases.Lease]:
    """Return the Leases of drills by who holds them. Raises ApiFailed."""
    found = api.list(paths.all_of("Lease", paths.SYSTEM), leases.Lease).items
    return {
        one.spec.holder_identity: one
        for one in found
        if one.name.startswith(leases.PREFIX) and one.spec.holder_identity
    }


def _wait(api: Api) -> list[str]:
    """Wait until no drill holds a Lease; return those that still do and are alive."""
    until = time.monotonic() + ENDS_WITHIN_S
    while (held := holders(api)) and time.monotonic() < until:
        time.sleep(LOOK_S)
    return [holder for holder, lease in held.items() if not leases.is_dead(api, lease)]
