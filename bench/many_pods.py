"""Many pods at once on the test cluster, against the peers: faults into N pods, N pod deletions, near and far.

    python bench/many_pods.py --pods 50 --deletions 200
    python bench/many_pods.py --krkn-python VENV/bin/python     # and krkn-lib, from a venv that has it

*near* is the API server as it is; *far* has a round trip of 50 ms, made by a TCP proxy here. The peer for faults is
one helper pod for each target pod, as other tools do it, with the same agent. The peers for deletions are
``terminate_pods`` of chaostoolkit-kubernetes and ``delete_pod`` of krkn-lib; those pods were never scheduled: what
is measured is the client and the API server, not a kubelet. Each work is done ``--rounds`` times, by each in turn,
another one first each time, and only when what was before is gone; told are the median and the spread. Needs the
suite's own cluster (tools/testcluster).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
from testcluster.lifecycle import Options, find
from testcluster.steps import Steps

from drill.core.actions import HoldFault, PacketFault
from drill.target.kubernetes import install, manifests, objects, paths
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.helpers import Helpers
from drill.target.kubernetes.podspec import HelperSettings
from drill.target.kubernetes.ports import PodRef

ROUND_TRIP_S = 0.05
THREADS = 32
IDLE = 0.2
"""The share of the machine that may be busy with other things when a round begins: an idle cluster uses some."""
KRKN = """
import sys, time
from krkn_lib.k8s import KrknKubernetes
api = KrknKubernetes(sys.argv[1])
pods = api.list_pods(sys.argv[2], "bench=1")
began = time.perf_counter()
for name in pods:
    api.delete_pod(name, sys.argv[2])
print(time.perf_counter() - began)
"""
CHAOSTOOLKIT = """
import sys, time
from chaosk8s.pod.actions import terminate_pods
began = time.perf_counter()
terminate_pods(label_selector="bench=1", all=True, ns=sys.argv[2])
print(time.perf_counter() - began)
"""
BACKEND = {"host": "nfqueue", "netem": "netem"}


class Far:
    """A TCP proxy to *host*:*port* that holds every piece of data for half a round trip, in order."""

    def __init__(self, host: str, port: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.serving: set[asyncio.Task[Any] | None] = set()
        """Keeps the connections' tasks: the loop alone would let them be collected."""
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server = asyncio.run_coroutine_threadsafe(self._listen(host, port), self.loop).result(10)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.serving.add(asyncio.current_task())
            far_reader, far_writer = await asyncio.open_connection(host, port)
            await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))

        return await asyncio.start_server(serve, "127.0.0.1", 0)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def later(work: Callable[[], None]) -> None:
            self.loop.call_later(ROUND_TRIP_S / 2, work)

        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                later(lambda data=data: writer.is_closing() or writer.write(data))  # type: ignore[misc]
        later(writer.close)


def far_access(near: Access, folder: Path) -> Access:
    """The same cluster and identity through the proxy."""
    config = yaml.safe_load(Path(near.kubeconfig).read_text())
    for entry in config["clusters"]:
        server = urlsplit(entry["cluster"]["server"])
        entry["cluster"]["server"] = f"https://127.0.0.1:{Far(str(server.hostname), int(server.port or 443)).port}"
        entry["cluster"]["tls-server-name"] = "kubernetes.default.svc"
    file = folder / "far"
    file.write_text(yaml.safe_dump(config))
    return Access(near.context, str(file))


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def busy(seconds: float) -> float:
    """The share of all CPUs' time in use over the next *seconds*, 0 to 1."""

    def used_and_all() -> tuple[int, int]:
        ticks = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)

    before = used_and_all()
    time.sleep(seconds)
    used, every = (now - then for now, then in zip(used_and_all(), before, strict=True))
    return used / every


class Field:
    """A namespace with *count* small pods on one kind of node."""

    def __init__(self, api: Api, image: str, kernel: str) -> None:
        self.api, self.image, self.kernel = api, image, kernel
        self.namespace = f"drill-bench-{secrets.token_hex(3)}"
        api.create(
            paths.NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        )
        list(install.install(api, manifests.Wanted((self.namespace,))))

    def sow(self, count: int) -> list[PodRef]:
        """Create *count* pods and wait until they run."""
        home = self._create(count, {})
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            pods = self._pods(home)
            if len(pods) == count and all(pod.status.phase == "Running" for pod in pods):
                return [_ref(pod) for pod in pods]
            time.sleep(1)
        raise SystemExit(f"{count} pods do not run within 300 s: take fewer (--pods)")

    def sow_gated(self, count: int) -> list[objects.Pod]:
        """Create *count* pods that no scheduler may take."""
        return self._pods(self._create(count, {"schedulingGates": [{"name": "drill.dev/bench"}]}))

    def settle(self) -> None:
        """Wait until no helper is left, nothing here is being deleted, and the machine is about idle."""
        every = [paths.all_of("Pod", self.namespace), paths.all_of("Pod", HelperSettings().namespace)]
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            pods = [pod for home in every for pod in self.api.list(home, objects.Pod).items]
            gone = all(pod.alive and pod.metadata.namespace == self.namespace for pod in pods)
            if gone and busy(2.0) < IDLE:
                return
        print("the machine was not idle within 120 s: what comes next is measured beside other work", flush=True)

    def _pods(self, home: str) -> list[objects.Pod]:
        return [each for each in self.api.list(home, objects.Pod, labels="bench=1").items if each.alive]

    def _create(self, count: int, more: dict[str, Any]) -> str:
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "p-", "labels": {"bench": "1"}},
            "spec": {
                "nodeSelector": {"drill.dev/kernel": self.kernel},
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [{"name": "p", "image": self.image, "command": ["sleep", "3600"]}],
                **more,
            },
        }
        home = paths.all_of("Pod", self.namespace)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda _: self.api.create(home, body), range(count)))
        return home

    def delete(self) -> None:
        self.api.delete(paths.namespace(self.namespace))


