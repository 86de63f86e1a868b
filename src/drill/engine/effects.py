"""Proving effects and clean undos: probes against healthy values, snapshots against snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from drill.core.errors import Unavailable
from drill.core.ports import Target
from drill.core.probes import Effect, Probe
from drill.journal import events as e
from drill.plan.model import Plan, PlannedInjection

BETWEEN_S = 0.1
CLEAN_WITHIN_S = 15.0


@dataclass
class Effects:
    """What the replicas of all injections were like before, and whether they are different now."""

    plan: Plan
    target: Target
    write: Callable[[e.Event], bool]
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        self._injections = {injection.id: injection for injection in self.plan.injections}
        self._before: dict[str, Mapping[str, str]] = {}
        self._healthy: dict[tuple[str, str], float] = {}

    def prepare(self, injection: str) -> None:
        """Take snapshots and healthy values of all its replicas. Raises Unavailable."""
        planned = self._injections[injection]
        with ThreadPoolExecutor(len(planned.replicas)) as pool:
            list(pool.map(lambda replica: self._prepare_one(planned, replica), planned.replicas))

    def _prepare_one(self, planned: PlannedInjection, replica: str) -> None:
        if replica not in self._before:  # a snapshot starts a process at the replica
            self._before[replica] = self.target.snapshot(replica)
        effect = planned.effect
        if not effect.relative or replica not in _places(planned):
            return
        measured = self.target.measure(_probe(effect, replica))
        if not effect.can_show(measured.value):
            raise Unavailable(
                f"{replica}: the probe of the effect is satisfied before anything is done, so it proves nothing"
                f"{f' (it answered {measured.detail})' if measured.detail else ''}"
            )
        self._healthy[planned.id, replica] = measured.value

    def prove(self, injection: str) -> tuple[bool, float]:
        """Measure until the effect holds at every replica; return that, and when the last one was proven."""
        planned = self._injections[injection]
        places = _places(planned)
        with ThreadPoolExecutor(len(places)) as pool:
            results = list(pool.map(lambda replica: self._prove_one(planned, replica), places))
        return all(holds for holds, _ in results), max(at for _, at in results)

    def _prove_one(self, planned: PlannedInjection, replica: str) -> tuple[bool, float]:
        effect, healthy = planned.effect, self._healthy.get((planned.id, replica), 0.0)
        deadline, size, detail = self.clock() + effect.within_s, 0.0, ""
        while True:
            try:
                measured = self.target.measure(_probe(effect, replica))
                size, at, detail = effect.size(measured.value, healthy), measured.at, measured.detail
                holds = effect.holds(measured.value, healthy)
            except Exception as error:
                holds, at, detail = False, self.clock(), str(error)
            if holds or self.clock() >= deadline:
                break
            time.sleep(BETWEEN_S)
        for shown in planned.replicas if effect.once else (replica,):
            self.write(
                e.EffectMeasured(
                    injection=planned.id,
                    replica=shown,
                    measured=size,
                    baseline=healthy,
                    expected=effect.expected,
                    unit=effect.unit,
                    holds=holds,
                    detail=detail,
                )
            )
        return holds, at

    def differences(self, injection: str) -> list[str]:
        """Compare with the snapshots from before until nothing differs or patience ends; return what differs."""
        planned, left = self._injections[injection], list[str]()
        deadline = self.clock() + CLEAN_WITHIN_S
        while True:
            left = [text for replica in planned.replicas for text in self._differences_of(replica)]
            if not left or self.clock() >= deadline:
                return left
            time.sleep(BETWEEN_S)

    def _differences_of(self, replica: str) -> list[str]:
        before = self._before.get(replica)
        if before is None:
            return [f"{replica}: no snapshot from before"]
        try:
            after = self.target.snapshot(replica)
        except Exception as error:
            return [f"{replica}: cannot be looked at: {error}"]
        keys = sorted({*before, *after})
        return [
            f"{replica}: {key} was {before.get(key)!r}, is {after.get(key)!r}"
            for key in keys
            if before.get(key) != after.get(key)
        ]


def _places(planned: PlannedInjection) -> tuple[str, ...]:
    """The replicas at which the effect is measured."""
    return planned.replicas[:1] if planned.effect.once else planned.replicas


def _probe(effect: Effect, replica: str) -> Probe:
    return Probe(kind=effect.kind, replica=replica, peer=effect.peer, samples=effect.samples, call=effect.call)
