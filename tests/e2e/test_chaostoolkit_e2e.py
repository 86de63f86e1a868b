"""Chaos Toolkit both ways in a real sandbox: `chaos run` plays an exported drill; a drill runs Chaos Toolkit's actions."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drill.journal.events import CleanChecked, InjectionEffective, Recovered
from drill.journal.journal import read_journal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
FREEZE = ROOT / "tests" / "activities" / "freeze.py"
CHAOS = Path(sys.executable).with_name("chaos")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}


@pytest.fixture
def sandbox(state: dict[str, str]) -> Iterator[str]:
    """The name of a sandbox kept as `drill sandbox up` keeps it; a young one, in which nothing fires yet."""
    done = drill(state, "sandbox", "up", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (name, *_) = re.findall(r"\b[0-9a-f]{8}\b", done.stdout)
    yield name
    drill(state, "sandbox", "down", name, cwd=ROOT)


def drill(state: dict[str, str], *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "drill", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=state, cwd=cwd)


def test_an_exported_drill_is_valid_and_chaos_run_plays_it(
    state: dict[str, str], sandbox: str, tmp_path: Path
) -> None:
    """The experiment is met: the alert fired in its interval, was delivered, and nothing else fired."""
    drill(state, "export", "chaostoolkit", "latency-spike", "--service", "checkout", "-o", "lat.json", cwd=tmp_path)
    environment = {**state, "DRILL_TARGET": f"sandbox:{sandbox}"}
    for words in (["validate", "lat.json"], ["run", "lat.json"]):
        done = subprocess.run(
            [str(CHAOS), *words], capture_output=True, text=True, timeout=240, check=False, env=environment, cwd=tmp_path
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    (run,) = (tmp_path / "drill-runs").iterdir()
    assert json.loads((run / "report.json").read_text())["verdict"] == "pass"


def frozen(sandbox: str, folder: Path) -> Path:
    """A scenario whose fault is a driver of the tests' own, at one of three replicas."""

    def call(what: str, **more: Any) -> dict[str, Any]:
        arguments = [str(FREEZE), what, sandbox, "$${drill_replica}"]
        return {"provider": {"type": "process", "path": sys.executable, "arguments": arguments}, **more}

    look = ["-c", f"import subprocess as s, sys; print(*(s.run([sys.executable, {str(FREEZE)!r}, 'look', {sandbox!r},"
                  " f'checkout-{n}'], capture_output=True, text=True).stdout.split() for n in range(3)))"]  # fmt: skip
    probe = {
        "provider": {"type": "process", "path": sys.executable, "arguments": look},
        "tolerance": {"type": "regex", "pattern": "T", "target": "stdout"},
    }
    scenario = {
        "apiVersion": "drill/v1",
        "kind": "Scenario",
        "metadata": {"name": "frozen", "owner": "sre"},
        "hypothesis": "Replicas that hang page the owner.",
        "injections": [
            {
                "id": "hang",
                "fault": "chaostoolkit",
                "target": {"service": "checkout", "pods": 1},
                "with": {"action": call("stop"), "undo": call("continue"), "probe": probe, "each": "replica"},
                "for": "9m",
            }
        ],
        "expect": {
            "alerts": [
                {"match": {"slo": "checkout-availability", "severity": "page"}, "fires": {"within": "15m"},
                 "error_ratio": ["15%", "45%"], "receiver": "pagerduty"}
            ],
            "nothing_else": None,
        },
        "guardrails": {"max_blast_radius": "100%"},
    }  # fmt: skip
    file = folder / "frozen.yaml"
    file.write_text(json.dumps(scenario))
    return file


def test_an_action_of_chaos_toolkit_is_a_fault_like_any_other(
    state: dict[str, str], sandbox: str, tmp_path: Path
) -> None:
    """Refused without a rule; with one it is done at each replica, proven, judged by the alert and taken back."""
    file = frozen(sandbox, tmp_path)
    words = ("run", str(file), "--target", f"sandbox:{sandbox}", "--yes", "--format", "json")
    refused = drill(state, *words, cwd=tmp_path)
    assert refused.returncode == 4
    assert "no rule allows" in refused.stderr
    done = drill(state, *words, "--allow-activities", cwd=tmp_path)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"] == "pass", report["reasons"]
    (run,) = (tmp_path / "drill-runs").iterdir()
    clean = [e for e in read_journal(run / "journal.jsonl").events if isinstance(e, CleanChecked)]
    assert [one.clean for one in clean] == [True]


def test_after_kill_9_the_guard_takes_it_back_and_recover_says_so(
    state: dict[str, str], sandbox: str, tmp_path: Path
) -> None:
    file = frozen(sandbox, tmp_path)
    command = [
        sys.executable,
        "-m",
        "drill",
        "run",
        str(file),
        "--target",
        f"sandbox:{sandbox}",
        "--allow-activities",
    ]
    runner = subprocess.Popen(
        [*command, "--quiet"], env=state, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        run = effective(tmp_path / "drill-runs")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()
    killed = time.monotonic()
    while "T" in looked(sandbox):
        assert time.monotonic() - killed < 30, "the guard did not take it back"
        time.sleep(0.2)
    done = drill(state, "recover", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    last = read_journal(run / "journal.jsonl").events[-1]
    assert isinstance(last, Recovered)
    assert len(last.undone) == 1
    assert not last.remaining


def effective(runs: Path) -> Path:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for path in runs.glob("*/journal.jsonl"):
            if any(isinstance(event, InjectionEffective) for event in read_journal(path).events):
                return path.parent
        time.sleep(0.1)
    raise AssertionError("no injection was in effect")


def looked(sandbox: str) -> str:
    states = [
        subprocess.run(
            [sys.executable, str(FREEZE), "look", sandbox, f"checkout-{number}"],
            capture_output=True, text=True, timeout=20, check=True,
        ).stdout
        for number in range(3)
    ]  # fmt: skip
    return "".join(states)
