"""Every held fault in real pods on both kinds of node: its effect, its undo, and what is left when everybody dies.

The pods are in a namespace where PodSecurity ``restricted`` is enforced. Effects are bounds that a busy machine keeps:
a delay is a floor under the quickest request.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from testcluster.lifecycle import Options, find
from testcluster.steps import Steps

from cluster.ground import RUNNER
from drill.core.actions import (
    CpuFault,
    DiskFault,
    HeldFault,
    HoldFault,
    HttpFault,
    MemoryFault,
    PacketFault,
    PauseFault,
)
from drill.core.errors import ActionFailed, DrillError
from drill.core.probes import Probe, ProbeKind
from drill.target.kubernetes import install, manifests, marks, objects, paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.podspec import APP, APP_LABEL, HelperSettings
from drill.target.kubernetes.ports import PodRef
from testcluster import uml

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
IMAGE = os.environ.get("DRILL_TEST_IMAGE", "drill.dev/drill:0.1.0")
TTL = 10.0
SERVER = """
import http.server, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        body = b"x" * int(asked.get("bytes", ["2"])[0])
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *args):
        pass
Server(("0.0.0.0", 8080), Handler).serve_forever()
"""


def pod(kernel: str) -> dict[str, Any]:
    container = {
        "name": "web",
        "image": IMAGE,
        "command": ["python3", "-S", "-c", SERVER],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "20m"}, "limits": {"cpu": "200m", "memory": "64Mi"}},
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 2},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"web-{kernel}", "labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "nodeSelector": {"drill.dev/kernel": kernel},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}],
        },
    }


class Site:
    """The namespace, its two pods, and the helpers of one runner."""

    def __init__(self, admin: Api, runner: Access, namespace: str) -> None:
        self.admin, self.runner, self.namespace = admin, runner, namespace
        self.agents = self.helpers()

    def helpers(self) -> Helpers:
        return Helpers(Api(self.runner), HelperSettings(image=IMAGE))

    def ref(self, kernel: str) -> PodRef:
        seen = self.admin.get(paths.one("Pod", self.namespace, f"web-{kernel}"), objects.Pod)
        return PodRef(
            namespace=self.namespace,
            name=seen.name,
            uid=seen.metadata.uid,
            node=seen.spec.node_name,
            address=seen.status.pod_ip,
            port=8080,
            container="web",
            container_id=seen.status.container_statuses[0].container_id.rpartition("/")[2],
            data_path="/data",
            memory_limit_bytes=0,
        )

    def measure(self, kernel: str, kind: ProbeKind, samples: int = 5) -> float:
        pod = self.ref(kernel)
        return self.agents.measure(Probe(kind=kind, replica=pod.name, samples=samples), pod).value

    def hold(self, kernel: str, fault: HeldFault, *, reapply: bool = False, agents: Helpers | None = None) -> str:
        injection = f"i{secrets.token_hex(3)}"
        pod = self.ref(kernel)
        action = HoldFault(
            injection=injection, replica=pod.name, fault=fault, ttl_s=TTL, deadline_s=300, reapply=reapply
        )
        (agents or self.agents).hold(action, pod)
        return injection

    def release(self, kernel: str, injection: str) -> None:
        self.agents.release(injection, self.ref(kernel))

    @contextlib.contextmanager
    def held(self, kernel: str, fault: HeldFault, *, reapply: bool = False) -> Iterator[None]:
        """Hold the fault; also a test that fails leaves nothing for the next one."""
        injection = self.hold(kernel, fault, reapply=reapply)
        try:
            yield
        finally:
            self.release(kernel, injection)

    def helper_pods(self) -> list[objects.Pod]:
        listed = self.admin.list(paths.all_of("Pod", paths.SYSTEM), objects.Pod, labels=f"{APP_LABEL}={APP}")
        return list(listed.items)


def until(seconds: float, true: Callable[[], Any]) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
        time.sleep(0.3)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def site(admin: Access, admin_api: Api) -> Iterator[Site]:
    namespace = f"drill-helpers-{secrets.token_hex(3)}"
    labels = {marks.ALLOWED: "true", "pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
    admin_api.create(paths.NAMESPACES, body)
    try:
        list(install.install(admin_api, manifests.Wanted((namespace,))))
        for kernel in kernels():
            admin_api.create(paths.all_of("Pod", namespace), pod(kernel))
        made = Site(admin_api, replace(admin, as_user=RUNNER), namespace)
        until(240, lambda: all(_ready(made, kernel) for kernel in kernels()))
        made.agents.prepare([made.ref(kernel).node for kernel in kernels()])
        yield made
        made.agents.close()
        ours = made.agents.names
        assert not [one.name for one in made.helper_pods() if one.name in ours]
    finally:
        admin_api.delete(paths.namespace(namespace))


def _ready(site: Site, kernel: str) -> bool:
    return site.admin.get(paths.one("Pod", site.namespace, f"web-{kernel}"), objects.Pod).ready


def kernels() -> list[str]:
    chosen = os.environ.get("DRILL_TEST_KERNELS", "host,netem").split(",")
    return [each for each in ("host", "netem") if each in chosen]


@pytest.fixture(params=["host", "netem"])
def kernel(request: pytest.FixtureRequest, site: Site) -> Iterator[str]:
    """One kind of node; afterwards the pod there is as it was."""
    name = str(request.param)
    if name not in kernels():
        pytest.skip("left out by DRILL_TEST_KERNELS")
    until(120, lambda: _ready(site, name))
    before = site.agents.snapshot(site.ref(name))
    yield name
    until(120, lambda: _ready(site, name))
    assert site.agents.snapshot(site.ref(name)) == before


def delay(kernel: str, ms: float = 150) -> PacketFault:
    return PacketFault(backend="netem" if kernel == "netem" else "nfqueue", port=8080, delay_ms=ms)


def test_latency(site: Site, kernel: str) -> None:
    with site.held(kernel, delay(kernel)):
        assert site.measure(kernel, "connect_ms") >= 145
        peers = [site.ref(other) for other in kernels() if other != kernel]
        probe = Probe(kind="connect_ms", replica=f"web-{kernel}", peer="web")
        if peers:
            assert site.agents.measure(probe, site.ref(kernel), peers).value >= 145
    assert site.measure(kernel, "connect_ms", 9) < 145


def test_loss(site: Site, kernel: str) -> None:
    backend = "netem" if kernel == "netem" else "nft"
    with site.held(kernel, PacketFault(backend=backend, port=8080, loss_percent=60)):
        assert site.measure(kernel, "lost_ratio", 20) > 0.2


def test_bandwidth(site: Site, kernel: str) -> None:
    with site.held(kernel, PacketFault(backend="htb", port=8080, rate_bit=800_000)):
        assert 200 < site.measure(kernel, "transfer_kbit") < 1200
    assert site.measure(kernel, "transfer_kbit") > 1200


def test_partition(site: Site, kernel: str) -> None:
    if "nft" in site.agents.abilities(site.ref(kernel).node):
        pytest.skip("this kernel's nf_tables knows no IPv4; the ability says so")
    with site.held(kernel, PacketFault(backend="nft", port=8080, drop="reject")):
        assert site.measure(kernel, "unreachable_ratio") == 1
        assert _ready_for(site, kernel, 5), "the kubelet's probes are exempt"
    assert site.measure(kernel, "unreachable_ratio") == 0


def _ready_for(site: Site, kernel: str, seconds: float) -> bool:
    until_ = time.monotonic() + seconds
    while time.monotonic() < until_:
        if not _ready(site, kernel):
            return False
        time.sleep(0.5)
    return True


def test_http_errors(site: Site, kernel: str) -> None:
    if "envoy" in site.agents.abilities(site.ref(kernel).node):
        pytest.skip("this kernel redirects nothing; the ability says so")
    with site.held(kernel, HttpFault(port=8080, abort_percent=100, status=503)):
        assert site.measure(kernel, "error_ratio") == 1
    assert site.measure(kernel, "error_ratio") == 0


def test_cpu_stress_burns_in_the_containers_cgroup(site: Site, kernel: str) -> None:
    """Its quota is 0.2, and others want the machine too."""
    with site.held(kernel, CpuFault(workers=2)):
        site.measure(kernel, "cpu_cores")
        time.sleep(3)
        assert site.measure(kernel, "cpu_cores") > 0.05


def test_memory_is_taken_from_the_containers_limit(site: Site, kernel: str) -> None:
    before = site.measure(kernel, "memory_ratio")
    with site.held(kernel, MemoryFault(size_bytes=20 << 20)):
        until(30, lambda: site.measure(kernel, "memory_ratio") > before + 0.2)
    until(10, lambda: site.measure(kernel, "memory_ratio") < before + 0.2)


def test_an_oom_kill_is_seen_and_restarts_the_container(site: Site, kernel: str) -> None:
    starts, kills = site.measure(kernel, "starts"), site.measure(kernel, "oom_kills")
    with site.held(kernel, MemoryFault(size_bytes=128 << 20, oom=True), reapply=True):
        until(60, lambda: site.measure(kernel, "oom_kills") > kills)
    until(120, lambda: site.measure(kernel, "starts") > starts)
    until(120, lambda: _ready(site, kernel))


def test_disk(site: Site, kernel: str) -> None:
    with site.held(kernel, DiskFault(path="/data", leave_bytes=1 << 20)):
        assert site.measure(kernel, "free_bytes") <= 1 << 20
    assert site.measure(kernel, "free_bytes") > 7 << 20


@pytest.mark.parametrize("path", ["/", "/tmp", "/etc"])
def test_the_nodes_own_file_system_is_refused(site: Site, path: str) -> None:
    with pytest.raises(ActionFailed, match=r"refused|cannot be opened"):
        site.hold(kernels()[0], DiskFault(path=path, leave_bytes=1 << 20))


def test_pause(site: Site, kernel: str) -> None:
    with site.held(kernel, PauseFault()):
        assert site.measure(kernel, "stopped") == 1
    assert site.measure(kernel, "stopped") == 0


def test_sigkill_restarts_the_container_and_a_fault_follows_it(site: Site, kernel: str) -> None:
    with site.held(kernel, PauseFault(), reapply=True):
        starts = site.measure(kernel, "starts")
        site.agents.signal(site.ref(kernel), 9)
        until(90, lambda: site.measure(kernel, "starts") > starts)
        until(90, lambda: _stopped(site, kernel))
    assert site.measure(kernel, "stopped") == 0


def _stopped(site: Site, kernel: str) -> bool:
    with contextlib.suppress(DrillError):
        return site.measure(kernel, "stopped") == 1
    return False


# ---- everybody may die ----


@pytest.fixture
def doomed(site: Site, kernel: str) -> Iterator[tuple[Helpers, str]]:
    """Helpers of another runner, which the test is going to kill."""
    made = site.helpers()
    made.prepare([site.ref(kernel).node])
    yield made, kernel
    with contextlib.suppress(DrillError):
        made.close()


def free_of_faults(site: Site, kernel: str, within: float = TTL + 5) -> float:
    """Seconds until neither delay nor stop is left; then sweep the skeleton."""
    took = until(within, lambda: site.measure(kernel, "connect_ms") < 145 and site.measure(kernel, "stopped") == 0)
    _, remains = site.agents.sweep([site.ref(kernel)])
    assert remains == []
    return took


def test_a_deleted_helper_reverts_before_it_ends(site: Site, doomed: tuple[Helpers, str]) -> None:
    agents, kernel = doomed
    site.hold(kernel, delay(kernel), agents=agents)
    site.hold(kernel, PauseFault(), agents=agents)
    (name,) = agents.names
    site.admin.delete(paths.one("Pod", paths.SYSTEM, name))
    free_of_faults(site, kernel)


def test_a_helper_that_is_killed_as_a_whole_leaves_no_fault(site: Site, doomed: tuple[Helpers, str]) -> None:
    """Deletion without grace: the runtime kills every process of the pod at once."""
    agents, kernel = doomed
    site.hold(kernel, delay(kernel), agents=agents)
    site.hold(kernel, PauseFault(), agents=agents)
    (name,) = agents.names
    site.admin.delete(paths.one("Pod", paths.SYSTEM, name), grace_s=0)
    free_of_faults(site, kernel)


def test_a_killed_runner_leaves_no_fault(site: Site, kernel: str) -> None:
    """A process of its own holds the faults and dies by SIGKILL."""
    pod = site.ref(kernel)
    program = f"""
