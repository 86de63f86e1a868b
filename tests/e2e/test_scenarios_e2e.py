"""Every shipped scenario on the real sandbox: real faults page, and without their effect nothing ever passes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from drill.cli import wiring
from drill.cli.settings import RunSettings
from drill.core.clock import parse_rfc3339
from drill.target.sandbox.sandbox import Sandbox

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(path.stem for path in (ROOT / "scenarios").glob("*.yaml"))
AT_ONCE = 2
"""Sandboxes side by side: as many as the smallest machine has cores."""


def sets(scenario: str) -> dict[str, str]:
    return {"service": "checkout"} if scenario == "latency-spike" else {}


def run_cli(scenario: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "drill", "run", scenario, "--out", str(out), "--format", "json"]
    command += [f"--set={name}={value}" for name, value in sets(scenario).items()]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Future[subprocess.CompletedProcess[str]]]]:
    out = tmp_path_factory.mktemp("runs")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(run_cli, name, out / name) for name in SCENARIOS}


def report_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_page_fires_inside_its_prediction_is_delivered_and_resolves(scenario, runs):
    done = runs[scenario].result()
    report = report_of(done)
    assert (done.returncode, report["verdict"], report["reasons"]) == (0, "pass", []), report["headline"]
    assert report["alerts"]
    for alert in report["alerts"]:
        assert alert["verdict"] == "ON_TIME"
        earliest, firing, latest = (
            parse_rfc3339(text)
            for text in (alert["predicted"]["earliest"], alert["firing_at"], alert["predicted"]["latest"])
        )
        assert earliest <= firing <= latest
        assert alert["receivers"] == ["pagerduty"]
        assert firing <= parse_rfc3339(alert["delivered_at"]) <= parse_rfc3339(alert["resolved_at"])
    assert report["unexpected_alerts"] == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_fault_was_measured_and_left_nothing(scenario, runs):
    report = report_of(runs[scenario].result())
    for injection in report["injections"]:
        assert injection["clean"] is True
        assert injection["effect"]["measured"] is not None
        assert parse_rfc3339(injection["applied_at"]) < parse_rfc3339(injection["reverted_at"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_leaves_all_its_files_and_the_report_keeps_its_contract(scenario, runs):
    done = runs[scenario].result()
    report = report_of(done)
    (folder,) = Path(done.args[done.args.index("--out") + 1]).glob(f"*-{scenario}")
    names = {path.name for path in folder.iterdir()}
    assert names == {"plan.json", "journal.jsonl", "report.json", "report.md", "report.html", "junit.xml"}
    jsonschema.validate(report, json.loads((ROOT / "schemas/report.v1.json").read_text()))
    assert json.loads((folder / "report.json").read_text()) == report


def suppressed(scenario: str, out: Path) -> str:
    settings = RunSettings(sets=sets(scenario), out=out)
    compiled = wiring.compile_plan(scenario, settings)
    return wiring.run(compiled, settings, lambda _: None, threading.Event()).report.verdict


def test_without_the_effect_of_its_fault_no_scenario_passes(tmp_path, monkeypatch):
    """Everything is real but the deed: the target says it was done and does nothing."""
    monkeypatch.setattr(Sandbox, "execute", lambda self, action: time.time())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = dict(
            zip(SCENARIOS, pool.map(lambda name: suppressed(name, tmp_path / name), SCENARIOS), strict=True)
        )
    assert set(verdicts.values()) <= {"unknown", "fail"}, verdicts
