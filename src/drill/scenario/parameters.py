"""Parameters of a scenario: their values from defaults and ``--set``, and putting them in for ``${name}``.

A scalar that is exactly ``${name}`` becomes the value with its type (integer, number, boolean; durations,
percentages, sizes and rates stay text, which the model reads); inside longer text the value's text is put in.
``$${`` stands for a literal ``${``. Values are put in after the YAML was read, so no value can change the
file's structure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from drill.core.problems import Problem, did_you_mean
from drill.core.units import parse_duration, parse_rate, parse_ratio, parse_size
from drill.scenario.model import Parameter
from drill.scenario.words import shorten
from drill.scenario.yamltree import Document, Node, plain

Scalar = str | int | float | bool

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_-]*)\}|\$\{[^}]*\}?")
SAMPLES: dict[str, str] = {
    "string": "sample", "duration": "10s", "percent": "50%", "size": "64Mi", "rate": "1mbit",
    "integer": "1", "number": "1", "boolean": "true",
}  # fmt: skip
_UNITS = {"duration": parse_duration, "percent": parse_ratio, "size": parse_size, "rate": parse_rate}
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass
class Parameters:
    """The values in force. ``samples`` names those with a made-up value, ``broken`` those already reported."""

    typed: dict[str, Scalar] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    samples: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    readable: bool = True
    """False when the section itself is no mapping: references to it are then not judged."""

    def origin(self, node: Node) -> str | None:
        """Say where a scalar's value comes from; None when its parameter has a problem of its own."""
        if "${" not in node.text:
            return ""
        names = [match[1] for match in REFERENCE.finditer(node.text) if match[0] != "$${"]
        if not self.readable or any(name in self.broken or name not in self.typed for name in names):
            return None
        if not names:
            return ""
        sample = " sample value for" if any(name in self.samples for name in names) else " from"
        return f" ({sample.strip()} {', '.join(f'${{{name}}}' for name in dict.fromkeys(names))})"


@dataclass(frozen=True)
class Call:
    """What the caller gave: ``--set`` values, and whether samples may stand in for what is missing."""

    overrides: Mapping[str, str]
    placeholders: bool = False


def resolve(document: Document, section: Node | None, call: Call) -> Parameters:
    """Return the value of every parameter; what is wrong goes to the document's problems."""
    values = Parameters()
    declared = section.value if section is not None else {}
    if not isinstance(declared, dict):
        values.readable = False
        return values
    for name, node in declared.items():
        if section is not None and not NAME.fullmatch(name):
            hint = "use letters, digits, '_' and '-', a letter first"
            document.report(section.keys[name], f"'{shorten(name)}' is not a parameter name", hint)
        _resolve_one(document, name, node, call, values)
    for name in call.overrides:
        if name not in declared:
            hint = did_you_mean(name[:80], declared) or "this scenario has no parameters"
            document.problems.append(Problem(f"--set {name}", 0, 0, f"unknown parameter '{name}'", hint))
    return values


def _resolve_one(document: Document, name: str, node: Node, call: Call, values: Parameters) -> None:
    try:
        parameter = Parameter.model_validate(plain(node), by_alias=True, by_name=False)
    except ValidationError:  # told by the validation of the whole file
        values.broken.add(name)
        _store(values, name, SAMPLES["string"], Parameter())
        return
    default = _default(document, node, parameter)
    given = call.overrides.get(name)
    if given is not None:
        text = _override(document, name, given, parameter)
    elif default is not None and not parameter.required:
        text = default
    elif "default" in node.value and not parameter.required:  # wrong, and reported
        text = None
    else:
        text = _absent(document, name, node, parameter, call)
        if call.placeholders and parameter.required:
            values.samples.add(name)
    if text is None:
        values.broken.add(name)
    _store(values, name, sample(parameter) if text is None else text, parameter)


def _store(values: Parameters, name: str, text: str, parameter: Parameter) -> None:
    values.texts[name] = text
    values.typed[name] = parse(text, parameter)


def _default(document: Document, node: Node, parameter: Parameter) -> str | None:
    """Check the default; return its text, or None when there is none or a wrong one."""
    default = node.value.get("default")
    if default is None or default.value is None:
        return None
    if parameter.type == "string" and not isinstance(default.value, str):
        hint = f'write it in quotes: "{default.text}"'
        document.report(default, f"expected text, found the value {default.text}", hint)
        return None
    try:
        _check(default.text, parameter)
    except ValueError as error:
        message, _, rest = str(error).partition(": write")
        document.report(default, message, f"write{rest}" if rest else "")
        return None
    return str(default.text)


