"""What install creates: the fewest rights, the reason beside each, and the same text in deploy/rbac."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from drill.target.kubernetes import manifests, marks, paths
from drill.target.kubernetes.manifests import Wanted
from drill.target.kubernetes.rbac import RULES, Rule, single

KEPT = Path(__file__).parents[2] / "deploy" / "rbac" / "drill.yaml"
EVERYTHING = Wanted(("shop",), nodes=True)


def test_the_text_in_deploy_is_what_install_prints():
    said = "drill k8s install --namespace shop --nodes --print > deploy/rbac/drill.yaml"
    assert KEPT.read_text() == manifests.text(EVERYTHING), f"run: {said}"


def test_the_text_means_what_is_applied():
    printed = list(yaml.safe_load_all(manifests.text(EVERYTHING)))
    for one in (applied := manifests.objects(EVERYTHING)):
        one["metadata"].pop("annotations", None)
    assert printed == applied


def test_only_drills_own_namespace_is_privileged():
    levels = [
        (one["metadata"]["name"], key)
        for one in manifests.objects(EVERYTHING)
        for key, value in one["metadata"]["labels"].items()
        if value == "privileged"
    ]
    assert {name for name, _ in levels} == {paths.SYSTEM}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.title)
def test_no_right_is_a_wildcard_or_reads_a_secret(rule: Rule):
    words = {rule.group, rule.resource, *rule.verbs}
    assert "*" not in words
    assert "secret" not in rule.resource
    assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(rule.verbs)
    assert rule.why


def test_no_right_is_listed_twice():
    every = [(one.where, one.title, one.verbs) for one in single()]
    assert len(every) == len(set(every))


def test_rights_in_targets_are_bound_in_them_and_nowhere_else():
    bindings = [one for one in manifests.objects(Wanted(("shop", "bank"))) if one["kind"].endswith("Binding")]
    places = {one["metadata"]["name"]: one["metadata"].get("namespace", "") for one in bindings}
    assert places["drill-cluster"] == ""
    assert [b["metadata"]["namespace"] for b in bindings if b["roleRef"]["name"] == "drill-target"] == [
        "shop",
        "bank",
    ]
    assert "drill-nodes" not in places


def test_helper_pods_are_given_no_rights():
    subjects = [s["name"] for one in manifests.objects(EVERYTHING) for s in one.get("subjects", ())]
    assert set(subjects) == {manifests.RUNNER}


def test_drills_own_namespace_is_protected_from_drills():
    assert paths.SYSTEM in marks.PROTECTED
