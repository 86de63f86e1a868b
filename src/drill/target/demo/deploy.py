"""Puts the demo into a cluster through its API, and takes it away again. Both may be done twice.

Owns the order of things and the waiting: deployed means that users get answers and Prometheus has SLIs of every
service. Refuses to touch a namespace that exists and is not the demo's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from drill.core.errors import Refused, Unavailable
from drill.target.demo import monitoring, shop
from drill.target.demo.spec import PART_OF, DemoSpec, Object
from drill.target.kubernetes import paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import ApiFailed, NotThere
from drill.target.kubernetes.objects import Pod, Thing, Workload
from drill.target.sandbox.topology import SERVICES

MANAGER = "drill"
APPLY = "application/apply-patch+yaml"
READY_S, SAMPLES_S, GONE_S = 300.0, 90.0, 300.0
_EVERY_S = 0.5
_HOPELESS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
)
_ANSWERED = 'count(count by (service) (rate(http_request_duration_seconds_count{job="edge",code="200"}[10s]) > 0))'
_MEASURED = 'count(count by (sloth_service) ({__name__=~"slo:sli_error:ratio_rate.+"}))'

Say = Callable[[str], None]


@dataclass(frozen=True)
class Deployed:
    """How long it took, in seconds: until all pods were ready, and until the first SLIs were there."""

    ready_s: float
    samples_s: float


def objects(spec: DemoSpec) -> list[Object]:
    """Everything the demo consists of, in the order in which it is applied."""
    found = [*shop.objects(spec), *monitoring.objects(spec)]
    first = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Service")
    rank = {kind: number for number, kind in enumerate(first)}
    return sorted(found, key=lambda one: rank.get(str(one["kind"]), len(first)))


def deploy(api: Api, spec: DemoSpec, say: Say) -> Deployed:
    """Apply all objects and wait for answers and SLIs. Raises Refused, ApiFailed, Unavailable."""
    began = time.monotonic()
    for name in (spec.namespace, spec.monitoring):
        _own(api, name)
    wanted = objects(spec)
    for one in wanted:
        apply(api, one)
    say(f"applied {len(wanted)} objects in namespaces {spec.namespace} and {spec.monitoring}")
    _wait_for_pods(api, spec, say)
    ready = time.monotonic() - began
    _wait_for_samples(api, spec, say)
    return Deployed(ready, time.monotonic() - began)


def remove(api: Api, spec: DemoSpec, say: Say) -> bool:
    """Delete the demo's namespaces with all that is in them, and wait until they are gone; False: there was none.

    Raises Refused, ApiFailed, Unavailable.
    """
    there = [name for name in (spec.namespace, spec.monitoring) if _own(api, name)]
    for name in there:
        api.delete(paths.all_of("Deployment", name))
    # pods first: a namespace whose pods are still ending is looked at again ever more seldom, for minutes
    _until(lambda: not any(_pods(api, name) for name in there), GONE_S, lambda: "some pods of the demo do not end")
    for name in there:
        api.delete(paths.namespace(name))
    for name in there:
        say(f"waiting for the end of namespace {name}")
        _until(partial(_gone, api, name), GONE_S, partial(str, f"namespace {name} is still there"))
    return bool(there)


def apply(api: Api, one: Mapping[str, object]) -> None:
    """Apply one object server-side: what others set in it stays theirs. Raises ApiFailed."""
    path = _path(one)
    api.raw("PATCH", path, one, query={"fieldManager": MANAGER, "force": "true"}, kind=APPLY)


def _path(one: Mapping[str, object]) -> str:
    metadata = one["metadata"]
    assert isinstance(metadata, Mapping)
    if one["kind"] == "Namespace":
        return paths.namespace(str(metadata["name"]))
    return paths.one(str(one["kind"]), str(metadata["namespace"]), str(metadata["name"]))


def _gone(api: Api, namespace: str) -> bool:
    try:
        api.get(paths.namespace(namespace), Thing)
    except NotThere:
        return True
    return False


def _own(api: Api, namespace: str) -> bool:
    """True when the namespace is there and the demo's. Raises Refused for somebody else's, or one that ends."""
    try:
        found = api.get(paths.namespace(namespace), Thing)
    except NotThere:
        return False
    if not PART_OF.items() <= found.metadata.labels.items():
        raise Refused(
            f"namespace {namespace} exists and is not the demo's: nothing was touched",
            hint="choose other names with --namespace and --monitoring-namespace",
        )
    if found.metadata.deletion_timestamp:
        raise Refused(
            f"namespace {namespace} is being deleted", hint="wait until it is gone, then give the command again"
        )
    return True


def _wait_for_pods(api: Api, spec: DemoSpec, say: Say) -> None:
    said = ""

    def done() -> bool:
        nonlocal said
        found = [one for name in (spec.namespace, spec.monitoring) for one in _workloads(api, name)]
        wanted = sum(one.spec.replicas for one in found)
        ready = sum(_serving(one) for one in found)
        if (text := f"{ready} of {wanted} pods are ready") != said:
            say(said := text)
        if ready < wanted:
            _forbid_hopeless(api, spec)
        return ready >= wanted

    _until(done, READY_S, lambda: f"{said} after {READY_S:.0f} s{_why(api, spec)}")


def _workloads(api: Api, namespace: str) -> Sequence[Workload]:
    return api.list(paths.all_of("Deployment", namespace), Workload, labels=_selector()).items


def _serving(one: Workload) -> int:
    """Ready pods of what is wanted now: as many as there must be, should all of an earlier template be ready."""
    status = one.status
    if status.observed_generation < one.metadata.generation:
        return 0
    return max(0, min(status.ready_replicas - (status.replicas - status.updated_replicas), one.spec.replicas))


def _selector() -> str:
    return ",".join(f"{key}={value}" for key, value in PART_OF.items())


def _pods(api: Api, namespace: str) -> Sequence[Pod]:
    return api.list(paths.all_of("Pod", namespace), Pod, labels=_selector()).items


def _forbid_hopeless(api: Api, spec: DemoSpec) -> None:
    """Raise Unavailable at once where waiting cannot help: the image is not there."""
    for name in (spec.namespace, spec.monitoring):
        for pod in _pods(api, name):
            for status in pod.status.container_statuses:
                waiting = status.state.waiting
                if waiting is not None and waiting.reason in _HOPELESS and pod.alive:
                    raise Unavailable(
                        f"pod {name}/{pod.name} cannot start: {waiting.reason}: {waiting.message[:300]}",
                        hint="build and push the images (deploy/images), name them with --image and"
                        " --monitoring-image; the test cluster loads its own: make cluster",
                    )


def _why(api: Api, spec: DemoSpec) -> str:
    """What the pods that are not ready say, one after another; empty when even that cannot be had."""
    told = []
    try:
        for name in (spec.namespace, spec.monitoring):
            for pod in _pods(api, name):
                if pod.alive and not pod.ready:
                    reasons = [one.message or one.reason for one in pod.status.conditions if one.status != "True"]
                    told.append(f"{pod.name}: {next((text for text in reasons if text), pod.status.phase)}")
    except ApiFailed:
        return ""
    return "; " + "; ".join(told[:5]) if told else ""


def _wait_for_samples(api: Api, spec: DemoSpec, say: Say) -> None:
    say("waiting for answers to users and the first SLIs")

    def done() -> bool:
        return all(_count(api, spec, query) == len(SERVICES) for query in (_ANSWERED, _MEASURED))

    _until(done, SAMPLES_S, lambda: f"not every service has answered users and got SLIs within {SAMPLES_S:.0f} s")


def _count(api: Api, spec: DemoSpec, query: str) -> int:
    """What Prometheus answers to a query for one number, asked through the API server; 0 without an answer."""
    path = paths.one("Service", spec.monitoring, "prometheus:http", f"proxy/api/v1/query?query={quote(query)}")
    try:
        result = json.loads(api.raw("GET", path, patience_s=5.0))["data"]["result"]
        return int(float(result[0]["value"][1])) if result else 0
    except (ApiFailed, ValueError, KeyError):
        return 0


def _until(done: Callable[[], bool], within_s: float, otherwise: Callable[[], str]) -> None:
    end = time.monotonic() + within_s
    while not done():
        if time.monotonic() > end:
            raise Unavailable(otherwise(), hint="`kubectl get pods,events -n NAMESPACE` shows more")
        time.sleep(_EVERY_S)
