"""Ephemeral containers in real pods: what works without a helper, what says that it cannot, and PodSecurity's word."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.test_helpers_cluster import IMAGE, Site, kernels, pod, until
from drill.core.actions import CpuFault, HoldFault, PacketFault
from drill.core.errors import ActionFailed, Unavailable
from drill.core.probes import Probe
from drill.target.kubernetes import objects, paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.ephemeral import Ephemeral
from drill.target.kubernetes.podspec import HelperSettings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


class Pair(Site):
    """Two pods on the host's kernel, in a namespace of the PodSecurity level *level*."""

    def __init__(self, admin: Api, access: Access, level: str) -> None:
        self.admin, self.runner = admin, access
        self.namespace = f"drill-ephemeral-{secrets.token_hex(3)}"
        labels = {"pod-security.kubernetes.io/enforce": level}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}
        admin.create(paths.NAMESPACES, body)
        for name in ("web-a", "web-b"):
            one: dict[str, Any] = pod("host")
            one["metadata"]["name"] = name
            one["spec"]["containers"][0]["resources"]["limits"]["memory"] = "160Mi"
            admin.create(paths.all_of("Pod", self.namespace), one)
        until(120, lambda: all(self._ready(name) for name in ("web-a", "web-b")))

    def _ready(self, name: str) -> bool:
        return self.admin.get(paths.one("Pod", self.namespace, name), objects.Pod).ready

    def close(self) -> None:
        self.admin.delete(paths.namespace(self.namespace))


@pytest.fixture(scope="module", params=["privileged", "restricted"])
def pair(request: pytest.FixtureRequest, admin: Access, admin_api: Api) -> Iterator[Pair]:
    if "host" not in kernels():
        pytest.skip("left out by DRILL_TEST_KERNELS")
    made = Pair(admin_api, admin, str(request.param))
    made.level = str(request.param)  # type: ignore[attr-defined]
    yield made
    made.close()


def held(pair: Pair, name: str, **more: Any) -> HoldFault:
    fault = more.pop("fault", None) or PacketFault(backend="nfqueue", port=8080, delay_ms=120)
    return HoldFault(injection=f"e{os.getpid()}", replica=name, fault=fault, deadline_s=120)


def test_a_delay_by_an_ephemeral_container_where_podsecurity_allows_it(pair: Pair) -> None:
    agents = Ephemeral(Api(pair.runner), HelperSettings(image=IMAGE))
    one, two = pair.ref("a"), pair.ref("b")
    if pair.level == "restricted":  # type: ignore[attr-defined]
        with pytest.raises(ActionFailed, match=r"(?s)violates PodSecurity.*NET_ADMIN"):
            agents.hold(held(pair, one.name), one)
        return
    before = agents.snapshot(one)
    agents.snapshot(two)
    probe = Probe(kind="connect_ms", replica=one.name)
    quick = agents.measure(probe, one).value
    agents.hold(held(pair, one.name), one)
    assert agents.measure(probe, one, [two]).value >= min(20, quick) + 115
    agents.release(held(pair, one.name).injection, one)
    assert agents.measure(probe, one, [two]).value < 115
    assert agents.snapshot(one) == before
    agents.close()


def test_a_pod_with_little_memory_is_refused_before_it_would_be_killed(pair: Pair) -> None:
    agents = Ephemeral(Api(pair.runner), HelperSettings(image=IMAGE))
    small = pair.ref("a").model_copy(update={"memory_limit_bytes": 64 << 20})
    with pytest.raises(ActionFailed, match="memory limit"):
        agents.hold(held(pair, small.name), small)


def test_what_an_ephemeral_container_cannot_do_it_says(pair: Pair) -> None:
    agents = Ephemeral(Api(pair.runner), HelperSettings(image=IMAGE))
    one = pair.ref("a")
    assert set(agents.abilities(one.node)) >= {"netem", "cgroup-cpu", "disk", "signals"}
    with pytest.raises(ActionFailed, match="cgroups"):
        agents.hold(held(pair, one.name, fault=CpuFault(workers=1)), one)
    with pytest.raises(ActionFailed, match="no signal 9"):
        agents.signal(one, 9)
    with pytest.raises(Unavailable, match="nothing to measure from"):
        agents.measure(Probe(kind="connect_ms", replica=one.name), one)
