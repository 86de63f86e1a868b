"""What a target tells about itself before anything is planned. Facts are data: a plan made from them is pure."""

from __future__ import annotations

from typing import Literal

from drill.core.values import Value

Ability = Literal[
    "netem", "nfqueue", "nft", "htb", "envoy", "cgroup-cpu", "cgroup-memory", "stress-ng", "disk", "signals",
    "evict", "delete", "scale", "rollout", "cordon", "kubernetes",
]  # fmt: skip
API_ABILITIES: tuple[Ability, ...] = ("evict", "delete", "scale", "rollout", "cordon", "kubernetes")
"""What only a platform with an API server can be asked for."""
ABILITIES: tuple[Ability, ...] = (
    "netem", "nfqueue", "nft", "htb", "envoy", "cgroup-cpu", "cgroup-memory", "stress-ng", "disk", "signals",
)  # fmt: skip
"""What the agent at a replica finds out by trying."""


class Replica(Value):
    """One instance of a service. ``name`` is unique in the target; ``address`` is IPv4.

    A name outlives the instance: whatever takes the place of a killed replica is called the same.
    """

    name: str
    service: str
    address: str
    port: int
    node: str = ""
    cpu_limit: float = 0.0
    """CPUs the cgroup's quota allows; 0: no quota."""
    memory_limit_bytes: int = 0
    """The cgroup's memory limit; 0: none."""
    data_path: str = ""
    """A small file system the replica writes to, as it sees it; empty: none."""
    place: str = ""
    """What it is in the platform's own words (``pod checkout-7d4-x2 on node a``); empty where the name says it."""
    missing: dict[Ability, str] = {}
    """What cannot be done at this replica, because of where it runs, each with the reason."""


class Workload(Value):
    """What keeps a service's replicas running, and what drill may change of it. JSON texts as ChangeTemplate's."""

    name: str
    """``Deployment/checkout``."""
    replicas: int
    container: str
    image: str
    readiness: str


class Service(Value):
    """A service with its replicas and the names of the services it calls."""

    name: str
    tier: int
    replicas: tuple[Replica, ...]
    calls: tuple[str, ...] = ()
    workload: Workload | None = None
    """None where there is none, or where it is of a kind drill does not change."""


class Facts(Value):
    """Everything compile needs to know of a target.

    ``missing`` maps an ability the target lacks to the reason, in words a user can act on; an ability that is
    not in it is there. Times are in seconds as the target really runs them (already divided when
    ``fast_forward`` is not 1).
    """

    target: str
    fast_forward: float = 1.0
    services: tuple[Service, ...]
    missing: dict[Ability, str] = {}
    scrape_interval_s: float
    evaluation_interval_s: float
    group_wait_s: float
    group_interval_s: float
    chained: bool = True
    """Recording and alert rules are in different groups (c = 1 in the firing formula)."""
    history_s: float
    """Expected age of the series when the fault starts (H0)."""
    exempt: tuple[str, ...] = ()
    """Addresses a network fault must never touch: Prometheus's scrapes, probes of the platform."""
    restart_s: float = 0.0
    """How long a killed replica usually takes to serve again."""
    client_timeout_s: float = 0.0
    """How long a user waits before giving up; 0: unknown."""
    knows_calls: bool = False
    """A service without ``calls`` calls nothing; else nobody has said what it calls."""
    agents: str = ""
    """How agents get to a replica: ``helper`` or ``ephemeral``; empty where there is only one way."""

    def service(self, name: str) -> Service | None:
        """Return the service called *name*, or None."""
        return next((service for service in self.services if service.name == name), None)


class Endpoints(Value):
    """Where the evidence is: base URLs as the runner reaches them (loopback in the sandbox)."""

    prometheus: str
    alertmanagers: tuple[str, ...]
    sink: str = ""
    """Base URL of a notification sink (``GET /notifications``), empty where there is none."""
    passing: tuple[str, ...] = ()
    """Those of the URLs that end with the run: doors through the API server. No report links to them."""
