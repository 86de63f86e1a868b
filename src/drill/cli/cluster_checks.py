"""What `drill k8s doctor` looks at in a cluster: installation, opt-in, nodes, and every right by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drill.core.errors import DrillError
from drill.target.kubernetes import marks, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import NotThere
from drill.target.kubernetes.install import Right, rights
from drill.target.kubernetes.manifests import Wanted


@dataclass(frozen=True)
class Found:
    """One thing looked at; ``how`` says what to do when it is not as it should be."""

    name: str
    ok: bool
    detail: str
    how: str = ""


def checks(api: Api, wanted: Wanted) -> list[Found]:
    """Look at everything. Raises ApiFailed when the API server cannot be asked at all."""
    found = [_server(api), _installed(api, wanted)]
    found += [_allowed(api, name) for name in wanted.targets]
    found += _nodes(api)
    found += _helpers(api)
    found += [_right(one, api.context) for one in rights(api, wanted)]
    return found


def _server(api: Api) -> Found:
    said = api.raw_json("GET", "/version")
    return Found("API server", True, f"Kubernetes {said.get('gitVersion', '?')} at {api.host}")


def _installed(api: Api, wanted: Wanted) -> Found:
    how = f"drill k8s install --context {api.context}" + "".join(f" --namespace {name}" for name in wanted.targets)
    try:
        namespace = api.get(paths.namespace(paths.SYSTEM), objects.Thing)
    except NotThere:
        return Found(paths.SYSTEM, False, "drill is not installed", how)
    except DrillError as error:
        return Found(paths.SYSTEM, False, str(error), how)
    level = namespace.metadata.labels.get("pod-security.kubernetes.io/enforce", "")
    if level != "privileged":
        return Found(paths.SYSTEM, False, f"PodSecurity level '{level}' keeps helper pods out", how)
    return Found(paths.SYSTEM, True, "there, and open to helper pods")


def _allowed(api: Api, name: str) -> Found:
    how = f"its owner can: kubectl label namespace {name} {marks.ALLOWED}=true"
    try:
        namespace = api.get(paths.namespace(name), objects.Thing)
    except DrillError as error:
        return Found(f"namespace {name}", False, str(error), error.hint)
    if namespace.metadata.labels.get(marks.ALLOWED) != "true":
        return Found(f"namespace {name}", False, "does not let drills in", how)
    return Found(f"namespace {name}", True, "lets drills in")


def _nodes(api: Api) -> list[Found]:
    try:
        nodes = api.list(paths.NODES, objects.Node).items
    except DrillError as error:
        return [Found("nodes", False, str(error), error.hint)]
    how = "nothing is broken on it until it is Ready again"
    return [Found(f"node {node.name}", node.ready, _node_words(node), "" if node.ready else how) for node in nodes]


def _helpers(api: Api) -> list[Found]:
    """Try a helper pod on one node, by a dry run: PodSecurity, quotas and policies speak here."""
    from drill.target.kubernetes.helpers import Helpers

    name = "helper pods"
    try:
        ready = [node.name for node in api.list(paths.NODES, objects.Node).items if node.ready]
        refused = Helpers(api).refused(ready[:1])
    except DrillError as error:
        return [Found(name, False, str(error), error.hint)]
    return [Found(name, False, one.text, one.fix) for one in refused] or [Found(name, True, "would be let in")]


def _node_words(node: objects.Node) -> str:
    words = "Ready" if node.ready else "NotReady"
    return f"{words}, cordoned" if node.spec.unschedulable else words


def _right(one: Right, context: str) -> Found:
    scope = {"target": f" --namespace {one.namespace}", "monitoring": f" --monitoring {one.namespace}"}
    scope |= {"nodes": " --nodes", "inside": f" --namespace {one.namespace} --ephemeral"}
    how = f"drill k8s install --context {context}{scope.get(one.rule.where, '')}"
    return Found(str(one), one.granted, one.rule.why, how)


def check_lines(found: Sequence[Found]) -> Iterator[tuple[str, str]]:
    """Render the checks, each with its style; remedies stand once, below what they remedy."""
    for one in found:
        yield f"{'✓' if one.ok else '✗'} {one.name:<58} {one.detail}", "green" if one.ok else "red"
    for how in dict.fromkeys(one.how for one in found if not one.ok and one.how):
        yield f"to do: {how}", ""
