"""Who is in the sandbox and where: services, replicas, addresses, ports. Pure data and small functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SERVE_PORT = 8080
"""Where a replica serves users and other services; the only port faults touch."""
METRICS_PORT = 9100
"""Where a replica and the edge answer scrapes: a port of its own, so that no fault blinds the evidence."""
ENTRANCE_PORT = 8000
"""Where the edge takes requests of a curious person: ``GET /checkout`` goes the way a user's request goes."""
PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093
SINK_PORT = 9095

HOST_ADDRESS = "10.231.0.1"
"""The bridge: Prometheus scrapes from here, so network faults exempt it."""
EDGE_ADDRESS = "10.231.0.10"
PREFIX = 16
SINK_URL = f"http://127.0.0.1:{SINK_PORT}"
"""What an Alertmanager configuration inside the sandbox uses: ``<SINK_URL>/<receiver>``."""

CPU_LIMIT = 0.2
CPU_PERIOD_US = 100_000
MEMORY_LIMIT = 64 * 2**20
DATA_BYTES = 16 * 2**20
CLIENT_TIMEOUT_S = 2.0
DEPENDENCY_TIMEOUT_S = 1.0
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 5.0)
CODES = ("200", "500", "503", "504")
REPLICAS = 3
"""What every service starts with, and never has less than: faults are aimed at these."""
MAX_REPLICAS = 8
"""The most places a service may have, those in quarantine included."""


@dataclass(frozen=True)
class DemoService:
    """One demo service. ``work`` is the CPU work of one request in rounds of SHA-256 over 64 KiB."""

    name: str
    number: int
    tier: int
    rate: float
    work: int
    calls: tuple[str, ...] = ()


SERVICES = (
    DemoService("checkout", 1, tier=1, rate=20.0, work=80, calls=("payment", "cart", "catalog")),
    DemoService("payment", 2, tier=1, rate=10.0, work=10),
    DemoService("catalog", 3, tier=2, rate=10.0, work=10),
    DemoService("cart", 4, tier=2, rate=10.0, work=10),
    DemoService("recommendations", 5, tier=3, rate=10.0, work=20),
)
BY_NAME = {service.name: service for service in SERVICES}


@dataclass(frozen=True)
class Place:
    """One replica: ``service`` and ``index`` from 0."""

    service: str
    index: int

    @property
    def name(self) -> str:
        """``checkout-0``."""
        return f"{self.service}-{self.index}"

    @property
    def address(self) -> str:
        """IPv4 address inside the sandbox."""
        return f"10.231.{BY_NAME[self.service].number}.{self.index + 1}"


def data_path(replica: str) -> str:
    """The data file system of *replica*, seen from the root that agents are given."""
    return f"/data/{replica}"


def places() -> Iterator[Place]:
    """All replicas, in a fixed order."""
    for service in SERVICES:
        for index in range(REPLICAS):
            yield Place(service.name, index)


def place(name: str) -> Place | None:
    """Return the replica called *name*, or None."""
    return next((each for each in places() if each.name == name), None)


def endpoints() -> dict[str, list[str]]:
    """Addresses by service, all replicas in."""
    return {
        service.name: [each.address for each in places() if each.service == service.name] for service in SERVICES
    }


def hosts_file() -> str:
    """The sandbox's ``/etc/hosts``."""
    lines = ["127.0.0.1 localhost", f"{HOST_ADDRESS} prometheus alertmanager sink", f"{EDGE_ADDRESS} edge"]
    everywhere = (Place(service.name, index) for service in SERVICES for index in range(MAX_REPLICAS))
    lines += [f"{each.address} {each.name}" for each in everywhere]
    return "\n".join(lines) + "\n"
