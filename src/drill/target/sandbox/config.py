"""The configuration of the sandbox's Prometheus, its scrape targets, and the command lines of both servers.

Written as JSON, which is YAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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

QUICK_DISCOVERY = "--scrape.discovery-reload-interval=100ms"
"""Prometheus 3: the first scrape comes after 1 s instead of 5 s."""


@dataclass(frozen=True)
class Files:
    """Where a server finds its configuration and keeps its data."""

    config: str
    storage: str


TARGETS = "targets"
"""The folder with a file of scrape targets for each service: replicas come and go."""


def prometheus_config(spec: SandboxSpec, run: str) -> str:
    """Scrape the edge as job ``edge`` and each service as a job of its name, instance = replica.

    ``run`` is the folder with ``rules.yml`` and the files of targets.
    """
    jobs: list[dict[str, object]] = [{"job_name": "edge", "static_configs": targets([("edge", EDGE_ADDRESS)])}]
    for service in SERVICES:
        files = [f"{run}/{TARGETS}/{service.name}.json"]
        jobs.append({"job_name": service.name, "file_sd_configs": [{"files": files, "refresh_interval": "5s"}]})
    return configuration(spec, f"{run}/rules.yml", f"127.0.0.1:{ALERTMANAGER_PORT}", jobs)


def configuration(
    spec: SandboxSpec, rules_file: str, alertmanager: str, scrapes: Sequence[Mapping[str, object]]
) -> str:
    """Prometheus's configuration with these scrapes; *alertmanager* is ``host:port``."""
    scrape = prometheus_duration(spec.scrape_interval_s)
    return json.dumps(
        {
            "global": {
                "scrape_interval": scrape,
                "scrape_timeout": scrape,
                "evaluation_interval": prometheus_duration(spec.evaluation_interval_s),
            },
            "rule_files": [rules_file],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}], "timeout": "2s"}]},
            "scrape_configs": scrapes,
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
    files = Files(f"{run}/prometheus.yml", f"{run}/prometheus")
    arguments = prometheus_arguments(launch.spec, files, f"127.0.0.1:{PROMETHEUS_PORT}")
    quick = [QUICK_DISCOVERY] if launch.quick_discovery else []
    return [launch.prometheus, *arguments, *quick]


def prometheus_arguments(spec: SandboxSpec, files: Files, listen: str) -> list[str]:
    """What Prometheus 2 and 3 are started with; *listen* is ``host:port``."""
    return [
        f"--config.file={files.config}",
        f"--storage.tsdb.path={files.storage}",
        "--storage.tsdb.retention.time=1d",
        "--storage.tsdb.retention.size=200MB",
        f"--web.listen-address={listen}",
        "--web.enable-lifecycle",
        "--query.max-concurrency=8",
        f"--rules.alert.resend-delay={prometheus_duration(resend_delay_s(spec))}",
    ]


def resend_delay_s(spec: SandboxSpec) -> float:
    """Prometheus's default of 1 m, fast-forwarded but at least 5 s.

    Alerts are lost that fire before Prometheus knows its Alertmanagers, 5 s after its start; they are sent again
    after this time. Alertmanager holds an alert resolved when four times as long nothing came.
    """
    return min(60.0, max(5.0, 60.0 / spec.fast_forward))


def alertmanager_command(launch: Launch, run: str) -> list[str]:
    """Alertmanager on the sandbox's own loopback."""
    files = Files(f"{run}/alertmanager.yml", f"{run}/alertmanager")
    return [launch.alertmanager, *alertmanager_arguments(files, f"127.0.0.1:{ALERTMANAGER_PORT}")]


def alertmanager_arguments(files: Files, listen: str) -> list[str]:
    """What an Alertmanager without peers is started with; *listen* is ``host:port``."""
    return [
        f"--config.file={files.config}",
        f"--storage.path={files.storage}",
        f"--web.listen-address={listen}",
        "--cluster.listen-address=",
        "--data.retention=24h",
    ]
