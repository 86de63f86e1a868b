"""YAML as a tree that remembers where everything stands, read with limits from any bytes at all.

Owns: decoding, size and depth limits, duplicate keys, the words for YAML's own errors, and which plain scalars
are numbers. Refuses, as problems with a place: tags, merge keys, several documents, alias bombs, and numbers
that YAML 1.1 and 1.2 read differently. It knows nothing of scenarios.

Plain ``yes``, ``no``, ``on`` and ``off`` are text, as in YAML 1.2; only ``true`` and ``false`` are booleans.
"""

from __future__ import annotations

import bisect
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from drill.core.problems import Problem
from drill.scenario.yamlwords import in_words

MAX_BYTES = 2**20
MAX_DEPTH = 32
TOO_DEEP = (f"nested more than {MAX_DEPTH} levels deep", "is a bracket or a quote missing?")
MAX_NODES = 20_000
"""Values in one file, those an alias repeats counted each time; the largest shipped scenario has under 200.

Long text counts as one value per 100 characters, so that aliases cannot multiply it either.
"""
MAX_PROBLEMS = 100

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,3})?")
_SEXAGESIMAL = re.compile(r"[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_SPECIAL_START = frozenset("0123456789+-.~nNtTfF")
"""How a plain scalar begins that may be more than text."""


_NO_KEYS: dict[str, Any] = {}
"""Shared by all nodes that are no mapping; never written to."""


class Node:
    """One value of the file.

    ``value`` is a str, int, float, bool or None for a scalar, a ``list[Node]`` for a sequence and a
    ``dict[str, Node]`` for a mapping, whose ``keys`` hold the nodes of the keys. ``text`` is a scalar as
    written, without its quotes. ``line`` and ``column`` count from 0; ``end_line`` and ``end_column`` are just
    behind. ``size`` is the number of values in it and ``height`` how deep they nest, aliases expanded.
    """

    __slots__ = ("end", "height", "keys", "plain", "size", "start", "text", "value")

    def __init__(self, value: Any, start: Any, end: Any) -> None:
        self.value = value
        self.start = start
        self.end = end
        self.keys: dict[str, Node] = _NO_KEYS
        self.text = ""
        self.plain = False
        self.size = 1
        self.height = 0

    @property
    def line(self) -> int:
        """The line of its first character."""
        return int(self.start.line)

    @property
    def column(self) -> int:
        """The column of its first character."""
        return int(self.start.column)

    @property
    def end_line(self) -> int:
        """The line just behind its last character."""
        return int(self.end.line)

    @property
    def end_column(self) -> int:
        """The column just behind its last character."""
        return int(self.end.column)


@dataclass
class Document:
    """A file that was read: its lines, its tree (None when it could not be built), and all that is wrong."""

    file: str
    text: str = ""
    root: Node | None = None
    problems: list[Problem] = field(default_factory=list)
    form: Literal["YAML", "TOML"] = "YAML"
    """How the file is written: hints give examples in its own form."""
    _starts: list[int] | None = None

    def line_text(self, line: int) -> str:
        """Return line number *line* (from 0) without its line end, ``''`` when there is none."""
        starts = self._line_starts()
        if not 0 <= line < len(starts):
            return ""
        start = starts[line]
        end = _BREAK.search(self.text, start)
        return self.text[start : end.start() if end else len(self.text)]

    def line_of(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 0, of a character's *offset*."""
        starts = self._line_starts()
        line = bisect.bisect_right(starts, offset) - 1
        return line, offset - starts[line]

    def problem(self, place: Node | tuple[int, int], message: str, hint: str = "", width: int = 0) -> Problem:
        """Make a problem at a node (underlined to its end, or to its line's) or at a line and column from 0."""
        line, column = (place.line, place.column) if isinstance(place, Node) else place
        source = self.line_text(line)
        if isinstance(place, Node) and not width:
            behind = place.end_column if place.end_line == line else len(source.rstrip())
            width = behind - column
        return Problem(self.file, line + 1, column + 1, message, hint, source, max(1, width))

    def report(self, place: Node | tuple[int, int], message: str, hint: str = "", width: int = 0) -> None:
        """Note a problem, up to the limit of how many are worth reading."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(self.problem(place, message, hint, width))

    def _line_starts(self) -> list[int]:
        if self._starts is None:
            self._starts = [0, *(match.end() for match in _BREAK.finditer(self.text))]
        return self._starts


def read(data: bytes, file: str) -> Document:
    """Turn the bytes of *file* into a document. Never raises: whatever is wrong is in ``problems``."""
    document = Document(file)
    if len(data) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES // 2**20} MiB and was not read"
        document.problems.append(Problem(file, 0, 0, message, "is this the right file?"))
        return document
    try:
        data = data.removeprefix(codecs.BOM_UTF8)
        document.text = data.decode()
    except UnicodeDecodeError as error:
        document.problems.append(_not_utf8(document, data, error))
        return document
    if found := _UNPRINTABLE.search(document.text):
        place = document.line_of(found.start())
        document.report(place, f"the character U+{ord(found[0]):04X} is not allowed in YAML", "remove it")
        return document
    _build(document)
    return document


def _not_utf8(document: Document, data: bytes, error: UnicodeDecodeError) -> Problem:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Problem(document.file, 1, 1, "the file is UTF-16, not UTF-8", "save it as UTF-8")
    good = data[: error.start].decode()
    document.text = data.decode(errors="replace")
    message = f"the byte 0x{data[error.start]:02X} is not UTF-8"
    return document.problem(document.line_of(len(good)), message, "save the file as UTF-8")


def _build(document: Document) -> None:
    loader = yaml.CSafeLoader(document.text)
    builder = _Builder(document)
    take, get_event = builder.take, loader.get_event
    try:
        while builder.open and (event := get_event()) is not None:
            take(event)
        document.root = builder.finish()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        if error.problem == "exceeded maximum nesting depth":  # libyaml's own limit, met while it looks ahead
            document.report((mark.line, mark.column) if mark else (0, 0), *TOO_DEEP)
        else:
            document.problems.append(in_words(document.problem, document.line_text, error))
        document.root = None
    except yaml.YAMLError as error:  # the reader's errors carry no place
        document.problems.append(Problem(document.file, 0, 0, f"the file is not YAML: {error}"))
    finally:
        loader.dispose()


class _Builder:
    """Builds the tree from libyaml's events without recursion, so that depth cannot exhaust a stack."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.open = True
        self._root: Node | None = None
        self._stack: list[Node] = []
        self._keys: list[Node | None] = []
        """For each open collection the key that waits for its value (always None in a sequence)."""
        self._anchors: dict[str, Node | None] = {}
        self._anchor_of: list[str | None] = []
        self._entered: list[int] = []
        """For each open collection how many values stood before it."""
        self._total = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Add one event to the tree."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._put(self._scalar(event), event.anchor)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._enter(event, {} if kind is yaml.MappingStartEvent else [])
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._leave(event.end_mark)
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self._stop((event.start_mark.line, event.start_mark.column), "a second document begins here",
                           "one file holds one document", width=3)  # fmt: skip

    def finish(self) -> Node | None:
        """Return the root, or None when the tree is not whole."""
        if self.open and self._documents == 0:
            self.document.report((0, 0), "the file is empty")
        return self._root if self.open else None

    def _scalar(self, event: Any) -> Node:
        if event.tag is not None:
            self._tagged(event)
        text = event.value
        node = Node(text, event.start_mark, event.end_mark)
        node.text = text
        if event.implicit[0]:
            node.plain = True
            if not text or text[0] in _SPECIAL_START:
                node.value = self._plain(node)
        if len(text) >= 100:
            node.size += len(text) // 100
        return node

    def _plain(self, node: Node) -> Any:
        text = node.text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            return number if abs(number) < 1e300 else text
        if _SEXAGESIMAL.fullmatch(text):
            self._ambiguous(node, "a number in base 60")
        elif _OCTAL.fullmatch(text):
            self._ambiguous(node, "a number in base 8")
        return text

    def _ambiguous(self, node: Node, what: str) -> None:
        hint = f'write it in quotes: "{node.text}"'
        self.document.report(node, f"some YAML readers take {node.text} for {what}", hint)

    def _tagged(self, event: Any) -> None:
        place = (event.start_mark.line, event.start_mark.column)
        source = self.document.line_text(place[0])[place[1] :]
        written = source.split(maxsplit=1)[0] if source.split() else "!"
        hint = "remove it; values are text, numbers, true, false, lists and mappings"
        self.document.report(place, f"YAML tags like '{written[:40]}' are not used here", hint, len(written))

    def _enter(self, event: Any, value: Any) -> None:
        if event.tag is not None:
            self._tagged(event)
        node = Node(value, event.start_mark, event.end_mark)
        if len(self._stack) >= MAX_DEPTH:
            self._stop(node, *TOO_DEEP)
            return
        node.height = 1
        node.keys = {}
        self._entered.append(self._total)
        self._stack.append(node)
        self._keys.append(None)
        self._anchor_of.append(event.anchor)
        if event.anchor is not None:
            self._anchors[event.anchor] = None

    def _leave(self, end: Any) -> None:
        node = self._stack.pop()
        node.end = end
        node.size = 1 + self._total - self._entered[-1]
        self._total = self._entered.pop()  # counted again, with its inside, by _put
        self._keys.pop()
        self._put(node, self._anchor_of.pop())

    def _alias(self, event: Any) -> None:
        place = Node(None, event.start_mark, event.end_mark)
        if event.anchor not in self._anchors:
            self.document.report(place, f"no anchor '&{event.anchor}' was set before", "write the value itself")
        elif (target := self._anchors[event.anchor]) is None:
            self._stop(place, f"'*{event.anchor}' repeats the value it is part of", "write the value itself")
            return
        else:
            place.value, place.text, place.plain = target.value, target.text, target.plain
            place.keys, place.size, place.height = target.keys, target.size, target.height
        self._put(place, None)

    def _put(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self._root = node
            return
        self._total += node.size
        if len(self._stack) + node.height > MAX_DEPTH:  # only an alias can be that high
            self._stop(node, *TOO_DEEP)
            return
        if self._total > MAX_NODES:
            self._stop(node, f"more than {MAX_NODES} values, repeated ones counted", "remove anchors and aliases")
            return
        parent = self._stack[-1]
        if node.height >= parent.height:
            parent.height = node.height + 1
        if type(parent.value) is list:
            parent.value.append(node)
        elif (key := self._keys[-1]) is None:
            self._keys[-1] = node
        else:
            self._keys[-1] = None
            name = key.text
            if name in parent.keys or name == "<<" or key.height:
                self._bad_key(parent, key)
            else:
                parent.keys[name] = key
                parent.value[name] = node

    def _bad_key(self, parent: Node, key: Node) -> None:
        if key.height:
            self.document.report(key, "a key must be a word, not a list or a mapping", "is a quote missing?")
        elif key.text == "<<":
            self.document.report(key, "merge keys ('<<') are not supported", "write the keys themselves")
        else:
            first = parent.keys[key.text]
            where = f"line {first.line + 1}, column {first.column + 1}"
            hint = f"it was given first at {where}: keep one of the two"
            self.document.report(key, f"the key '{key.text[:60]}' is given twice", hint)

    def _stop(self, place: Node | tuple[int, int], message: str, hint: str, width: int = 0) -> None:
        self.document.report(place, message, hint, width)
        self.open = False


def plain(node: Node) -> Any:
    """Return the node's value as plain Python data: dict, list, str, int, float, bool, None."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def walk(node: Node) -> Iterator[Node]:
    """Yield every scalar below *node*, keys left out."""
    value = node.value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from walk(inner)
    else:
        yield node
