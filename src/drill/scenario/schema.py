"""The JSON schema of scenario files, for editors: completion, descriptions, and each fault's own parameters.

The schema is a help while typing; the loader is the judge. Where a value may be written as ``${name}``, the
schema allows that text beside the value's own form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from drill.scenario.descriptions import DESCRIPTIONS
from drill.scenario.model import Scenario

Schema = dict[str, Any]

URI = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = {"type": "string", "pattern": r"^\$\{[A-Za-z_][A-Za-z0-9_-]*\}$"}
"""What may stand for any value: a reference to a parameter."""

_FIXED = {"Parameter"}
"""Parts in which ``${…}`` is not replaced."""


def json_schema(faults: Mapping[str, type[BaseModel]]) -> Schema:
    """Return the schema (draft 2020-12), ``with:`` described per fault. *faults* maps a name to its parameters."""
    wanted = {f"with-{name}": model for name, model in sorted(faults.items())}
    models: list[type[BaseModel]] = [Scenario, *wanted.values()]
    references, definitions = models_json_schema([(model, "validation") for model in models], by_alias=True)
    parts: dict[str, Schema] = definitions["$defs"]
    for name, part in parts.items():
        _describe(name, part)
        if name not in _FIXED:
            _allow_references(part)
    top = parts.pop(_name(references[(Scenario, "validation")]))
    links = {name: references[(model, "validation")] for name, model in wanted.items()}
    _add_faults(parts["Injection"], faults, links)
    return {
        "$schema": URI,
        "title": "drill scenario",
        **top,
        "$defs": dict(sorted(parts.items())),
    }


def export(faults: Mapping[str, type[BaseModel]]) -> str:
    """Return the schema as text: the same faults give the same bytes."""
    return json.dumps(json_schema(faults), indent=2, ensure_ascii=False) + "\n"


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _describe(name: str, part: Schema) -> None:
    part.pop("title", None)
    if "description" in part:
        part["description"] = " ".join(part["description"].replace("``", "").split())
    for key, field in part.get("properties", {}).items():
        field.pop("title", None)
        if not _is_written_so(field):
            field.pop("default", None)
        if text := DESCRIPTIONS.get(name, {}).get(key):
            field["description"] = text


def _is_written_so(field: Schema) -> bool:
    """Is the default what a person would write? Seconds for a duration, and whole sections, are not."""
    default = field.get("default")
    return isinstance(default, str | bool) or (isinstance(default, int) and field.get("type") == "integer")


def _allow_references(part: Schema) -> None:
    properties: dict[str, Schema] = part.get("properties", {})
    for key, field in properties.items():
        properties[key] = _or_reference(field)


def _or_reference(field: Schema) -> Schema:
    """Let a scalar that is more than any text be a reference too; look into lists, mappings and unions."""
    for inner in ("items", "additionalProperties"):
        if isinstance(field.get(inner), dict):
            field[inner] = _or_reference(field[inner])
    if "prefixItems" in field:
        field["prefixItems"] = [_or_reference(item) for item in field["prefixItems"]]
    if "anyOf" in field:
        return {**field, "anyOf": [*field["anyOf"], REFERENCE]}
    closed = field.get("type") in ("integer", "number", "boolean") or "pattern" in field or "enum" in field
    if not closed:
        return field
    outside: Schema = {key: field.pop(key) for key in ("default", "description") if key in field}
    return {"anyOf": [field, REFERENCE], **outside}


def _add_faults(
    injection: Schema, faults: Mapping[str, type[BaseModel]], links: Mapping[str, Mapping[str, Any]]
) -> None:
    names = sorted(faults)
    fault = injection["properties"]["fault"]
    fault.pop("type", None)
    fault["anyOf"] = [{"enum": names}, REFERENCE]
    injection["allOf"] = [
        {
            "if": {"properties": {"fault": {"const": name}}, "required": ["fault"]},
            "then": {"properties": {"with": links[f"with-{name}"]}, **_needs_with(faults[name])},
        }
        for name in names
    ]


def _needs_with(model: type[BaseModel]) -> Schema:
    needed = any(field.is_required() for field in model.model_fields.values())
    return {"required": ["with"]} if needed else {}
