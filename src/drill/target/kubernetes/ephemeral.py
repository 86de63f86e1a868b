"""Network faults from inside the pod itself, where no helper pod may run: implements :class:`NodeAgents`. Opt in.

An ephemeral container with NET_ADMIN is put into each pod concerned, and the same conductor runs in it. What that
cannot do it says: an ephemeral container cannot be removed or started again (it ends, and stands in the pod's spec
until the pod goes), it has cgroups and processes of its own (no CPU, memory, disk faults, no signals) and yet
counts against the pod's memory limit, nothing can be tried before in a namespace that serves (no netem, no htb),
and PodSecurity ``baseline`` forbids it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from drill.core.actions import HoldFault, PacketFault
from drill.core.errors import ActionFailed, DrillError, Unavailable, UndoIncomplete
from drill.core.facts import ABILITIES, Ability
from drill.core.ports import Hindrance
from drill.core.probes import Measurement, Probe
from drill.target.kubernetes import admission, paths
from drill.target.kubernetes.api import STRATEGIC, Api
from drill.target.kubernetes.conversation import Conversation, Message, Said
from drill.target.kubernetes.failures import ApiFailed
from drill.target.kubernetes.helpers import ASK_S, SWEEP_S
from drill.target.kubernetes.holding import RELEASE_S, Holding, place
from drill.target.kubernetes.lines import LineStream, exec_query
from drill.target.kubernetes.podspec import AGENT, PREFIX, HelperSettings, ephemeral_container
from drill.target.kubernetes.ports import PodRef

SERVE = (*AGENT, "serve", "--node-pid=0")
START_S = 120.0
LEAST_LIMIT = 128 << 20
"""A pod's memory limit holds for its ephemeral containers too: ours take 40 to 60 MiB while a fault is held."""
LITTLE = (
    f"would count against a pod's memory limit of less than {LEAST_LIMIT >> 20} MiB: too little for both, and the "
    "service would be killed"
)
KINDS = ("packet", "http")
UNTRIED = "it cannot be tried beforehand from inside a pod that serves: nfqueue and nft need no trial"
APART = "an ephemeral container has processes, cgroups and files of its own"
MISSING: Mapping[Ability, str] = {
    "netem": UNTRIED,
    "htb": UNTRIED,
    "cgroup-cpu": APART,
    "cgroup-memory": APART,
    "stress-ng": APART,
    "disk": APART,
    "signals": APART,
}


