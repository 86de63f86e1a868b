"""`drill runbook show`: a runbook as steps, with values filled in; in what order they are walked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drill.runbook.attributes import fill
from drill.runbook.model import Cell, HumanStep, Runbook
from drill.runbook.rules import why_changing

Item = Cell | HumanStep


def items(runbook: Runbook) -> Sequence[Item]:
    """Everything somebody can do, in the order of the page; code that is only to be read is not among it."""
    steps: list[Item] = [*(cell for cell in runbook.cells if cell.kind != "text"), *runbook.steps]
    return sorted(steps, key=lambda item: item.line)


def changes(cell: Cell) -> str:
    """Why *cell* must not run without a yes, in words; empty when it only looks."""
    if cell.changing:
        return f"it is tagged {cell.tag}"
    return why_changing(cell.body) if cell.kind == "shell" else ""


def what(item: Item) -> str:
    """The kind of step in a word."""
    if isinstance(item, HumanStep):
        return "you"
    if item.changing:
        return item.tag
    if item.kind == "promql":
        return "ask"
    return "look" if not changes(item) else "run"


def outline(runbook: Runbook, values: Mapping[str, str]) -> str:
    """The runbook as an outline of its steps."""
    front = runbook.front
    lines = [runbook.title, f"  {runbook.file}"]
    if front is not None:
        facts = {"alerts": ", ".join(front.alerts), "owner": front.owner, "escalate": front.escalate}
        lines += [f"  {name}: {value}" for name, value in facts.items() if value]
    section = None
    for item in items(runbook):
        if item.section != section:
            section = item.section
            lines += ["", section or "(before the first heading)"]
        lines += _lines(item, values)
    if runbook.hints:
        lines += ["", f"{len(runbook.hints)} hints: {', '.join(hint.title for hint in runbook.hints)}"]
    if not items(runbook):
        lines += ["", "nothing in it can be run or ticked: it is there to be read"]
    return "\n".join(lines)


def _lines(item: Item, values: Mapping[str, str]) -> list[str]:
    if isinstance(item, HumanStep):
        return [f"  [ ] {' '.join(item.text.split())}"]
    promises = [f"{key}={item.attributes[key]}" for key in ("expect", "verify", "within", "for", "undo", "role")
                if key in item.attributes]  # fmt: skip
    head = f"  {what(item):<8} {item.name}{f'  ({chr(32).join(promises)})' if promises else ''}"
    body = fill(item.body, values).strip().splitlines()
    return [head, *(f"           {line}" for line in body)]


def as_json(runbook: Runbook) -> dict[str, Any]:
    """The runbook for another program."""
    front = runbook.front
    return {
        "file": runbook.file,
        "title": runbook.title,
        "sha256": runbook.sha256,
        "front": None if front is None else front.model_dump(exclude={"lines"}),
        "steps": [_step(item) for item in items(runbook)],
        "hints": [{"title": hint.title, "text": hint.text} for hint in runbook.hints],
    }


def _step(item: Item) -> dict[str, Any]:
    base = {"line": item.line, "section": item.section, "kind": what(item)}
    if isinstance(item, HumanStep):
        return {**base, "text": item.text}
    return {
        **base, "name": item.name, "language": item.language, "tag": item.tag, "attributes": item.attributes,
        "body": item.body, "changes": changes(item),
    }  # fmt: skip
