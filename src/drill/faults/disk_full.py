"""disk-full: the replica's data file system is really filled, so its writes really fail."""

from __future__ import annotations

from typing import ClassVar

from drill.core.actions import DiskFault
from drill.core.probes import Effect
from drill.faults.base import Backend, Field, Outcome, Params, Site, SizeParam, TimedAction, hold


class DiskFullParams(Params):
    """``with:`` of disk-full."""

    leave: SizeParam = Field(0, ge=0, description="bytes that stay free")
    path: str = Field("", description="a path on the file system to fill; empty: the replica's data directory")


class DiskFull:
    """Fills the file system with a file that is unlinked at once, so that it empties when the agent dies."""

    name: ClassVar[str] = "disk-full"
    summary: ClassVar[str] = "fills the replica's data file system"
    params: ClassVar[type[Params]] = DiskFullParams

    def backends(self, params: DiskFullParams) -> tuple[Backend, ...]:
        return (Backend("fallocate", ("disk",), "an unlinked file that takes all free blocks"),)

    def actions(self, params: DiskFullParams, backend: str, site: Site) -> tuple[TimedAction, ...]:
        return hold(site, DiskFault(path=params.path or site.replica.data_path, leave_bytes=params.leave))

    def effect(self, params: DiskFullParams, backend: str, site: Site) -> Effect:
        """Free bytes by statfs; some blocks may be given back by the service's own clean-up."""
        return Effect(
            kind="free_bytes", expected=params.leave, low=0, high=params.leave + 64 * 1024, unit="bytes free"
        )

    def outcome(self, params: DiskFullParams, backend: str, site: Site) -> Outcome:
        """Every request that must write fails once the last block is gone."""
        return Outcome(failed=(0.5, 1.0) if params.leave < 65536 else (0.0, 1.0))
