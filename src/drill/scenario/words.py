"""The words for what pydantic finds wrong: one sentence per mistake, at the place in the file where it stands.

Owns the translation of ``ValidationError`` into problems. One mistake of a person is one problem: branches of a
union are told as one sentence, and a misspelt key is not reported as missing as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from drill.core.problems import Problem, did_you_mean
from drill.core.redact import SecretInFile
from drill.core.units import format_duration, format_ratio, parse_duration, parse_ratio
from drill.scenario.model import NAME
from drill.scenario.shape import keys_at
from drill.scenario.yamltree import MAX_PROBLEMS, Document, Node

Path = tuple[str | int, ...]
Error = dict[str, Any]

_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a number",
    "bool_type": "true or false", "bool_parsing": "true or false",
    "tuple_type": "a list", "list_type": "a list", "set_type": "a list", "frozen_set_type": "a list",
    "model_type": "a mapping", "dict_type": "a mapping", "model_attributes_type": "a mapping",
    "none_required": "nothing",
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What is validated: the node of the file, the data made of it, its model, and words for its keys.

    ``origin`` says where a scalar's value comes from (``' (from ${delay})'``), or None when errors at it would
    only repeat a problem already reported.
    """

    document: Document
    node: Node
    data: Any
    model: type[BaseModel]
    origin: Callable[[Node], str | None]
    unknown: str = "unknown key '{}'"
    missing: str = "missing key '{}'"


@dataclass(frozen=True)
class _Finding:
    """One of pydantic's errors with its place; ``branch``: it speaks of one branch of a union."""

    error: Error
    path: Path
    node: Node
    branch: bool


def problems_of(error: ValidationError, subject: Subject) -> list[Problem]:
    """Return *error* as problems, in pydantic's order, each person's mistake once."""
    listed = error.errors(include_url=False, include_context=True)[: 2 * MAX_PROBLEMS]
    findings = [_located(dict(one), subject.node) for one in listed]
    groups: dict[Path, list[_Finding]] = {}
    for finding in _without_noise(findings):
        key = finding.path
        if finding.error["type"] == "missing":
            key = (*key, str(finding.error["loc"][-1]), "missing")
        groups.setdefault(key, []).append(finding)
    found = [_problem(group, subject) for group in groups.values()]
    secret = {finding.node.line + 1 for group in groups.values() for finding in group if _is_secret(finding)}
    return [_without_line(problem, secret) for problem in found if problem is not None]


def _is_secret(finding: _Finding) -> bool:
    return isinstance(finding.error.get("ctx", {}).get("error"), SecretInFile)


def _without_line(problem: Problem, secret: set[int]) -> Problem:
    return replace(problem, source_line="") if problem.line in secret else problem


def _located(error: Error, root: Node) -> _Finding:
    """Follow the error's location into the tree; parts that are no key of the file name a union's branch."""
    node, path, branch = root, [], False
    location = error["loc"][:-1] if error["type"] in ("missing", "extra_forbidden") else error["loc"]
    for part in location:
        value = node.value
        if (isinstance(value, dict) and part in value) or (
            isinstance(value, list) and isinstance(part, int) and part < len(value)
        ):
            node = value[part]
            path.append(part)
        else:
            branch = True
    if error["type"] == "extra_forbidden":
        path.append(error["loc"][-1])
    return _Finding(error, tuple(path), node, branch)


def _without_noise(findings: list[_Finding]) -> list[_Finding]:
    unknown: dict[int, list[str]] = {}
    for finding in findings:
        if finding.error["type"] == "extra_forbidden":
            unknown.setdefault(id(finding.node), []).append(str(finding.error["loc"][-1]))
    return [finding for finding in findings if not _is_noise(finding, unknown.get(id(finding.node), []))]


def _is_noise(finding: _Finding, unknown: list[str]) -> bool:
    kind, value = finding.error["type"], finding.node.value
    if kind in ("too_short", "too_long"):  # pydantic counts the valid items only
        limit = finding.error["ctx"].get("min_length", finding.error["ctx"].get("max_length"))
        return isinstance(value, list | dict) and (len(value) >= limit) == (kind == "too_short")
    if kind == "missing":
        name = str(finding.error["loc"][-1])
        return any(did_you_mean(other[:80], [name]).startswith("did") for other in unknown)
    # the branch of a union that takes no mapping says nothing about a mapping
    return finding.branch and isinstance(value, dict) and kind != "extra_forbidden" and "value" not in kind


