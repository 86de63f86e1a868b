"""The runner's rights are exactly those it needs: take one away and something named fails; all others are refused.

Works with an account and roles of its own, so that nobody else's rights change while it runs.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cluster.ground import IMAGE, Ground, helper_image
from drill.cli.cluster import allowed
from drill.cli.cluster_recovery import holders
from drill.core.actions import AwaitReplica, ChangeTemplate, CordonNode, KillReplica, ScaleWorkload, undo_of
from drill.core.errors import DrillError
from drill.faults.bad_rollout import NO_IMAGE
from drill.target.kubernetes import acts, discovery, install, intents, leases, manifests, paths, servers, stop
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.ephemeral import Ephemeral
from drill.target.kubernetes.failures import Forbidden
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.lines import exec_query
from drill.target.kubernetes.podspec import HelperSettings
from drill.target.kubernetes.rbac import RULES, Rule, single
from drill.target.kubernetes.recover import opted_in, view_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
FROM_1_35 = "from Kubernetes 1.35"


@dataclass
class Account:
    """A ServiceAccount with the runner's rights, and the means to take one of them away."""

    ground: Ground
    name: str
    wanted: manifests.Wanted
    admin: Access

    def grant(self, rules: tuple[Rule, ...]) -> None:
        for one in manifests.objects(self.wanted, rules):
            if one["kind"] not in ("Namespace", "ServiceAccount"):
                install.apply(self.ground.admin, self._own(one))

    def _own(self, one: dict[str, Any]) -> dict[str, Any]:
        copy: dict[str, Any] = json.loads(json.dumps(one).replace('"drill-', f'"{self.name}-'))
        if copy["metadata"].get("namespace") == f"{self.name}-system":
            copy["metadata"]["namespace"] = paths.SYSTEM
        if copy["metadata"].get("namespace", "").startswith(f"{self.name}-test-"):
            copy["metadata"]["namespace"] = self.ground.namespace
        for subject in copy.get("subjects", ()):
            subject |= {"name": self.name, "namespace": paths.SYSTEM}
        for rule in copy.get("rules", ()):
            rule["resourceNames"] = [stop.NAME] if rule.get("resourceNames") else []
        return copy

    def api(self) -> Api:
        return Api(replace(self.admin, as_user=f"system:serviceaccount:{paths.SYSTEM}:{self.name}"), patience_s=2)

    def everything(self) -> list[dict[str, Any]]:
        return [
            self._own(one)
            for one in manifests.objects(self.wanted)
            if one["kind"] not in ("Namespace", "ServiceAccount")
        ]


@pytest.fixture(scope="module")
def account(ground: Ground, admin: Access) -> Iterator[Account]:
    name = f"rights{secrets.token_hex(2)}"
    made = Account(
        ground, name, manifests.Wanted((ground.namespace,), ("monitoring",), nodes=True, ephemeral=True), admin
    )
    ground.admin.create(
        paths.all_of("ServiceAccount", paths.SYSTEM),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": paths.SYSTEM}},
    )
    made.grant(RULES)
    ground.with_stateful_set()
    try:
        yield made
    finally:
        for one in made.everything():
            ground.admin.delete(install.path_of(one))
        ground.admin.delete(paths.one("ServiceAccount", paths.SYSTEM, name))


def without(right: Rule) -> tuple[Rule, ...]:
    """All rights but one verb of one resource."""
    return tuple(
        one for one in single() if (one.where, one.title, one.verbs) != (right.where, right.title, right.verbs)
    )


Use = Callable[[Api, Ground], object]


def _world(api: Api, ground: Ground) -> object:
    return discovery.look(api, ground.namespace)


def _view(api: Api, ground: Ground, service: str = "web") -> Any:
    return view_of(api, discovery.look(ground.admin, ground.namespace), service)


def _scale(api: Api, ground: Ground, service: str, kind: str) -> object:
    before = 3 if service == "web" else 1
    down = ScaleWorkload(injection="s", service=service, workload=f"{kind}/{service}", to=before - 1, before=before)
    try:
        acts.scale(_view(api, ground, service), down)
        return acts.scale(_view(api, ground, service), undo_of(down))  # type: ignore[arg-type]
    finally:
        acts.scale(_view(ground.admin, ground, service), undo_of(down))  # type: ignore[arg-type]


def _rollout(api: Api, ground: Ground) -> object:
    change = ChangeTemplate(
        injection="r", service="web", workload="Deployment/web", container="web", field="image",
        value=json.dumps(NO_IMAGE), before=json.dumps(IMAGE),
    )  # fmt: skip
    try:
        return acts.change_template(_view(api, ground), change)
    finally:
        acts.change_template(_view(ground.admin, ground), undo_of(change))  # type: ignore[arg-type]


def _cordon(api: Api, ground: Ground) -> object:
    node = ground.pods()[0].spec.node_name
    action = CordonNode(injection="n", service="web", node=node)
    try:
        return acts.cordon(_view(api, ground), action, "run")
    finally:
        acts.cordon(_view(ground.admin, ground), undo_of(action), "run")  # type: ignore[arg-type]


