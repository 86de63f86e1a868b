"""The netem backend on a kernel that really has sch_netem: Debian's user-mode-linux, booted on the host's files.

That kernel's nf_tables knows no IPv4, so this is also the proof of selection by tc filter and ipset.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.uml
GUEST = Path(__file__).with_name("uml_guest.py")
REPOSITORY = Path(__file__).resolve().parents[2]


def boot(directory: Path) -> dict[str, object]:
    init = directory / "init"
    init.write_text(f"#!/bin/sh\nexport PYTHONPATH={os.pathsep.join(sys.path)}\nexec {sys.executable} {GUEST}\n")
    init.chmod(0o755)
    options = f"mem=384M root=/dev/root rootfstype=hostfs rootflags=/ ro init={init} uml_dir={directory} quiet"
    done = subprocess.run(
        ["linux.uml", *options.split(), "con=null", "con0=null,fd:1", "con1=null"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(directory), "HOME": str(directory)},
        timeout=120,
    )
    output = done.stdout.decode(errors="replace")
    found: dict[str, object] = {}
    for line in output.splitlines():
        if line.startswith("RESULT "):
            found.update(json.loads(line.removeprefix("RESULT ")))
    assert found.get("done"), output[-3000:]
    return found


def test_netem_delays_loses_spares_and_expires(tmp_path: Path) -> None:
    if not shutil.which("linux.uml"):
        pytest.skip("linux.uml is not installed (package user-mode-linux)")
    if os.geteuid() != 0:
        pytest.skip("the guest's root is the host's user: the files of the virtual environment need root")
    found = boot(tmp_path)
    assert found["plain_ms"] < 20  # type: ignore[operator]
    assert 195 <= found["delayed_ms"] <= 240  # type: ignore[operator]
    assert found["exempt_ms"] < 20  # type: ignore[operator]
    assert "netem" in str(found["tree"])
    assert "parent d110:4" in str(found["tree"])
    assert found["reverted"]["clean"] is True  # type: ignore[index]
    assert found["after_ms"] < 20  # type: ignore[operator]
    assert 6 <= found["lost"] <= 34  # type: ignore[operator]  # binomial(40, 1/2)
    assert found["expired"]
    assert found["same"]
