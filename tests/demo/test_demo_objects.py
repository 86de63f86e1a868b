"""The demo's objects: what faults need of them, what PodSecurity asks, and that both ways to apply them agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from drill.cli.demo import Chosen, differing, files, node_selectors
from drill.core.errors import UsageError
from drill.target.demo import deploy, layout, monitoring
from drill.target.demo.spec import IMAGE, MONITORING_IMAGE, PART_OF
from drill.target.sandbox.topology import METRICS_PORT, SERVE_PORT, SERVICES

REPOSITORY = Path(__file__).resolve().parents[2]
CHOSEN = Chosen("shop", "monitoring", IMAGE, MONITORING_IMAGE, 60.0)
NAMES = [service.name for service in SERVICES]


def built(chosen: Chosen = CHOSEN) -> dict[tuple[str, str, str], Any]:
    found: dict[tuple[str, str, str], Any] = {}
    for one in deploy.objects(chosen.spec()):
        found[key_of(one)] = one
    return found


def key_of(one: Any) -> tuple[str, str, str]:
    metadata = one["metadata"]
    return one["kind"], metadata.get("namespace", ""), metadata["name"]


OBJECTS = built()
DEPLOYMENTS = [one for (kind, _, _), one in OBJECTS.items() if kind == "Deployment"]


def pods() -> Iterator[tuple[str, Any, Any]]:
    """Name, pod spec and only container of each Deployment."""
    for one in DEPLOYMENTS:
        spec = one["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        yield one["metadata"]["name"], spec, container


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_three_replicas_that_faults_can_be_held_at(name: str) -> None:
    one = OBJECTS["Deployment", "shop", name]
    spec = one["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert one["spec"]["replicas"] == 3
    assert container["resources"]["limits"] == {"cpu": "200m", "memory": "128Mi"}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": SERVE_PORT, "metrics": METRICS_PORT}
    volume = next(v for v in spec["volumes"] if v["name"] == "data")
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Mi"}
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]


@pytest.mark.parametrize("name", NAMES)
def test_its_service_selects_its_pods_and_no_others(name: str) -> None:
    service = OBJECTS["Service", "shop", name]
    assert service["spec"]["clusterIP"] == "None", "clients balance themselves: SLIs are per replica"
    selector = service["spec"]["selector"]
    selected = [
        one["metadata"]["name"]
        for one in DEPLOYMENTS
        if selector.items() <= one["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert selected == [name]


def test_tiers_and_calls_are_told_where_the_target_reads_them() -> None:
    annotations = OBJECTS["Service", "shop", "checkout"]["metadata"]["annotations"]
    assert annotations == {"drill.dev/tier": "1", "drill.dev/calls": "payment,cart,catalog"}
    assert "drill.dev/calls" not in OBJECTS["Service", "shop", "cart"]["metadata"]["annotations"]


def test_drills_are_let_into_the_shop_and_not_into_the_monitoring() -> None:
    shop, other = OBJECTS["Namespace", "", "shop"]["metadata"], OBJECTS["Namespace", "", "monitoring"]["metadata"]
    assert shop["labels"]["drill.dev/allowed"] == "true"
    assert shop["annotations"] == {"drill.dev/fast-forward": "60", "drill.dev/client-timeout": "2s"}
    assert "drill.dev/allowed" not in other["labels"]
    assert {m["labels"]["pod-security.kubernetes.io/enforce"] for m in (shop, other)} == {"restricted"}


def test_every_pod_is_what_pod_security_restricted_admits() -> None:
    """The standard's checks, https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted)."""
    for name, spec, container in pods():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False, name
        assert own["capabilities"] == {"drop": ["ALL"]}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert {kind for v in spec["volumes"] for kind in v if kind != "name"} <= {"emptyDir", "configMap"}, name


def test_every_pod_is_probed_limited_and_labelled() -> None:
    assert len(DEPLOYMENTS) == len(NAMES) + 4
    for name, spec, container in pods():
        assert container["readinessProbe"]["httpGet"]["port"] in {port["name"] for port in container["ports"]}, name
        assert "memory" in container["resources"]["limits"], name
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
        assert spec["automountServiceAccountToken"] is (name == "prometheus"), name
    assert all(PART_OF.items() <= one["metadata"]["labels"].items() for one in OBJECTS.values())


