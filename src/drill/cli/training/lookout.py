"""What a session sees beside the run's journal: users' health, replicas, logs and events, what is typed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from drill.cli.wiring import Running
from drill.core.clock import parse_rfc3339
from drill.core.errors import DrillError
from drill.target.sandbox import planned_facts
from drill.training.given import Health, Holding, Tick
from drill.training.live import LiveStage
from drill.training.views import LogLine, ReplicaLine

EVERY_S = 1.0
LOG_LINES = 40
EVENTS = "events"


class Lookout:
    """One thread that looks once a second and tells the stage."""

    def __init__(self, stage: LiveStage, running: Running, candidates: Callable[[], tuple[str, ...]]) -> None:
        self._stage, self._running, self._candidates = stage, running, candidates
        self._stop = threading.Event()
        self._asked_candidates = False
        facts = planned_facts(running.sandbox.spec)
        self._addresses = {one.name: one.address for service in facts.services for one in service.replicas}
        self._born: dict[str, tuple[int, float]] = {}

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Look until the block is left."""
        thread = threading.Thread(target=self._run, name="drill-lookout", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            for look in (self._health, self._replicas, self._logs, self._escalations):
                with contextlib.suppress(DrillError, OSError, ValueError, KeyError):
                    look()
            self._stage.give(Tick())

    def _health(self) -> None:
        conditions = self._stage.state.healthy
        healthy = bool(conditions) and all(self._running.observer.holds(one.promql) for one in conditions)
        self._stage.give(Health(healthy))

    def _replicas(self) -> None:
        status = self._running.sandbox.status()
        listed = {address for addresses in status["endpoints"].values() for address in addresses}
        lines = []
        for name, said in sorted(status["replicas"].items()):
            pid, starts = int(said["pid"]), int(said["starts"])
            if self._born.get(name, (-1, 0.0))[0] != pid:
                self._born[name] = (pid, float(said.get("born_at") or (time.time() if name in self._born else 0.0)))
            in_service = bool(said.get("in_service", self._addresses.get(name) in listed))
            lines.append(
                ReplicaLine(
                    name=name,
                    service=name.rpartition("-")[0],
                    state="down" if not pid else "serving" if in_service else "out of service",
                    started_at=self._born[name][1],
                    restarts=int(said.get("restarts", starts - 1)),
                )
            )
        self._stage.look_around(replicas=tuple(lines))
        self._stage.give(Holding(frozenset((one[0], one[1]) for one in status["held"])))

    def _logs(self) -> None:
        self._stage.look_around(logs=newest_lines(self._running.sandbox.mitigations.recent()))

    def _escalations(self) -> None:
        """What may be added, asked for once, beside everything else: it takes seconds to find out."""
        if not self._asked_candidates and not self._stage.script.solo and self._stage.state.in_place():
            self._asked_candidates = True
            threading.Thread(target=self._find_out, name="drill-candidates", daemon=True).start()

    def _find_out(self) -> None:
        with contextlib.suppress(DrillError, OSError):
            self._stage.look_around(escalations=self._candidates())


def newest_lines(recent: Mapping[str, Any]) -> tuple[LogLine, ...]:
    """Return the newest lines of all replicas' logs and the platform's events, oldest first.

    *recent* is what the sandbox's ``Mitigations.recent`` gives. A line without its time is left out.
    """
    found = [
        LogLine(at=event["at"], source=EVENTS, text=f"{event['about']}: {event['message']}")
        for event in recent["events"]
    ]
    for replica, lines in recent["lines"].items():
        for line in lines:
            stamp, _, text = line.partition(" ")
            with contextlib.suppress(ValueError):
                found.append(LogLine(at=parse_rfc3339(stamp), source=replica, text=text))
    return tuple(sorted(found, key=lambda one: one.at)[-LOG_LINES:])


def watch_commands(path: Path, stage: LiveStage, stop: threading.Event) -> None:
    """Tell the stage what the shell writes to *path*, one command a line, until *stop*."""
    from drill.cli.training.shell import typed

    seen = 0
    while True:
        ended = stop.wait(0.2)
        with contextlib.suppress(OSError):
            text = path.read_text(errors="replace")
            whole = text[: text.rfind("\n") + 1]
            for line in whole[seen:].splitlines():
                stage.give(typed(line))
            seen = len(whole)
        if ended:
            return