class Ephemeral(Holding):
    """The ephemeral containers of one run. Threads may share it."""

    def __init__(self, api: Api, settings: HelperSettings | None = None) -> None:
        super().__init__()
        self._api, self._settings = api, settings or HelperSettings()
        self._name = f"{PREFIX}{secrets.token_hex(3)}"
        self._open: dict[str, tuple[PodRef, Conversation]] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def foresee(self, pods: Sequence[PodRef]) -> Sequence[Hindrance]:
        """Try the first of *pods* by a dry run: PodSecurity speaks of the namespace. Raises Unavailable."""
        new = [pod for pod in pods if pod.uid not in self._open]
        small = [pod.name for pod in new if self._too_small(pod)]
        found = [self._refused(new[0])] if new else []
        if small:
            text = f"agents in {', '.join(small)} {LITTLE}"
            found.append(Hindrance(check="memory", text=text, fix="use helper pods"))
        return [one for one in found if one is not None]

    def prepare(self, nodes: Sequence[str]) -> None:
        """Nothing: which pods are concerned is known when they are asked for."""

    def abilities(self, node: str) -> Mapping[Ability, str]:  # noqa: ARG002  # the same on every node
        """Say what can never be done from an ephemeral container, with reasons."""
        return {name: MISSING[name] for name in ABILITIES if name in MISSING}

    def hold(self, action: HoldFault, pod: PodRef) -> float:
        """Hold a network fault. Raises ActionFailed."""
        if action.fault.kind not in KINDS:
            raise ActionFailed(f"{pod.name}: {APART}", hint="this fault needs a helper pod")
        if pod.host_network:
            raise ActionFailed(f"{pod.name} is in the node's own network namespace (hostNetwork): refused")
        if isinstance(action.fault, PacketFault) and action.fault.backend in MISSING:
            raise ActionFailed(f"{pod.name}: no {action.fault.backend}: {MISSING[action.fault.backend]}")
        return super().hold(action, pod)

    def _say(self, pod: PodRef, message: Message, timeout_s: float) -> Message:
        return self._talk(pod).ask(message, timeout_s)

    def signal(self, pod: PodRef, number: int) -> float | None:
        """Refuse: the container's processes are not seen from here."""
        raise ActionFailed(f"{pod.name}: no signal {number}: {APART}", hint="this needs a helper pod")

    def measure(self, probe: Probe, pod: PodRef, peers: Sequence[PodRef] = ()) -> Measurement:
        """Answer a network *probe* from one of *peers*, or from another pod of this run. Raises Unavailable.

        For users' eyes a pod that has an agent already is as good as any of *peers*: no other gets one for that.
        """
        others = [other for other, _ in self._open.values() if other.uid != pod.uid]
        source = next(iter([*others, *peers] if probe.peer == "users" else [*peers, *others]), None)
        if source is None:
            raise Unavailable(
                f"{pod.name}: nothing to measure from: loopback is never faulted, and no other pod takes part",
                hint="use a helper pod, or drill a service of two replicas",
            )
        message: Message = {
            "do": "probe",
            "kind": probe.kind,
            "samples": probe.samples,
            "pod": place(pod),
            "peers": [],
        }
        answer = self._ask(source, message)
        return Measurement(value=float(answer["value"]), at=time.time())

    def snapshot(self, pod: PodRef) -> Mapping[str, str]:
        """What network faults may change at *pod*. Raises Unavailable."""
        seen = self._ask(pod, {"do": "snapshot", "pod": place(pod)})["snapshot"]
        return {str(name): str(text) for name, text in seen.items()}

    def _ask(self, pod: PodRef, message: Message) -> Message:
        try:
            return self._talk(pod).ask(message, ASK_S)
        except Said as refusal:
            raise Unavailable(str(refusal), hint=refusal.hint) from refusal

    def sweep(self, pods: Sequence[PodRef]) -> tuple[Sequence[str], Sequence[str]]:
        """Remove what nobody holds any more at *pods* that ever had a container of ours. Raises Unavailable."""
        removed, remains = [], []
        for pod in pods:
            if not any(str(one["name"]).startswith(PREFIX) for one in self._containers(pod)):
                continue
            said = self._talk(pod).ask({"do": "sweep", "pod": place(pod)}, SWEEP_S)
            removed += [f"{pod.name}: {what}" for what in said.get("removed", ())]
            remains += [f"{pod.name}: {what}" for what in said.get("remains", ())]
        return removed, remains

    def close(self) -> None:
        """Let everything go; the containers end by themselves. Raises UndoIncomplete, naming what is left."""
        left: list[str] = []
        for pod, conversation in self._open.values():
            with contextlib.suppress(DrillError):
                said = conversation.ask({"do": "bye"}, RELEASE_S) if conversation.alive else {}
                left += [f"{each} at {pod.name}" for each in said.get("left", ())]
            conversation.close()
        self._open.clear()
        if left:
            raise UndoIncomplete(f"left in the cluster: {'; '.join(left)}", hint="drill recover --all")

    # ---- the container ----

    def _talk(self, pod: PodRef) -> Conversation:
        """Return a living conversation with the agent in *pod*, put there if need be. Raises Unavailable."""
        with self._locks[pod.uid]:
            known = self._open.get(pod.uid)
            if known is not None and known[1].alive:
                return known[1]
            if not self._runs(pod):
                self._put(pod)
            conversation = Conversation(pod.name, lambda *calls: self._stream(pod, *calls))
            self._open[pod.uid] = (pod, conversation)
            return conversation

    def _stream(self, pod: PodRef, *calls: object) -> LineStream:
        path = paths.one("Pod", pod.namespace, pod.name, "exec")
        return LineStream(self._api.stream(path, exec_query(self._name, SERVE)), *calls)  # type: ignore[arg-type]

    def _put(self, pod: PodRef) -> None:
        if self._too_small(pod):
            raise Unavailable(f"{pod.name}: an agent in it {LITTLE}", hint="use a helper pod")
        try:
            self._patch(pod)
        except ApiFailed as error:
            hint = "PodSecurity 'baseline' and 'restricted' forbid NET_ADMIN: this namespace needs a helper pod"
            raise Unavailable(f"no ephemeral container in {pod.name}: {error}", hint=error.hint or hint) from error
        deadline = time.monotonic() + START_S
        while not self._runs(pod):
            if time.monotonic() > deadline:
                raise Unavailable(f"the ephemeral container in {pod.name} does not run within {START_S:g} s")
            self._wait_for_change(pod, deadline - time.monotonic())

    def _refused(self, pod: PodRef) -> Hindrance | None:
        what = f"an agent in pod {pod.name}"
        return admission.refused(
            lambda: self._patch(pod, dry_run=True), what, self._api.context, pod.namespace, helper=False
        )

    @staticmethod
    def _too_small(pod: PodRef) -> bool:
        return 0 < pod.memory_limit_bytes < LEAST_LIMIT

    def _patch(self, pod: PodRef, *, dry_run: bool = False) -> object:
        container = ephemeral_container(self._settings, self._name)
        path = paths.one("Pod", pod.namespace, pod.name, "ephemeralcontainers")
        return self._api.patch(path, {"spec": {"ephemeralContainers": [container]}}, STRATEGIC, dry_run=dry_run)

    def _wait_for_change(self, pod: PodRef, within_s: float) -> None:
        every = paths.all_of("Pod", pod.namespace)
        with contextlib.suppress(ApiFailed):
            for change in self._api.watch(every, fields=f"metadata.name={pod.name}", within_s=within_s):
                if self._state(change.raw).get("running") is not None:
                    return

    def _runs(self, pod: PodRef) -> bool:
        return self._state(self._raw(pod)).get("running") is not None

    def _state(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        for status in raw.get("status", {}).get("ephemeralContainerStatuses") or ():
            if status["name"] == self._name:
                return dict(status.get("state") or {})
        return {}

    def _containers(self, pod: PodRef) -> list[Mapping[str, Any]]:
        return list(self._raw(pod).get("spec", {}).get("ephemeralContainers") or ())

    def _raw(self, pod: PodRef) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self._api.raw("GET", paths.one("Pod", pod.namespace, pod.name)))
        return found
