"""Faults held inside pods by one privileged helper pod per node: implements :class:`NodeAgents`.

One stream per node carries everything about all its pods and is the lease of every fault there: when it ends, or
this process falls silent, the node's conductor reverts all. Nothing is held by the pods' existence alone.
"""

from __future__ import annotations

import contextlib
import getpass
import secrets
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from drill.core.errors import ActionFailed, DrillError, Unavailable, UndoIncomplete
from drill.core.facts import ABILITIES, Ability
from drill.core.ports import Hindrance
from drill.core.probes import Measurement, Probe
from drill.target.kubernetes import paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.conversation import Conversation, Message, Said
from drill.target.kubernetes.holding import RELEASE_S, Holding, place
from drill.target.kubernetes.lines import LineStream, exec_query
from drill.target.kubernetes.pods import HelperPods
from drill.target.kubernetes.podspec import CONTAINER, SERVE, HelperSettings, Manifest, helper_name, helper_pod
from drill.target.kubernetes.ports import PodRef

ASK_S = 90.0
SWEEP_S = 120.0
STREAMS = 8
"""Streams opened at the same time."""


class Helpers(Holding):
    """The helpers of one run. Threads may share it."""

    def __init__(
        self, api: Api, settings: HelperSettings | None = None, *, run: str = "", holder: str = ""
    ) -> None:
        """*run* and *holder* are written on the pods; without them: a number of our own, user and machine."""
        super().__init__()
        self._api, self._settings = api, settings or HelperSettings()
        self._run = run or secrets.token_hex(4)
        self._holder = holder or f"{getpass.getuser()}@{socket.gethostname()}"
        self._pods = HelperPods(api, self._settings, self._run)
        self._open: dict[str, Conversation] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._started: dict[str, str] = {}

    @property
    def names(self) -> frozenset[str]:
        """The names of the helper pods this run has started."""
        return frozenset(self._started.values())

    def conductor(self, node: str) -> int:
        """The process id, on *node*, of what answers there; 0 when nothing was asked yet."""
        found = self._open.get(node)
        return int(found.hello.get("pid", 0)) if found else 0

    def foresee(self, pods: Sequence[PodRef]) -> Sequence[Hindrance]:
        """Try the helpers that are not there yet by a dry run. Raises Unavailable."""
        return self.refused(sorted({pod.node for pod in pods if pod.node}))

    def refused(self, nodes: Sequence[str]) -> Sequence[Hindrance]:
        """Say why helpers on *nodes* would not be let in; asked by a dry run. Raises Unavailable."""
        new = [node for node in nodes if node not in self._started]
        with ThreadPoolExecutor(STREAMS, thread_name_prefix="drill-helper") as pool:
            found = pool.map(lambda node: self._pods.refused(node, self._manifest(node)), new)
            return [one for one in found if one is not None]

    def _manifest(self, node: str) -> Manifest:
        return helper_pod(self._settings, node, run=self._run, holder=self._holder)

    def prepare(self, nodes: Sequence[str]) -> None:
        """Start what is missing on *nodes* and open a stream to each. Raises Unavailable."""
        new = [node for node in dict.fromkeys(nodes) if node not in self._started]
        names = {node: helper_name(node, self._run) for node in new}
        self._started |= names  # before they are: whatever comes of it, `close` deletes them
        pods = {node: self._manifest(node) for node in new}
        with ThreadPoolExecutor(STREAMS, thread_name_prefix="drill-helper") as pool:
            opened = [pool.submit(self._conversation, node) for node in dict.fromkeys(nodes) if node not in new]
            if pods:
                self._pods.start(pods, lambda node: opened.append(pool.submit(self._conversation, node)))
            for each in opened:
                each.result()

    def _conversation(self, node: str) -> Conversation:
        """Return a living conversation with *node*, opened again if need be. Raises Unavailable."""
        with self._locks[node]:
            found = self._open.get(node)
            if found is not None and found.alive:
                return found
            if found is not None:
                found.close()
            if node not in self._started or not self._pods.running(self._started[node]):
                self._start_again(node)
            self._open[node] = Conversation(node, lambda *calls: self._stream(node, *calls))
            return self._open[node]

    def _start_again(self, node: str) -> None:
        """Start a helper on *node*, where none is or one ended: under a new name, for the old one may linger."""
        again = f"{self._run}-{secrets.token_hex(2)}" if node in self._started else self._run
        manifest = self._manifest(node)
        manifest["metadata"]["name"] = name = helper_name(node, again)
        if old := self._started.get(node):
            with contextlib.suppress(DrillError):
                self._pods.delete([old])
        self._started[node] = name
        self._pods.start({node: manifest})

    def _stream(self, node: str, *calls: object) -> LineStream:
        path = paths.one("Pod", self._settings.namespace, self._started[node], "exec")
        return LineStream(self._api.stream(path, exec_query(CONTAINER, SERVE)), *calls)  # type: ignore[arg-type]

    def _ask(self, node: str, message: Message, timeout_s: float = ASK_S) -> Message:
        """Ask the conductor on *node*. Raises Unavailable, Said."""
        return self._conversation(node).ask(message, timeout_s)

    def abilities(self, node: str) -> Mapping[Ability, str]:
        """What *node* cannot do, with reasons. Raises Unavailable."""
        said = self._ask(node, {"do": "abilities"})["abilities"]
        return {
            name: str(said.get(name, "the helper does not know it")) for name in ABILITIES if said.get(name, "?")
        }

    def _say(self, pod: PodRef, message: Message, timeout_s: float) -> Message:
        return self._ask(pod.node, message, timeout_s)

    def _insist(self, pod: PodRef, message: Message, timeout_s: float) -> Message:
        return self._ask_again(pod.node, message, timeout_s)

    def _ask_again(self, node: str, message: Message, timeout_s: float) -> Message:
        """Ask, and once more over a new stream when the old one ended under the question."""
        try:
            return self._ask(node, message, timeout_s)
        except Unavailable:
            return self._ask(node, message, timeout_s)

    def signal(self, pod: PodRef, number: int) -> float | None:
        """Send a signal to the container's main process; None where none runs. Raises ActionFailed."""
        try:
            said = self._ask(pod.node, {"do": "signal", "pod": place(pod), "number": number})
        except Unavailable as error:
            raise ActionFailed(str(error), hint=error.hint) from error
        return time.time() if said["pid"] else None

    def measure(self, probe: Probe, pod: PodRef, peers: Sequence[PodRef] = ()) -> Measurement:
        """Answer *probe*, from the node's side or from *peers*. Raises Unavailable."""
        node = peers[0].node if peers else pod.node
        message = {
            "do": "probe",
            "kind": probe.kind,
            "samples": probe.samples,
            "pod": place(pod),
            "peers": [place(peer) for peer in peers if peer.node == node],
        }
        try:
            answer = self._ask_again(node, message, ASK_S)
        except Said as refusal:
            raise Unavailable(str(refusal), hint=refusal.hint) from refusal
        return Measurement(value=float(answer["value"]), at=time.time())

    def snapshot(self, pod: PodRef) -> Mapping[str, str]:
        """What faults may change at *pod*. Raises Unavailable."""
        try:
            seen = self._ask_again(pod.node, {"do": "snapshot", "pod": place(pod)}, ASK_S)["snapshot"]
        except Said as refusal:
            raise Unavailable(str(refusal), hint=refusal.hint) from refusal
        return {str(name): str(text) for name, text in seen.items()}

    def sweep(self, pods: Sequence[PodRef]) -> tuple[Sequence[str], Sequence[str]]:
        """Remove what nobody holds any more at *pods*, and helper pods that have ended. Raises Unavailable."""
        self.prepare([pod.node for pod in pods])
        with ThreadPoolExecutor(STREAMS, thread_name_prefix="drill-sweep") as pool:
            answers = list(pool.map(self._sweep_one, pods))
        removed, remains = [], []
        for pod, said in zip(pods, answers, strict=True):
            removed += [f"{pod.name}: {what}" for what in said.get("removed", ())]
            remains += [f"{pod.name}: {what}" for what in said.get("remains", ())]
        ended = self._pods.ended()
        stuck = self._pods.delete(ended)
        removed += [f"helper pod {name}" for name in ended if name not in stuck]
        return removed, [*remains, *(f"helper pod {name}" for name in stuck)]

    def _sweep_one(self, pod: PodRef) -> Message:
        try:
            return self._ask_again(pod.node, {"do": "sweep", "pod": place(pod)}, SWEEP_S)
        except Said as refusal:
            return {"remains": [str(refusal)]}

    def close(self) -> None:
        """Let everything go and delete the helper pods. Raises UndoIncomplete, naming what is left."""
        left: list[str] = []
        with ThreadPoolExecutor(STREAMS, thread_name_prefix="drill-helper") as pool:
            for said in pool.map(self._part, list(self._open.values())):
                left += said
        self._open.clear()
        try:
            left += [f"helper pod {name}" for name in self._pods.delete(list(self._started.values()))]
        except DrillError as error:
            left += [f"helper pods {', '.join(self._started.values())} ({error})"]
        if left:
            raise UndoIncomplete(f"left in the cluster: {'; '.join(left)}", hint="drill recover --all")
        self._started.clear()

    @staticmethod
    def _part(conversation: Conversation) -> list[str]:
        try:
            left = conversation.ask({"do": "bye"}, RELEASE_S)["left"] if conversation.alive else []
        except DrillError:
            left = []  # its end reverts too; what it cannot revert, `recover` finds
        finally:
            conversation.close()
        return [f"{each} on {conversation.node}" for each in left]
