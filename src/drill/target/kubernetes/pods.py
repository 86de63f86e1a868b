"""Helper pods from creation to deletion: created all at once, awaited by one watch, found again by their labels."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from drill.core.errors import Unavailable
from drill.core.ports import Hindrance
from drill.target.kubernetes import admission, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import ApiFailed, Forbidden
from drill.target.kubernetes.objects import Pod
from drill.target.kubernetes.podspec import APP, APP_LABEL, RUN_LABEL, HelperSettings, label_value

READY_S = 120.0
"""How long helpers may take to run: an image to pull, a slow node."""
GONE_S = 120.0
AT_ONCE = 16
HELPERS = f"{APP_LABEL}={APP}"
HOPELESS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "ImageInspectError")
"""Reasons of a waiting container that no waiting cures."""


class HelperPods:
    """The helper pods of one run."""

    def __init__(self, api: Api, settings: HelperSettings, run: str) -> None:
        self._api, self._settings = api, settings
        self._labels = f"{HELPERS},{RUN_LABEL}={label_value(run)}"
        self._home = paths.all_of("Pod", settings.namespace)

    def start(
        self, manifests: Mapping[str, Mapping[str, object]], runs: Callable[[str], object] = lambda _: None
    ) -> None:
        """Create a pod for each node of *manifests* and wait until all run. Raises Unavailable.

        *runs* hears each node at once: a helper that nobody talks to while a slow node starts its own would end.
        """
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="drill-helper") as pool:
            for outcome in [pool.submit(self._create, *each) for each in manifests.items()]:
                outcome.result()
        self._until_running(Waiting(manifests, runs))

    def refused(self, node: str, manifest: Mapping[str, object]) -> Hindrance | None:
        """Say why the pod for *node* would not be let in; asked by a dry run. Raises ApiFailed."""
        what = f"a helper pod on {node}"
        namespace = self._settings.namespace
        return admission.refused(
            lambda: self._api.create(self._home, manifest, dry_run=True), what, self._api.context, namespace
        )

    def _create(self, node: str, manifest: Mapping[str, object]) -> None:
        try:
            self._api.create(self._home, manifest)
        except ApiFailed as error:
            if error.status == 409:  # a retry of ours that had arrived after all
                return
            raise Unavailable(f"no helper pod on {node}: {error}", hint=error.hint) from error

    def _until_running(self, waiting: Waiting) -> None:
        deadline = time.monotonic() + READY_S
        while waiting.nodes:
            listed = self._api.list(self._home, Pod, labels=self._labels)
            for pod in listed.items:
                waiting.look_at(pod)
            if not waiting.nodes:
                return
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                words = "; ".join(f"{node}: {why}" for node, why in sorted(waiting.nodes.items()))
                raise Unavailable(f"helper pods do not run within {READY_S:g} s: {words}")
            self._watch(listed.metadata.resource_version, waiting, remaining)

    def _watch(self, version: str, waiting: Waiting, within_s: float) -> None:
        try:
            for change in self._api.watch(self._home, labels=self._labels, version=version, within_s=within_s):
                if change.kind in ("ADDED", "MODIFIED"):
                    waiting.look_at(Pod.model_validate(change.raw))
                if not waiting.nodes:
                    return
        except Forbidden:
            raise
        except ApiFailed:
            return  # whatever ended the watch: list again

    def running(self, name: str) -> bool:
        """True while the pod *name* runs. Raises ApiFailed."""
        try:
            pod = self._api.get(f"{self._home}/{name}", Pod)
        except ApiFailed as error:
            if error.status == 404:
                return False
            raise
        return pod.alive and pod.status.phase == "Running"

    def delete(self, names: Iterable[str]) -> Sequence[str]:
        """Delete pods and wait until they are gone; return those that are not."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="drill-helper") as pool:
            list(pool.map(lambda name: self._api.delete(f"{self._home}/{name}"), names))
        return self._until_gone(set(names))

    def _until_gone(self, names: set[str]) -> Sequence[str]:
        deadline = time.monotonic() + GONE_S
        while True:
            listed = self._api.list(self._home, Pod, labels=HELPERS)
            left = {pod.name for pod in listed.items} & names
            remaining = deadline - time.monotonic()
            if not left or remaining <= 0:
                return sorted(left)
            with contextlib.suppress(ApiFailed):
                changes = self._api.watch(
                    self._home,
                    labels=HELPERS,
                    version=listed.metadata.resource_version,
                    within_s=remaining,
                )
                for change in changes:
                    if change.kind == "DELETED":
                        left.discard(str(change.raw["metadata"]["name"]))
                    if not left:
                        return ()

    def ended(self) -> Sequence[str]:
        """Names of helper pods, of whatever run, that have ended and only wait to be deleted."""
        every = self._api.list(self._home, Pod, labels=HELPERS).items
        return [pod.name for pod in every if pod.status.phase in ("Succeeded", "Failed")]


class Waiting:
    """The nodes whose helper does not run yet, each with what is known of why."""

    def __init__(self, nodes: Iterable[str], runs: Callable[[str], object]) -> None:
        self.nodes = dict.fromkeys(nodes, "not seen yet")
        self._runs = runs

    def look_at(self, pod: Pod) -> None:
        """Take a node whose pod runs off the list. Raises Unavailable for a pod that never will."""
        node = pod.spec.node_name
        if node not in self.nodes or pod.metadata.deletion_timestamp:
            return
        if pod.status.phase == "Running":
            del self.nodes[node]
            self._runs(node)
            return
        states = [one.state.waiting for one in pod.status.container_statuses if one.state.waiting]
        reason = states[0].reason if states else ""
        words = f"{reason}: {states[0].message}" if states else _phase(pod)
        self.nodes[node] = words.strip(": ")
        if pod.status.phase == "Failed" or reason in HOPELESS:
            raise Unavailable(
                f"the helper pod on {node} cannot run: {words}", hint="does the node have room and know the image?"
            )


def _phase(pod: Pod) -> str:
    """``Pending``, or ``Failed: OutOfcpu: Pod was rejected: …`` where the node says why."""
    status = pod.status
    return ": ".join(word for word in (status.phase or "Pending", status.reason, status.message) if word)
