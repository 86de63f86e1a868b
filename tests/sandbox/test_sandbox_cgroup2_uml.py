"""The sandbox on a kernel with cgroup v2 only: a user-mode-linux that runs on this machine's files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drill.target.sandbox import programs

pytestmark = [pytest.mark.e2e, pytest.mark.uml, pytest.mark.timeout(400)]

INIT = """#!/bin/sh
export PATH={path} HOME={home}
mount -t proc proc /proc
cd /
{python} {inside}
sync
halt -f 2>/dev/null || poweroff -f 2>/dev/null || reboot -f
"""


@pytest.fixture
def seen(tmp_path: Path) -> dict[str, Any]:
    linux = shutil.which("linux.uml") or shutil.which("linux")
    if linux is None or not list(Path("/usr/lib/uml/modules").glob("*/kernel/net/bridge")):
        pytest.skip("user-mode-linux is not installed (package user-mode-linux)")
    if os.getuid() != 0:
        pytest.skip("root's files in user-mode-linux are those of this user: run as root")
    if Path(__file__).is_relative_to("/tmp") or Path(sys.prefix).is_relative_to("/tmp"):
        pytest.skip("the guest has a /tmp of its own, which hides a checkout below /tmp")
    if programs.missing(essential_only=True):
        programs.fetch([each.name for each in programs.missing(essential_only=True)])
    init = tmp_path / "init.sh"
    inside = Path(__file__).with_name("uml_inside.py")
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    init.write_text(INIT.format(path=path, home=Path.home(), python=sys.executable, inside=inside))
    init.chmod(0o755)
    command = [linux, "mem=1500M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", f"init={init}"]
    done = subprocess.run(
        [*command, "con=null", "con0=fd:0,fd:1", "quiet"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
        errors="replace",
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stdout[-2000:]
    result: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


def test_cgroup_v2_limits_throttle_kill_the_whole_group_and_vanish(seen: dict[str, Any]) -> None:
    assert "error" not in seen, seen
    assert seen["missing"] == {}
    assert (seen["cpu.max"], seen["memory.max"], seen["memory.oom.group"]) == ("20000 100000", "67108864", "1")
    assert 0.0 < seen["memory_ratio"] < 1.0
    assert seen["throttled_ratio"] > 0.2
    assert seen["oom_kills"] >= 1
    assert seen["starts"] >= 2
    assert seen["left"] == []
    assert not seen["group"]
