"""Who is killed in a cluster, how, and by what: runners on this machine, helpers by the API or on their node."""

from __future__ import annotations

from dataclasses import dataclass

WITHOUT_CHILDREN = ("bandwidth", "partition", "disk-full", "pause")


@dataclass(frozen=True)
class Victim:
    """Roles that get ``signal`` at one moment; ``then`` are killed a little later.

    Roles are ``runner``; on the pod's node ``agent``, ``guard``, ``worker``, ``child``, ``conductor`` (it answers
    the runner), ``helper`` (every process of the helper pod); by the API ``pod`` and ``pod at once``; and for all
    faults together ``kubelet`` and ``kube-apiserver``.
    """

    name: str
    roles: tuple[str, ...]
    signal: str = "KILL"
    then: tuple[str, ...] = ()
    weight: float = 1.0

    def fits(self, fault: str) -> bool:
        """False when *fault* has no such process."""
        return self.roles != ("worker", "child") or fault not in WITHOUT_CHILDREN


OF_HELD = (
    Victim("runner", ("runner",), weight=2),
    Victim("runner stopped", ("runner",), "STOP"),
    Victim("agent", ("agent",)),
    Victim("agent stopped", ("agent",), "STOP"),
    Victim("guard, then runner", ("guard",), then=("runner",)),
    Victim("worker or child, then runner", ("worker", "child"), then=("runner",)),
    Victim("agent + guard", ("agent", "guard")),
    Victim("agent + guard stopped, then runner", ("agent", "guard"), "STOP", then=("runner",)),
    Victim("conductor", ("conductor",)),
    Victim("conductor stopped, then runner", ("conductor",), "STOP", then=("runner",)),
    Victim("conductor + agent + guard", ("conductor", "agent", "guard")),
    Victim("helper pod deleted", ("pod",)),
    Victim("helper pod deleted without grace", ("pod at once",), weight=2),
    Victim("all processes of the helper pod", ("helper",), weight=2),
    Victim("runner + all processes of the helper pod", ("runner", "helper"), weight=2),
)
"""Of one fault that is held in a pod."""

OF_DEEDS = (
    Victim("runner", ("runner",), weight=3),
    Victim("runner stopped", ("runner",), "STOP"),
)
"""Of one deed by the API: it stays until `drill recover`, whoever dies."""

OF_ALL = (
    Victim("kubelet", ("kubelet",), weight=2),
    Victim("kubelet + runners", ("kubelet", "runner")),
    Victim("API server", ("kube-apiserver",), weight=2),
    Victim("API server + runners", ("kube-apiserver", "runner")),
    Victim("kubelet + API server + runners + helpers", ("kubelet", "kube-apiserver", "runner", "helper")),
)
"""Of the cluster, while several faults are in force."""