def _kill(api: Api, ground: Ground, mode: str) -> object:
    pod = _view(ground.admin, ground).pod("web-0")
    return acts.evict(api, pod) if mode == "evict" else acts.delete(api, pod)


def _lease(api: Api, ground: Ground, step: str) -> object:
    path = paths.one("Lease", paths.SYSTEM, leases.lease_name(ground.namespace, "rights"))
    if step in ("get", "update"):
        spec = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2020-01-01T00:00:00.000000Z"}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
        body["metadata"] = {"name": path.rpartition("/")[2], "namespace": paths.SYSTEM}
        ground.admin.create(paths.all_of("Lease", paths.SYSTEM), body)
    said: list[str] = []
    try:
        with leases.leases(api, ground.namespace, ["rights"], "me", said.append):
            if step == "patch":
                time.sleep(2 * leases.RENEW_S)
                api.patch(path, leases.renewal("me"), acts.JSON_PATCH)
        if leases.read(ground.admin, path) is not None:
            api.delete(path)
    finally:
        ground.admin.delete(path)
    return said


def _stop(api: Api, _ground: Ground, step: str) -> object:
    if step == "get":
        return stop.check(api)
    return stop.put(api, "rights test") if step == "create" else stop.clear(api)


def _helper(api: Api, ground: Ground, step: str) -> object:
    node = ground.pods()[0].spec.node_name
    run = secrets.token_hex(3)
    helpers = Helpers(api, HelperSettings(image=helper_image()), run=run)
    mine = Helpers(ground.admin, HelperSettings(image=helper_image()), run=run)
    try:
        helpers.prepare([node])
        if step == "get":
            helpers.running(node)
        return helpers.close() if step == "delete" else None
    finally:
        mine._started = dict(helpers._started)
        mine.close()


def _inside(api: Api, ground: Ground, step: str) -> object:
    """An agent in the pod itself; what stays of it in the pod's spec goes with the pod."""
    pod = _view(ground.admin, ground).ref("web-0")
    inside = Ephemeral(api, HelperSettings(image=helper_image()))
    if step == "exec":
        return api.stream(paths.one("Pod", pod.namespace, pod.name, "exec"), exec_query(pod.container, ["true"]))
    return inside._patch(pod, dry_run=True) if step == "patch" else inside._runs(pod)


def _door(api: Api, ground: Ground) -> object:
    found = servers.find_servers(api, ["monitoring"], [servers.PROMETHEUS])
    try:
        if found.notes and "may not be looked into" in found.notes[0]:
            raise Forbidden(found.notes[0])
        path = paths.one("Pod", *found.doors[0].find()[:2], "portforward")
        return api.stream(path, [("ports", "9090")])
    finally:
        found.close()


def _hindrance(api: Api, ground: Ground, action: Any) -> object:
    """What only preflight reads: a right that lacks is said before the drill."""
    for one in ground.target(api=api).hindrances([action]):
        if one.check == "permissions":
            raise Forbidden(one.text)
    return None


