"""The JSON schema of ``report.json``, byte for byte the same for the same model."""

from __future__ import annotations

import json

from drill.report.model import Report


def report_schema() -> str:
    """Return the schema (draft 2020-12) as indented JSON with sorted keys, ending in a newline."""
    schema = Report.model_json_schema(by_alias=True, mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "drill report, version 1"
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
