"""Which faults there are. Built-in faults are listed here, others register under ``drill.faults``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import cast

from drill.faults.bad_rollout import BadRollout
from drill.faults.bandwidth import Bandwidth
from drill.faults.base import Fault, Params
from drill.faults.chaostoolkit import ChaosToolkit
from drill.faults.cpu_stress import CpuStress
from drill.faults.disk_full import DiskFull
from drill.faults.http_error import HttpError
from drill.faults.k8s import drivers
from drill.faults.latency import Latency
from drill.faults.memory import MemoryHog, OomKill
from drill.faults.node import NodeCordon, NodeDrain
from drill.faults.packet_loss import PacketLoss
from drill.faults.partition import Partition
from drill.faults.pause import Pause
from drill.faults.pod_kill import PodKill
from drill.faults.scale_down import ScaleDown

BUILT_IN = (
    Latency(), PacketLoss(), Bandwidth(), Partition(), HttpError(), CpuStress(), MemoryHog(), OomKill(),
    DiskFull(), PodKill(), Pause(), ScaleDown(), NodeCordon(), NodeDrain(), BadRollout(),
    ChaosToolkit(),
)  # fmt: skip


@cache
def faults() -> Mapping[str, Fault]:
    """Return every fault by name; an outside fault cannot replace a built-in one."""
    by_name = drivers()
    outside = (entry.load()() for entry in entry_points(group="drill.faults"))
    known: dict[str, Fault] = {}
    for fault in (*cast("tuple[Fault, ...]", BUILT_IN), *cast("tuple[Fault, ...]", by_name), *outside):
        known.setdefault(fault.name, fault)
    return known


class ParameterModels(Mapping[str, type[Params]]):
    """The model of every fault's ``with:``, by name; those of drivers are made when somebody asks for them."""

    def __getitem__(self, name: str) -> type[Params]:
        return faults()[name].params

    def __contains__(self, name: object) -> bool:
        return name in faults()

    def __iter__(self) -> Iterator[str]:
        return iter(faults())

    def __len__(self) -> int:
        return len(faults())


def parameter_models() -> Mapping[str, type[Params]]:
    """Return the model of every fault's ``with:`` block, by the fault's name."""
    return ParameterModels()