def _problem(group: list[_Finding], subject: Subject) -> Problem | None:
    first = group[0]
    kind, node = first.error["type"], first.node
    if kind == "extra_forbidden":
        return _unknown_key(first, subject)
    if kind == "missing":
        return _missing(first, subject)
    origin = subject.origin(node)
    if origin is None:
        return None
    found = _at(subject.data, first.path)
    expected = list(dict.fromkeys(filter(None, (_expectation(finding.error) for finding in group))))
    if not expected:
        message, hint = _special(first.error, found)
        return subject.document.problem(node, message + origin, hint)
    message = f"expected {_either(expected)}, found {describe(found)}{origin}"
    return subject.document.problem(node, message, _hint(group, found, subject))


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _unknown_key(finding: _Finding, subject: Subject) -> Problem:
    name = str(finding.error["loc"][-1])
    known = keys_at(subject.model, finding.path[:-1])
    place = finding.node.keys.get(name, finding.node)
    free = [key for key in known if key not in finding.node.value]
    hint = did_you_mean(name[:80], free)
    if not hint.startswith("did"):
        hint = did_you_mean(name[:80], known) or "remove it"
    return subject.document.problem(place, subject.unknown.format(shorten(name)), hint)


def _missing(finding: _Finding, subject: Subject) -> Problem:
    last = finding.error["loc"][-1]
    if isinstance(last, int):
        return subject.document.problem(finding.node, f"item {last + 1} of the list is missing")
    described = keys_at(subject.model, finding.path).get(str(last), "")
    hint = f"{last}: {described}" if described else ""
    return subject.document.problem(finding.node, subject.missing.format(last), hint)


def _expectation(error: Error) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    return _EXPECTED.get(error["type"], "")


def _hint(group: list[_Finding], found: object, subject: Subject) -> str:
    kinds = {finding.error["type"] for finding in group}
    literals = [word for finding in group for word in _literals(finding.error)]
    if literals and isinstance(found, str):
        close = did_you_mean(found[:80], literals)
        return close if close.startswith("did") else ""
    text = group[0].node.text
    if "string_type" in kinds and len(kinds) == 1 and text and isinstance(found, int | float):
        return f'write it in quotes: "{text}"'
    if "tuple_type" in kinds and isinstance(found, dict):
        yaml, toml = "begin the item with '- '", "a list of tables is written [[name]] or [{…}]"
        return yaml if subject.document.form == "YAML" else toml
    if "tuple_type" in kinds and isinstance(found, str | int | float) and len(text) < 40:
        item = f'"{text}"' if subject.document.form == "TOML" and isinstance(found, str) else text
        return f"write a list: [{item}]"
    if kinds & {"model_type", "dict_type"} and (keys := keys_at(subject.model, group[0].path)):
        return f"its keys: {', '.join(keys)}"
    return ""


def _literals(error: Error) -> list[str]:
    return re.findall("'([^']*)'", error["ctx"]["expected"]) if error["type"] == "literal_error" else []


def _special(error: Error, found: object) -> tuple[str, str]:
    """Message and hint of the errors that are not about the kind of a value."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return _of_value_error(str(context["error"]), found)
    if kind == "union_tag_not_found":
        return f"missing key {context['discriminator']}", "it says what kind of thing this is"
    if kind == "union_tag_invalid":
        return f"'{shorten(context['tag'])}' is no {context['discriminator'].strip(chr(39))} of this", (
            f"known: {context['expected_tags'].replace(chr(39), '')}"
        )
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"{describe(found)} is out of range: it must be {words} {_as_written(context[key], found)}", ""
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME:
        return f"{describe(found)} is not a name", _name_hint(str(found))
    if kind == "string_too_short" and not found:
        return "must not be empty", ""
    if kind == "too_short":
        return f"at least {_count(context['min_length'])} is needed here", ""
    if kind in ("too_long", "string_too_long"):
        return f"too long: at most {context['max_length']} allowed", ""
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, found {describe(found)}", ""


def _of_value_error(text: str, found: object) -> tuple[str, str]:
    message, colon, rest = text.partition(": write")
    kind = re.fullmatch(r"'.*' is (?:not|neither) (.*)", message)
    if kind and (found is None or isinstance(found, dict | list)):
        wanted = kind[1].replace(" nor ", " or ")
        return f"expected {wanted}, found {describe(found)}", f"write{rest}" if colon else ""
    if colon:
        return message, f"write{rest}"
    return (f"{text}, found {describe(found)}" if text.startswith("expected") else text), ""


def _name_hint(found: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", found.lower())[:63].strip("-")
    like = f", like '{slug}'" if slug else ""
    return f"use lower-case letters, digits and dashes, at most 63{like}"


def _as_written(limit: float, found: object) -> str:
    """Give a limit the unit of the value it limits."""
    for parse, render in ((parse_ratio, format_ratio), (parse_duration, format_duration)):
        try:
            parse(str(found))
        except ValueError:
            continue
        return render(limit) if limit or render is format_ratio else "0s"
    return f"{limit:g}"


def _count(number: int) -> str:
    return f"{number} item{'s' if number != 1 else ''}"


def _either(options: Sequence[str]) -> str:
    return options[0] if len(options) == 1 else f"{', '.join(options[:-1])} or {options[-1]}"


def describe(value: object) -> str:
    """Name a value of a file in a sentence: ``'text'``, ``the number 5``, ``true``, ``a list``, ``nothing``."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"'{shorten(value)}'" if value else "empty text"
        case dict():
            return "a mapping"
        case _:
            return "a list"


def shorten(text: str, length: int = 60) -> str:
    """Return *text* on one line, cut to *length* characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
