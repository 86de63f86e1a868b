"""Guardrails on a real sandbox: each ends a drill that would go too far, and everything it did is taken back."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.freeze import processes
from drill.journal.events import AbortRequested, CleanChecked, InjectionEffective, RunFinished
from drill.journal.journal import read_journal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
SELECTOR = '{sloth_id="checkout-availability"}'


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}


def drill(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "drill", *words], capture_output=True, text=True, timeout=200, check=False,
        env=environment, cwd=ROOT,
    )  # fmt: skip


@pytest.fixture
def sandbox(environment: dict[str, str]) -> Iterator[str]:
    """One of its own for each test: the errors of the last drill would still be in the windows of the next."""
    done = drill(environment, "sandbox", "up")
    (name, *_) = re.findall(r"\b[0-9a-f]{8}\b", done.stdout)
    yield name
    drill(environment, "sandbox", "down", name)


def scenario(folder: Path, guardrails: dict[str, Any], lasts: str = "20m") -> Path:
    """Half of one replica's answers are errors, for as long as nobody ends it."""
    file = folder / "guarded.yaml"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "drill/v1",
                "kind": "Scenario",
                "metadata": {"name": "guarded", "owner": "sre"},
                "hypothesis": "The guardrail is quicker than the fault.",
                "injections": [
                    {"id": "errors", "fault": "http-error", "target": {"service": "checkout", "pods": 1},
                     "with": {"percent": "60%"}, "for": lasts}
                ],
                "expect": {"alerts": [{"match": {"slo": "checkout-availability", "severity": "page"}}]},
                "guardrails": {"max_budget_spend": "100%", **guardrails},
            }
        )
    )  # fmt: skip
    return file


def run(environment: dict[str, str], sandbox: str, file: Path) -> tuple[str, float]:
    """Run it; return why it was aborted and how long the fault was in force. It must have been taken back."""
    out = file.parent / "runs"
    words = ("run", str(file), "--target", f"sandbox:{sandbox}", "--out", str(out), "--force", "--quiet")
    done = drill(environment, *words)
    assert done.returncode == 4, done.stderr
    (journal,) = out.glob("*/journal.jsonl")
    events = read_journal(journal).events
    (abort,) = (event for event in events if isinstance(event, AbortRequested))
    assert abort.by == "guardrail"
    (clean,) = (event for event in events if isinstance(event, CleanChecked))
    assert clean.clean, clean.differences
    assert isinstance(events[-1], RunFinished)
    assert events[-1].undo_complete
    since = next((event.since for event in events if isinstance(event, InjectionEffective)), abort.at)
    return abort.reason, abort.at - since


def test_an_abort_condition_ends_the_drill(environment: dict[str, str], sandbox: str, tmp_path: Path) -> None:
    """abort_if: users suffer more than the scenario allows."""
    query = f"slo:current_burn_rate:ratio{SELECTOR} > 20"
    reason, after = run(environment, sandbox, scenario(tmp_path, {"abort_if": [{"promql": query, "for": "0s"}]}))
    assert query in reason
    assert after < 15


def test_a_spent_budget_ends_the_drill(environment: dict[str, str], sandbox: str, tmp_path: Path) -> None:
    reason, after = run(environment, sandbox, scenario(tmp_path, {"max_budget_spend": "2%"}))
    assert "budget" in reason
    assert after < 19, "the fault would have lasted 20 s"


def test_a_drill_longer_than_its_limit_is_ended(environment: dict[str, str], sandbox: str, tmp_path: Path) -> None:
    reason, after = run(environment, sandbox, scenario(tmp_path, {"max_duration": "12m"}))
    assert "longer than its limit of 12 s" in reason
    assert after < 12


def test_a_drill_that_lost_prometheus_is_ended(environment: dict[str, str], sandbox: str, tmp_path: Path) -> None:
    """A stopped Prometheus answers nothing: after its patience the blind drill ends, long before its fault would."""
    stopped: list[int] = []

    def blind() -> None:
        until = time.monotonic() + 100
        while time.monotonic() < until:
            for journal in tmp_path.glob("runs/*/journal.jsonl"):
                if any(isinstance(event, InjectionEffective) for event in read_journal(journal).events):
                    stopped.extend(processes(sandbox, "prometheus"))
                    for pid in stopped:
                        os.kill(pid, signal.SIGSTOP)
                    return
            time.sleep(0.1)

    thread = threading.Thread(target=blind)
    thread.start()
    try:
        reason, after = run(environment, sandbox, scenario(tmp_path, {"max_duration": "2h"}, lasts="90m"))
    finally:
        thread.join()
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert stopped
    assert "Prometheus has not answered" in reason
    assert after < 60, "the fault would have lasted 90 s"


@pytest.mark.parametrize(
    ("guardrails", "said"),
    [
        ({"max_blast_radius": "10%"}, "faults 1 of 3 replicas"),
        ({"max_budget_spend": "0%"}, "of an error budget"),
        ({"max_duration": "1m"}, "the limit is"),
    ],
)
def test_a_plan_beyond_its_limits_never_starts(
    environment: dict[str, str], tmp_path: Path, guardrails: dict[str, Any], said: str
) -> None:
    out = tmp_path / "runs"
    done = drill(environment, "run", str(scenario(tmp_path, guardrails)), "--out", str(out))
    assert done.returncode == 2
    assert said in done.stderr
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("protect: ['sandbox/checkout']", "is protected"),
        ("freeze: [{from: 2020-01-01T00:00:00Z, until: 2100-01-01T00:00:00Z, targets: ['*']}]", "a freeze in"),
    ],
)
def test_what_a_site_forbids_never_starts(
    environment: dict[str, str], tmp_path: Path, rule: str, said: str
) -> None:
    (tmp_path / "safety.yaml").write_text(rule)
    here = {**environment, "DRILL_SAFETY": str(tmp_path / "safety.yaml")}
    done = drill(here, "run", str(scenario(tmp_path, {})), "--out", str(tmp_path / "runs"), "--force")
    assert done.returncode == 4, done.stderr
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()
