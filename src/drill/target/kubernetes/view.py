"""One service as the cluster shows it now: its pods at their places, its workload, what must be as before."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from drill.core.errors import Unavailable
from drill.target.kubernetes import discovery, marks, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.ports import PodRef
from drill.target.kubernetes.slots import Slots
from drill.target.kubernetes.watching import Recent, follow, selector

FRESH_S = 0.15
"""Threads that ask within this time share one answer of the API server."""
NOISE = ("deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration")
"""Annotations that controllers and kubectl write by themselves."""
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""What `kubectl rollout restart` writes into the template."""


class ServiceView:
    """A Service by name in a namespace. Threads may share it."""

    def __init__(self, api: Api, service: objects.Service, workload: str) -> None:
        self.api, self.name, self.workload = api, service.name, workload
        self.namespace = service.metadata.namespace
        self.slots = Slots(service.name)
        self._selector = selector(service.spec.selector)
        self._pods = Recent(self._read_pods)
        self._state = Recent(self._read_state)
        self._service = service

    def _read_pods(self) -> dict[str, objects.Pod]:
        listed = self.api.list(paths.all_of("Pod", self.namespace), objects.Pod, labels=self._selector)
        return self.slots.see(listed.items)

    def pods(self, max_age_s: float = FRESH_S) -> Mapping[str, objects.Pod]:
        """Return the pod at each place. Raises ApiFailed."""
        return self._pods.get(max_age_s)

    def pod(self, replica: str, max_age_s: float = FRESH_S) -> objects.Pod:
        """Return the pod at one place. Raises Unavailable when the place is empty at the moment."""
        found = self.pods(max_age_s).get(replica)
        if found is None:
            raise Unavailable(f"there is no pod in the place of {replica} at the moment")
        return found

    def ref(self, replica: str, max_age_s: float = FRESH_S) -> PodRef:
        """Return the pod at one place as agents want it. Raises Unavailable."""
        pod = self.pod(replica, max_age_s)
        ref = discovery.pod_ref(pod, self._service)
        if ref is None:
            raise Unavailable(f"no container of pod {pod.name} serves the port of {self.name}")
        return ref

    def refs(self, pods: Iterable[objects.Pod] | None = None) -> list[PodRef]:
        """Return *pods*, by default all that serve now, as agents want them."""
        found = [discovery.pod_ref(pod, self._service) for pod in (self.pods().values() if pods is None else pods)]
        return [ref for ref in found if ref is not None]

    def starts(self, replica: str) -> int:
        """How often the place was started. Raises ApiFailed."""
        self.pods()
        return self.slots.starts(replica)

    def ready(self) -> int:
        """How many pods of the service serve, those of a rollout included."""
        listed = self.api.list(paths.all_of("Pod", self.namespace), objects.Pod, labels=self._selector)
        return sum(pod.ready for pod in listed.items)

    def await_pods(
        self, holds: Callable[[Mapping[str, objects.Pod]], bool], within_s: float, *, grow: bool = False
    ) -> float | None:
        """Watch the pods until *holds* says yes of those at their places; return when, None when time is over.

        With *grow* every pod counts, also one that takes nobody's place.
        """
        path = paths.all_of("Pod", self.namespace)
        for here in follow(self.api, path, objects.Pod, within_s, labels=self._selector):
            if holds(self.slots.see(list(here.values()), grow=grow)):
                return time.time()
        return None

    def seen_workload(self) -> objects.Workload | None:
        """Return the workload as it is now, None where there is none."""
        if not self.workload:
            return None
        return self.api.get(paths.workload(self.workload, self.namespace), objects.Workload)

    def state(self, max_age_s: float = 0.5) -> Mapping[str, str]:
        """Describe what drills may change of the service and its workload, in words that can be compared."""
        return self._state.get(max_age_s)

    def _read_state(self) -> dict[str, str]:
        service = self._json(paths.one("Service", self.namespace, self.name))
        found = {f"Service/{self.name} {key}": text for key, text in _about(service["metadata"]).items()}
        found[f"Service/{self.name} ready pods"] = str(self.ready())
        if self.workload:
            workload = self._json(paths.workload(self.workload, self.namespace))
            found |= {f"{self.workload} {key}": text for key, text in _about(workload["metadata"]).items()}
            found |= {f"{self.workload} {key}": text for key, text in _wanted(workload["spec"]).items()}
        return found

    def _json(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.api.raw("GET", path))
        return found


def _about(metadata: Mapping[str, Any]) -> dict[str, str]:
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key not in NOISE and not key.startswith(marks.INTENT)
    }
    return {"labels": _text(metadata.get("labels") or {}), "annotations": _text(annotations)}


def _wanted(spec: Mapping[str, Any]) -> dict[str, str]:
    """Size, images and probes by themselves, and a digest of the whole template for all the rest."""
    template = spec.get("template") or {}
    found = {"replicas": str(spec.get("replicas")), "template": _digest(_unrestarted(template))}
    for container in (template.get("spec") or {}).get("containers") or []:
        found[f"image of {container['name']}"] = str(container.get("image"))
        found[f"readinessProbe of {container['name']}"] = _text(container.get("readinessProbe"))
    return found


def _unrestarted(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without the time of a `kubectl rollout restart`: people mend by it, no fault leaves it."""
    metadata = template.get("metadata") or {}
    kept = {key: value for key, value in (metadata.get("annotations") or {}).items() if key != RESTARTED}
    return {**template, "metadata": {**metadata, "annotations": kept}}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _digest(value: Any) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()[:16]
