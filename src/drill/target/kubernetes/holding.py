"""What it means to hold and to release a fault by a conductor, wherever that runs: same words, same answers.

Owns what is sent for it and what an answer says; who the conductor of a pod is, and how it is reached, is the
business of ``helpers`` and ``ephemeral``.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod

from drill.core.actions import HoldFault
from drill.core.errors import ActionFailed, DrillError, Unavailable
from drill.target.kubernetes.conversation import Message
from drill.target.kubernetes.ports import PodRef

LEASE_S = 6.0
APPLY_S = 90.0
RELEASE_S = 90.0


class Holding(ABC):
    """Holds faults by asking; remembers what kind it held, for a release over a stream that knows nothing of it."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], str] = {}

    @abstractmethod
    def _say(self, pod: PodRef, message: Message, timeout_s: float) -> Message:
        """Ask the conductor of *pod*, once. Raises Unavailable, Said."""

    def _insist(self, pod: PodRef, message: Message, timeout_s: float) -> Message:
        """Ask what may be asked twice. Raises Unavailable, Said."""
        return self._say(pod, message, timeout_s)

    def hold(self, action: HoldFault, pod: PodRef) -> float:
        """Hold a fault; return when the agent said ``applied``. Raises ActionFailed."""
        self._kinds[action.injection, pod.uid] = action.fault.kind
        try:
            self._say(pod, hold_message(action, pod), APPLY_S)
        except Unavailable as error:
            with contextlib.suppress(DrillError):  # nobody knows whether it was done
                self.release(action.injection, pod)
            raise ActionFailed(str(error), hint=error.hint) from error
        return time.time()

    def release(self, injection: str, pod: PodRef) -> float:
        """End the fault, or find that nothing of it is left. Raises ActionFailed, naming what is."""
        kind = self._kinds.get((injection, pod.uid), "")
        message = {"do": "release", "injection": injection, "kind": kind, "pod": place(pod)}
        try:
            answer = self._insist(pod, message, RELEASE_S)
        except Unavailable as error:
            raise ActionFailed(f"{pod.name}: {error}", hint=error.hint) from error
        left_behind(pod, answer)
        return time.time()


def hold_message(action: HoldFault, pod: PodRef) -> Message:
    """Return what a conductor is asked to hold."""
    return {
        "do": "hold",
        "pod": place(pod),
        "injection": action.injection,
        "replica": pod.name,
        "spec": action.fault.model_dump_json(),
        "ttl": action.ttl_s,
        "deadline": action.deadline_s,
        "lease": LEASE_S,
        "reapply": action.reapply,
    }


def left_behind(pod: PodRef, answer: Message) -> None:
    """Raise ActionFailed when a conductor's answer to ``release`` names what remains."""
    remains = (answer.get("cleared") or {}).get("remains")
    if remains:
        raise ActionFailed(f"{pod.name}: left behind: {', '.join(remains)}")


def place(pod: PodRef) -> Message:
    """Return *pod* as the conductor wants it."""
    return {
        "container": pod.container_id,
        "container_name": pod.container,
        "uid": pod.uid,
        "name": pod.name,
        "address": pod.address,
        "port": pod.port,
        "path": pod.data_path,
    }
