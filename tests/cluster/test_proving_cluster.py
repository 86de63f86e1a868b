"""A runbook is proven at a cluster by this machine's kubectl: as a rule allows it, while the fault is in place, and back again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.shop import NAMESPACE, Said, Shop, shop
from drill.target.kubernetes import objects, paths
from drill.target.kubernetes.api import Api

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(280)]
SERVICE = "recommendations"
PROVE = ("runbook", "prove", "high-error-rate", "--service", SERVICE, "--set", "percent=100%", "--format", "json")
RULE = "kind-drill: kubectl -n shop label pod recommendations-* app=recommendations* --overwrite"


@pytest.fixture(scope="module")
def demo(admin_api: Api) -> Iterator[Shop]:
    yield from shop(admin_api)


def prove(demo: Shop, folder: Path, rules: list[str], *words: str) -> Said:
    safety = folder / "safety.yaml"
    safety.write_text(json.dumps({"runbooks": rules}))
    own = {"DRILL_SAFETY": str(safety), "XDG_STATE_HOME": str(folder / "state")}
    return demo.drill(*PROVE, *words, "--out", str(folder), cwd=folder, env=own)


def pods(demo: Shop) -> set[str]:
    listed = demo.admin.list(paths.all_of("Pod", NAMESPACE), objects.Pod, labels=f"app={SERVICE}")
    return {pod.name for pod in listed.items if pod.alive}


def test_without_a_rule_the_command_is_named_and_nothing_is_touched(demo: Shop, tmp_path: Path) -> None:
    before = demo.state(NAMESPACE)
    said = prove(demo, tmp_path, ["kind-drill: kubectl -n shop get *"], "--yes")
    assert said.code == 4, said
    assert "no rule allows `kubectl -n shop label pod recommendations-* app=recommendations-quarantine" in said.err
    assert "in safety.yaml: runbooks:" in said.err
    assert demo.state(NAMESPACE) == before


def test_nobody_is_there_to_be_asked_and_nothing_is_touched(demo: Shop, tmp_path: Path) -> None:
    before = demo.state(NAMESPACE)
    said = prove(demo, tmp_path, [RULE])
    assert (said.code, "--yes" in said.err) == (2, True), said
    assert demo.state(NAMESPACE) == before


def test_the_runbook_wins_at_the_cluster_while_its_fault_lasts_and_is_taken_back(
    demo: Shop, tmp_path: Path
) -> None:
    there = pods(demo)
    said = prove(demo, tmp_path, [RULE], "--yes")
    proof: dict[str, Any] = json.loads(said.out)
    assert (said.code, proof["result"]) == (0, "proven"), said
    assert proof["alert_after_s"] < proof["mitigated_after_s"] < proof["held_s"]
    assert proof["target"] == demo.cluster.context
    (run,) = tmp_path.glob("*-high-error-rate")
    steps = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    assert [(step["name"], step["outcome"]) for step in steps[:2]] == [
        ("take-out", "proven"),
        ("mitigated_when", "proven"),
    ]
    assert steps[2]["name"] == "put-back"
    assert there & pods(demo), "the replica that was taken out has its label again"
    report = json.loads((run / "report.json").read_text())
    assert all(injection["clean"] is True for injection in report["injections"])
