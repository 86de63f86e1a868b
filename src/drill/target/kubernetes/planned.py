"""The facts of a namespace, from what was looked at: what can be planned there, and what cannot, and why. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drill.core.facts import ABILITIES, Ability, Facts, Replica, Service, Workload
from drill.core.units import parse_duration
from drill.target.kubernetes import discovery, marks, objects
from drill.target.kubernetes.discovery import World
from drill.target.kubernetes.quantity import quantity

RESTART_S = 1.5
"""How long a container usually takes until its restart serves: kubelet restarts a first time at once."""
Missing = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True)
class Timing:
    """The alert path's times as they really run, in seconds; ``agents`` is how agents get to pods."""

    scrape_interval_s: float
    evaluation_interval_s: float
    group_wait_s: float
    group_interval_s: float
    history_s: float
    fast_forward: float = 1.0
    chained: bool = True
    exempt: tuple[str, ...] = ()
    agents: str = "helper"


def facts_of(
    world: World, target: str, timing: Timing, here: Mapping[str, Mapping[str, objects.Pod]], missing: Missing
) -> Facts:
    """Return the facts; *here* has the pods by Service and place, *missing* says what a node's agents cannot do."""
    nodes = {pod.spec.node_name for pods in here.values() for pod in pods.values()}
    lacking = {node: _abilities(missing(node)) for node in sorted(nodes) if node}
    return Facts(
        target=target,
        fast_forward=timing.fast_forward,
        services=tuple(_service(world, service, here.get(service.name, {}), lacking) for service in world.services),
        scrape_interval_s=timing.scrape_interval_s,
        evaluation_interval_s=timing.evaluation_interval_s,
        group_wait_s=timing.group_wait_s,
        group_interval_s=timing.group_interval_s,
        chained=timing.chained,
        history_s=timing.history_s,
        exempt=(*timing.exempt, *(address for node in world.nodes for address in _probed_from(node))),
        restart_s=RESTART_S,
        client_timeout_s=_seconds(world.namespace.metadata.annotations.get(marks.CLIENT_TIMEOUT, "")),
        agents=timing.agents,
    )


def _abilities(said: Mapping[str, str]) -> dict[Ability, str]:
    """A reason under ``*`` is one for everything agents do."""
    whole = said.get("*")
    return {name: whole or said[name] for name in ABILITIES if whole or name in said}


def _probed_from(node: objects.Node) -> tuple[str, ...]:
    """Where kubelet's probes come from: the node's own addresses, and the gateway of its pods."""
    network = node.spec.pod_cidr.partition("/")[0]
    gateway = f"{network.rpartition('.')[0]}.1" if network.endswith(".0") else ""
    return (*node.addresses, gateway) if gateway else node.addresses


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) if text else 0.0
    except ValueError:
        return 0.0


def _service(
    world: World,
    service: objects.Service,
    pods: Mapping[str, objects.Pod],
    lacking: Mapping[str, Mapping[Ability, str]],
) -> Service:
    said = service.metadata.annotations
    owner = world.workload_of(list(pods.values()))
    calls = tuple(name.strip() for name in said.get(marks.CALLS, "").split(",") if name.strip())
    replicas = (_replica(service, name, pod, owner, lacking) for name, pod in sorted(pods.items(), key=_natural))
    return Service(
        name=service.name,
        tier=int(said[marks.TIER]) if said.get(marks.TIER, "").isdigit() else 0,
        replicas=tuple(replica for replica in replicas if replica is not None),
        calls=calls,
        workload=_workload(owner, list(pods.values()), service),
    )


def _natural(item: tuple[str, objects.Pod]) -> tuple[str, int]:
    head, _, number = item[0].rpartition("-")
    return (head, int(number)) if number.isdigit() else (item[0], 0)


def _replica(
    service: objects.Service,
    name: str,
    pod: objects.Pod,
    owner: tuple[str, objects.Workload] | None,
    lacking: Mapping[str, Mapping[Ability, str]],
) -> Replica | None:
    ref = discovery.pod_ref(pod, service)
    if ref is None or not ref.address:
        return None
    container = next(one for one in pod.spec.containers if one.name == ref.container)
    missing: dict[Ability, str] = {
        ability: f"{reason} (node {ref.node})" for ability, reason in lacking.get(ref.node, {}).items()
    }
    return Replica(
        name=name,
        service=service.name,
        address=ref.address,
        port=ref.port,
        node=ref.node,
        cpu_limit=quantity(container.resources.limits.get("cpu", 0)),
        memory_limit_bytes=ref.memory_limit_bytes,
        data_path=ref.data_path,
        place=f"pod {pod.name} on node {ref.node}",
        missing=missing | _not_here(pod, owner),
    )


def _not_here(pod: objects.Pod, owner: tuple[str, objects.Workload] | None) -> dict[Ability, str]:
    found: dict[Ability, str] = {}
    if pod.spec.host_network:
        reason = f"pod {pod.name} shares its node's network: a fault would hit the whole node"
        found |= dict.fromkeys(("netem", "nfqueue", "nft", "htb", "envoy"), reason)
    if owner is None or owner[0] not in ("Deployment", "StatefulSet"):
        found |= dict.fromkeys(("scale", "rollout"), "no Deployment or StatefulSet owns all pods of the service")
    elif owner[0] == "StatefulSet":
        found["rollout"] = "a stuck rollout of a StatefulSet does not go back by itself"
    return found


def _workload(
    owner: tuple[str, objects.Workload] | None, pods: list[objects.Pod], service: objects.Service
) -> Workload | None:
    if owner is None or owner[0] not in ("Deployment", "StatefulSet"):
        return None
    kind, one = owner
    ref = discovery.pod_ref(pods[0], service) if pods else None
    containers = one.spec.template.spec.containers
    container = next((each for each in containers if ref and each.name == ref.container), None)
    if container is None:
        return None
    return Workload(
        name=f"{kind}/{one.name}",
        replicas=one.spec.replicas,
        container=container.name,
        image=container.image,
        readiness=json.dumps(container.readiness_probe or None),
    )
