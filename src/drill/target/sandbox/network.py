"""The sandbox's network: a bridge, and one network namespace per pod joined to it by a veth pair.

A namespace belongs to the pod, not to its process: init holds it by a file descriptor, so it outlives restarts.
A pod's hardware address follows from its IPv4 address, so a new pod at an old address is met at once, whatever
its neighbours remember. The texts for ``ip -batch`` are pure; :func:`build` and :func:`add` run them.
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


def link_name(address: str) -> str:
    """The bridge's end of the pair of the pod at *address*: ``pod1-2`` for ``10.231.1.2``."""
    return "pod" + "-".join(address.split(".")[2:])


def hardware_address(address: str) -> str:
    """A locally administered MAC address made of the four numbers of *address*."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def pair_lines(address: str, namespace: str) -> list[str]:
    """Lines for ``ip -batch`` that join the namespace at the path *namespace* to the bridge."""
    name = link_name(address)
    peer = f"name eth0 address {hardware_address(address)} netns {namespace}"
    return [f"link add {name} type veth peer {peer}", f"link set {name} master {BRIDGE} up"]


def bridge_batch(namespaces: Mapping[str, str]) -> str:
    """Lines for ``ip -batch`` that make the bridge and a veth pair into each of *namespaces* (address to path)."""
    lines = [
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"addr add {HOST_ADDRESS}/{PREFIX} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    for address, path in namespaces.items():
        lines += pair_lines(address, path)
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
    _finish(_start(ip, bridge_batch({pods()[name]: _path(fd) for name, fd in fds.items()})))
    started = []
    for name, address in pods().items():
        with kernel.inside_netns(fds[name], home):
            started.append(_start(ip, pod_batch(address)))
    for process in started:
        _finish(process)
    return fds


def add(ip: str, home: int, address: str) -> int:
    """Join one more pod at *address*; return its namespace. Raises OSError; nothing is left then."""
    fd = new_namespace(home)
    try:
        _finish(_start(ip, "\n".join(pair_lines(address, _path(fd))) + "\n"))
        with kernel.inside_netns(fd, home):
            started = _start(ip, pod_batch(address))
        _finish(started)
    except BaseException:
        os.close(fd)
        raise
    return fd


def remove(ip: str, address: str, namespace: int) -> None:
    """Take the pod at *address* off the bridge and let its *namespace* go. Raises OSError.

    In this order: with its last holder the kernel removes the pair by itself, at a time of its own.
    """
    _finish(_start(ip, f"link del {link_name(address)}\n"))
    os.close(namespace)


def _path(fd: int) -> str:
    return f"/proc/{os.getpid()}/fd/{fd}"


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
        raise OSError(f"ip -batch failed: {' '.join(error.split())[:500]}")
