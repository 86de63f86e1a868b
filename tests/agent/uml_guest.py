"""First process of a user-mode-linux kernel: measures the agent's netem backend, prints the figures, halts.

Run by test_agent_uml.py as ``init=``; the host's files are its root, read-only.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = (
    "veth",
    "sch_prio",
    "sch_htb",
    "sch_netem",
    "cls_basic",
    "em_cmp",
    "em_u32",
    "em_ipset",
    "ip_set_bitmap_port",
)


def mount(kind: str, place: str) -> None:
    if libc.mount(b"drill", place.encode(), kind.encode(), 0, None):
        raise OSError(ctypes.get_errno(), f"mount {place}")


def load_modules() -> None:
    """What modprobe would do; there is none on a small machine."""
    base = Path("/usr/lib/uml/modules") / os.uname().release
    needs = {}
    for line in (base / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[Path(path).stem] = [path, *others.split()]
    loaded: set[str] = set()
    for name in MODULES:
        for path in reversed(needs.get(name, [])):
            if path not in loaded:
                loaded.add(path)
                handle = os.open(base / path, os.O_RDONLY)
                libc.syscall(313, handle, b"", 0)  # finit_module on x86_64
                os.close(handle)


def say(**figures: object) -> None:
    print("RESULT " + json.dumps(figures), flush=True)


def measure() -> None:
    sys.path.insert(0, str(REPOSITORY / "tests" / "agent"))
    import conftest

    lab = conftest.Lab()
    say(plain_ms=statistics.median(lab.connect_ms() for _ in range(5)), snapshot_at=time.monotonic())
    before = lab.snapshot()
    spec = {"kind": "packet", "backend": "netem", "port": 8080, "delay_ms": 200, "exempt": ["10.77.0.3"]}
    holder = conftest.Holder(spec, "--netns", lab.victim.path, ttl=20, deadline=60, lease=40)
    say(applied=holder.event("applied", 40))
    say(delayed_ms=statistics.median(lab.connect_ms(timeout=3) for _ in range(5)))
    say(exempt_ms=statistics.median(lab.connect_ms("10.77.0.3") for _ in range(5)))
    say(tree=lab.victim.run("tc qdisc show dev v0"))
    holder.hang_up()
    say(reverted=holder.event("reverted", 20))
    say(after_ms=statistics.median(lab.connect_ms() for _ in range(5)), same=lab.snapshot() == before)
    spec = {"kind": "packet", "backend": "netem", "port": 8080, "loss_percent": 50}
    holder = conftest.Holder(spec, "--netns", lab.victim.path, ttl=4, deadline=60, lease=40)
    holder.event("applied", 40)
    say(lost=sum(lab.connect_ms(timeout=0.25) is None for _ in range(40)))
    holder.kill_family()
    conftest.wait_until(lambda: all(lab.connect_ms(timeout=0.25) is not None for _ in range(8)), 12)
    say(expired=True, removed=lab.clear()["removed"], same=lab.snapshot() == before)


def main() -> None:
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", TMPDIR="/run", PYTHONDONTWRITEBYTECODE="1")
    try:
        for kind, place in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")):
            mount(kind, place)
        os.environ["PYTHONPATH"] = str(REPOSITORY / "src")
        load_modules()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        measure()
        say(done=True)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
    finally:
        sys.stdout.flush()
        libc.reboot(0x4321FEDC)  # power off: ends the linux.uml process


if __name__ == "__main__":
    main()
