"""A target that is nothing but numbers, and keeps every promise: what the suite itself is tried on, in milliseconds."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence

from contract.cases import HELD
from contract.promises import SERVICE, Answer
from drill.core.actions import (
    AnyAction,
    AwaitReplica,
    CpuFault,
    DiskFault,
    HeldFault,
    HoldFault,
    HttpFault,
    KillReplica,
    MemoryFault,
    PacketFault,
    PauseFault,
    ReleaseFault,
)
from drill.core.errors import ActionFailed, Unavailable
from drill.core.facts import API_ABILITIES, Ability, Endpoints, Facts, Replica, Service
from drill.core.probes import Measurement, Probe, ProbeKind

NAMES = tuple(f"{SERVICE}-{number}" for number in range(3))
LIMIT = 64 << 20
DISK = 16 << 20
MISSING: dict[Ability, str] = {
    "netem": "this kernel has no sch_netem",
    **dict.fromkeys(API_ABILITIES, "numbers have no API server"),
}


class Fake:
    """Three replicas. ``faults`` is what is really in place: at which replica, by injection."""

    def __init__(self) -> None:
        self.faults: dict[str, dict[str, HeldFault]] = {name: {} for name in NAMES}
        self.starts = dict.fromkeys(NAMES, 1)
        self.kills = dict.fromkeys(NAMES, 0)

    @property
    def name(self) -> str:
        return "fake"

    def endpoints(self) -> Endpoints:
        return Endpoints(prometheus="http://127.0.0.1:9", alertmanagers=())

    def log_lines(self) -> Sequence[str]:
        return ()

    def facts(self) -> Facts:
        replicas = tuple(
            Replica(
                name=name, service=SERVICE, address=f"10.0.0.{number}", port=8080, cpu_limit=0.2,
                memory_limit_bytes=LIMIT, data_path="/data",
            )
            for number, name in enumerate(NAMES, 1)
        )  # fmt: skip
        return Facts(
            target="fake", fast_forward=60, services=(Service(name=SERVICE, tier=2, replicas=replicas),),
            missing=MISSING, scrape_interval_s=1, evaluation_interval_s=1, group_wait_s=1, group_interval_s=5,
            history_s=10,
        )  # fmt: skip

    def execute(self, action: AnyAction) -> float:
        match action:
            case HoldFault():
                here = self._at(action.replica, ActionFailed)
                if isinstance(action.fault, PacketFault) and action.fault.backend in MISSING:
                    raise ActionFailed(MISSING[action.fault.backend])
                here[action.injection] = action.fault
                self.kills[action.replica] += isinstance(action.fault, MemoryFault) and action.fault.oom
            case ReleaseFault():
                self._at(action.replica, ActionFailed).pop(action.injection, None)
            case KillReplica(mode="kill"):
                self._at(action.replica, ActionFailed)
                self.starts[action.replica] += 1
            case AwaitReplica():
                self._at(action.replica, ActionFailed)
            case _:
                raise ActionFailed(f"numbers cannot {action.do}")
        return time.time()

    def _at(self, replica: str, error: type[ActionFailed | Unavailable]) -> dict[str, HeldFault]:
        if replica not in self.faults:
            raise error(f"there is no {replica}")
        return self.faults[replica]

    def measure(self, probe: Probe) -> Measurement:
        here = list(self._at(probe.replica, Unavailable).values())
        found: dict[ProbeKind, float] = {
            "connect_ms": 1, "lost_ratio": 0, "error_ratio": 0, "transfer_kbit": 50_000, "unreachable_ratio": 0,
            "throttled_ratio": 0, "memory_ratio": 0.1, "free_bytes": DISK, "stopped": 0,
            "oom_kills": self.kills[probe.replica], "starts": self.starts[probe.replica],
        }  # fmt: skip
        for fault in here:
            found |= _effect(fault)
        return Measurement(value=found[probe.kind], at=time.time())

    def snapshot(self, replica: str) -> Mapping[str, str]:
        return {name: fault.kind for name, fault in self._at(replica, Unavailable).items()}


def _effect(fault: HeldFault) -> dict[ProbeKind, float]:
    match fault:
        case PacketFault(drop="") if fault.delay_ms:
            return {"connect_ms": 1 + fault.delay_ms}
        case PacketFault(drop="") if fault.rate_bit:
            return {"transfer_kbit": fault.rate_bit / 1000}
        case PacketFault(drop=""):
            return {"lost_ratio": fault.loss_percent / 100}
        case PacketFault():
            return {"unreachable_ratio": 1}
        case HttpFault():
            return {"error_ratio": fault.abort_percent / 100}
        case CpuFault():
            return {"throttled_ratio": 0.9}
        case MemoryFault(oom=False):
            return {"memory_ratio": 0.1 + fault.size_bytes / LIMIT}
        case DiskFault():
            return {"free_bytes": fault.leave_bytes}
        case PauseFault():
            return {"stopped": 1}
        case _:
            return {}


class FakeGround:
    """The fake with its users, who know what is really in place."""

    able = frozenset(case.name for case in HELD)
    found_within_s = 0.0

    def __init__(self, target: Fake, truth: Fake | None = None) -> None:
        """*truth* is what is really there, where *target* only talks about it."""
        self.target, self.truth = target, truth or target
        self._turn = itertools.cycle(NAMES)

    def ask(self) -> Answer:
        name = next(self._turn)
        for fault in self.truth.faults[name].values():
            match fault:
                case PauseFault():
                    return Answer("", 504, 2.0)
                case HttpFault():
                    return Answer("", fault.status, 0.001)
                case PacketFault(drop="reject"):
                    return Answer("", 503, 0.001)
                case PacketFault() if fault.delay_ms:
                    return Answer(name, 200, 2 * fault.delay_ms / 1000)
                case _:
                    continue
        return Answer(name, 200, 0.002)

    def called(self, replica: str) -> str:
        return replica

    def intended(self) -> bool:
        return True

    def left(self) -> Sequence[str]:
        return [f"{name}: {fault.kind}" for name, here in self.truth.faults.items() for fault in here.values()]
