"""Runs the cells of a runbook against a target: fills in variables, judges answers, waits for what a cell promises.

Owns no process and no socket: a :class:`World` asks Prometheus and runs commands. Whether a changing cell may run
is the caller's to decide before it calls ``act``; ``look`` refuses what does more than look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from drill.core.errors import DrillError
from drill.core.units import parse_duration
from drill.runbook.answers import Answer, Series, meets
from drill.runbook.attributes import fill, variables
from drill.runbook.hasten import hastened, patience_s
from drill.runbook.model import Cell, Runbook
from drill.runbook.records import Outcome, Step
from drill.runbook.rules import why_changing

DEFAULT_WITHIN_S = 300.0
LOOK_EVERY_S = 0.5
WORST = "worst-replica"
"""The cell whose first series names ``$POD`` by its label ``instance``."""


class World(Protocol):
    """Where cells are run. Both methods raise DrillError when nothing can be asked or run at all."""

    @property
    def target(self) -> str:
        """What it is, for the person who is asked: ``sandbox ab12cd34``, ``cluster kind-x``."""

    @property
    def fast_forward(self) -> float:
        """By how much the windows of its rules are divided; 1 for a real system."""

    def ask(self, promql: str) -> Sequence[Series]:
        """Ask Prometheus, now."""

    def run(self, command: str, language: str, values: Mapping[str, str]) -> tuple[int, str]:
        """Run *command* in a shell with *values* in its environment; return exit code and output."""


@dataclass
class Walker:
    """One runbook at one target. ``values`` grow as steps name what was unknown before."""

    runbook: Runbook
    world: World
    values: dict[str, str]
    by: str = ""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep
    stop: Callable[[], bool] = field(default=lambda: False)
    """Asked while waiting: True ends the wait."""

    def text(self, cell: Cell) -> str:
        """What would be run or asked, as the person should see it."""
        if cell.kind == "promql":
            filled = fill(cell.body, self.values).strip()
            try:
                return hastened(filled, self.world.fast_forward)
            except ValueError:
                return filled
        return cell.body.strip()

    def missing(self, cell: Cell) -> list[str]:
        """Variables of ours (in capitals) that *cell* needs and nobody has named."""
        return sorted(name for name in variables(cell.body) if not self.values.get(name))

    def find_pod(self) -> str:
        """Name ``$POD`` by the cell ``worst-replica``; return it, ``''`` when it names none."""
        cell = self.runbook.cell(WORST)
        if cell is None or self.missing(cell):
            return ""
        series = self.answer(cell).series or ()
        pod = next((one.labels.get("instance", "") for one in series), "")
        if pod:
            self.values["POD"] = pod
        return pod

    def answer(self, cell: Cell) -> Answer:
        """Ask or run *cell* once, whatever it does. Its failures are answers."""
        try:
            if cell.kind == "promql":
                return Answer(series=tuple(self.world.ask(self.text(cell))))
            code, output = self.world.run(cell.body, cell.language, self.values)
            return Answer(exit_code=code, output=output)
        except DrillError as error:
            return Answer(error=str(error))

    def look(self, cell: Cell) -> tuple[Step, Answer]:
        """Run a cell that only looks, and judge it. Raises ValueError for one that may do more."""
        if cell.changing or (cell.kind == "shell" and (why := why_changing(cell.body))):
            raise ValueError(f"the cell '{cell.name}' does more than look: {'' if cell.changing else why}")
        return self.do(cell)

    def do(self, cell: Cell) -> tuple[Step, Answer]:
        """Run *cell* once and judge what it answers by its own ``expect``. The caller has permission."""
        began = self.clock()
        if missing := self.missing(cell):
            answer = Answer(error=f"no value for {', '.join('$' + name for name in missing)}")
        else:
            answer = self.answer(cell)
        met = meets(cell.attributes.get("expect", ""), answer)
        return self.step(cell, _looked(cell, answer, met), began, answer, met), answer

    def act(self, cell: Cell) -> Step:
        """Run a changing cell and wait for what its ``verify`` promises. The caller has permission."""
        began = self.clock()
        if missing := self.missing(cell):
            nothing = Answer(error=f"no value for {', '.join('$' + name for name in missing)}")
            return self.step(cell, "unavailable", began, nothing)
        answer = self.answer(cell)
        if answer.error:
            return self.step(cell, "unavailable", began, answer)
        if answer.exit_code:
            return self.step(cell, "failed", began, answer, why=f"exit code {answer.exit_code}")
        check = self.runbook.cell(cell.attributes.get("verify", ""))
        if check is None:
            return self.step(cell, "done-unproven", began, answer, why="nothing verifies it")
        outcome, why = self._verified(cell, check)
        return self.step(cell, outcome, began, answer, outcome == "proven", why)

    def _verified(self, cell: Cell, check: Cell) -> tuple[Outcome, str]:
        """Wait until *check* meets its expectation and has met it for ``for``."""
        factor = self.world.fast_forward
        within = patience_s(_duration(cell, "within", DEFAULT_WITHIN_S), factor)
        lasting = _duration(cell, "for", 0.0) / max(1.0, factor)
        began, since, last = self.clock(), 0.0, Answer()
        while True:
            last = self.answer(check)
            now = self.clock()
            if meets(check.attributes.get("expect", ""), last):
                since = since or now
                if now - since >= lasting:
                    return "proven", f"{check.name} is as expected since {since - began:.0f} s after it"
            else:
                since = 0.0
            if self.stop() or (not since and now - began > within):
                break
            self.sleep(LOOK_EVERY_S)
        if last.error:
            return "unavailable", f"{check.name} cannot be asked: {last.error}"
        said = f"expected {check.attributes.get('expect', '')}, got {last.value()}"
        return "contradicted", f"{check.name} within {within:.0f} s: {said}"

    def step(
        self, cell: Cell, outcome: Outcome, began: float, answer: Answer, met: bool | None = None, why: str = ""
    ) -> Step:
        """Write down what became of *cell*."""
        front = self.runbook.front
        return Step(
            runbook=self.runbook.file.rpartition("/")[2].removesuffix(".md"),
            sha256=self.runbook.sha256,
            name=cell.name,
            section=cell.section,
            line=cell.line,
            tag=cell.tag,
            outcome=outcome,
            began=began,
            ended=self.clock(),
            command=self.text(cell) if cell.kind == "promql" else fill(cell.body.strip(), self.values),
            target=self.world.target,
            answer=answer.short(),
            why=why or answer.error,
            meets=met,
            by=self.by,
            role=cell.attributes.get("role", ""),
            owner=front.owner if front else "",
        )


def _looked(cell: Cell, answer: Answer, met: bool | None) -> Outcome:
    if answer.error:
        return "unavailable"
    if met is not None:
        return "proven"
    return "failed" if cell.kind == "shell" and answer.exit_code else "done-unproven"


def _duration(cell: Cell, name: str, default: float) -> float:
    try:
        return parse_duration(cell.attributes[name])
    except (KeyError, ValueError):
        return default
