"""What people may do to end an incident in a sandbox, for drill's own code: the actions behind its `kubectl`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from drill.core.errors import ActionFailed

Do = Callable[[dict[str, Any], float], dict[str, Any]]
REPLACE_S = 60.0
STEP_S = 0.1


class Mitigations:
    """Mitigations of one sandbox. All raise ActionFailed with the sandbox's words.

    Those that make new pods return at once, as `kubectl` does; ``settled`` and ``until_settled`` tell when the last
    of them serves. ``replace`` returns when the new pod serves.
    """

    def __init__(self, do: Do) -> None:
        self._do = do

    def look(self) -> dict[str, Any]:
        """Deployments with revisions, pods and endpoints, and the cluster's events, as init tells them."""
        return self._do({"do": "workloads"}, REPLACE_S)

    def scale(self, service: str, replicas: int) -> None:
        """Want *replicas* (3 to 7) in service; a new one has a network and a cgroup of its own."""
        self._do({"do": "scale", "service": service, "replicas": replicas}, REPLACE_S)

    def restart(self, service: str) -> None:
        """Replace all pods of *service* by new ones, one after the other; faults at the old ones end."""
        self._do({"do": "restart", "service": service}, REPLACE_S)

    def replace(self, replica: str) -> None:
        """Make *replica* a new pod of the same name; a fault at the old one ends."""
        self._do({"do": "replace", "replica": replica}, REPLACE_S)

    def label(self, replica: str, app: str) -> None:
        """Set the label ``app``: another than its service's takes *replica* out of service, its service's back in.

        The fault stays where it is; a new pod takes the place.
        """
        self._do({"do": "label", "replica": replica, "app": app}, REPLACE_S)

    def limit(self, service: str, cpus: float | None = None, memory: int | None = None) -> None:
        """Change the limits (CPUs, bytes); all pods are replaced."""
        self._do({"do": "limits", "service": service, "cpus": cpus, "memory": memory}, REPLACE_S)

    def set_env(self, service: str, values: Mapping[str, str | None]) -> None:
        """Set or remove (None) environment variables; all pods are replaced.

        ``FALLBACK=payment,cart`` makes the service answer without those; ``WORK=N`` changes the work of a request.
        """
        self._do({"do": "env", "service": service, "values": dict(values)}, REPLACE_S)

    def roll_back(self, service: str, revision: int = 0) -> None:
        """Make the former revision (or *revision*) the newest; all pods are replaced."""
        self._do({"do": "undo", "service": service, "to": revision}, REPLACE_S)

    def logs(self, replica: str, previous: bool = False) -> str:
        """The log of *replica*, or of its process before the last restart."""
        return str(self._do({"do": "logs", "replica": replica, "previous": previous}, REPLACE_S)["text"])

    def recent(self) -> dict[str, Any]:
        """The last lines of every replica's log (``lines``, by replica) and the cluster's ``events``."""
        return self._do({"do": "recent"}, REPLACE_S)

    def settled(self, service: str) -> bool:
        """True when all pods of *service* are what its deployment says."""
        return bool(self.look()["deployments"][service]["settled"])

    def until_settled(self, service: str, within_s: float = 60.0) -> None:
        """Wait for that. Raises ActionFailed when it takes longer."""
        deadline = time.monotonic() + within_s
        while not self.settled(service):
            if time.monotonic() > deadline:
                raise ActionFailed(f"the pods of {service} are not what they should be after {within_s:g} s")
            time.sleep(STEP_S)