def _override(document: Document, name: str, given: str, parameter: Parameter) -> str | None:
    try:
        _check(given, parameter)
    except ValueError as error:
        message, _, rest = str(error).partition(": write")
        hint = f"write{rest}" if rest else ""
        document.problems.append(Problem(f"--set {name}", 0, 0, message, hint))
        return None
    return given


def _absent(document: Document, name: str, node: Node, parameter: Parameter, call: Call) -> str | None:
    if not parameter.required:
        document.report(
            node, f"parameter '{shorten(name)}' can have no value", "add 'default: …' or 'required: true'"
        )
        return None
    if call.placeholders:
        return sample(parameter)
    hint = f"give it on the command line: --set {name}={sample(parameter).replace('sample', 'VALUE')}"
    if name == "service":
        hint = "give it on the command line: --service NAME"
    document.report(node, f"parameter '{shorten(name)}' has no value", hint)
    return None


def sample(parameter: Parameter) -> str:
    """Return a value of the parameter's type, for checking a file without a caller."""
    return next((choice for choice in parameter.choices if _fits(choice, parameter)), SAMPLES[parameter.type])


def _fits(choice: str, parameter: Parameter) -> bool:
    try:
        parse(choice, parameter)
    except ValueError:
        return False
    return True


def _check(text: str, parameter: Parameter) -> None:
    parse(text, parameter)
    if parameter.choices and text not in parameter.choices:
        raise ValueError(f"'{shorten(text)}' is not allowed: write one of {', '.join(parameter.choices)}")


def parse(text: str, parameter: Parameter) -> Scalar:
    """Return *text* as the parameter's type. Raises ValueError with a sentence when it is something else."""
    if unit := _UNITS.get(parameter.type):
        unit(text)
        return text
    if parameter.type == "boolean":
        if text.lower() not in _BOOLEANS:
            raise ValueError(f"'{shorten(text)}' is not a boolean: write true or false")
        return _BOOLEANS[text.lower()]
    if parameter.type in ("integer", "number"):
        return _number(text, parameter.type)
    return text


def _number(text: str, kind: str) -> int | float:
    try:
        if len(text) > 40:
            raise ValueError(text)
        number: int | float = int(text) if kind == "integer" else float(text)
        if not math.isfinite(number):
            raise ValueError(text)
    except ValueError:
        like = "a whole number: write one like 3" if kind == "integer" else "a number: write one like 0.5"
        raise ValueError(f"'{shorten(text)}' is not {like}") from None
    return number


def substitute(document: Document, node: Node, values: Parameters) -> Any:
    """Return *node* as plain data with every ``${name}`` replaced; unresolved ones become problems."""
    value = node.value
    if isinstance(value, dict):
        for key in value:
            if "${" in key:
                document.report(node.keys[key], "a parameter cannot stand in a key", "write the key itself")
        return {key: substitute(document, inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [substitute(document, inner, values) for inner in value]
    return _fill(document, node, values) if "${" in node.text else value


def _fill(document: Document, node: Node, values: Parameters) -> Any:
    whole = REFERENCE.fullmatch(node.text)
    if whole and whole[1] in values.typed:
        return values.typed[whole[1]]

    def put(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] not in values.typed:
            if values.readable:
                _unresolved(document, node, match, values)
            return match[0]
        return values.texts[match[1]]

    return REFERENCE.sub(put, node.text)


def _unresolved(document: Document, node: Node, match: re.Match[str], values: Parameters) -> None:
    written = match[0]
    if match[1]:
        message = f"'{shorten(written)}' is not a parameter of this scenario"
        hint = did_you_mean(match[1][:80], values.typed) or "declare it under parameters"
    else:
        message = f"'{shorten(written)}' is not a reference"
        hint = "write ${name}, or $${ for a literal ${"
    for line in range(node.line, node.end_line + 1):
        start = node.column if line == node.line else 0
        column = document.line_text(line).find(written, start)
        if column >= 0:
            document.report((line, column), message, hint, len(written))
            return
    document.report(node, message, hint)