def _ref(pod: objects.Pod) -> PodRef:
    return PodRef(
        namespace=pod.metadata.namespace, name=pod.name, uid=pod.metadata.uid, node=pod.spec.node_name,
        address=pod.status.pod_ip, port=8080, container="p",
        container_id=pod.status.container_statuses[0].container_id.rpartition("/")[2],
    )  # fmt: skip


def hold_all(agents_of: Callable[[PodRef], Helpers], pods: list[PodRef], backend: Any) -> tuple[float, float]:
    """Seconds until the fault is held in all *pods*, and until it is released in all."""

    def begin(pod: PodRef) -> None:
        fault = PacketFault(backend=backend, port=8080, delay_ms=100)
        agents = agents_of(pod)
        agents.prepare([pod.node])
        agents.hold(HoldFault(injection="b", replica=pod.name, fault=fault, deadline_s=300), pod)

    with ThreadPoolExecutor(THREADS) as pool:
        applied = timed(lambda: list(pool.map(begin, pods)))
        released = timed(lambda: list(pool.map(lambda pod: agents_of(pod).release("b", pod), pods)))
    return applied, released


Work = Callable[[], tuple[float, str]]
"""Does the work once: the seconds it took, and what else is to be said of it."""


def in_turn(field: Field, rounds: int, works: dict[str, Work]) -> Iterator[tuple[str, str]]:
    """Each of *works* once a round, another one first each time; what each took and what it said last."""
    took: dict[str, list[float]] = {name: [] for name in works}
    said = dict.fromkeys(works, "")
    names = list(works)
    for start in range(rounds):
        for name in names[start % len(names) :] + names[: start % len(names)]:
            field.settle()
            seconds, said[name] = works[name]()
            took[name].append(seconds)
    for name, times in took.items():
        yield name, f"{median(times):.1f} s ({min(times):.1f} to {max(times):.1f}){said[name]}"


def faults(field: Field, access: Access, pods: list[PodRef]) -> dict[str, Work]:
    settings = HelperSettings(image=field.image)
    backend = BACKEND[field.kernel]

    def a_node() -> tuple[float, str]:
        one = Helpers(Api(access), settings)
        ready = timed(lambda: one.prepare([pods[0].node]))
        applied, released = hold_all(lambda _: one, pods, backend)
        calls = one._api.calls
        one.close()
        return ready + applied, f", of it helper {ready:.1f}; released {released:.1f} s, {calls} calls"

    def a_pod() -> tuple[float, str]:
        api = Api(access)
        many = {pod.name: Helpers(api, settings) for pod in pods}
        applied, released = hold_all(lambda pod: many[pod.name], pods, backend)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda agents: agents.close(), many.values()))
        return applied, f"; released {released:.1f} s, {api.calls} calls"

    return {"one helper a node": a_node, "one helper a pod": a_pod}


def deletions(field: Field, access: Access, count: int, krkn: str) -> dict[str, Work]:
    home = paths.all_of("Pod", field.namespace)

    def drill() -> tuple[float, str]:
        pods = field.sow_gated(count)
        api = Api(access)
        with ThreadPoolExecutor(THREADS) as pool:
            took = timed(
                lambda: list(pool.map(lambda pod: api.delete(f"{home}/{pod.name}", uid=pod.metadata.uid), pods))
            )
        return took, ""

    works: dict[str, Work] = {
        "drill": drill,
        "chaostoolkit terminate_pods": lambda: peer(field, access, count, sys.executable, CHAOSTOOLKIT),
    }
    if krkn:
        works["krkn-lib delete_pod"] = lambda: peer(field, access, count, krkn, KRKN)
    return works


def peer(field: Field, access: Access, count: int, python: str, program: str) -> tuple[float, str]:
    """What *program* needs for *count* pods, in a process of its own: clients read a kubeconfig once, at import."""
    field.sow_gated(count)
    env = {**os.environ, "KUBECONFIG": access.kubeconfig}
    command = [python, "-c", program, access.kubeconfig, field.namespace]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"the peer failed: {done.stderr.splitlines()[-1]}")
    left = len(field._pods(paths.all_of("Pod", field.namespace)))
    return float(done.stdout.splitlines()[-1]), f"; {left} left" if left else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=50)
    parser.add_argument("--deletions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image", default=HelperSettings().image)
    parser.add_argument("--kernel", choices=sorted(BACKEND), default="host")
    parser.add_argument("--krkn-python", default="", metavar="FILE", help="a Python that has krkn-lib")
    options = parser.parse_args()
    cluster = find(Options(name="drill", export=False), Steps(quiet=True))
    near = Access(cluster.context, str(cluster.kubeconfig))
    field = Field(Api(near), options.image, options.kernel)
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    try:
        with tempfile.TemporaryDirectory() as folder:
            pods = field.sow(options.pods) if options.pods else []
            reached = {"near": near, "far": far_access(near, Path(folder))}
            for name, access in reached.items() if pods else ():
                for who, figure in in_turn(field, options.rounds, faults(field, access, pods)):
                    print(f"{name:5} latency into {len(pods)} pods   {who:28} {figure}", flush=True)
            for pod in pods:
                field.api.delete(paths.one("Pod", field.namespace, pod.name))
            for name, access in reached.items() if options.deletions else ():
                works = deletions(field, access, options.deletions, options.krkn_python)
                for who, figure in in_turn(field, options.rounds, works):
                    print(f"{name:5} {options.deletions} pod deletions     {who:28} {figure}", flush=True)
    finally:
        field.delete()
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
