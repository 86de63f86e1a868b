"""What is wrong with a runbook that a machine shall follow. An ordinary runbook has nothing to be wrong.

Refuses, as problems: attributes nobody knows, values Runme's parser would cut, PromQL that does not parse,
changing cells that would run with all the others, names that lead nowhere, alerts that do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from drill.core.problems import Problem, did_you_mean
from drill.core.promql import promql_error
from drill.core.units import parse_duration
from drill.runbook.attributes import OURS, RUNME, fill, split_info, variables
from drill.runbook.model import TAGS, Cell, Runbook

KNOWN = (*OURS, *RUNME)
EXPECTATION = re.compile(r"(?:<=|>=|==|!=|<|>)-?\d+(?:\.\d+)?(?:e-?\d+)?|empty|nonempty|exit=\d{1,3}")

_RANGE = re.compile(r"\[\s*\$\{?[A-Z][A-Z0-9_]*\}?")
_BREAK = re.compile(r"\r\n?|\n")


def lint(runbook: Runbook, *, known_alerts: set[str] | None = None) -> tuple[Problem, ...]:
    """Return all that is wrong with *runbook*, in the order of its lines.

    ``known_alerts`` are the names of the alert rules there are; None: not known, so not judged.
    """
    names = {cell.name: cell for cell in reversed(runbook.cells)}
    page = _Page(runbook, _BREAK.split(runbook.text), names)
    ours = [cell for cell in runbook.cells if _is_ours(cell)]
    found = [problem for check in CHECKS for cell in ours for problem in check(page, cell)]
    found += [problem for cell in runbook.cells for problem in _queries(page, cell)]
    found += [*_front(page, known_alerts), *_twice(page)]
    return tuple(sorted(dict.fromkeys(found), key=lambda problem: (problem.line, problem.column)))


@dataclass(frozen=True)
class _Page:
    """The runbook with its lines, to make problems with a place, and its cells by name."""

    runbook: Runbook
    lines: list[str]
    names: dict[str, Cell]

    def problem(self, line: int, what: str | re.Pattern[str], message: str, hint: str = "") -> Problem:
        """Make a problem at the first *what* in *line* (from 1), at the line's text when it is not in it."""
        source = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        pattern = re.escape(what) if isinstance(what, str) else what
        found = re.search(pattern, source) if what else None
        column = found.start() if found else len(source) - len(source.lstrip())
        width = len(found[0]) if found else len(source.strip())
        return Problem(self.runbook.file, line, column + 1, message, hint, source, max(1, width))

    def of(self, cell: Cell, key: str, message: str, hint: str = "") -> Problem:
        """Make a problem at the attribute *key* of *cell*'s fence, at the whole fence when it has none."""
        what = f"{key}={cell.attributes[key]}" if key in cell.attributes else ""
        return self.problem(cell.line, what, message, hint)


def _is_ours(cell: Cell) -> bool:
    """Is the fence written for drill or Runme? Other tools (Hugo, Pandoc) put their own words into braces."""
    return any(key in KNOWN or did_you_mean(key[:80], KNOWN).startswith("did") for key in cell.attributes)


def _attributes(page: _Page, cell: Cell) -> Iterator[Problem]:
    for key in cell.attributes:
        if key not in KNOWN:
            hint = did_you_mean(key[:80], KNOWN)
            yield page.of(cell, key, f"unknown attribute '{key}'", hint if hint.startswith("did") else "")


def _values(page: _Page, cell: Cell) -> Iterator[Problem]:
    hint = "write the value without them; text with spaces belongs into the cell's body"
    fence = page.lines[cell.line - 1] if cell.line <= len(page.lines) else ""
    info = fence.strip().lstrip("`~>-+* ")
    if "{" in info:
        for piece in split_info(info)[2]:
            place = re.compile(rf"(?<=[\s{{]){re.escape(piece)}")
            yield page.problem(cell.line, place, f"'{piece}' is no key=value", "a value ends at the first space")
    for key, value in cell.attributes.items():
        if re.search(r"[\s\"'{}]", value):
            yield page.of(cell, key, f"the value of '{key}' has a space, a quote or a brace in it", hint)


