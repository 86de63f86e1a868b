"""Targets that break exactly one promise each, around one that keeps them: the suite must catch every one of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from drill.core.actions import AnyAction, CpuFault, HoldFault, ReleaseFault, is_deed
from drill.core.errors import ActionFailed
from drill.core.facts import Endpoints, Facts
from drill.core.ports import Target
from drill.core.probes import Measurement, Probe


class Liar:
    """*honest*, as it is; subclasses say what is otherwise."""

    def __init__(self, honest: Target) -> None:
        self.honest = honest

    @property
    def name(self) -> str:
        return self.honest.name

    def facts(self) -> Facts:
        return self.honest.facts()

    def endpoints(self) -> Endpoints:
        return self.honest.endpoints()

    def log_lines(self) -> Sequence[str]:
        return self.honest.log_lines()

    def execute(self, action: AnyAction) -> float:
        return self.honest.execute(action)

    def measure(self, probe: Probe) -> Measurement:
        return self.honest.measure(probe)

    def snapshot(self, replica: str) -> Mapping[str, str]:
        return self.honest.snapshot(replica)


class Idle(Liar):
    """Says that it did it, and does nothing."""

    def execute(self, action: AnyAction) -> float:
        return time.time() if is_deed(action) else self.honest.execute(action)


class Boaster(Idle):
    """Does nothing, and measures what it was asked for."""

    claimed: float | None = None

    def execute(self, action: AnyAction) -> float:
        if isinstance(action, HoldFault):
            self.claimed = getattr(action.fault, "delay_ms", 0) or 1.0
        elif isinstance(action, ReleaseFault):
            self.claimed = None
        return super().execute(action)

    def measure(self, probe: Probe) -> Measurement:
        found = self.honest.measure(probe)
        return found.with_(value=found.value + self.claimed) if self.claimed is not None else found


class Keeper(Liar):
    """Says that it undid it, and leaves it in place."""

    def execute(self, action: AnyAction) -> float:
        return self.honest.execute(action) if is_deed(action) else time.time()


class Hider(Keeper):
    """Leaves it in place, and its snapshots do not show it."""

    def snapshot(self, replica: str) -> Mapping[str, str]:
        return {"all": "as it was"}


class Once(Liar):
    """Fails when it is asked to undo a second time."""

    def __init__(self, honest: Target) -> None:
        super().__init__(honest)
        self.undone: list[AnyAction] = []

    def execute(self, action: AnyAction) -> float:
        if not is_deed(action):
            if action in self.undone:
                raise ActionFailed("that was undone before")
            self.undone.append(action)
        return self.honest.execute(action)


class Flighty(Liar):
    """Never looks the same twice."""

    looks = 0

    def snapshot(self, replica: str) -> Mapping[str, str]:
        self.looks += 1
        return {**self.honest.snapshot(replica), "at": str(self.looks)}


class Accepting(Liar):
    """Says that it did what it cannot do."""

    def execute(self, action: AnyAction) -> float:
        try:
            return self.honest.execute(action)
        except ActionFailed:
            return time.time()


class Promising(Liar):
    """Claims to be able to do everything."""

    def facts(self) -> Facts:
        return self.honest.facts().with_(missing={})


class Mute(Liar):
    """Says that it cannot do things, and not why."""

    def facts(self) -> Facts:
        facts = self.honest.facts()
        return facts.with_(missing=dict.fromkeys(facts.missing, ""))


class Spilling(Liar):
    """Holds something else as well, which the undo does not know."""

    def execute(self, action: AnyAction) -> float:
        done = self.honest.execute(action)
        if isinstance(action, HoldFault):
            self.honest.execute(action.with_(injection=f"{action.injection}-too", fault=CpuFault(workers=1)))
        return done
