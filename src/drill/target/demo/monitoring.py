"""Prometheus, Alertmanager and the sink as Kubernetes objects, with the sandbox's own configuration. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from drill.target.demo import parts
from drill.target.demo.parts import Workload
from drill.target.demo.shop import PROGRAM
from drill.target.demo.spec import CONFIG_DIGEST, MONITORING, PART_OF, DemoSpec, Object, labels
from drill.target.sandbox.config import (
    QUICK_DISCOVERY,
    Files,
    alertmanager_arguments,
    configuration,
    prometheus_arguments,
)
from drill.target.sandbox.topology import ALERTMANAGER_PORT, PROMETHEUS_PORT, SINK_PORT

_DATA: Object = {"emptyDir": {"sizeLimit": "1Gi"}}
_CONFIG, _STORAGE = "/etc/config", "/storage"
_SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "192Mi"}}
_LARGE = {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "768Mi"}}


def files(spec: DemoSpec) -> dict[str, dict[str, str]]:
    """The servers' configuration files: by the name of their ConfigMap, then of the file."""
    rules = f"{_CONFIG}/rules.yml"
    peer = f"alertmanager.{spec.monitoring}.svc:{ALERTMANAGER_PORT}"
    prometheus = configuration(spec.alerts, rules, peer, [_scrape(spec.namespace)]) + "\n"
    return {
        "prometheus": {"prometheus.yml": prometheus, "rules.yml": spec.alerts.rules},
        "alertmanager": {"alertmanager.yml": spec.alerts.alertmanager},
    }


def objects(spec: DemoSpec) -> list[Object]:
    """The namespace and all that is in it, and what Prometheus may see of the shop."""
    return [*without_files(spec), *(_config_map(name, spec, data) for name, data in files(spec).items())]


def without_files(spec: DemoSpec) -> list[Object]:
    """All objects but the ConfigMaps, which kustomize makes of :func:`files`."""
    servers = (_prometheus(spec), _alertmanager(spec), _sink(spec))
    found = [parts.namespace(spec.monitoring, {}, {}), *_may_see_pods(spec)]
    return found + [each for server in servers for each in parts.objects(server)]


def _scrape(shop: str) -> Object:
    """Every pod of the demo with a port ``metrics``: job = its ``app``, instance = its name, as in the sandbox."""
    meta = "__meta_kubernetes_pod"
    return {
        "job_name": "shop",
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [shop]}}],
        "relabel_configs": [
            {"action": "keep", "source_labels": [f"{meta}_container_port_name"], "regex": "metrics"},
            {"action": "keep", "source_labels": [f"{meta}_label_app_kubernetes_io_part_of"], "regex": "drill-demo"},
            {"action": "drop", "source_labels": [f"{meta}_phase"], "regex": "Succeeded|Failed"},
            {"source_labels": [f"{meta}_label_app"], "target_label": "job"},
            {"source_labels": [f"{meta}_name"], "target_label": "instance"},
            {"source_labels": ["job"], "regex": "edge", "target_label": "instance", "replacement": "edge"},
        ],
    }


def _prometheus(spec: DemoSpec) -> Workload:
    paths = Files(f"{_CONFIG}/prometheus.yml", _STORAGE)
    return _server(
        spec,
        "prometheus",
        ["/bin/prometheus", *prometheus_arguments(spec.alerts, paths, f":{PROMETHEUS_PORT}"), QUICK_DISCOVERY],
        PROMETHEUS_PORT,
        _LARGE,
    )


def _alertmanager(spec: DemoSpec) -> Workload:
    paths = Files(f"{_CONFIG}/alertmanager.yml", _STORAGE)
    command = ["/bin/alertmanager", *alertmanager_arguments(paths, f":{ALERTMANAGER_PORT}")]
    return _server(spec, "alertmanager", command, ALERTMANAGER_PORT, _SMALL)


def _server(
    spec: DemoSpec, name: str, command: list[str], port: int, resources: Mapping[str, Mapping[str, str]]
) -> Workload:
    digest = hashlib.sha256(repr(files(spec)[name]).encode()).hexdigest()[:16]
    return Workload(
        name=name,
        namespace=spec.monitoring,
        component=MONITORING,
        image=spec.monitoring_image,
        command=command,
        ports={"http": port},
        ready=("http", "/-/ready"),
        resources=resources,
        volumes={_CONFIG: {"configMap": {"name": name}}, _STORAGE: _DATA},
        account=name if name == "prometheus" else "",
        annotations={CONFIG_DIGEST: digest},  # another configuration, another pod
        pod=parts.steady(),
    )


def _sink(spec: DemoSpec) -> Workload:
    return Workload(
        name="sink",
        namespace=spec.monitoring,
        component=MONITORING,
        image=spec.image,
        command=[*PROGRAM, "sink"],
        ports={"http": SINK_PORT},
        ready=("http", "/notifications?since=9e9"),
        resources=_SMALL,
        pod=parts.steady(),
    )


def _may_see_pods(spec: DemoSpec) -> list[Object]:
    """Prometheus may see the pods of the shop, nothing else anywhere."""
    rbac = "rbac.authorization.k8s.io"
    own = labels("prometheus", MONITORING)
    there = {"name": "demo-prometheus", "namespace": spec.namespace, "labels": own}
    account = {"kind": "ServiceAccount", "name": "prometheus", "namespace": spec.monitoring}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "prometheus", "namespace": spec.monitoring, "labels": own},
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": there,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": there,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "demo-prometheus"},
            "subjects": [account],
        },
    ]


def _config_map(name: str, spec: DemoSpec, data: Mapping[str, str]) -> Object:
    metadata = {"name": name, "namespace": spec.monitoring, "labels": {"app": name, **PART_OF}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}
