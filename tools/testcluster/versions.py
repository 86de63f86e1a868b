"""Which versions: all stand in our go.mod files; here they are read, and turned into what programs call them.

Pure but for reading the files. Refuses a go.mod that does not pin what is asked for.
"""

from __future__ import annotations

import re
from pathlib import Path

from testcluster.steps import Failed

HERE = Path(__file__).parent
SERVERS = HERE.parent / "servers"

# Debian's release for the nodes: its systemd 252 still starts on cgroup v1, trixie's does not.
SUITE = "bookworm"


def pinned(go_mod: Path, module: str) -> str:
    """Return the version that *go_mod* requires of *module*, such as ``v1.34.4``. Raises Failed if it does not."""
    line = re.compile(rf"^(?:require\s+|\t){re.escape(module)}\s+(v\S+)", re.MULTILINE)
    found = line.search(go_mod.read_text())
    if found is None:
        raise Failed(f"{go_mod} does not pin {module}")
    return found.group(1)


def kubernetes() -> str:
    """The Kubernetes version of the test cluster, with its ``v``."""
    return pinned(HERE / "go.mod", "k8s.io/kubernetes")


def prometheus_release(module_version: str) -> str:
    """Return the release that a version of Prometheus's module is: ``v0.316.0`` is 3.16.0, ``v0.55.1`` is 2.55.1.

    Source: Prometheus's README, "Prometheus code base": v0.3xx.y is release 3.xx.y; before that v0.yy.z was 2.yy.z.
    """
    found = re.fullmatch(r"v0\.(\d+)\.(\d+)", module_version)
    if found is None:
        raise Failed(f"{module_version} is not a version of the Prometheus module")
    minor, patch = int(found.group(1)), int(found.group(2))
    return f"3.{minor - 300}.{patch}" if minor >= 300 else f"2.{minor}.{patch}"
