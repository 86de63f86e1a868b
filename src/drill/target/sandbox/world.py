"""Everything that is inside one sandbox, as init sees it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from drill.target.sandbox import config, kernel, routes, topology
from drill.target.sandbox.agents import Agents
from drill.target.sandbox.children import Children
from drill.target.sandbox.supervisor import Supervisor
from drill.target.sandbox.topology import Place

if TYPE_CHECKING:
    from drill.target.sandbox.keeper import Inside


def mount_data(data: Path) -> None:
    """Mount a replica's small data file system at *data*. Raises OSError."""
    options = f"mode=0755,size={topology.DATA_BYTES},nr_inodes=1024"
    kernel.mount("tmpfs", str(data), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


@dataclass
class World:
    """The parts init put together. ``run`` is the private tmpfs, ``log`` lies on the host."""

    inside: Inside
    run: Path
    log: Path
    home: int
    """Init's own network namespace."""
    netns: dict[str, int]
    processes: Children
    supervisor: Supervisor
    agents: Agents
    ready: bool = False
    endpoints: dict[str, list[str]] = field(default_factory=topology.endpoints)

    @property
    def edge_netns(self) -> int:
        """The users' network namespace."""
        return self.netns["edge"]

    @property
    def endpoints_file(self) -> Path:
        """What edge and services read."""
        return self.run / "endpoints.json"

    def data(self, replica: str) -> str:
        """The data file system of *replica*."""
        return str(self.run / "data" / replica)

    def seen_data(self, replica: str) -> str:
        """The same, as agents see it from their root."""
        return topology.data_path(replica)

    def serves(self, place: Place) -> bool:
        """True when users and callers are sent to *place*."""
        return place.address in self.endpoints[place.service]

    def fresh_data(self, replica: str) -> None:
        """Give *replica* an empty data file system. Raises OSError."""
        data = Path(self.data(replica))
        data.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # it had none
            kernel.unmount(str(data))
        mount_data(data)

    def drop_data(self, replica: str) -> None:
        """Take the data file system of *replica* away."""
        with contextlib.suppress(OSError):
            kernel.unmount(self.data(replica))

    def write_targets(self, service: str) -> None:
        """Tell Prometheus which replicas of *service* there are."""
        found = (one.place for one in self.supervisor.containers.values() if one.place.service == service)
        config.write_targets(self.run, service, sorted(found, key=lambda place: place.index))

    def route(self, place: Place, serving: bool) -> None:
        """Take *place* out of its service's endpoints, or back in."""
        present = set(self.endpoints[place.service])
        present = present | {place.address} if serving else present - {place.address}
        self.endpoints[place.service] = sorted(present, key=lambda address: int(address.rpartition(".")[2]))
        routes.write(self.endpoints_file, self.endpoints)
