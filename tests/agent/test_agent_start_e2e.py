"""The agent as it is shipped elsewhere: as a zip file, and without root in a user namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
REPOSITORY = Path(__file__).resolve().parents[2]
NOBODY = 65534
ROOTLESS = "(every_ending and kill) or killed_together or is_accurate or txqlen"


def test_runs_from_a_zip_file_with_the_standard_library_alone(tmp_path: Path) -> None:
    archive = tmp_path / "agent.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in [REPOSITORY / "src/drill/__init__.py", *sorted((REPOSITORY / "src/drill/agent").glob("*.py"))]:
            out.write(path, path.relative_to(REPOSITORY / "src"))
    done = subprocess.run(
        [sys.executable, "-S", "-m", "drill.agent", "abilities"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(archive)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["nft"] == ""


def test_network_faults_hold_and_end_without_root() -> None:
    """The same tests again, as root of a user namespace that ``nobody`` made."""
    pythons = [path for path in (sys.executable, "/usr/bin/python3") if _usable(path)]
    if not pythons:
        pytest.skip("no Python that another user may run, or no user namespaces")
    tests = str(Path(__file__).with_name("test_agent_network_e2e.py"))
    done = subprocess.run(
        [*_unshared(pythons[0]), "-m", "pytest", "-p", "no:cacheprovider", "-q", tests, "-k", ROOTLESS],
        cwd=REPOSITORY,
        timeout=150,
        **_as_nobody(),
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def _unshared(python: str) -> list[str]:
    return ["unshare", "-Urnmpf", "--mount-proc", "--kill-child", python]


def _as_nobody() -> dict[str, object]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/tmp", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return {
        "user": NOBODY,
        "group": NOBODY,
        "extra_groups": [],
        "env": environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def _usable(python: str) -> bool:
    command = [*_unshared(python), "-c", "import pytest, drill.agent"]
    try:
        return subprocess.run(command, cwd=REPOSITORY, timeout=30, **_as_nobody()).returncode == 0  # type: ignore[call-overload]
    except OSError:
        return False
