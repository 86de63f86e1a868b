"""A small world of facts for faults and plans: five services, three replicas each, as in the sandbox."""

from __future__ import annotations

from drill.core.facts import Ability, Facts, Replica, Service, Workload

CALLS = {"checkout": ("payment", "cart", "catalog")}
TIERS = {"checkout": 1, "payment": 1, "catalog": 2, "cart": 2, "recommendations": 3}


def service(name: str, number: int, replicas: int = 3) -> Service:
    return Service(
        name=name,
        tier=TIERS[name],
        calls=CALLS.get(name, ()),
        workload=Workload(
            name=f"Deployment/{name}", replicas=replicas, container="app", image="demo:1", readiness="null"
        ),
        replicas=tuple(
            Replica(
                name=f"{name}-{index}",
                service=name,
                address=f"10.231.{number}.{index + 1}",
                port=8080,
                cpu_limit=0.2,
                memory_limit_bytes=64 * 2**20,
                data_path=f"/data/{name}-{index}",
                node="drill-netem" if index == 2 else "drill-control-plane",
            )
            for index in range(replicas)
        ),
    )


def facts(missing: dict[Ability, str] | None = None) -> Facts:
    return Facts(
        target="sandbox",
        fast_forward=60,
        services=tuple(service(name, number) for number, name in enumerate(TIERS, 1)),
        missing=missing or {},
        scrape_interval_s=1,
        evaluation_interval_s=1,
        group_wait_s=0.5,
        group_interval_s=5,
        history_s=5,
        exempt=("10.231.0.1",),
        restart_s=1.5,
        client_timeout_s=2,
    )
