"""Reads a scenario file into a checked Scenario, or into all that is wrong with it, at once and with places.

The faults live in a layer above, so their parameter models are handed in. Refuses to raise for anything a
person can write into a file: every mistake is a Problem.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from drill.core.problems import Problem, did_you_mean
from drill.core.promql import promql_error
from drill.scenario.model import Scenario
from drill.scenario.parameters import Call, Parameters, resolve, substitute
from drill.scenario.words import Subject, problems_of, shorten
from drill.scenario.yamltree import MAX_BYTES, MAX_PROBLEMS, Document, Node, plain, read

Faults = Mapping[str, type[BaseModel]]
"""Name of a fault -> the model of its ``with:``."""


@dataclass(frozen=True)
class Loaded:
    """What one file gave: a scenario, or problems (then ``scenario`` is None).

    ``parameters`` are the values in force as text; ``fault_params`` the validated ``with:`` by injection id;
    ``sha256`` is of the file's bytes, before anything was put in.
    """

    file: str
    text: str
    sha256: str
    scenario: Scenario | None
    problems: tuple[Problem, ...]
    parameters: dict[str, str]
    fault_params: dict[str, BaseModel]
    document: Document = field(repr=False)

    def problem_at(self, path: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
        """Make a problem at the value *path* leads to, or at its nearest part that is in the file.

        *path* has the file's keys (``("injections", 0, "with", "delay")``); ``with_`` and ``for_`` work too.
        """
        node = self.document.root
        if node is None:
            return Problem(self.file, 0, 0, message, hint)
        for part in path:
            inner = _child(node, part)
            if inner is None:
                break
            node = inner
        return self.document.problem(node, message, hint)


def load(
    source: Path | str | bytes,
    *,
    faults: Faults,
    overrides: Mapping[str, str] | None = None,
    placeholders: bool = False,
    file: str = "",
) -> Loaded:
    """Load a scenario from a path, or from text or bytes that ``file`` names in messages.

    ``overrides`` are the ``--set`` values. With ``placeholders`` a required parameter without a value gets a
    sample of its type, so that a file can be checked without a caller. Never raises for what is in the file.
    """
    name = file or (str(source) if isinstance(source, Path) else "<text>")
    try:
        data = _bytes(source)
    except OSError as error:
        problem = Problem(name, 0, 0, f"the file cannot be read: {error.strerror or error}")
        return Loaded(name, "", "", None, (problem,), {}, {}, Document(name))
    document = read(data, name)
    sha256 = hashlib.sha256(data).hexdigest()
    scenario: Scenario | None = None
    values, fault_params = Parameters(), dict[str, BaseModel]()
    if document.root is not None:
        values = resolve(document, _section(document.root, "parameters"), Call(overrides or {}, placeholders))
        scenario, fault_params = _validate(document, document.root, values, faults)
    problems = _in_order(document)
    return Loaded(
        name, document.text, sha256, None if problems else scenario, problems, values.texts, fault_params, document
    )


def _bytes(source: Path | str | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, str):
        return source.encode(errors="surrogatepass")
    with source.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _section(root: Node, key: str) -> Node | None:
    return root.value.get(key) if isinstance(root.value, dict) else None


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, list):
        return node.value[part] if isinstance(part, int) and -1 < part < len(node.value) else None
    if isinstance(node.value, dict) and isinstance(part, str):
        return node.value.get(part, node.value.get(part.rstrip("_")))
    return None


def _validate(
    document: Document, root: Node, values: Parameters, faults: Faults
) -> tuple[Scenario | None, dict[str, BaseModel]]:
    data = _filled(document, root, values)
    told = {(problem.line, problem.column) for problem in document.problems}
    before = len(document.problems)
    scenario = None
    try:
        scenario = Scenario.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        document.problems += problems_of(error, Subject(document, root, data, Scenario, values.origin))
    fault_params = _injections(document, root, data, values, faults)
    if scenario is not None:
        _queries(document, root, scenario, values)
    # what was said about a value as YAML or as a reference need not be said again about its meaning
    document.problems[before:] = [one for one in document.problems[before:] if (one.line, one.column) not in told]
    return scenario, fault_params


def _filled(document: Document, root: Node, values: Parameters) -> Any:
    """Return the file as plain data with the parameters put in, everywhere but in their own section."""
    if not isinstance(root.value, dict):
        return plain(root)
    return {
        key: plain(node) if key == "parameters" else substitute(document, node, values)
        for key, node in root.value.items()
    }


def _injections(
    document: Document, root: Node, data: Any, values: Parameters, faults: Faults
) -> dict[str, BaseModel]:
    """Check each injection's id, fault and ``with:``, also when other parts of the file are wrong."""
    section = _section(root, "injections")
    if section is None or not isinstance(section.value, list):
        return {}
    first: dict[str, Node] = {}
    params: dict[str, BaseModel] = {}
    for node, injection in zip(section.value, data["injections"], strict=True):
        if not isinstance(injection, dict):
            continue
        found = _fault_params(Injected(document, node, injection, values), faults)
        name = injection.get("id")
        if not isinstance(name, str):
            continue
        if name in first:
            where = f"line {first[name].line + 1}, column {first[name].column + 1}"
            document.report(node.value["id"], f"the id '{shorten(name)}' is used twice", f"first at {where}")
        first.setdefault(name, node.value["id"])
        if found is not None:
            params[name] = found
    return params


