"""The test cluster for real: up, up again, smoke, images, status, down, and nothing left. Marked ``cluster``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcluster.kind import Cluster
from testcluster.lifecycle import Options
from testcluster.steps import Failed, Missing, Steps, run

from testcluster import engine, lifecycle, smoke, status, uml

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]  # a first build takes many minutes

_OPTIONS = Options(name="drill-suite", export=False)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of this suite's own, beside any other."""
    if engine.running() is not None:
        pytest.skip("a Docker runs here: what is tested is the private engine and the second kernel")
    steps = Steps()
    try:
        started = lifecycle.up(_OPTIONS, steps)
    except Missing as missing:
        pytest.skip(str(missing))
    try:
        yield started
    finally:
        lifecycle.down(_OPTIONS, steps)


def test_both_nodes_are_ready_and_the_kernels_differ(cluster: Cluster) -> None:
    nodes = cluster.get("nodes")["items"]
    assert isinstance(nodes, list)
    kernels = {n["metadata"]["labels"]["drill.dev/kernel"]: n["status"]["nodeInfo"]["kernelVersion"] for n in nodes}
    assert set(kernels) == {"host", "netem"}
    assert kernels["host"] == os.uname().release != kernels["netem"]


def test_up_again_finds_everything_in_place(cluster: Cluster) -> None:
    before = (engine.pid(), uml.pid(cluster))
    assert lifecycle.up(_OPTIONS, Steps(quiet=True)).kubeconfig == cluster.kubeconfig
    assert (engine.pid(), uml.pid(cluster)) == before


def test_the_workers_kernel_has_cgroup_v2_and_netem(cluster: Cluster) -> None:
    controllers = uml.execute(cluster, "cat /sys/fs/cgroup/cgroup.controllers").split()
    assert {"cpu", "memory", "pids"} <= set(controllers)
    said = uml.execute(
        cluster, "tc qdisc add dev lo root netem delay 1ms && tc qdisc show dev lo && tc qdisc del dev lo root"
    )
    assert "netem" in said
    with pytest.raises(Failed, match="ended with 7: no"):
        uml.execute(cluster, "echo no; exit 7")


def test_pods_services_names_and_netem_work(cluster: Cluster) -> None:
    steps = Steps()
    lifecycle.load(cluster, lifecycle.smoke_archive(Steps(quiet=True)), steps)
    smoke.run(cluster, steps)


def test_it_takes_less_than_two_and_a_half_gibibytes(cluster: Cluster) -> None:
    assert status.memory(cluster)["together"] < 2.5 * 1024 * 1024
    assert "node drill-suite-netem: ready" in status.describe(cluster)


def test_an_image_that_is_not_there_is_named(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no image archive"):
        lifecycle.load(cluster, tmp_path / "absent.tar", Steps(quiet=True))


def test_after_down_nothing_is_left(cluster: Cluster) -> None:
    """Last in this file: it takes the cluster away. What belongs to another cluster may stay."""
    kernel, tap = uml.pid(cluster), uml.tap(cluster)
    lifecycle.down(_OPTIONS, Steps())
    assert kernel is not None
    assert not Path(f"/proc/{kernel}/exe").exists()
    assert not Path(f"/sys/class/net/{tap}").exists()
    assert not cluster.state.exists()
    if engine.pid() is None:
        assert not engine.STATE.exists()
        assert not Path(f"/sys/class/net/{engine.BRIDGE}").exists()
        assert not list(Path("/sys/fs/cgroup").glob("*/drill-testcluster"))
        assert "10.252." not in run(["ip", "route"])
        assert "drill/testcluster" not in Path("/proc/self/mountinfo").read_text()
