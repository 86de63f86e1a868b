"""`drill runbook run`: walks a person through, one step at a time, and writes down what became of each.

Prints what would be run, and where, before it is run. What only looks runs on Enter; what changes something runs
only on a typed *yes*. The end of the input is the end of the walk.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drill.cli.console import Console
from drill.cli.runbooks.showing import Item, changes, items, what
from drill.runbook.answers import Answer
from drill.runbook.model import Cell, HumanStep
from drill.runbook.records import Step, append
from drill.runbook.walk import WORST, Walker

MARKS = {
    "proven": "✓",
    "done-unproven": "·",
    "failed": "✗",
    "contradicted": "✗",
    "skipped": "–",
    "unavailable": "!",
}
WIDTH = 100


class Ended(Exception):
    """The person, or the input, has ended the walk."""


@dataclass
class Walkthrough:
    """One walk. ``files`` get a line for every step; ``read`` returns what the person typed, None at the end."""

    walker: Walker
    console: Console
    files: Sequence[Path]
    read: Callable[[str], str | None]
    only: frozenset[str] = frozenset()
    """Names of the cells to do; empty: all steps."""
    steps: list[Step] = field(default_factory=list)

    def walk(self) -> Sequence[Step]:
        """Go through all steps; return what became of them."""
        runbook = self.walker.runbook
        self._head()
        wanted = [item for item in items(runbook) if self._wanted(item)]
        section = ""
        try:
            for number, item in enumerate(wanted, 1):
                if item.section != section:
                    section = item.section
                    self._section(section)
                self._item(item, f"{number}/{len(wanted)}")
            self._take_back()
        except Ended:
            done = {(step.name, step.line) for step in self.steps}
            for item in wanted:
                if (_name(item), item.line) not in done:
                    self._keep(self._not_done(item, "the walk was ended before"))
        return self.steps

    def _wanted(self, item: Item) -> bool:
        if isinstance(item, HumanStep):
            return not self.only
        return item.name in self.only if self.only else item.tag != "undo"

    def _head(self) -> None:
        runbook, console = self.walker.runbook, self.console
        console.say(runbook.title, "bold")
        console.say(f"  target: {self.walker.world.target}")
        values = ", ".join(f"{name}={value}" for name, value in sorted(self.walker.values.items()))
        console.say(f"  values: {values or 'none'} (answer NAME=VALUE at any question to set one)")
        if runbook.front and runbook.front.escalate:
            console.say(f"  help:   {runbook.front.escalate}")

    def _section(self, title: str) -> None:
        text = next((one.text for one in self.walker.runbook.sections if one.title == title), "")
        self.console.say(f"\n{title}", "bold")
        for line in _prose(text):
            self.console.say(f"  {line}")

    def _item(self, item: Item, number: str) -> None:
        if isinstance(item, HumanStep):
            self._human(item, number)
        elif why := changes(item):
            self._changing(item, number, why)
        else:
            self._looking(item, number)

    def _show(self, cell: Cell, number: str) -> None:
        console = self.console
        self._name_pod(cell)
        console.say(f"\n[{number}] {what(cell)}: {cell.name}", "bold")
        for line in self.walker.text(cell).splitlines():
            console.say(f"    {line}")
        console.say(f"    at {self.walker.world.target}")
        if missing := self.walker.missing(cell):
            console.say(f"    not known yet: {', '.join('$' + name for name in missing)}", "yellow")

    def _name_pod(self, cell: Cell) -> None:
        if "POD" in self.walker.missing(cell) and cell.name != WORST and (pod := self.walker.find_pod()):
            self.console.say(f"    $POD is {pod}: the answer of {WORST}")

    def _looking(self, cell: Cell, number: str) -> None:
        self._show(cell, number)
        if self._ask("    Enter runs it, s skips, q ends: ") == "s":
            self._keep(self._not_done(cell, "skipped by hand"))
            return
        step, answer = self.walker.look(cell)
        for line in answer.shown().splitlines():
            self.console.say(f"      {line}")
        self._keep(step)

    def _changing(self, cell: Cell, number: str, why: str) -> None:
        self._show(cell, number)
        self.console.say(f"    This changes something: {why}.", "yellow")
        for key, text in (("verify", "checked by"), ("undo", "taken back by")):
            if key in cell.attributes:
                self.console.say(f"    {text} {cell.attributes[key]}")
        if self._ask("    type yes to run it; Enter skips it, q ends: ") != "yes":
            self._keep(self._not_done(cell, "nobody said yes"))
            return
        if cell.attributes.get("verify"):
            self.console.say(f"    running it, then waiting for {cell.attributes['verify']} …")
        step = self.walker.act(cell) if cell.changing else self.walker.do(cell)[0]
        for line in step.answer.splitlines():
            self.console.say(f"      {line}")
        self._keep(step)

    def _human(self, item: HumanStep, number: str) -> None:
        self.console.say(f"\n[{number}] you:", "bold")
        for line in textwrap.wrap(" ".join(item.text.split()), WIDTH):
            self.console.say(f"    {line}")
        answer = self._ask("    Enter: done; s or a reason: not done; q ends: ")
        outcome = "done" if not answer else answer.removeprefix("s").strip() or "skipped by hand"
        self._keep(self._person(item, "" if outcome == "done" else outcome))

    def _take_back(self) -> None:
        """What was done and can be undone is offered at the end, last first."""
        for step in reversed([one for one in self.steps if one.tag == "mitigate"]):
            cell = self.walker.runbook.cell(step.name)
            undo = self.walker.runbook.cell(cell.attributes.get("undo", "")) if cell else None
            if undo is not None and step.outcome not in ("skipped", "unavailable") and not self.only:
                self.console.say(f"\n{step.name} was done. Take it back now, or when the cause is gone?", "bold")
                self._changing(undo, "undo", f"it takes {step.name} back")

    def _ask(self, question: str) -> str:
        while True:
            answer = self.read(question)
            if answer is None:
                raise Ended
            answer = answer.strip()
            if answer.lower() in ("q", "quit"):
                raise Ended
            name, equals, value = answer.partition("=")
            if not (equals and name.isupper() and name.isidentifier()):
                return answer.lower() if answer.lower() in ("s", "yes") else answer
            self.walker.values[name] = value
            self.console.say(f"    {name} is {value} now")

    def _keep(self, step: Step) -> None:
        self.steps.append(step)
        why = f": {step.why}" if step.why and step.outcome != "skipped" else ""
        if step.meets is not None and not step.changes:
            wanted = self.walker.runbook.cell(step.name)
            expected = wanted.attributes.get("expect", "") if wanted else ""
            why = f", {'as' if step.meets else 'NOT as'} expected ({expected})"
        self.console.say(f"    {MARKS[step.outcome]} {step.outcome}{why}")
        for file in self.files:
            append(file, step)

    def _not_done(self, item: Item, why: str) -> Step:
        if isinstance(item, HumanStep):
            return self._person(item, why)
        step = self.walker.step(item, "skipped", self.walker.clock(), _nothing(), why=why)
        return step.with_(answer="")

    def _person(self, item: HumanStep, not_done: str) -> Step:
        now, runbook = self.walker.clock(), self.walker.runbook
        return Step(
            runbook=Path(runbook.file).stem,
            sha256=runbook.sha256,
            name=_name(item),
            section=item.section,
            line=item.line,
            tag="human",
            outcome="skipped" if not_done else "done-unproven",
            began=now,
            ended=now,
            target=self.walker.world.target,
            why=not_done,
            by=self.walker.by,
            owner=runbook.front.owner if runbook.front else "",
        )


def _nothing() -> Answer:
    return Answer()


def _name(item: Item) -> str:
    return " ".join(item.text.split())[:200] if isinstance(item, HumanStep) else item.name


def _prose(text: str) -> list[str]:
    """The words of a section above and between its cells, wrapped; code and check boxes have their own turn."""
    lines, fence = list[str](), False
    for line in text.splitlines():
        if line.lstrip().startswith(("```", "~~~")):
            fence = not fence
        elif not fence and not line.lstrip().startswith(("- [ ]", "* [ ]", "<details", "</details")):
            lines += textwrap.wrap(line, WIDTH, subsequent_indent="  ") or [""]
    shown = "\n".join(lines).strip("\n")
    return [line for line in shown.split("\n") if line.strip()] if shown else []


def summary(steps: Sequence[Step]) -> Sequence[Sequence[str]]:
    """Rows of name, outcome and why."""
    return [(step.name[:60], step.tag, step.outcome, step.why or step.answer[:60]) for step in steps]
