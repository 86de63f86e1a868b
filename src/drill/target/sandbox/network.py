"""The sandbox's network: a bridge, and one network namespace per pod joined to it by a veth pair.

A namespace belongs to the pod, not to its process: init holds it by a file descriptor, so it outlives restarts.
The texts for ``ip -batch`` are pure; :func:`build` runs them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from drill.target.sandbox import kernel
from drill.target.sandbox.topology import EDGE_ADDRESS, HOST_ADDRESS, PREFIX, places

BRIDGE = "br0"
EDGE = "edge"


def pods() -> dict[str, str]:
    """Every pod (the replicas and the edge) with its address."""
    return {EDGE: EDGE_ADDRESS, **{each.name: each.address for each in places()}}


def bridge_batch(namespaces: Mapping[str, str]) -> str:
    """Lines for ``ip -batch`` that make the bridge and a veth pair into each of *namespaces* (pod to path)."""
    lines = [
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"addr add {HOST_ADDRESS}/{PREFIX} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    for number, path in enumerate(namespaces.values()):
        lines += [
            f"link add pod{number} type veth peer name eth0 netns {path}",
            f"link set pod{number} master {BRIDGE} up",
        ]
    return "\n".join(lines) + "\n"


def pod_batch(address: str) -> str:
    """Lines for ``ip -batch`` inside a pod's namespace."""
    return f"link set lo up\naddr add {address}/{PREFIX} dev eth0\nlink set eth0 up\n"


def without_ipv6() -> None:
    """Keep IPv6 out of the current network namespace: its router and neighbour chatter is only noise here."""
    for scope in ("default", "all"):
        with contextlib.suppress(OSError):  # a kernel without IPv6
            Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")


def new_namespace(home: int) -> int:
    """Make a network namespace and return a file descriptor that keeps it; the caller stays in *home*."""
    kernel.unshare(kernel.CLONE_NEWNET)
    try:
        without_ipv6()
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        kernel.enter_netns(home)


def build(ip: str, home: int) -> dict[str, int]:
    """Make the whole network; return the namespace of each pod. Raises OSError with what ip said."""
    without_ipv6()
    fds = {name: new_namespace(home) for name in pods()}
    _finish(_start(ip, bridge_batch({name: f"/proc/{os.getpid()}/fd/{fd}" for name, fd in fds.items()})))
    started = []
    for name, address in pods().items():
        with kernel.inside_netns(fds[name], home):
            started.append(_start(ip, pod_batch(address)))
    for process in started:
        _finish(process)
    return fds


def _start(ip: str, batch: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [ip, "-batch", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(batch)
    process.stdin.close()
    process.stdin = None  # communicate() must not touch it again
    return process


def _finish(process: subprocess.Popen[str]) -> None:
    _, error = process.communicate(timeout=20)
    if process.returncode != 0:
        raise OSError(f"ip -batch failed: {error.strip()[:500]}")
