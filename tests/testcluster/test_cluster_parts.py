"""The pure parts of engine, worker, image and smoke test."""

from __future__ import annotations

import io
import ipaddress
import json
import os
from pathlib import Path

import pytest
import yaml
from testcluster.engine import Engine
from testcluster.kind import CONFIG, Cluster
from testcluster.processes import Process
from testcluster.steps import Failed, Missing, Steps, run, wait_for
from testcluster.versions import HERE

from testcluster import cli, engine, nodeimage, processes, smoke, trees, uml


def _routes(*destinations: str) -> str:
    return json.dumps([{"dst": each} for each in destinations])


def test_the_first_network_that_no_route_overlaps_is_taken() -> None:
    assert str(engine.free_subnet(_routes("default", "192.0.2.0/24"))) == "10.252.0.0/24"
    assert str(engine.free_subnet(_routes("10.252.0.0/23", "10.252.2.7"))) == "10.252.3.0/24"


def test_a_machine_with_no_free_network_is_told_so() -> None:
    with pytest.raises(Failed, match="in use"):
        engine.free_subnet(_routes("10.0.0.0/8"))


@pytest.mark.parametrize(("bounding", "lacking"), [("000001ffffffffff", False), ("000001fffeffffff", True)])
def test_a_bounding_set_without_sys_resource_is_noticed(bounding: str, lacking: bool) -> None:
    assert engine.bounded(f"CapEff:\t000001ffffffffff\nCapBnd:\t{bounding}\n") is lacking


@pytest.mark.parametrize("name", ["drill", "another", "a-name-much-longer-than-a-device-may-be"])
def test_the_worker_gets_an_address_that_docker_never_gives(name: str) -> None:
    own = ipaddress.ip_interface(uml.address(name, "10.252.0.0/24"))
    lower, upper = ipaddress.ip_network("10.252.0.0/24").subnets(prefixlen_diff=1)
    assert own.ip in upper
    assert own.ip not in lower
    assert own.ip not in (upper.network_address - 1, upper.broadcast_address)
    assert len(uml.tap(Cluster(name, Engine({}, private=True), ""))) <= 15


def test_the_workers_kubelet_differs_from_kinds_where_there_is_no_systemd() -> None:
    kinds = {
        "cgroupDriver": "systemd",
        "cgroupRoot": "/kubelet",
        "staticPodPath": "/etc/kubernetes/manifests",
        "clusterDNS": ["10.96.0.10"],
    }
    own = uml.kubelet_configuration(kinds)
    assert own["cgroupDriver"] == "cgroupfs"
    assert "cgroupRoot" not in own
    assert "staticPodPath" not in own
    assert own["clusterDNS"] == ["10.96.0.10"]


def test_the_workers_kube_proxy_keeps_all_but_its_way_and_its_credentials() -> None:
    kinds = {"mode": "nftables", "clusterCIDR": "10.244.0.0/16", "clientConnection": {"qps": 5, "kubeconfig": "/x"}}
    own = uml.proxy_configuration(kinds)
    assert own["mode"] == "iptables"
    assert own["clusterCIDR"] == "10.244.0.0/16"
    assert own["clientConnection"] == {"qps": 5, "kubeconfig": "/state/join/kube-proxy.conf"}
    assert kinds["mode"] == "nftables"


def test_a_kubeconfig_has_one_cluster_one_user_and_a_context() -> None:
    content = yaml.safe_load(uml.kubeconfig("https://cp:6443", "Q0E=", "t.0"))
    assert content["clusters"][0]["cluster"] == {"server": "https://cp:6443", "certificate-authority-data": "Q0E="}
    assert content["users"][0]["user"] == {"token": "t.0"}
    assert content["current-context"] == content["contexts"][0]["name"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("12 (bash) S 3 4 5 0 -1", Process(12, 3, 5)),
        ("12 (a) b (c)) R 3 4 5 0", Process(12, 3, 5)),
        ("12 (bash) Z 3 4 5 0", None),
    ],
)
def test_a_line_of_proc_is_read_whatever_the_process_is_called(line: str, expected: Process | None) -> None:
    assert processes.parse(line) == expected


def test_a_tree_of_processes_holds_all_descendants_and_no_others() -> None:
    among = [Process(1, 0, 1), Process(2, 1, 2), Process(5, 2, 2), Process(9, 5, 9), Process(7, 1, 7)]
    assert processes.tree(2, among) == {2, 5, 9}


def test_a_process_is_only_ours_if_its_command_says_so(tmp_path: Path) -> None:
    import os

    (tmp_path / "pid").write_text(f"{os.getpid()}")
    assert processes.from_file(tmp_path / "pid", "python") == os.getpid()
    assert processes.from_file(tmp_path / "pid", "no such word in it") is None
    assert processes.from_file(tmp_path / "absent", "") is None


