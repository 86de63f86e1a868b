"""The suite's own test cluster, and a namespace of its own on it, for tests marked ``cluster``.

The cluster is found through ``testcluster`` alone: no kubeconfig of the person who runs the tests is read, so no
cluster that this suite did not make can be touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest
from testcluster.lifecycle import Options, find
from testcluster.steps import Failed, Missing, Steps

from cluster.ground import RUNNER, Ground, deployment, service
from drill.target.kubernetes import install, manifests, marks, paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api


@pytest.fixture(scope="session")
def admin() -> Access:
    """Access to the suite's own cluster as its administrator."""
    try:
        cluster = find(Options(name="drill", export=False), Steps(quiet=True))
    except (Failed, Missing) as error:
        pytest.skip(str(error))
    return Access(cluster.context, str(cluster.kubeconfig))


@pytest.fixture(scope="session")
def admin_api(admin: Access) -> Iterator[Api]:
    api = Api(admin)
    yield api
    api.close()


@pytest.fixture(scope="session")
def ground(admin: Access, admin_api: Api) -> Iterator[Ground]:
    """One namespace for the whole session, opted in, with exactly the rights that install gives."""
    namespace = f"drill-test-{secrets.token_hex(3)}"
    wanted = manifests.Wanted((namespace,), ("monitoring",), nodes=True)
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {marks.ALLOWED: "true"}},
    }
    admin_api.create(paths.NAMESPACES, body)
    try:
        list(install.install(admin_api, wanted))
        for kind, one in (("Deployment", deployment()), ("Service", service())):
            admin_api.create(paths.all_of(kind, namespace), one)
        runner = Api(replace(admin, as_user=RUNNER))
        made = Ground(runner, admin_api, namespace)
        made.wait(made.healthy, 120)
        yield made
        runner.close()
    finally:
        admin_api.delete(paths.namespace(namespace))


@pytest.fixture
def healthy(ground: Ground) -> Ground:
    """The namespace, with every pod serving and nothing of drill on it, whatever the test before did."""
    ground.wait(ground.healthy, 120)
    assert ground.intents() == []
    return ground


@pytest.fixture
def own_node(healthy: Ground) -> str:
    """The node the service runs on. It is cordoned for seconds only; nothing of others is evicted."""
    return healthy.pods()[0].spec.node_name
