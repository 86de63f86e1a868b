"""What admission would refuse of helper pods is said before a drill, with what to do; asking creates nothing.

The namespace of the helpers is the test's own, with exactly the runner's rights of drill-system, so that nobody
else's helpers are kept out meanwhile.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from cluster.ground import NOWHERE, RUNNER, TIMING, Ground, helper_image
from drill.core.actions import HoldFault, PacketFault
from drill.core.errors import UsageError
from drill.core.ports import Hindrance
from drill.target.kubernetes import install, manifests, objects, paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.podspec import HelperSettings
from drill.target.kubernetes.target import KubernetesTarget

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
ENFORCE = "pod-security.kubernetes.io/enforce"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


@dataclass
class System:
    """A namespace for helpers, as drill-system is."""

    admin: Api
    runner: Api
    namespace: str
    node: str

    def helpers(self, api: Api | None = None) -> Helpers:
        return Helpers(api or self.runner, HelperSettings(image=helper_image(), namespace=self.namespace))

    def refused(self, api: Api | None = None) -> Hindrance:
        (one,) = self.helpers(api).refused([self.node])
        assert one.check == "admission"
        assert one.level == "block"
        assert self.pods() == [], "a dry run creates nothing"
        return one

    def pods(self) -> list[str]:
        return [pod.name for pod in self.admin.list(paths.all_of("Pod", self.namespace), objects.Pod).items]

    def level(self, name: str) -> None:
        self.admin.patch(paths.namespace(self.namespace), {"metadata": {"labels": {ENFORCE: name}}})

    def becomes(self, true: Callable[[], object], within_s: float = 30.0) -> None:
        """Admission hears of a changed object by a watch."""
        until = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < until
            time.sleep(0.3)


@pytest.fixture(scope="module")
def system(admin: Access, ground: Ground) -> Iterator[System]:
    name = f"drill-admission-{secrets.token_hex(3)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {ENFORCE: "privileged"}}}
    ground.admin.create(paths.NAMESPACES, body)
    try:
        for one in manifests.objects(manifests.Wanted()):
            if one["metadata"].get("namespace") == paths.SYSTEM and one["kind"] in ("Role", "RoleBinding"):
                install.apply(ground.admin, one | {"metadata": one["metadata"] | {"namespace": name}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": manifests.HELPER}}
        ground.admin.create(paths.all_of("ServiceAccount", name), account)
        node = ground.pods()[0].spec.node_name
        yield System(ground.admin, Api(replace(admin, as_user=RUNNER)), name, node)
    finally:
        ground.admin.delete(paths.namespace(name))


def test_where_helpers_are_let_in_nothing_is_said_and_nothing_is_created(system: System) -> None:
    assert system.helpers().refused([system.node]) == []
    assert system.pods() == []


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_podsecurity_is_named_with_the_label_that_lets_them_in(system: System, level: str) -> None:
    system.level(level)
    try:
        system.becomes(lambda: system.helpers().refused([system.node]))
        found = system.refused()
        assert f'violates PodSecurity "{level}' in found.text
        assert f"kubectl label namespace {system.namespace} --overwrite {ENFORCE}=privileged" in found.fix
    finally:
        system.level("privileged")
        system.becomes(lambda: not system.helpers().refused([system.node]))


@pytest.fixture
def quota(system: System) -> Iterator[Callable[[dict[str, str]], None]]:
    """Puts a ResourceQuota into the namespace; it goes with the test."""
    path = f"{paths.namespace(system.namespace)}/resourcequotas"

    def put(hard: dict[str, str]) -> None:
        body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"}, "spec": {"hard": hard}}
        system.admin.create(path, body)
        system.becomes(lambda: system.helpers().refused([system.node]))

    yield put
    system.admin.delete(f"{path}/tight")
    system.becomes(lambda: not system.helpers().refused([system.node]))


@pytest.mark.parametrize(
    ("hard", "words"), [({"pods": "0"}, "exceeded quota: tight"), ({"limits.cpu": "1"}, "failed quota: tight")]
)
def test_a_quota_is_named(
    system: System, quota: Callable[[dict[str, str]], None], hard: dict[str, str], words: str
) -> None:
    quota(hard)
    found = system.refused()
    assert words in found.text
    assert "raise that ResourceQuota" in found.fix


@pytest.fixture
def policy(system: System) -> Iterator[str]:
    """A policy of the cluster's own that lets no privileged pod into this namespace."""
    name = f"no-privileged-{secrets.token_hex(3)}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    no = "!object.spec.containers.exists(c, c.?securityContext.?privileged.orValue(false))"
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": no, "message": "nobody is privileged here"}],
    }
    where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": system.namespace}}}
    kind = "admissionregistration.k8s.io/v1"
    system.admin.create(
        POLICIES,
        {"apiVersion": kind, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec},
    )
    system.admin.create(
        BINDINGS,
        {
            "apiVersion": kind,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": where},
        },
    )
    system.becomes(lambda: system.helpers().refused([system.node]))
    yield name
    system.admin.delete(f"{BINDINGS}/{name}")
    system.admin.delete(f"{POLICIES}/{name}")
    system.becomes(lambda: not system.helpers().refused([system.node]))


def test_a_policy_is_named_with_the_label_its_owner_can_let_in(system: System, policy: str) -> None:
    found = system.refused()
    assert policy in found.text
    assert "nobody is privileged here" in found.text
    assert "app.kubernetes.io/name=drill-helper" in found.fix


def test_a_serviceaccount_that_is_not_there_is_named(system: System) -> None:
    path = paths.one("ServiceAccount", system.namespace, manifests.HELPER)
    system.admin.delete(path)
    try:
        system.becomes(lambda: system.helpers().refused([system.node]))
        found = system.refused()
        assert manifests.HELPER in found.text
        assert "drill k8s install" in found.fix
    finally:
        system.admin.create(
            paths.all_of("ServiceAccount", system.namespace),
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": manifests.HELPER}},
        )
        system.becomes(lambda: not system.helpers().refused([system.node]))


def test_a_right_that_is_missing_is_named(system: System, admin: Access) -> None:
    nobody = Api(replace(admin, as_user=f"system:serviceaccount:{system.namespace}:default"))
    found = system.refused(nobody)
    assert 'cannot create resource "pods"' in found.text
    assert "drill k8s install" in found.fix
    nobody.close()


def test_a_drill_that_needs_them_is_not_even_planned_and_preflight_says_why(
    system: System, ground: Ground, policy: str
) -> None:
    """No helper is created, no intent is written, nothing of the service is touched."""
    helpers = system.helpers()
    target = KubernetesTarget(ground.api, ground.namespace, NOWHERE, TIMING, lambda: helpers, ("web",))
    with pytest.raises(
        UsageError, match=r"(?s)cannot work: a helper pod on .* would be refused: .*nobody is"
    ) as said:
        target.facts()
    assert "can let pods labelled" in said.value.hint
    action = HoldFault(
        injection="h", replica="web-0", fault=PacketFault(backend="nfqueue", port=8080, delay_ms=1), deadline_s=9
    )
    found = [one for one in target.hindrances([action]) if one.check == "admission"]
    assert len(found) == 1
    assert (system.pods(), ground.intents()) == ([], [])
