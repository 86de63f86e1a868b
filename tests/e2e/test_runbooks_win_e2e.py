"""Every shipped scenario is won by its runbook while its fault lasts, none by doing nothing, and a bad one is caught."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(700)]

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(path.stem for path in (ROOT / "scenarios").glob("*.yaml") if "  mitigation:" in path.read_text())
AT_ONCE = 2
"""Sandboxes side by side: as many as the smallest machine has cores."""
Done = subprocess.CompletedProcess[str]


def prove(scenario: str | Path, out: Path, *options: str) -> Done:
    command = [sys.executable, "-m", "drill", "runbook", "prove", str(scenario), "--out", str(out)]
    command += ["--service", "checkout", "--format", "json", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Done]]]:
    out = tmp_path_factory.mktemp("proofs")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        played = {name: pool.submit(prove, name, out / name) for name in SCENARIOS}
        played["unhelpful"] = pool.submit(prove, unhelpful(out), out / "unhelpful")
        played["well anyway"] = pool.submit(prove, well_anyway(out), out / "well-anyway")
        for name in SCENARIOS:
            folder = out / f"nothing-{name}"
            played[f"nothing against {name}"] = pool.submit(prove, name, folder, "--do-nothing")
        yield played


def unhelpful(out: Path) -> Path:
    """Broken on purpose: restarting the caller does not bring the dependency back."""
    text = (
        (ROOT / "scenarios" / "dependency-down.yaml").read_text().replace("cell: fallback-on", "cell: restart-all")
    )
    return written(out / "unhelpful-scenario.yaml", text, "dependency-down")


def well_anyway(out: Path) -> Path:
    """Broken on purpose: what it calls users being well is always true."""
    text = (ROOT / "scenarios" / "high-error-rate.yaml").read_text()
    line = next(one for one in text.splitlines() if one.startswith("mitigated_when:"))
    always = text.replace(line, "mitigated_when: {promql: 'vector(1)', for: 2m}")
    return written(out / "well-anyway-scenario.yaml", always, "high-error-rate")


def written(path: Path, text: str, name: str) -> Path:
    assert f"name: {name}" in text
    path.write_text(text.replace(f"name: {name}", f"name: {path.stem}", 1))
    return path


def proof_of(done: Done) -> dict[str, Any]:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_its_runbook_wins_while_the_fault_lasts(scenario, proofs):
    done = proofs[scenario].result()
    proof = proof_of(done)
    assert (done.returncode, proof["result"]) == (0, "proven"), (proof["why"], done.stderr[-3000:])
    assert proof["alert_after_s"] < proof["mitigated_after_s"] < proof["held_s"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_proof_is_stamped_where_the_policy_looks_and_the_report_tells_the_steps(scenario, proofs):
    done = proofs[scenario].result()
    out = Path(done.args[done.args.index("--out") + 1])
    (stamped,) = (out / "proofs").glob("*.json")
    assert json.loads(stamped.read_text()) == proof_of(done)
    (folder,) = out.glob(f"*-{scenario}")
    report = json.loads((folder / "report.json").read_text())
    outcomes = {step["name"]: step["outcome"] for step in report["steps"]}
    assert outcomes == {**dict.fromkeys(proof_of(done)["cells"], "proven"), "mitigated_when": "proven"}
    assert all(injection["clean"] is True for injection in report["injections"])
    assert any(row["source"] == "people" for row in report["timeline"])


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_doing_nothing_does_not_win(scenario, proofs):
    done = proofs[f"nothing against {scenario}"].result()
    proof = proof_of(done)
    assert (done.returncode, proof["result"]) == (1, "not proven"), (proof, done.stderr[-3000:])
    assert proof["mitigated_after_s"] is None


def test_a_mitigation_that_does_not_help_is_caught(proofs):
    done = proofs["unhelpful"].result()
    proof = proof_of(done)
    assert (done.returncode, proof["result"]) == (1, "not proven"), (proof, done.stderr[-3000:])
    assert "restart-all contradicted" in proof["why"]


def test_a_scenario_that_is_won_by_doing_nothing_is_caught(proofs):
    done = proofs["well anyway"].result()
    assert (done.returncode, proof_of(done)["result"]) == (1, "healed by itself"), done.stderr[-3000:]