def test_prometheus_may_see_the_pods_of_the_shop_and_nothing_else() -> None:
    roles = {key: one for key, one in OBJECTS.items() if "Role" in key[0]}
    assert set(roles) == {("Role", "shop", "demo-prometheus"), ("RoleBinding", "shop", "demo-prometheus")}
    assert roles["Role", "shop", "demo-prometheus"]["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    ]


def test_series_are_called_as_in_the_sandbox() -> None:
    config = json.loads(monitoring.files(CHOSEN.spec())["prometheus"]["prometheus.yml"])
    (scrape,) = config["scrape_configs"]
    rules = {rule.get("target_label"): rule for rule in scrape["relabel_configs"] if "regex" not in rule}
    assert rules["job"]["source_labels"] == ["__meta_kubernetes_pod_label_app"]
    assert rules["instance"]["source_labels"] == ["__meta_kubernetes_pod_name"]
    assert config["global"]["scrape_interval"] == config["global"]["evaluation_interval"] == "1s"


def test_every_receiver_writes_to_the_sink_of_this_demo() -> None:
    spec = Chosen("shop2", "watch", IMAGE, MONITORING_IMAGE, 60.0).spec()
    config = yaml.safe_load(monitoring.files(spec)["alertmanager"]["alertmanager.yml"])
    urls = {one["name"]: one["webhook_configs"][0]["url"] for one in config["receivers"]}
    assert urls == {name: f"http://sink.watch.svc:9095/{name}" for name in ("pagerduty", "slack", "log")}


def test_another_configuration_is_another_pod() -> None:
    slow = built(Chosen("shop", "monitoring", IMAGE, MONITORING_IMAGE, 1.0))
    for name in ("prometheus", "alertmanager"):
        key = ("Deployment", "monitoring", name)
        before, after = (one[key]["spec"]["template"]["metadata"]["annotations"] for one in (OBJECTS, slow))
        assert before["drill.dev/config"] != after["drill.dev/config"]
    assert slow["Deployment", "shop", "checkout"] == OBJECTS["Deployment", "shop", "checkout"]
    assert slow["Namespace", "", "shop"]["metadata"]["annotations"]["drill.dev/fast-forward"] == "1"


def test_what_others_need_is_applied_first() -> None:
    kinds = [str(one["kind"]) for one in deploy.objects(CHOSEN.spec())]
    assert kinds[:2] == ["Namespace", "Namespace"]
    assert kinds.index("ConfigMap") < kinds.index("Deployment")
    assert kinds.index("ServiceAccount") < kinds.index("Deployment")


def test_the_folder_for_kustomize_is_what_the_code_says() -> None:
    """As `drill demo generate --check`: after a change give `make generate`."""
    assert differing(files(CHOSEN), REPOSITORY / "deploy/demo") == []


def test_the_folder_for_kustomize_holds_the_objects_that_deploy_applies() -> None:
    tree = files(CHOSEN)
    texts = [tree[f"{layout.QUICK}/{name}.yaml"] for name in ("shop", "monitoring")]
    there = {key_of(one): one for text in texts for one in yaml.safe_load_all(text)}
    assert there == {key: one for key, one in OBJECTS.items() if key[0] != "ConfigMap"}
    kustomization = yaml.safe_load(tree[f"{layout.QUICK}/kustomization.yaml"])
    for one in kustomization["configMapGenerator"]:
        data = {name: tree[f"{layout.QUICK}/{name}"] for name in one["files"]}
        assert data == OBJECTS["ConfigMap", one["namespace"], one["name"]]["data"]
        assert one["options"]["labels"] == OBJECTS["ConfigMap", one["namespace"], one["name"]]["metadata"]["labels"]


def test_the_real_windows_change_no_more_than_they_must() -> None:
    patches = yaml.safe_load_all(files(CHOSEN)[f"{layout.REAL}/patches.yaml"])
    assert {key_of(one) for one in patches} == {
        ("Namespace", "", "shop"),
        ("Deployment", "monitoring", "prometheus"),
        ("Deployment", "monitoring", "alertmanager"),
    }


def test_nodes_are_chosen_for_all_services_or_for_one() -> None:
    found = node_selectors(["disk=fast", "cart:drill.dev/kernel=netem", "cart:zone=a"])
    assert found["cart"] == {"drill.dev/kernel": "netem", "zone": "a"}
    assert found["checkout"] == {"disk": "fast"}
    assert node_selectors([]) == {}
    assert set(node_selectors(["payment:a=b"])) == {"payment"}


@pytest.mark.parametrize("text", ["fast", "=x", "basket:disk=fast", ":disk=fast"])
def test_a_node_selector_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--node-selector"):
        node_selectors([text])


@pytest.mark.parametrize(
    ("namespace", "monitoring_namespace"), [("Shop", "monitoring"), ("shop", "-x"), ("a" * 64, "b"), ("one", "one")]
)
def test_names_that_are_no_namespaces_are_refused(namespace: str, monitoring_namespace: str) -> None:
    with pytest.raises(UsageError):
        Chosen(namespace, monitoring_namespace, IMAGE, MONITORING_IMAGE, 60.0).spec()


def test_slow_nodes_get_fewer_requests_and_a_higher_limit() -> None:
    slow = built(replace(CHOSEN, load=0.3, cpu_limit=0.5))

    def container(objects: dict[tuple[str, str, str], Any], name: str) -> Any:
        return objects["Deployment", "shop", name]["spec"]["template"]["spec"]["containers"][0]

    assert container(OBJECTS, "edge")["command"][-1] == "edge"
    assert container(slow, "edge")["command"][-2:] == ["--load", "0.3"]
    assert container(OBJECTS, "cart")["resources"]["limits"]["cpu"] == "200m"
    assert container(slow, "cart")["resources"]["limits"]["cpu"] == "500m"
