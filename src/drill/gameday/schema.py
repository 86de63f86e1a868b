"""The JSON schema of drill files, for editors: completion, and what every key is for."""

from __future__ import annotations

import json
from typing import Any

from drill.gameday.model import Drill
from drill.scenario.model import Part
from drill.scenario.schema import URI


def export() -> str:
    """Return the schema of drill files (draft 2020-12) as text: the same model gives the same bytes."""
    return schema_of(Drill, "drill game day")


def schema_of(model: type[Part], title: str) -> str:
    """Return the schema of the files that *model* is read from, as :func:`export` does."""
    schema: dict[str, Any] = model.model_json_schema(by_alias=True)
    parts = schema.pop("$defs")
    for part in (schema, *parts.values()):
        _tidy(part)
    out = {"$schema": URI, **schema, "title": title, "$defs": dict(sorted(parts.items()))}
    return json.dumps(out, indent=2, ensure_ascii=False) + "\n"


def _tidy(part: dict[str, Any]) -> None:
    part.pop("title", None)
    if "description" in part:
        part["description"] = " ".join(part["description"].split())
    for field in part.get("properties", {}).values():
        field.pop("title", None)
        if not isinstance(field.get("default"), str | bool):
            field.pop("default", None)  # seconds for a duration, and whole sections, are not what people write