def test_libraries_are_read_from_ldd() -> None:
    said = """/usr/sbin/tc:
\tlinux-vdso.so.1 (0x00007ffd1b5f2000)
\tlibmnl.so.0 => /lib/x86_64-linux-gnu/libmnl.so.0 (0x00007f2b0c1a7000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f2b0c3b5000)
"""
    assert trees.libraries(said) == {"/lib/x86_64-linux-gnu/libmnl.so.0", "/lib64/ld-linux-x86-64.so.2"}


def test_every_pod_of_the_smoke_test_is_pinned_to_its_kind_of_node() -> None:
    objects = list(yaml.safe_load_all(smoke.manifests(("host", "netem"))))
    deployments = [each for each in objects if each["kind"] == "Deployment"]
    assert [d["spec"]["template"]["spec"]["nodeSelector"]["drill.dev/kernel"] for d in deployments] == [
        "host",
        "netem",
    ]
    assert {d["spec"]["replicas"] for d in deployments} == {2}
    services = {each["metadata"]["name"]: each["spec"]["selector"] for each in objects if each["kind"] == "Service"}
    for deployment in deployments:
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert services[deployment["metadata"]["name"]] == labels == deployment["spec"]["selector"]["matchLabels"]


def test_the_workers_label_is_the_one_that_keeps_the_daemons_off() -> None:
    key, value = uml.LABEL.split("=")
    text = (HERE / "node/kind/manifests/default-cni.yaml").read_text()
    assert f"{{key: {key}, operator: NotIn, values: [{value}]}}" in text


def test_kinds_configuration_is_one_control_plane_with_the_hosts_kernel() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    assert (config["kind"], config["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert [(node["role"], node["labels"]) for node in config["nodes"]] == [
        ("control-plane", {"drill.dev/kernel": "host"})
    ]
    assert "name" not in config


def test_what_is_filled_into_the_nodes_files_is_all_that_they_leave_open(tmp_path: Path) -> None:
    import shutil

    tree = tmp_path / "tree"
    shutil.copytree(HERE / "node", tree)
    nodeimage._fill_in(tree, {"@PAUSE@": "pause:1", "@KUBE_PROXY@": "proxy:1"})
    texts = [path.read_text() for path in tree.rglob("*") if path.is_file()]
    assert not [text for text in texts if "@PAUSE@" in text or "@KUBE_PROXY@" in text]
    assert 'sandbox_image = "pause:1"' in (tree / "etc/containerd/config.toml").read_text()
    assert "image: proxy:1" in (tree / "kind/manifests/default-cni.yaml").read_text()


def test_a_step_says_what_it_did_and_a_failed_one_that_it_failed() -> None:
    said = io.StringIO()
    steps = Steps(stream=said)
    with steps.step("one") as step:
        step.outcome = "found"
    with pytest.raises(ValueError, match="no"), steps.step("two"):
        raise ValueError("no")
    assert "✓ found" in said.getvalue()
    assert "✗ two" in said.getvalue()


def test_a_command_that_fails_tells_its_own_words() -> None:
    with pytest.raises(Failed, match="it broke"):
        run(["sh", "-c", "echo it broke >&2; exit 3"])
    with pytest.raises(Missing, match="no-such-program"):
        run(["no-such-program"])
    assert run(["cat"], text_in="in") == "in"


def test_waiting_ends_with_what_was_waited_for() -> None:
    with pytest.raises(Failed, match="the thaw did not happen"):
        wait_for(lambda: False, what="the thaw", timeout=0.0)
    wait_for(lambda: True, what="nothing", timeout=0.0)


@pytest.mark.parametrize("command", ["up", "down", "status", "kubeconfig", "smoke"])
def test_a_cluster_is_called_drill_unless_named(command: str) -> None:
    assert cli.parser().parse_args([command]).name == "drill"
    assert cli.parser().parse_args([command, "--name", "other"]).name == "other"


def test_what_this_machine_lacks_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(*_: object) -> object:
        raise Missing("no Go here")

    monkeypatch.setattr(cli.lifecycle, "tools", lacking)
    assert cli.main(["tools"]) == cli.EXIT_MISSING
    assert "no Go here" in capsys.readouterr().err


def test_one_address_space_is_counted_once() -> None:
    """User-mode-linux's kernel has helpers that share all its memory: each shows all of it as its own."""
    own, other = os.getpid(), os.getppid()
    assert processes.memory([own, own]) <= processes.memory([own]) * 1.1
    assert processes.memory([own, other]) > processes.memory([other])


def test_a_cluster_gets_more_than_the_share_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hierarchy, file in (("cpu", "cpu.shares"), ("memory", "memory.limit_in_bytes")):
        (tmp_path / hierarchy).mkdir()
        (tmp_path / hierarchy / file).write_text("1024")
    monkeypatch.setattr(engine, "_cgroups", lambda: [tmp_path / "cpu", tmp_path / "memory"])
    engine.favour()
    assert (tmp_path / "cpu/cpu.shares").read_text() == "20480"
    assert (tmp_path / "memory/memory.limit_in_bytes").read_text() == "1024"
    assert not (tmp_path / "memory/cpu.shares").exists()
