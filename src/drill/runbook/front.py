"""Front matter: the YAML between two ``---`` lines at the top, read for drill's keys only.

Keys of other tools (Hugo's ``weight``, Runme's ``cwd``) are left alone. Reads libyaml's events, so that nothing
is constructed, expanded or nested.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from drill.core.problems import Problem
from drill.runbook.model import FrontMatter

KEYS = ("title", "alerts", "service", "owner", "escalate")
MAX_LENGTH = 65536

_END = re.compile(r"(?:---|\.\.\.)[ \t]*")

Scalar = tuple[str, int, int]
"""A scalar's text with its line and column, from 0, inside the front matter."""


def split_front(lines: list[str]) -> int:
    """Return how many lines the front matter takes with its two marks; 0 where there is none."""
    if not lines or lines[0].rstrip() != "---":
        return 0
    for number, line in enumerate(lines[1:], 1):
        if _END.fullmatch(line):
            return number + 1
    return 0


def read_front(lines: list[str], file: str) -> tuple[FrontMatter | None, list[Problem]]:
    """Return the front matter (the lines between the marks), None when it is no mapping, and its problems."""
    text = "\n".join(lines)
    if len(text) > MAX_LENGTH:
        return None, [Problem(file, 1, 1, "the front matter is too long", "is its closing '---' missing?")]
    try:
        fields = _fields(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        return None, [_problem(lines, file, ("", line, column), f"the front matter is not YAML: {error.problem}")]
    except yaml.YAMLError as error:
        return None, [Problem(file, 1, 1, f"the front matter is not YAML: {error}")]
    if fields is None:
        return None, []
    return _front(fields, lines, file)


def _front(
    fields: dict[str, list[Scalar] | Scalar | None], lines: list[str], file: str
) -> tuple[FrontMatter, list[Problem]]:
    values: dict[str, Any] = {}
    places: dict[str, int] = {}
    problems: list[Problem] = []
    for key in KEYS:
        value = fields.get(key)
        if isinstance(value, list):
            if value:
                places[key] = value[0][1] + 2
            if key == "alerts":
                values[key] = tuple(text for text, _, _ in value)
            else:
                where = value[0] if value else ("", 0, 0)
                problems.append(_problem(lines, file, where, f"'{key}' must be text, not a list"))
        elif value is not None:
            places[key] = value[1] + 2
            values[key] = (value[0],) if key == "alerts" else value[0]
    return FrontMatter(**values, lines=places), problems


def _problem(lines: list[str], file: str, where: Scalar, message: str) -> Problem:
    text, line, column = where
    source = lines[line] if line < len(lines) else ""
    return Problem(file, line + 2, column + 1, message, "", source, max(1, len(text)))


def _fields(text: str) -> dict[str, list[Scalar] | Scalar | None] | None:
    """Return the top level's keys with their scalars and lists of scalars; None when it is no mapping.

    Raises yaml.YAMLError.
    """
    fields: dict[str, list[Scalar] | Scalar | None] = {}
    depth, key = 0, None
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        start: Any = event.start_mark
        match event:
            case yaml.ScalarEvent():
                scalar = (str(event.value), start.line, start.column)
                if depth == 0:
                    return None
                if depth == 2 and key is not None and isinstance(items := fields.get(key), list):
                    items.append(scalar)
                elif depth == 1 and key is None:
                    key = scalar[0]
                elif depth == 1:
                    fields.setdefault(str(key), scalar if scalar[0] else None)
                    key = None
            case yaml.CollectionStartEvent():
                if depth == 0 and not isinstance(event, yaml.MappingStartEvent):
                    return None
                if depth == 1 and key is not None:
                    fields.setdefault(key, [] if isinstance(event, yaml.SequenceStartEvent) else None)
                depth += 1
            case yaml.CollectionEndEvent():
                depth -= 1
                key = None if depth == 1 else key
            case yaml.AliasEvent() if depth == 1:
                key = None
    return fields if fields else None