def _tags(page: _Page, cell: Cell) -> Iterator[Problem]:
    if "tag" in cell.attributes and not cell.tagged:
        written = cell.attributes["tag"]
        close = did_you_mean(written[:80], TAGS)
        if close.startswith("did") or any(key in cell.attributes for key in OURS):
            yield page.of(cell, "tag", f"the tag '{written}' does not say what the cell does", close)
    if cell.changing and not cell.excluded:
        yield page.of(
            cell, "tag", f"the cell '{cell.name}' changes something and would run with all the others",
            "add excludeFromRunAll=true",
        )  # fmt: skip
    if cell.changing and cell.kind == "promql":
        yield page.of(cell, "tag", f"a query changes nothing: '{cell.name}' cannot be tagged {cell.tag}")


def _durations(page: _Page, cell: Cell) -> Iterator[Problem]:
    for key in ("within", "for"):
        if key not in cell.attributes:
            continue
        try:
            parse_duration(cell.attributes[key])
        except ValueError as error:
            message, _, rest = str(error).partition(": write")
            yield page.of(cell, key, message, f"write{rest}")


def _expectation(page: _Page, cell: Cell) -> Iterator[Problem]:
    expect = cell.attributes.get("expect")
    if expect is not None and not EXPECTATION.fullmatch(expect):
        hint = "write a comparison like <0.5 or >=1, or empty, nonempty, exit=0"
        yield page.of(cell, "expect", f"'{expect}' is not an expectation", hint)
    elif expect is not None and expect.startswith("exit=") and cell.kind == "promql":
        yield page.of(cell, "expect", f"'{expect}' cannot be expected of a query", "a query has no exit code")


def _names(page: _Page, cell: Cell) -> Iterator[Problem]:
    for key, what in (("undo", "undo"), ("verify", "verify")):
        name = cell.attributes.get(key)
        if name is None:
            continue
        other = page.names.get(name)
        if other is None:
            hint = did_you_mean(name[:80], (one.name for one in page.runbook.cells if "name" in one.attributes))
            yield page.of(cell, key, f"{what}={name}: no cell is called '{name}'", hint)
        elif key == "undo" and other.tag != "undo":
            yield page.of(cell, key, f"the cell '{name}' is not tagged undo", f"add tag=undo at line {other.line}")
        elif key == "verify" and other.changing:
            yield page.of(cell, key, f"the cell '{name}' changes something, so it proves nothing")


def _queries(page: _Page, cell: Cell) -> Iterator[Problem]:
    if cell.kind != "promql":
        return
    query = _RANGE.sub("[5m", cell.body)
    query = fill(query, dict.fromkeys(variables(query), "sample"))
    if not query.strip():
        yield page.problem(cell.line, "", "the query is empty")
    elif error := promql_error(query):
        line = next((n for n, text in enumerate(cell.body.splitlines(), cell.line + 1) if text.strip()), cell.line)
        yield page.problem(line, "", f"not PromQL: {error}")


CHECKS: tuple[Callable[[_Page, Cell], Iterator[Problem]], ...] = (
    _attributes, _values, _tags, _durations, _expectation, _names,
)  # fmt: skip


def _front(page: _Page, known_alerts: set[str] | None) -> Iterator[Problem]:
    front = page.runbook.front
    if front is None or not front.lines.keys() - {"title"}:
        return  # none, or another tool's
    if not front.owner:
        yield page.problem(1, "", "nobody owns this runbook", "add 'owner: TEAM' to the front matter")
    if not front.escalate:
        yield page.problem(1, "", "nobody to escalate to", "add 'escalate: CHANNEL' to the front matter")
    for alert in front.alerts if known_alerts is not None else ():
        if alert not in (known_alerts or ()):
            line = _line_of(page, alert, front.lines.get("alerts", 1))
            yield page.problem(
                line, alert, f"no rule makes the alert '{alert}'", did_you_mean(alert, known_alerts or ())
            )


def _line_of(page: _Page, word: str, start: int) -> int:
    lines = enumerate(page.lines[start - 1 :], start)
    return next((number for number, text in lines if word in text), start)


def _twice(page: _Page) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for cell in page.runbook.cells:
        if "name" not in cell.attributes:
            continue
        if cell.name in first:
            message = f"the cell name '{cell.name}' is given twice"
            yield page.of(cell, "name", message, f"it was given first at line {first[cell.name]}")
        first.setdefault(cell.name, cell.line)