import sys, time
from drill.core.actions import HoldFault, PacketFault, PauseFault
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.podspec import HelperSettings
from drill.target.kubernetes.ports import PodRef
pod = PodRef.model_validate_json({pod.model_dump_json()!r})
agents = Helpers(Api(Access({site.runner.context!r}, {site.runner.kubeconfig!r}, {site.runner.as_user!r})),
                 HelperSettings(image={IMAGE!r}, idle_s=20))
agents.prepare([pod.node])
for fault in (PacketFault.model_validate_json({delay(kernel).model_dump_json()!r}), PauseFault()):
    agents.hold(HoldFault(injection=fault.kind, replica=pod.name, fault=fault, deadline_s=300), pod)
print("held", flush=True)
time.sleep(600)
"""
    runner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"held\n"
    finally:
        runner.kill()
        runner.wait(10)
        runner.stdout.close()  # type: ignore[union-attr]
    free_of_faults(site, kernel)


def test_a_stopped_conductor_loses_its_lease(site: Site, doomed: tuple[Helpers, str]) -> None:
    agents, kernel = doomed
    site.hold(kernel, delay(kernel), agents=agents)
    on_node(site, kernel, f"kill -STOP {agents.conductor(site.ref(kernel).node)}")
    free_of_faults(site, kernel, 25)
    on_node(site, kernel, f"kill -KILL {agents.conductor(site.ref(kernel).node)}")


def test_a_killed_kubelet_ends_the_streams_and_so_the_faults(site: Site, doomed: tuple[Helpers, str]) -> None:
    agents, kernel = doomed
    if kernel != "host":
        pytest.skip("the worker's init would start it anew at once; the path is the same")
    site.hold(kernel, delay(kernel), agents=agents)
    site.hold(kernel, PauseFault(), agents=agents)
    on_node(site, kernel, "systemctl kill -s KILL kubelet")
    until(60, lambda: _answers(site, kernel))
    free_of_faults(site, kernel, 60)


def test_a_killed_api_server_ends_the_streams_and_so_the_faults(site: Site, doomed: tuple[Helpers, str]) -> None:
    agents, kernel = doomed
    site.hold(kernel, delay(kernel), agents=agents)
    on_node(site, "host", "pkill -KILL kube-apiserver")
    until(120, lambda: _answers(site, kernel))
    free_of_faults(site, kernel, 60)


def _answers(site: Site, kernel: str) -> bool:
    with contextlib.suppress(DrillError):
        site.measure(kernel, "connect_ms")
        return True
    return False


def on_node(site: Site, kernel: str, script: str) -> None:
    """Run a shell line as root on the node."""
    cluster = find(Options(name="drill", export=False), Steps(quiet=True))
    if kernel == "netem":
        uml.execute(cluster, script)
    else:
        cluster.on_control_plane(script) if hasattr(cluster, "on_control_plane") else _by_proc(script)


def _by_proc(script: str) -> None:
    """Enter the kind node by the namespaces of its kubelet, which is a process of this machine."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"/kubelet") and b"--config=/var/lib/kubelet/config.yaml" in words:
                command = ["nsenter", "-t", entry.name, "-m", "-p", "-u", "-i", "-n", "sh", "-c", script]
                subprocess.run(command, check=True, timeout=30)
                return
    pytest.skip("the node's kubelet is no process of this machine")
