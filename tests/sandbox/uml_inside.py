"""Runs as root inside user-mode-linux: loads modules, mounts cgroup v2, starts a sandbox, prints what it saw.

Not a test by itself; ``test_sandbox_cgroup2_uml.py`` starts it and reads its one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import sys
import time
from pathlib import Path
from typing import Any

MODULES = ("bridge", "veth")
FINIT_MODULE = 313  # x86_64; glibc has no function for it


def load(name: str, index: dict[str, Path]) -> None:
    """Load a kernel module after those it depends on; built-in ones are no file."""
    path = index.pop(name.replace("-", "_"), None)
    if path is None:
        return
    depends = re.search(rb"\0?depends=([^\0]*)\0", path.read_bytes())
    for other in depends[1].decode().split(",") if depends and depends[1] else []:
        load(other, index)
    fd = os.open(path, os.O_RDONLY)
    ctypes.CDLL(None).syscall(FINIT_MODULE, fd, b"", 0)
    os.close(fd)


def prepare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, place in (("sysfs", "/sys"), ("tmpfs", "/tmp"), ("tmpfs", "/run"), ("cgroup2", "/sys/fs/cgroup")):
        if libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None) != 0:
            raise OSError(ctypes.get_errno(), f"mount {place}")
    tree = Path("/usr/lib/uml/modules") / platform.release() / "kernel"
    index = {path.stem.replace("-", "_"): path for path in tree.rglob("*.ko")}
    for name in MODULES:
        load(name, index)
    os.system("ip link set lo up")


def trial() -> dict[str, Any]:
    from drill.core.actions import CpuFault, HoldFault, MemoryFault, ReleaseFault
    from drill.core.probes import Probe, ProbeKind
    from drill.target.sandbox import Sandbox, SandboxSpec, leftovers

    quiet = dict.fromkeys(("checkout", "payment", "catalog", "cart", "recommendations"), 1.0)
    spec = SandboxSpec("groups: []\n", "route: {receiver: log}\nreceivers: [{name: log}]\n", rates=quiet)
    sandbox = Sandbox.start(spec)

    def value(kind: ProbeKind) -> float:
        return sandbox.measure(Probe(kind=kind, replica="cart-0")).value

    def hold(fault: CpuFault | MemoryFault) -> None:
        sandbox.execute(HoldFault(injection="t", replica="cart-0", fault=fault, deadline_s=90))

    group = Path(f"/sys/fs/cgroup/drill-sandbox-{sandbox.id}/cart-0")
    seen: dict[str, Any] = {"missing": sandbox.status()["missing"], "memory_ratio": value("memory_ratio")}
    seen |= {name: (group / name).read_text().strip() for name in ("cpu.max", "memory.max", "memory.oom.group")}
    hold(CpuFault(workers=2))
    time.sleep(2)
    seen["throttled_ratio"] = value("throttled_ratio")
    sandbox.execute(ReleaseFault(injection="t", replica="cart-0"))
    hold(MemoryFault(size_bytes=100 * 2**20, oom=True))
    until = time.monotonic() + 60
    while value("starts") < 2 and time.monotonic() < until:
        time.sleep(0.5)
    seen |= {"oom_kills": value("oom_kills"), "starts": value("starts")}
    sandbox.execute(ReleaseFault(injection="t", replica="cart-0"))
    sandbox.close()
    return {**seen, "left": leftovers.left_of(sandbox.id), "group": group.parent.exists()}


def main() -> None:
    try:
        prepare()
        result: dict[str, Any] = trial()
    except Exception as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print("RESULT " + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
