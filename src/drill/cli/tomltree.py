"""TOML as the same tree as YAML: every value with its place, so that one set of words serves both kinds of file.

The standard library's reader decides what is TOML and what it means; it keeps no places. This module only finds
again where each key and value stands, in text that reader has accepted, and refuses to judge anything.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from drill.core.problems import Problem
from drill.scenario.yamltree import MAX_BYTES, Document, Node

Path = tuple[str | int, ...]
Span = tuple[int, int]
"""Offsets of the first character and of the one just behind."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"[ \t]*([A-Za-z0-9_-]+|\"(?:\\.|[^\"\\])*\"|'[^']*')[ \t]*")
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"""+|\'\'\'.*?\'\'\'+|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL
)  # multi-line forms first: their quotes begin like those of an empty text
_PLAIN = re.compile(r"\d{4}-\d\d-\d\d[ ]\d\d:[^\s,\]}#]+|[^\s,\]}#]+")
_HINTS = {"Invalid value": "write text in quotes", r"Illegal character '\n'": "the closing quote is missing"}
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)")


@dataclass(frozen=True)
class _Mark:
    line: int
    column: int


def read(data: bytes, file: str) -> Document:
    """Turn the bytes of *file* into a document. Never raises: whatever is wrong is in ``problems``."""
    document = Document(file, form="TOML")
    if len(data) > MAX_BYTES:
        document.problems.append(
            Problem(file, 0, 0, f"larger than {MAX_BYTES // 2**20} MiB: is this the right file?")
        )
        return document
    try:
        document.text = data.decode("utf-8-sig").replace("\r\n", "\n")
        values = tomllib.loads(document.text)
    except UnicodeDecodeError:
        document.problems.append(Problem(file, 0, 0, "the file is not UTF-8", "save it as UTF-8"))
    except tomllib.TOMLDecodeError as error:
        document.problems.append(_syntax(document, str(error)))
    except RecursionError:
        document.problems.append(Problem(file, 0, 0, "nested too deeply"))
    else:
        document.root = _Builder(document, _Places(document.text)).node(values, ())
    return document


def _syntax(document: Document, said: str) -> Problem:
    found = _PLACE.search(said)
    message = f"not TOML: {said[: found.start()] if found else said}"
    if found is None or found[1] is None:
        return document.problem(document.line_of(len(document.text.rstrip())), f"{message} at the end of the file")
    hint = next((hint for words, hint in _HINTS.items() if words in said), "")
    return document.problem((int(found[1]) - 1, int(found[2]) - 1), message, hint)


class _Places:
    """Walks TOML text that is known to be right and notes the span of every key and value by its path."""

    def __init__(self, text: str) -> None:
        self.keys: dict[Path, Span] = {}
        self.values: dict[Path, Span] = {}
        self._text, self._at = text, 0
        self._counts: dict[Path, int] = {}
        self._walk()

    def _walk(self) -> None:
        table: Path = ()
        self._skip()
        while self._at < len(self._text):
            table = self._header() if self._text[self._at] == "[" else self._pair(table)
            self._skip()

    def _skip(self) -> None:
        self._at = self._match(_BLANK).end()

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        assert found is not None, "text that tomllib accepts"
        return found

    def _header(self) -> Path:
        several = self._text.startswith("[[", self._at)
        self._at += 2 if several else 1
        path = self._dotted((), several)
        self._at += 2 if several else 1
        return path

    def _dotted(self, table: Path, several: bool = False) -> Path:
        """Read ``a.b.c`` below *table*; parts that are lists of tables mean their last one."""
        path = table
        while True:
            found = self._match(_KEY)
            self._at = found.end()
            path = (*path, _unquoted(found[1]))
            self.keys.setdefault(path, found.span(1))
            last = not self._text.startswith(".", self._at)
            if last and several:
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self.keys.setdefault(path, found.span(1))
            if last:
                return path
            self._at += 1

    def _pair(self, table: Path) -> Path:
        path = self._dotted(table)
        self._at += 1  # the '='
        self._skip()
        self._value(path)
        return table

    def _value(self, path: Path) -> None:
        start = self._at
        if self._text[start] == "[":
            self._list(path)
        elif self._text[start] == "{":
            self._inline(path)
        else:
            self._at = self._match(_TEXT if self._text[start] in "\"'" else _PLAIN).end()
        self.values[path] = (start, self._at)

    def _list(self, path: Path) -> None:
        index = 0
        self._at += 1
        self._skip()
        while self._text[self._at] != "]":
            self._value((*path, index))
            index += 1
            self._separator()
        self._at += 1

    def _inline(self, path: Path) -> None:
        self._at += 1
        self._skip()
        while self._text[self._at] != "}":
            self._pair(path)
            self._separator()
        self._at += 1

    def _separator(self) -> None:
        self._skip()
        if self._text[self._at] == ",":
            self._at += 1
            self._skip()


def _unquoted(key: str) -> str:
    return str(next(iter(tomllib.loads(f"{key}=0"))))


@dataclass(frozen=True)
class _Builder:
    document: Document
    places: _Places

    def node(self, value: Any, path: Path) -> Node:
        keys, values = self.places.keys, self.places.values
        node = self._at(None, values.get(path) or keys.get(path) or (0, 0))
        if isinstance(value, dict):
            node.value = {key: self.node(inner, (*path, key)) for key, inner in value.items()}
            node.keys = {key: self._at(key, keys.get((*path, key), (0, 0))) for key in value}
        elif isinstance(value, list):
            node.value = [self.node(inner, (*path, index)) for index, inner in enumerate(value)]
        else:
            node.value = value if isinstance(value, str | bool | int | float) else str(value)
            node.text = str(value)
        return node

    def _at(self, value: Any, span: Span) -> Node:
        start, end = (_Mark(*self.document.line_of(offset)) for offset in span)
        return Node(value, start, end)
