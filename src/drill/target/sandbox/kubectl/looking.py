"""The verbs that only look: get, describe, logs, top, rollout history and status, config, version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drill.core.units import parse_duration
from drill.target.sandbox.kubectl import objects, show
from drill.target.sandbox.kubectl.sandbox_api import Api
from drill.target.sandbox.kubectl.words import SWITCH, VALUE, Line, Refused, selector, split

Json = dict[str, Any]
KINDS = {
    "pods": ("pod", "pods", "po"),
    "deployments": ("deployment", "deployments", "deploy", "deployment.apps", "deployments.apps"),
    "events": ("event", "events", "ev"),
    "nodes": ("node", "nodes", "no"),
    "services": ("service", "services", "svc"),
    "endpointslices": ("endpointslice", "endpointslices", "endpoints", "ep"),
    "networkpolicies": ("networkpolicy", "networkpolicies", "netpol"),
    "horizontalpodautoscalers": ("horizontalpodautoscaler", "horizontalpodautoscalers", "hpa"),
    "persistentvolumeclaims": ("persistentvolumeclaim", "persistentvolumeclaims", "pvc"),
    "configmaps": ("configmap", "configmaps", "cm"),
    "ingresses": ("ingress", "ingresses", "ing"),
}
NONE_HERE = ("networkpolicies", "horizontalpodautoscalers", "persistentvolumeclaims", "configmaps", "ingresses")
GET = {
    "selector": VALUE, "output": VALUE, "sort-by": VALUE, "no-headers": SWITCH, "all-namespaces": SWITCH,
    "field-selector": VALUE, "show-labels": SWITCH,
}  # fmt: skip


def kind_of(word: str) -> str:
    """The plural of a resource by any of its names. Raises Refused."""
    for plural, names in KINDS.items():
        if word.lower() in names:
            return plural
    raise Refused(f'the sandbox has no resource type "{word}"; it has: {", ".join(KINDS)}')


def things(line: Line) -> tuple[str, tuple[str, ...]]:
    """Read ``pods a b`` or ``pod/a``. Raises Refused."""
    if not line.operands:
        raise Refused("You must specify the type of resource to get, like pods, deployments or events")
    first, *rest = line.operands
    if "/" in first:
        pairs = [word.partition("/") for word in line.operands]
        return kind_of(first.partition("/")[0]), tuple(name for _, _, name in pairs)
    return kind_of(first), tuple(rest)


def get(api: Api, words: Sequence[str]) -> str:
    """``kubectl get``."""
    line = split(words, GET, "get")
    kind, wanted = things(line)
    api.check_namespace(line, kind)
    found = _found(api, kind, wanted, line)
    if path := line.flag("sort-by"):
        found = show.ordered(found, path)
    form, headers = line.flag("output"), "no-headers" not in line.flags
    if not found and form in ("", "wide"):
        api.complain(f"No resources found in {objects.NAMESPACE} namespace.")
        return ""
    rows = _TABLES[kind]
    return show.output(form, found, headers, len(wanted) == 1, lambda wide: rows(found, wide, headers))


def _found(api: Api, kind: str, wanted: Sequence[str], line: Line) -> list[Json]:
    every = [] if kind in NONE_HERE else _ALL[kind](api.look())
    for field, value in selector(line.flag("field-selector")).items():
        every = [one for one in every if show.said(show.follow(one, field)) == value]
    chosen = selector(line.flag("selector"))
    if chosen:
        every = [one for one in every if chosen.items() <= one["metadata"].get("labels", {}).items()]
    if not wanted:
        return every
    by_name = {one["metadata"]["name"]: one for one in every}
    for name in wanted:
        if name not in by_name:
            raise Refused(f'{kind} "{name}" not found', kind_of_error="Error from server (NotFound): ")
    return [by_name[name] for name in wanted]


def all_pods(told: Json) -> list[Json]:
    """Every pod."""
    return [objects.pod(name, one) for name, each in told["deployments"].items() for one in each["pods"]]


_ALL: Mapping[str, Callable[[Json], list[Json]]] = {
    "pods": all_pods,
    "deployments": lambda told: [objects.deployment(*each) for each in told["deployments"].items()],
    "events": lambda told: [objects.event(each, number) for number, each in enumerate(told["events"])],
    "nodes": lambda _: [objects.node()],
    "services": lambda told: [objects.service_object(name) for name in told["deployments"]],
    "endpointslices": lambda told: [objects.endpoint_slice(*each) for each in told["deployments"].items()],
}


def pod_state(pod: Json) -> str:
    """What the column STATUS says."""
    status = pod["status"]["containerStatuses"][0]
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    if status["ready"]:
        return "Running"
    terminated = status["lastState"].get("terminated", {})
    return terminated.get("reason", "") if status["restartCount"] == 0 and terminated else _waiting(status)


def _waiting(status: Json) -> str:
    return str(status["state"].get("waiting", {}).get("reason", "Error"))


def _pods(found: Sequence[Json], wide: bool, headers: bool) -> str:
    now, head, rows = time.time(), ["NAME", "READY", "STATUS", "RESTARTS", "AGE"], []
    for pod in found:
        status = pod["status"]["containerStatuses"][0]
        restarts = str(status["restartCount"])
        if ended := status["lastState"].get("terminated"):
            restarts += f" ({show.since(ended['finishedAt'], now)} ago)"
        row = [pod["metadata"]["name"], f"{int(status['ready'])}/1", pod_state(pod), restarts,
               show.since(pod["metadata"]["creationTimestamp"], now)]  # fmt: skip
        rows.append([*row, pod["status"]["podIP"], pod["spec"]["nodeName"]] if wide else row)
    return show.table([*head, "IP", "NODE"] if wide else head, rows, headers)


def _deployments(found: Sequence[Json], wide: bool, headers: bool) -> str:
    now, rows = time.time(), []
    for one in found:
        status = one["status"]
        container = one["spec"]["template"]["spec"]["containers"][0]
        row = [one["metadata"]["name"], f"{status['readyReplicas']}/{one['spec']['replicas']}",
               str(status["updatedReplicas"]), str(status["availableReplicas"]),
               show.since(one["metadata"]["creationTimestamp"], now)]  # fmt: skip
        extra = [container["name"], container["image"], f"app={one['metadata']['name']}"]
        rows.append([*row, *extra] if wide else row)
    head = ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    return show.table([*head, "CONTAINERS", "IMAGES", "SELECTOR"] if wide else head, rows, headers)


def _events(found: Sequence[Json], _: bool, headers: bool) -> str:
    now = time.time()
    rows = [
        [show.since(one["lastTimestamp"], now), one["type"], one["reason"],
         f"{one['involvedObject']['kind'].lower()}/{one['involvedObject']['name']}", one["message"]]
        for one in found
    ]  # fmt: skip
    return show.table(["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"], rows, headers)


def _nodes(found: Sequence[Json], _: bool, headers: bool) -> str:
    rows = [[one["metadata"]["name"], "Ready", "<none>", objects.NODE_ADDRESS] for one in found]
    return show.table(["NAME", "STATUS", "ROLES", "INTERNAL-IP"], rows, headers)


def _services(found: Sequence[Json], _: bool, headers: bool) -> str:
    rows = [[one["metadata"]["name"], "ClusterIP", "8080/TCP", f"app={one['metadata']['name']}"] for one in found]
    return show.table(["NAME", "TYPE", "PORT(S)", "SELECTOR"], rows, headers)


def _slices(found: Sequence[Json], _: bool, headers: bool) -> str:
    rows = [
        [one["metadata"]["name"], "IPv4", "8080", show.said([a for e in one["endpoints"] for a in e["addresses"]])]
        for one in found
    ]
    return show.table(["NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS"], rows, headers)


def _nothing(found: Sequence[Json], _: bool, headers: bool) -> str:
    return show.table(["NAME"], [[one["metadata"]["name"]] for one in found], headers)


_TABLES: Mapping[str, Callable[[Sequence[Json], bool, bool], str]] = {
    "pods": _pods, "deployments": _deployments, "events": _events, "nodes": _nodes, "services": _services,
    "endpointslices": _slices, **dict.fromkeys(NONE_HERE, _nothing),
}  # fmt: skip


def describe(api: Api, words: Sequence[str]) -> str:
    """``kubectl describe pod|deployment|node NAME``."""
    line = split(words, {"selector": VALUE}, "describe")
    kind, wanted = things(line)
    api.check_namespace(line, kind)
    found = _found(api, kind, wanted, line)
    if kind not in ("pods", "deployments", "nodes"):
        raise Refused("the sandbox's kubectl describes pods, deployments and nodes")
    events = _ALL["events"](api.look())
    return "\n".join(_described(one, events) for one in found)


def _described(one: Json, events: Sequence[Json]) -> str:
    name = one["metadata"]["name"]
    match one["kind"]:
        case "Pod":
            body = _describe_pod(one)
        case "Deployment":
            body = _describe_deployment(one)
        case _:
            body = []
    mine = [event for event in events if event["involvedObject"]["name"] == name]
    lines = [f"Name:         {name}", *body, "Events:" if mine else "Events:       <none>"]
    text = "\n".join(lines) + "\n"
    return text + _events(mine, False, True) if mine else text


def _describe_pod(pod: Json) -> list[str]:
    container, status = pod["spec"]["containers"][0], pod["status"]["containerStatuses"][0]
    (state, about), *_ = status["state"].items()
    limits = container["resources"]["limits"]
    lines = [
        f"Namespace:    {objects.NAMESPACE}",
        f"Node:         {pod['spec']['nodeName']}/{objects.NODE_ADDRESS}",
        f"Start Time:   {pod['status']['startTime']}",
        "Labels:       " + ",".join(f"{key}={value}" for key, value in pod["metadata"]["labels"].items()),
        f"Status:       {pod_state(pod)}",
        f"IP:           {pod['status']['podIP']}",
        "Containers:",
        f"  {container['name']}:",
        f"    Image:          {container['image']}",
        "    Port:           8080/TCP",
        f"    State:          {state.capitalize()} {show.said(list(about.values()))}",
    ]
    if last := status["lastState"].get("terminated"):
        lines.append(
            f"    Last State:     Terminated, {last['reason']}, exit code {last['exitCode']}, {last['finishedAt']}"
        )
    env = [f"      {one['name']}:  {one['value']}" for one in container["env"]]
    return [
        *lines,
        f"    Ready:          {status['ready']}",
        f"    Restart Count:  {status['restartCount']}",
        f"    Limits:         cpu {limits['cpu']}, memory {limits['memory']}",
        "    Environment:" if env else "    Environment:    <none>",
        *env,
        "    Mounts:",
        "      /data from data (rw)",
        "Volumes:",
        "  data:  EmptyDir (a temporary directory that shares a pod's lifetime), SizeLimit 16Mi",
    ]


def _describe_deployment(one: Json) -> list[str]:
    status, container = one["status"], one["spec"]["template"]["spec"]["containers"][0]
    limits = container["resources"]["limits"]
    return [
        f"Namespace:    {objects.NAMESPACE}",
        f"Annotations:  {objects.REVISION}: {one['metadata']['annotations'][objects.REVISION]}",
        f"Selector:     app={one['metadata']['name']}",
        f"Replicas:     {one['spec']['replicas']} desired | {status['updatedReplicas']} updated | "
        f"{status['replicas']} total | {status['availableReplicas']} available",
        f"Limits:       cpu {limits['cpu']}, memory {limits['memory']}",
        "Environment:  " + (", ".join(f"{e['name']}={e['value']}" for e in container["env"]) or "<none>"),
    ]


LOGS = {
    "selector": VALUE, "tail": VALUE, "since": VALUE, "previous": SWITCH, "prefix": SWITCH, "container": VALUE,
    "timestamps": SWITCH, "all-containers": SWITCH,
}  # fmt: skip


def logs(api: Api, words: Sequence[str]) -> str:
    """``kubectl logs POD`` or ``-l app=SERVICE``."""
    line = split(words, LOGS, "logs")
    api.check_namespace(line, "pods")
    chosen = line.flag("selector")
    pods = api.pods(line.operands, chosen)
    tail = int(line.flag("tail", "10" if chosen else "-1"))
    oldest = time.time() - parse_duration(line.flag("since")) if line.flag("since") else 0.0
    out = []
    for pod in pods:
        text = api.ask({"do": "logs", "replica": pod, "previous": "previous" in line.flags})["text"]
        lines = [one for one in text.splitlines() if not oldest or one[:20] >= objects.when(oldest)[:19]]
        prefix = f"[pod/{pod}/{pod.rpartition('-')[0]}] " if "prefix" in line.flags else ""
        out += [f"{prefix}{one}\n" for one in (lines[-tail:] if tail > 0 else lines if tail else [])]
    return "".join(out)


def top(api: Api, words: Sequence[str]) -> str:
    """``kubectl top pod|node``."""
    line = split(words, {"selector": VALUE, "containers": SWITCH, "no-headers": SWITCH, "sort-by": VALUE}, "top")
    kind, wanted = things(line)
    api.check_namespace(line, kind)
    usage = api.ask({"do": "usage"})["usage"]
    headers = "no-headers" not in line.flags
    if kind == "nodes":
        cpus, memory = (sum(one[what] for one in usage.values()) for what in ("cpus", "memory"))
        row = [objects.NODE, f"{round(cpus * 1000)}m", objects.quantity(memory)]
        return show.table(["NAME", "CPU(cores)", "MEMORY(bytes)"], [row], headers)
    if kind != "pods":
        raise Refused("the sandbox's kubectl knows top pod and top node")
    rows = []
    for pod in api.pods(wanted, line.flag("selector"), everything=True):
        if pod in usage:
            figures = [f"{round(usage[pod]['cpus'] * 1000)}m", objects.quantity(usage[pod]["memory"])]
            rows.append([pod, *([pod.rpartition("-")[0]] if "containers" in line.flags else []), *figures])
    head = ["POD", "NAME"] if "containers" in line.flags else ["NAME"]
    return show.table([*head, "CPU(cores)", "MEMORY(bytes)"], rows, headers)
