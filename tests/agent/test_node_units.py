"""What the conductor reads and decides without a node: cgroup paths, gateways, faults with the node's addresses exempt."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drill.agent.errors import CannotApply
from drill.agent.node import containers, holding, spot
from drill.agent.node.conductor import named
from drill.agent.node.containers import Container, Process, is_pod, of_pod, pod_of, scope_of
from drill.agent.node.spot import Node, Spot

ID, SANDBOX, UID = "9d38" * 16, "07aa" * 16, "71b7b287-71aa-4e07-962c-5cc5af028d39"
SLICE = f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable-pod{UID.replace('-', '_')}.slice"
PLAIN = f"/kubepods/burstable/pod{UID}"


@pytest.mark.parametrize(
    ("path", "scope", "pod"),
    [
        (f"{PLAIN}/{ID}", f"{PLAIN}/{ID}", PLAIN),
        (f"{SLICE}/cri-containerd-{ID}.scope", f"{SLICE}/cri-containerd-{ID}.scope", SLICE),
        (f"{SLICE}/crio-{ID}.scope", f"{SLICE}/crio-{ID}.scope", SLICE),
        (f"{SLICE}/crio-{ID}.scope/container", f"{SLICE}/crio-{ID}.scope", SLICE),
        (f"{PLAIN}/{ID}/system.slice/cron.service", f"{PLAIN}/{ID}", PLAIN),
        (f"/system.slice/x.slice:cri-containerd:{ID}", f"/system.slice/x.slice:cri-containerd:{ID}", "/system.slice/x.slice"),
    ],
    ids=["cgroupfs", "systemd containerd", "systemd CRI-O", "CRI-O with crun", "systemd in the container", "colons"],
)  # fmt: skip
def test_the_container_is_told_by_its_cgroup_path_with_every_driver_and_runtime(
    path: str, scope: str, pod: str
) -> None:
    assert scope_of(path) == (ID, scope)
    assert pod_of(scope) == pod


@pytest.mark.parametrize(
    "path", ["/", f"{SLICE}/crio-conmon-{ID}.scope", "/user.slice/user-0.slice", f"/x/{ID[:20]}"]
)
def test_what_is_no_container_is_not_taken_for_one(path: str) -> None:
    assert scope_of(path) == ("", "")


def test_a_pod_is_known_by_its_uid_in_both_spellings_and_not_by_part_of_it() -> None:
    assert is_pod(PLAIN, UID)
    assert is_pod(SLICE, UID)
    assert not is_pod(PLAIN, UID[1:] + "0")
    assert not is_pod(PLAIN, "")


def _proc(tmp_path: Path, pid: int, cgroup: str, parent: int, started: int, state: str = "S") -> None:
    entry = tmp_path / str(pid)
    entry.mkdir()
    (entry / "cgroup").write_text(cgroup)
    rest = [state, str(parent), *["0"] * 17, str(started), "0"]
    (entry / "stat").write_text(f"{pid} (a (b) c) {' '.join(rest)}\n")


V1 = "9:name=systemd:{0}\n5:memory:{0}\n2:cpuacct:{0}\n1:cpu:{0}\n0::{0}\n"
V2 = "0::{0}\n"


@pytest.mark.parametrize("text", [V1, V2], ids=["version 1", "version 2"])
def test_processes_become_containers_and_their_pod_with_both_versions(tmp_path: Path, text: str) -> None:
    home = SLICE + "/cri-containerd-{}.scope"
    _proc(tmp_path, 10, text.format(home.format(SANDBOX)), parent=3, started=100)
    _proc(tmp_path, 20, text.format(home.format(ID)), parent=3, started=120)
    _proc(tmp_path, 21, text.format(home.format(ID)), parent=20, started=121)
    _proc(tmp_path, 30, text.format(home.format(ID)), parent=4, started=500)  # kubectl exec
    _proc(tmp_path, 40, text.format("/system.slice/cron.service"), parent=1, started=5)
    (tmp_path / "self").mkdir()
    found = containers.containers(tmp_path)
    assert set(found) == {ID, SANDBOX}
    assert found[ID].main == Process(20, parent=3, started=120, state="S")
    assert found[ID].scopes["" if text == V2 else "memory"] == home.format(ID)
    assert [each.id for each in of_pod(found.values(), UID, "unknown")] == [SANDBOX, ID]
    assert [each.id for each in of_pod(found.values(), "static pods have another", ID)] == [SANDBOX, ID]
    assert of_pod(found.values(), "another", "unknown") == []


def test_a_container_whose_processes_all_ended_has_no_main_process() -> None:
    dead = Process(20, parent=3, started=1, state="Z")
    assert Container(ID, SLICE, {}, (dead,)).main is None


def test_many_who_ask_at_once_share_a_pass_that_began_after_they_asked() -> None:
    begun: list[float] = []
    asked_by_all = threading.Event()

    def scan() -> dict[str, Container]:
        begun.append(time.monotonic())
        asked_by_all.wait(10)
        return {str(len(begun)): Container("", "", {}, ())}

    scans = containers.Scans(scan)

    def ask() -> tuple[float, str]:
        asked = time.monotonic()
        return asked, next(iter(scans.fresh()))

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(ask) for _ in range(20)]
        time.sleep(0.2)  # all of them have asked while the first pass was under way
        asked_by_all.set()
        found = [answer.result(10) for answer in answers]
    assert all(begun[int(number) - 1] >= asked for asked, number in found)
    assert len(begun) <= 3
    before = len(begun)
    scans.fresh()
    assert len(begun) == before + 1


def test_gateways_are_read_in_the_machines_byte_order() -> None:
    header = "Iface\tDestination\tGateway\tFlags\n"
    assert spot.gateways(header + "eth0\t00000000\t0100F40A\t0003\neth0\t0000F40A\t00000000\t0001\n") == [
        "10.244.0.1"
    ]
    assert spot.gateways("") == []


def test_the_nodes_own_addresses_are_those_its_routing_table_calls_local(tmp_path: Path) -> None:
    net = tmp_path / "1" / "net"
    net.mkdir(parents=True)
    (net / "fib_trie").write_text(
        "Main:\n  |-- 10.244.0.0\n     /24 link UNICAST\n  |-- 10.244.0.1\n     /32 host LOCAL\n"
        "  |-- 127.0.0.1\n     /32 host LOCAL\n  |-- 10.252.0.2\n     /32 host LOCAL\n"
        "  |-- 10.252.0.255\n     /32 link BROADCAST\n"
    )
    assert spot.addresses_of(tmp_path / "1") == ["10.244.0.1", "10.252.0.2"]


def test_network_faults_exempt_the_node_and_refuse_its_own_namespace() -> None:
    packet = json.dumps({"kind": "packet", "backend": "nft", "port": 80, "exempt": ["10.0.0.9", "10.0.0.1"]})
    fault = holding.prepared(packet, Spot(ID, 20, 1, "/proc/10/ns/net"), ["10.0.0.1", "10.0.0.2"])
    assert fault["exempt"] == ["10.0.0.1", "10.0.0.2", "10.0.0.9"]
    with pytest.raises(CannotApply, match="hostNetwork"):
        holding.prepared(packet, Spot(ID, 20, 1, ""), [])


@pytest.mark.parametrize("kind", ["cpu", "memory", "pause", "disk"])
def test_faults_of_a_container_need_one_that_runs(kind: str) -> None:
    with pytest.raises(CannotApply, match="does not run"):
        holding.prepared(json.dumps({"kind": kind}), Spot(ID, 0, 0, "/proc/10/ns/net"), [])


def test_snapshots_name_cgroups_by_controller_so_that_a_restart_changes_nothing() -> None:
    seen = {"cgroup /sys/fs/cgroup/cpu/a": "quota", "nft": ""}
    here = Spot(ID, 1, 1, "", groups={"cpu": "/sys/fs/cgroup/cpu/a"})
    assert named(seen, here) == {"cgroup cpu": "quota", "nft": ""}


def test_a_missing_controller_is_named() -> None:
    node = Node.__new__(Node)
    node.mounts = {}
    assert "controller memory is mounted" in node.missing_for("memory")