KILL = KillReplica(injection="k", replica="web-0", mode="evict")
SCALE = ScaleWorkload(injection="s", service="web", workload="Deployment/web", to=2, before=3)
USES: dict[tuple[str, str, str], Use] = {
    ("cluster", "namespaces", "get"): lambda api, ground: allowed(api, ground.namespace),
    ("cluster", "namespaces", "list"): lambda api, ground: opted_in(api),
    ("cluster", "nodes", "list"): _world,
    ("nodes", "nodes", "get"): _cordon,
    ("nodes", "nodes", "patch"): _cordon,
    ("target", "services", "list"): _world,
    ("target", "services", "get"): lambda api, ground: _view(api, ground).state(),
    ("target", "services", "patch"): lambda api, ground: intents.remove(
        api, ground.namespace, "web", "drill.dev/intent-x"
    ),
    ("target", "pods", "list"): _world,
    ("target", "pods", "watch"): lambda api, ground: acts.await_replica(
        _view(api, ground), AwaitReplica(injection="k", replica="web-9", within_s=2), None
    ),
    ("target", "pods/eviction", "create"): lambda api, ground: _kill(api, ground, "evict"),
    ("target", "pods", "delete"): lambda api, ground: _kill(api, ground, "delete"),
    ("target", "deployments.apps", "list"): _world,
    ("target", "deployments.apps", "get"): lambda api, ground: _view(api, ground).state(),
    ("target", "deployments.apps", "watch"): lambda api, ground: _scale(api, ground, "web", "Deployment"),
    ("target", "deployments.apps", "patch"): _rollout,
    ("target", "deployments/scale.apps", "get"): lambda api, ground: _scale(api, ground, "web", "Deployment"),
    ("target", "deployments/scale.apps", "patch"): lambda api, ground: _scale(api, ground, "web", "Deployment"),
    ("target", "statefulsets.apps", "list"): _world,
    ("target", "statefulsets.apps", "get"): lambda api, ground: _view(api, ground, "db").state(),
    ("target", "statefulsets.apps", "watch"): lambda api, ground: _scale(api, ground, "db", "StatefulSet"),
    ("target", "statefulsets/scale.apps", "get"): lambda api, ground: _scale(api, ground, "db", "StatefulSet"),
    ("target", "statefulsets/scale.apps", "patch"): lambda api, ground: _scale(api, ground, "db", "StatefulSet"),
    ("target", "daemonsets.apps", "list"): _world,
    ("inside", "pods/ephemeralcontainers", "patch"): lambda api, ground: _inside(api, ground, "patch"),
    ("inside", "pods", "get"): lambda api, ground: _inside(api, ground, "get"),
    ("inside", "pods/exec", "get"): lambda api, ground: _inside(api, ground, "exec"),
    ("target", "poddisruptionbudgets.policy", "list"): lambda api, ground: _hindrance(api, ground, KILL),
    ("target", "horizontalpodautoscalers.autoscaling", "list"): lambda api, ground: _hindrance(api, ground, SCALE),
    **{
        ("system", "leases.coordination.k8s.io", verb): lambda api, ground, verb=verb: _lease(api, ground, verb)  # type: ignore[misc]
        for verb in ("create", "get", "update", "patch", "delete")
    },
    **{
        ("system", "configmaps", verb): lambda api, ground, verb=verb: _stop(api, ground, verb)  # type: ignore[misc]
        for verb in ("get", "create", "delete")
    },
    **{
        ("system", "pods", verb): lambda api, ground, verb=verb: _helper(api, ground, verb)  # type: ignore[misc]
        for verb in ("create", "get", "list", "watch", "delete")
    },
    ("system", "leases.coordination.k8s.io", "list"): lambda api, ground: holders(api),
    ("system", "pods/exec", "get"): lambda api, ground: _helper(api, ground, "exec"),
    ("monitoring", "services", "list"): _door,
    ("monitoring", "pods", "list"): _door,
    ("monitoring", "pods/portforward", "get"): _door,
}


@pytest.mark.parametrize(
    "right",
    [one for one in single() if FROM_1_35 not in one.why],
    ids=lambda one: f"{one.verbs[0]} {one.title} {one.where}",
)
def test_each_right_is_needed(account: Account, healthy: Ground, right: Rule):
    """Without it what it is for fails, and the failure names the resource; doctor misses exactly this right."""
    account.grant(without(right))
    api = account.api()
    try:
        missing = [one for one in install.rights(api, account.wanted) if not one.granted]
        assert [(one.rule.where, one.rule.title, one.rule.verbs) for one in missing] == [
            (right.where, right.title, right.verbs)
        ]
        with pytest.raises(DrillError) as caught:
            USES[right.where, right.title, right.verbs[0]](api, healthy)
        assert right.resource.partition("/")[0] in str(caught.value) or "may not be looked into" in str(
            caught.value
        )
    finally:
        account.grant(RULES)
        api.close()


def test_with_all_rights_nothing_is_missing(account: Account):
    account.grant(RULES)
    assert [str(one) for one in install.rights(account.api(), account.wanted) if not one.granted] == []


REFUSED = [
    ("GET", "/api/v1/namespaces/{target}/secrets"),
    ("GET", "/api/v1/namespaces/drill-system/secrets"),
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/namespaces/kube-system/pods"),
    ("GET", "/api/v1/namespaces/default/services"),
    ("GET", "/api/v1/pods"),
    ("GET", "/api/v1/namespaces/{target}/configmaps"),
    ("POST", "/api/v1/namespaces/{target}/pods"),
    ("DELETE", "/api/v1/namespaces/{target}/services/web"),
    ("DELETE", "/apis/apps/v1/namespaces/{target}/deployments/web"),
    ("DELETE", "/api/v1/namespaces/{target}"),
    ("DELETE", "/api/v1/nodes/none"),
    ("GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/drill-system/roles"),
    ("POST", "/api/v1/namespaces/drill-system/serviceaccounts/drill-runner/token"),
    ("DELETE", "/api/v1/namespaces/drill-system/configmaps/another"),
]


@pytest.mark.parametrize(("method", "path"), REFUSED, ids=lambda one: one)
def test_everything_else_is_refused(account: Account, ground: Ground, method: str, path: str):
    with pytest.raises(Forbidden):
        account.api().raw(method, path.format(target=ground.namespace), None if method == "GET" else {})


def test_without_the_flag_for_nodes_no_node_is_touched(account: Account):
    """The rights on nodes come from one role of their own, which install leaves out unless it is asked for."""
    plain = [one["metadata"]["name"] for one in manifests.objects(replace(account.wanted, nodes=False))]
    assert "drill-nodes" not in plain
    assert {rule.where for rule in RULES if rule.resource == "nodes" and "patch" in rule.verbs} == {"nodes"}
