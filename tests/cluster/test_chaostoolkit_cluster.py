"""Chaos Toolkit and drill at a real cluster: an exported experiment that `chaos run` plays, a driver as a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.shop import NAMESPACE, Said, Shop, shop
from drill.target.kubernetes import objects, paths
from drill.target.kubernetes.api import Api

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
SCENARIO = """
apiVersion: drill/v1
kind: Scenario
metadata: {{name: by-a-driver, title: A driver of Chaos Toolkit, owner: sre}}
hypothesis: What a driver does is proven, paged for where users notice it, and taken back.
injections:
  - id: driven
    fault: {fault}
    target: {{service: {service}, pods: 1}}
    with: {{{given}}}
    for: 8m
expect:
  alerts:
    - match: {{slo: {service}-availability, severity: page}}
      error_ratio: [{low}%, 100%]
      resolves: {{within: 60m}}
  nothing_else: {{allow: [{{severity: ticket}}, {{severity: log}}]}}
guardrails: {{max_blast_radius: 100%, max_budget_spend: 100%, max_duration: 2h}}
"""
SCALED = {"fault": "k8s/scale_deployment", "given": "name: recommendations, replicas: 0, ns: shop", "low": 90}
LOST = {
    "fault": "k8s/terminate_pods",
    "given": "label_selector: app=recommendations, ns: shop, qty: 1, grace_period: 0",
    "low": 80,
}


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


def driven(demo: Shop, folder: Path, values: dict[str, Any]) -> tuple[Said, dict[str, Any]]:
    """Run a scenario of one driver; return what was said, and the report."""
    (folder / "driver.yaml").write_text(SCENARIO.format(service="recommendations", **values))
    said = demo.drill("run", "driver.yaml", "--yes", "--allow-activities", cwd=folder)
    found = list((folder / "drill-runs").glob("*/report.json"))
    assert len(found) == 1, said
    report: dict[str, Any] = json.loads(found[0].read_text())
    return said, report


def test_a_driver_of_chaos_toolkit_is_a_fault_that_pages(demo: Shop, tmp_path: Path) -> None:
    """A deployment is scaled to nothing by chaostoolkit-kubernetes: paged for inside its time, and as big as before."""
    before = demo.state(NAMESPACE)
    said, report = driven(demo, tmp_path, SCALED)
    assert said.code == 0, f"{said}\n{report}"
    assert (report["verdict"], [one["clean"] for one in report["injections"]]) == ("pass", [True])
    assert {key for key in demo.state(NAMESPACE) if "Deployment" in key} == {
        key for key in before if "Deployment" in key
    }


def test_a_lost_pod_is_proven_by_its_uid_and_replaced_whether_users_notice_or_not(
    demo: Shop, tmp_path: Path
) -> None:
    """``terminate_pods`` takes the pod's address away at once: users may get no error, and then no page is right."""
    said, report = driven(demo, tmp_path, LOST)
    assert said.code in (0, 1), f"{said}\n{report}"
    (injection,) = report["injections"]
    assert injection["clean"] is True
    assert injection["effective_at"], injection
    listed = demo.admin.list(paths.all_of("Pod", NAMESPACE), objects.Pod, labels="app=recommendations").items
    assert sum(pod.ready for pod in listed) == 3
