"""Everything that is inside one sandbox, as init sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from drill.target.sandbox import routes, topology
from drill.target.sandbox.agents import Agents
from drill.target.sandbox.children import Children
from drill.target.sandbox.supervisor import Supervisor
from drill.target.sandbox.topology import Place

if TYPE_CHECKING:
    from drill.target.sandbox.keeper import Inside


@dataclass
class World:
    """The parts init put together. ``run`` is the private tmpfs, ``log`` lies on the host."""

    inside: Inside
    run: Path
    log: Path
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

    def route(self, place: Place, serving: bool) -> None:
        """Take *place* out of its service's endpoints, or back in."""
        present = set(self.endpoints[place.service])
        present = present | {place.address} if serving else present - {place.address}
        everyone = topology.endpoints()[place.service]
        self.endpoints[place.service] = [address for address in everyone if address in present]
        routes.write(self.endpoints_file, self.endpoints)
