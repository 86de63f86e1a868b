"""The configuration of the sandbox's Prometheus and the command lines of both servers. Pure.

Written as JSON, which is YAML.
"""

from __future__ import annotations

import json

from drill.core.units import prometheus_duration
from drill.target.sandbox.spec import Launch, SandboxSpec
from drill.target.sandbox.topology import (
    ALERTMANAGER_PORT,
    EDGE_ADDRESS,
    METRICS_PORT,
    PROMETHEUS_PORT,
    SERVICES,
    places,
)


def prometheus_config(spec: SandboxSpec, rules_file: str) -> str:
    """Scrape the edge as job ``edge`` and each service as a job of its name, instance = replica."""
    scrape = prometheus_duration(spec.scrape_interval_s)
    instances = {
        service.name: [(p.name, p.address) for p in places() if p.service == service.name] for service in SERVICES
    }
    jobs = [_job("edge", [("edge", EDGE_ADDRESS)]), *(_job(name, listed) for name, listed in instances.items())]
    return json.dumps(
        {
            "global": {
                "scrape_interval": scrape,
                "scrape_timeout": scrape,
                "evaluation_interval": prometheus_duration(spec.evaluation_interval_s),
            },
            "rule_files": [rules_file],
            "alerting": {
                "alertmanagers": [
                    {"static_configs": [{"targets": [f"127.0.0.1:{ALERTMANAGER_PORT}"]}], "timeout": "2s"}
                ]
            },
            "scrape_configs": jobs,
        },
        indent=1,
    )


def _job(name: str, instances: list[tuple[str, str]]) -> dict[str, object]:
    return {
        "job_name": name,
        "static_configs": [
            {"targets": [f"{address}:{METRICS_PORT}"], "labels": {"instance": instance}}
            for instance, address in instances
        ],
    }


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
