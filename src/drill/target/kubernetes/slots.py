"""Stable names for replicas whose pods come and go.

The third replica of checkout is ``checkout-2``, whichever pod that is at the moment: when its pod is deleted, the
next pod of the service that nobody has a name for takes the place. Pods of a StatefulSet keep their own names.
A place also counts how often it was started: each new pod once, and each restart of a container.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from drill.target.kubernetes.objects import Pod


@dataclass
class _Slot:
    uid: str
    restarts: int = 0
    passed: int = 0
    """Starts of the pods that were here before."""


class Slots:
    """The places of one service. Threads may share it."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._slots: dict[str, _Slot] = {}
        self._lock = threading.Lock()

    def see(self, pods: Sequence[Pod], *, grow: bool = False) -> dict[str, Pod]:
        """Take in the living pods of the service; return the pod at each place, empty places left out.

        Pods without a place take the empty ones, oldest first; what is left gets new places only with *grow* (the
        surge pod of a rollout is not one replica more).
        """
        with self._lock:
            by_uid = {pod.metadata.uid: pod for pod in pods if pod.alive}
            grow = grow or not self._slots
            known = {slot.uid for slot in self._slots.values()}
            new = sorted((pod for uid, pod in by_uid.items() if uid not in known), key=_age)
            self._keep_names(new)
            for slot in self._slots.values():
                if slot.uid not in by_uid and new:
                    slot.passed += slot.restarts + 1
                    slot.uid, slot.restarts = new.pop(0).metadata.uid, 0
            while new and grow:
                self._slots[self._free_name()] = _Slot(new.pop(0).metadata.uid)
            here = {name: by_uid[slot.uid] for name, slot in self._slots.items() if slot.uid in by_uid}
            for name, pod in here.items():
                self._slots[name].restarts = max(self._slots[name].restarts, pod.restarts)
            return here

    def _keep_names(self, new: list[Pod]) -> None:
        """Give pods of a StatefulSet the place of their own name."""
        for pod in [one for one in new if _keeps_its_name(one)]:
            new.remove(pod)
            slot = self._slots.setdefault(pod.name, _Slot(pod.metadata.uid))
            if slot.uid != pod.metadata.uid:
                slot.passed += slot.restarts + 1
                slot.uid, slot.restarts = pod.metadata.uid, 0

    def _free_name(self) -> str:
        number = 0
        while f"{self._service}-{number}" in self._slots:
            number += 1
        return f"{self._service}-{number}"

    def starts(self, name: str) -> int:
        """How often the place was started since it is known, restarts before that included."""
        with self._lock:
            slot = self._slots[name]
            return slot.passed + slot.restarts

    def __contains__(self, name: object) -> bool:
        with self._lock:
            return name in self._slots


def _age(pod: Pod) -> tuple[str, str]:
    return pod.metadata.creation_timestamp, pod.name


def _keeps_its_name(pod: Pod) -> bool:
    return any(owner.controller and owner.kind == "StatefulSet" for owner in pod.metadata.owner_references)
