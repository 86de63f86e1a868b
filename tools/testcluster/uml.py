"""The second worker: a user-mode-linux kernel on the node's own files, with cgroup v2 and the real sch_netem.

Owns its process, its tap device and the folder through which host and worker talk (``uml/start`` is the other end).
It joins as any node does: a bootstrap token, a certificate that the cluster signs. Its kernel has no nft_chain_nat,
and its memory is small, so kube-proxy and nodenet run beside its kubelet, not as pods.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from testcluster import processes
from testcluster.cache import user_cache
from testcluster.debian import environment
from testcluster.kind import Cluster
from testcluster.nodeimage import NodeImage
from testcluster.steps import Failed, Steps, run, wait_for

LABEL = "drill.dev/kernel=netem"
# Taken as it is used, but in time its page cache uses all: with this the whole cluster stays below 2.5 GiB.
_MEMORY = "1152M"
_NICE = "-8"  # its kernel is one thread, which a busy machine must not starve
_DISK = 8 << 30  # sparse: only what is written takes room
_BOOT_S, _JOIN_S, _HALT_S, _EXEC_S = 60.0, 120.0, 15.0, 300.0
_TOKEN_LIFE = "720h"
_AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "drill.dev/kernel", "operator": "NotIn", "values": ["netem"]}]}
            ]
        }
    }
}


def node_name(cluster: Cluster) -> str:
    """Name of the node in the cluster."""
    return f"{cluster.name}-netem"


def folder(cluster: Cluster) -> Path:
    """Folder that host and worker share."""
    return cluster.state / "uml"


def disk(cluster: Cluster) -> Path:
    """File that is the worker's disk: its images. Below the cache, because the state's folder is in memory."""
    return user_cache() / "testcluster" / "disks" / f"{cluster.name}.ext4"


def tap(cluster: Cluster) -> str:
    """Name of the tap device; the kernel allows 15 characters."""
    return f"uml-{hashlib.sha256(cluster.name.encode()).hexdigest()[:8]}"


def address(name: str, subnet: str) -> str:
    """Return the worker's address with prefix length: in the upper half of *subnet*, which Docker leaves alone."""
    network = ipaddress.ip_network(subnet)
    offset = int(hashlib.sha256(name.encode()).hexdigest(), 16) % (network.num_addresses // 2 - 2)
    return f"{network[network.num_addresses // 2 + offset]}/{network.prefixlen}"


def boot(cluster: Cluster, image: NodeImage, debian: Path, steps: Steps) -> None:
    """Start the kernel. It gets ready for the cluster while the cluster is made."""
    with steps.step(f"User-mode-linux worker {node_name(cluster)}") as step:
        if pid(cluster) is not None:
            step.outcome = f"already there, process {pid(cluster)}"
            return
        network = cluster.engine.network()
        _prepare(cluster, address(cluster.name, network["subnet"]))
        _add_tap(tap(cluster), network["bridge"])
        _make_disk(disk(cluster), debian)
        step.outcome = f"boots as process {_spawn(cluster, image, debian)}"


def join(cluster: Cluster, steps: Steps) -> None:
    """Give the worker its credentials and wait until the cluster calls it ready."""
    name = node_name(cluster)
    with steps.step(f"Join {name} to the cluster") as step:
        if not (folder(cluster) / "join" / "ready").exists():
            _keep_daemons_off(cluster)
            _credentials(cluster)
        wait_for(
            lambda: _ready(cluster), what=f"readiness of {name} (see {folder(cluster)}/*.log)", timeout=_JOIN_S
        )
        names = cluster.kubectl(
            "get", "service", "kube-dns", "-n", "kube-system", "-o", "jsonpath={.spec.clusterIP}"
        )
        wait_for(
            lambda: _reaches(cluster, names, 53), what=f"an answer of {names} (names) to {name}", timeout=_JOIN_S
        )
        step.outcome = "ready, and names are answered"


def execute(cluster: Cluster, script: str, timeout: float = _EXEC_S) -> str:
    """Run a shell script on the worker as root and return what it printed. Raises Failed with that on failure."""
    inbox = folder(cluster) / "inbox"
    name = uuid.uuid4().hex
    draft, out, code = inbox / f"{name}.new", inbox / f"{name}.out", inbox / f"{name}.code"
    draft.write_text(script)
    draft.rename(inbox / f"{name}.sh")
    wait_for(code.exists, what=f"a script's end on {node_name(cluster)}", timeout=timeout, every=0.1)
    said, result = out.read_text(), code.read_text().strip()
    out.unlink()
    code.unlink()
    if result != "0":
        raise Failed(f"a script on {node_name(cluster)} ended with {result}: {said.strip()}")
    return said


def load(cluster: Cluster, archive: Path) -> None:
    """Import an archive of images into the worker's containerd."""
    lent = folder(cluster) / f"{uuid.uuid4().hex}.tar"
    shutil.copyfile(archive, lent)
    try:
        execute(cluster, f"ctr -n k8s.io images import --snapshotter overlayfs /state/{lent.name}")
    finally:
        lent.unlink()


def stop(cluster: Cluster, steps: Steps) -> None:
    """Halt the worker, or end it (it has a process per address space of its guests), and remove its tap device."""
    with steps.step(f"Stop {node_name(cluster)}") as step:
        found = pid(cluster)
        if found is None:
            step.outcome = "it does not run"
        else:
            (folder(cluster) / "halt").touch()
            try:
                wait_for(lambda: not processes.session(found), what="the halt", timeout=_HALT_S)
            except Failed:
                step.outcome = "ended by force"
                processes.kill(processes.session(found))
        if Path(f"/sys/class/net/{tap(cluster)}").exists():
            run(["ip", "link", "delete", tap(cluster)])
        disk(cluster).unlink(missing_ok=True)


def pid(cluster: Cluster) -> int | None:
    """Process of the kernel, if it runs."""
    return processes.from_file(folder(cluster) / "pid", str(folder(cluster)))


def kubelet_configuration(of_kind: Mapping[str, Any]) -> dict[str, Any]:
    """Return kind's kubelet configuration with what differs on a machine without systemd."""
    dropped = ("cgroupRoot", "staticPodPath", "resolvConf")
    own = {
        "cgroupDriver": "cgroupfs",
        "enforceNodeAllocatable": [],  # needs cpuset, which that kernel lacks
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "resolvConf": "/etc/resolv.conf",
    }
    return {**{key: value for key, value in of_kind.items() if key not in dropped}, **own}


def proxy_configuration(of_kind: Mapping[str, Any]) -> dict[str, Any]:
    """Return kind's kube-proxy configuration for a process outside a pod, by iptables."""
    connection = {**of_kind.get("clientConnection", {}), "kubeconfig": "/state/join/kube-proxy.conf"}
    return {**of_kind, "mode": "iptables", "clientConnection": connection}


def kubeconfig(server: str, ca: str, token: str) -> str:
    """Return a kubeconfig for one bearer of a token. *ca* is PEM in base64."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": ca}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
    )


def _prepare(cluster: Cluster, own_address: str) -> None:
    shutil.rmtree(folder(cluster), ignore_errors=True)
    for each in ("inbox", "join", "umid"):
        (folder(cluster) / each).mkdir(parents=True)
    folder(cluster).chmod(0o700)  # credentials lie here
    gateway = ipaddress.ip_interface(own_address).network[1]
    values = {"NODE": node_name(cluster), "ADDRESS": own_address, "GATEWAY": str(gateway), "LABELS": LABEL}
    _environment_file(folder(cluster) / "node.env", values)


def _environment_file(path: Path, values: Mapping[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))


def _make_disk(path: Path, debian: Path) -> None:
    """An empty file system without a journal: it lives no longer than the worker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(_DISK)
    options = ["-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard"]
    run(["mke2fs", "-t", "ext4", *options, path], env=environment(debian))


def _add_tap(name: str, bridge: str) -> None:
    if not Path(f"/sys/class/net/{name}").exists():
        run(["ip", "tuntap", "add", "dev", name, "mode", "tap"])
    run(["ip", "link", "set", name, "master", bridge, "up"])


def _spawn(cluster: Cluster, image: NodeImage, debian: Path) -> int:
    state = folder(cluster)
    kernel = [
        "nice", "-n", _NICE, str(debian / "usr/bin/linux.uml"),
        f"mem={_MEMORY}", f"umid={cluster.name}", f"uml_dir={state}/umid",
        "root=/dev/root", "rootfstype=hostfs", f"rootflags={image.rootfs}", "ro", "init=/sbin/uml-boot",
        f"tree={image.tree}", f"modules={debian}/uml", f"state={state}", f"eth0=tuntap,{tap(cluster)}",
        f"ubd0={disk(cluster)}",
        "con=null", "con0=null,fd:1", "con1=null,fd:1",
    ]  # fmt: skip
    return processes.daemon(kernel, state / "pid", state / "console.log")


def _keep_daemons_off(cluster: Cluster) -> None:
    """No pod of kube-proxy for the worker. OnDelete: the pods that run need not start anew for that."""
    spec = {
        "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
        "template": {"spec": {"affinity": _AFFINITY}},
    }
    patch = yaml.safe_dump({"spec": spec})
    cluster.kubectl("patch", "daemonset", "kube-proxy", "-n", "kube-system", "--patch", patch)


def _credentials(cluster: Cluster) -> None:
    target = folder(cluster) / "join"
    own = yaml.safe_load(cluster.kubeconfig.read_text())
    ca = own["clusters"][0]["cluster"]["certificate-authority-data"]
    server = f"https://{cluster.control_plane}:6443"
    token = cluster.engine.docker("exec", cluster.control_plane, "kubeadm", "token", "create", "--ttl=1h").strip()
    (target / "ca.crt").write_bytes(base64.b64decode(ca))
    (target / "bootstrap.conf").write_text(kubeconfig(server, ca, token))
    kubelet = yaml.safe_load(_config_map(cluster, "kubelet-config")["kubelet"])
    (target / "kubelet.yaml").write_text(yaml.safe_dump(kubelet_configuration(kubelet)))
    proxy = yaml.safe_load(_config_map(cluster, "kube-proxy")["config.conf"])
    (target / "kube-proxy.yaml").write_text(yaml.safe_dump(proxy_configuration(proxy)))
    (target / "kube-proxy.conf").write_text(kubeconfig(server, ca, _service_token(cluster, "kube-proxy")))
    (target / "nodenet").mkdir(exist_ok=True)
    (target / "nodenet" / "ca.crt").write_bytes(base64.b64decode(ca))
    (target / "nodenet" / "token").write_text(_service_token(cluster, "nodenet"))
    values = {
        "CONTROL_PLANE": cluster.control_plane,
        "CONTROL_PLANE_ADDRESS": cluster.address(),
        "POD_SUBNET": proxy["clusterCIDR"],
    }
    _environment_file(target / "cluster.env", values)
    (target / "ready").touch()


def _config_map(cluster: Cluster, name: str) -> dict[str, str]:
    data = cluster.get("configmap", name, "-n", "kube-system")["data"]
    assert isinstance(data, dict)
    return data


def _service_token(cluster: Cluster, account: str) -> str:
    return cluster.kubectl("create", "token", account, "-n", "kube-system", f"--duration={_TOKEN_LIFE}").strip()


def _reaches(cluster: Cluster, service: str, port: int) -> bool:
    """Whether the worker gets through to a Service: kube-proxy has done its first round, routes lead both ways."""
    try:
        execute(cluster, f"timeout 2 bash -c 'exec 3<>/dev/tcp/{service}/{port}'", timeout=_EXEC_S)
    except Failed:
        return False
    return True


def _ready(cluster: Cluster) -> bool:
    if pid(cluster) is None:
        raise Failed(f"the user-mode-linux worker has ended; see {folder(cluster)}/console.log")
    condition = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    chosen = f"kubernetes.io/hostname={node_name(cluster)}"
    return "True" in cluster.kubectl(
        "get", "nodes", "-l", chosen, "--ignore-not-found", "-o", f"jsonpath={condition}"
    )
