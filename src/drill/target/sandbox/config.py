"""The configuration of the sandbox's Prometheus, its scrape targets, and the command lines of both servers.

Written as JSON, which is YAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from drill.core.units import prometheus_duration
from drill.target.sandbox.spec import Launch, SandboxSpec
from drill.target.sandbox.topology import (
    ALERTMANAGER_PORT,
    EDGE_ADDRESS,
    METRICS_PORT,
    PROMETHEUS_PORT,
    SERVICES,
    Place,
)

TARGETS = "targets"
"""The folder with a file of scrape targets for each service: replicas come and go."""


def prometheus_config(spec: SandboxSpec, run: str) -> str:
    """Scrape the edge as job ``edge`` and each service as a job of its name, instance = replica.

    ``run`` is the folder with ``rules.yml`` and the files of targets.
    """
    scrape = prometheus_duration(spec.scrape_interval_s)
    jobs: list[dict[str, object]] = [{"job_name": "edge", "static_configs": targets([("edge", EDGE_ADDRESS)])}]
    for service in SERVICES:
        files = [f"{run}/{TARGETS}/{service.name}.json"]
        jobs.append({"job_name": service.name, "file_sd_configs": [{"files": files, "refresh_interval": "5s"}]})
    return json.dumps(
        {
            "global": {
                "scrape_interval": scrape,
                "scrape_timeout": scrape,
                "evaluation_interval": prometheus_duration(spec.evaluation_interval_s),
            },
            "rule_files": [f"{run}/rules.yml"],
            "alerting": {
                "alertmanagers": [
                    {"static_configs": [{"targets": [f"127.0.0.1:{ALERTMANAGER_PORT}"]}], "timeout": "2s"}
                ]
            },
            "scrape_configs": jobs,
        },
        indent=1,
    )


def targets(instances: Iterable[tuple[str, str]]) -> list[dict[str, object]]:
    """Where to scrape each of *instances* (name, address)."""
    return [
        {"targets": [f"{address}:{METRICS_PORT}"], "labels": {"instance": instance}}
        for instance, address in instances
    ]


def write_targets(run: Path, service: str, places: Iterable[Place]) -> None:
    """Replace the list of *service*'s scrape targets in one step."""
    folder = run / TARGETS
    folder.mkdir(exist_ok=True)
    fresh = folder / f"{service}.new"
    fresh.write_text(json.dumps(targets((place.name, place.address) for place in places)))
    fresh.rename(folder / f"{service}.json")


def prometheus_command(launch: Launch, run: str) -> list[str]:
    """Prometheus on the sandbox's own loopback, data in the sandbox's tmpfs."""
    command = [
        launch.prometheus,
        f"--config.file={run}/prometheus.yml",
        f"--storage.tsdb.path={run}/prometheus",
        "--storage.tsdb.retention.time=1d",
        "--storage.tsdb.retention.size=200MB",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}",
        "--web.enable-lifecycle",
        "--query.max-concurrency=8",
        f"--rules.alert.resend-delay={prometheus_duration(resend_delay_s(launch.spec))}",
    ]
    return [*command, "--scrape.discovery-reload-interval=100ms"] if launch.quick_discovery else command


def resend_delay_s(spec: SandboxSpec) -> float:
    """Prometheus's default of 1 m, fast-forwarded but at least 5 s.

    Alerts are lost that fire before Prometheus knows its Alertmanagers, 5 s after its start; they are sent again
    after this time. Alertmanager holds an alert resolved when four times as long nothing came.
    """
    return min(60.0, max(5.0, 60.0 / spec.fast_forward))


def alertmanager_command(launch: Launch, run: str) -> list[str]:
    """Alertmanager without a cluster, on the sandbox's own loopback."""
    return [
        launch.alertmanager,
        f"--config.file={run}/alertmanager.yml",
        f"--storage.path={run}/alertmanager",
        f"--web.listen-address=127.0.0.1:{ALERTMANAGER_PORT}",
        "--cluster.listen-address=",
        "--data.retention=24h",
    ]