@dataclass(frozen=True)
class Injected:
    """One injection: its node in the file, its data, and the parameters that were put into it."""

    document: Document
    node: Node
    data: dict[str, Any]
    values: Parameters


def _fault_params(injected: Injected, faults: Faults) -> BaseModel | None:
    fault, given = injected.data.get("fault"), injected.data.get("with", {})
    if not isinstance(fault, str):
        return None
    if fault not in faults:
        place = injected.node.value["fault"]
        origin = injected.values.origin(place)
        if origin is not None:
            hint = did_you_mean(fault[:80], faults)
            injected.document.report(place, f"unknown fault '{shorten(fault)}'{origin}", hint)
        return None
    if not isinstance(given, dict):
        return None  # told by the validation of the whole file
    try:
        return faults[fault].model_validate(given)
    except ValidationError as error:
        subject = Subject(
            injected.document,
            injected.node.value.get("with", injected.node),
            given,
            faults[fault],
            injected.values.origin,
            unknown=f"fault '{fault}' has no parameter '{{}}'",
            missing=f"fault '{fault}' needs '{{}}' under 'with'",
        )
        injected.document.problems += problems_of(error, subject)
        return None


def _queries(document: Document, root: Node, scenario: Scenario, values: Parameters) -> None:
    """Check that every PromQL query of the file parses."""
    queries: list[tuple[tuple[str | int, ...], str]] = [
        (("guardrails", "abort_if", index, "promql"), condition.promql)
        for index, condition in enumerate(scenario.guardrails.abort_if)
    ]
    if scenario.mitigated_when is not None:
        queries.append((("mitigated_when", "promql"), scenario.mitigated_when.promql))
    for path, query in queries:
        if error := promql_error(query):
            node = root
            for part in path:
                node = _child(node, part) or node
            document.report(node, f"not PromQL: {error}{values.origin(node) or ''}")


def _in_order(document: Document) -> tuple[Problem, ...]:
    """Return the problems by place, those of the command line last, cut to what is worth reading."""
    ordered = sorted(
        dict.fromkeys(document.problems), key=lambda one: (one.file != document.file, one.line, one.column)
    )
    if len(ordered) > MAX_PROBLEMS:
        left = len(ordered) - MAX_PROBLEMS
        ordered[MAX_PROBLEMS:] = [Problem(document.file, 0, 0, f"{left} more problems are not shown")]
    return tuple(ordered)
