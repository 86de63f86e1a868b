"""Chaos Toolkit and drill at a real cluster: an exported experiment that `chaos run` plays, a driver as a fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.shop import NAMESPACE, Shop, shop
from drill.target.kubernetes.api import Api

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
LOST_PODS = """
apiVersion: drill/v1
kind: Scenario
metadata: {name: lost-pods, title: Pods are lost at once, owner: sre}
hypothesis: Pods that vanish without a word are paged for while users still look for them.
injections:
  - id: lost
    fault: k8s/terminate_pods
    target: {service: checkout, pods: 100%}
    with: {label_selector: app=checkout, ns: shop, all: true, grace_period: 0}
    for: 10m
expect:
  alerts:
    - match: {slo: checkout-availability, severity: page}
      error_ratio: [20%, 100%]
      receiver: pagerduty
      resolves: {within: 60m}
  nothing_else: null
guardrails: {max_blast_radius: 100%, max_budget_spend: 100%, max_duration: 2h}
"""


@pytest.fixture(scope="module")
def demo(admin_api: Api) -> Iterator[Shop]:
    yield from shop(admin_api)


def test_an_exported_experiment_is_valid_and_chaos_run_plays_it_at_the_cluster(demo: Shop, tmp_path: Path) -> None:
    """The experiment is met: a real alert fired in its interval, was delivered, and nothing else fired."""
    made = demo.drill(
        "export", "chaostoolkit", "latency-spike", "--service", "checkout", "-o", "e.json", cwd=tmp_path
    )
    assert made.code == 0, made
    before = demo.state(NAMESPACE)
    for words in (["validate", "e.json"], ["run", "e.json"]):
        said = demo.call("chaos", *words, cwd=tmp_path)
        assert said.code == 0, said
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    (run,) = (tmp_path / "drill-runs").iterdir()
    report = json.loads((run / "report.json").read_text())
    assert (report["verdict"], report["target"]) == ("pass", demo.cluster.context)
    assert demo.state(NAMESPACE) == before


def test_a_driver_of_chaos_toolkit_is_a_fault_of_drill_run(demo: Shop, tmp_path: Path) -> None:
    """All pods of checkout are deleted without grace: proven by their UIDs, paged, and as many are there again."""
    (tmp_path / "lost-pods.yaml").write_text(LOST_PODS)
    said = demo.drill("run", "lost-pods.yaml", "--yes", "--allow-activities", cwd=tmp_path)
    (run,) = (tmp_path / "drill-runs").iterdir()
    report = json.loads((run / "report.json").read_text())
    kept = Path("/tmp/lost-pods-report")
    shutil.rmtree(kept, ignore_errors=True)
    assert report["clean"] is True, said
    assert said.code == 0, said
