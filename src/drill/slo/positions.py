"""YAML with places: plain data plus the line and column of every key and value.

Owns the reading of YAML for SLO, rule and Alertmanager files. Refuses tags, duplicate keys, alias bombs and
anything that is not YAML, as problems; knows nothing of what the files mean. Numbers are read as YAML 1.2's
core schema reads them (``12:30`` stays text).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from drill.core.problems import Problem

Path = tuple[str | int, ...]
Place = tuple[int, int, int]
"""Line and column, both from 1, and the width the caret underlines."""

MAX_BYTES = 5_000_000
MAX_NODES = 200_000
_TAGS = {"str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value"}
"""What the composer gives to values without a tag."""
_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?")
_WORDS: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@dataclass(frozen=True)
class Document:
    """One YAML document: ``data`` is plain Python; ``places`` maps paths to where their value stands."""

    file: str
    lines: tuple[str, ...]
    data: Any
    places: dict[Path, Place]
    keys: dict[Path, Place] = field(default_factory=dict)

    def place(self, path: Path) -> Place:
        """Return the place of the value at *path*, or of its nearest parent that stands in the file."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path, (1, 1, 1))

    def problem(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
        """Make a problem at *path* (at its key, with ``key``)."""
        line, column, width = self.keys[path] if key and path in self.keys else self.place(path)
        source = self.lines[line - 1] if line <= len(self.lines) else ""
        return Problem(self.file, line, column, message, hint, source, width)


def load_documents(text: str, file: str) -> tuple[list[Document], list[Problem]]:
    """Read every YAML document of *text*; empty ones are left out. Mistakes come back as problems."""
    lines = tuple(text.splitlines())
    if len(text) > MAX_BYTES:
        return [], [Problem(file, 0, 0, f"larger than {MAX_BYTES // 10**6} MB: this is no SLO or rule file")]
    documents, problems = [], []
    try:
        for node in yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            reader = _Reader(file, lines)
            data = reader.read(node, ())
            problems += reader.problems
            if data is not None:
                documents.append(Document(file, lines, data, reader.places, reader.keys))
    except yaml.YAMLError as error:
        problems.append(_syntax_problem(error, file, lines))
    except (RecursionError, _TooLargeError):
        problems.append(Problem(file, 0, 0, "nested too deeply, or its aliases expand to too much"))
    return documents, problems


def _syntax_problem(error: yaml.YAMLError, file: str, lines: tuple[str, ...]) -> Problem:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Problem(file, 0, 0, f"not YAML: {str(error).splitlines()[0]}")
    said = getattr(error, "problem", None) or getattr(error, "context", None) or "syntax error"
    source = lines[mark.line] if mark.line < len(lines) else ""
    return Problem(file, mark.line + 1, mark.column + 1, f"not YAML: {said}", "", source)


LONGEST_INT = 40
"""Digits; what is longer stays a text, since no field takes such a number."""


class _TooLargeError(Exception):
    """Aliases expand to more nodes than any honest file has."""


class _Reader:
    """Turns composed nodes into plain data and remembers where each stood."""

    def __init__(self, file: str, lines: tuple[str, ...]) -> None:
        self.document = Document(file, lines, None, {})
        self.places: dict[Path, Place] = self.document.places
        self.keys: dict[Path, Place] = self.document.keys
        self.problems: list[Problem] = []
        self.count = 0

    def read(self, node: yaml.Node | None, path: Path) -> Any:
        if node is None:
            return None
        self.count += 1
        if self.count > MAX_NODES:
            raise _TooLargeError
        self.places[path] = _place(node)
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            self.problems.append(self.document.problem(path, f"the tag '{node.tag}' is not allowed"))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.YAMLError("unknown kind of node")
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in out:
                self.places[(*path, key)] = _place(key_node)
                self.problems.append(self.document.problem((*path, key), f"'{key}' is written twice here"))
            self.keys[(*path, key)] = _place(key_node)
            out[key] = self.read(value_node, (*path, key))
        return out

    @staticmethod
    def _scalar(node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        if node.style in ("'", '"', "|", ">"):
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text) and len(text) <= LONGEST_INT:
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text


def _place(node: yaml.Node) -> Place:
    start, end = node.start_mark, node.end_mark
    same_line = start.line == end.line
    return start.line + 1, start.column + 1, max(1, end.column - start.column) if same_line else 1
