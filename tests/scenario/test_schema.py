"""The exported schema agrees with the loader where editors need it, and says what every key is for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from drill.scenario import model
from drill.scenario.descriptions import DESCRIPTIONS
from drill.scenario.schema import export, json_schema
from drill.scenario.shape import key_of

Faults = Mapping[str, type[BaseModel]]


def messages(text: str, faults: Faults) -> list[str]:
    return [error.message for error in Draft202012Validator(json_schema(faults)).iter_errors(yaml.safe_load(text))]


def test_it_is_a_valid_schema_with_the_same_text_each_time(faults: Faults) -> None:
    Draft202012Validator.check_schema(json_schema(faults))
    assert export(faults) == export(dict(reversed(faults.items())))
    assert json.loads(export(faults)) == json_schema(faults)


def test_a_good_file_is_valid(good: str, faults: Faults) -> None:
    assert messages(good, faults) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fault: latency", "fault: latancy"),
        ('delay: "${delay}"', "dely: 1s"),
        ('workers: "${workers}"', "workers: 65"),
        ('workers: "${workers}"', "workers: many"),
        ("pods: 100%", "pods: 0"),
        ("for: 5m", "fro: 5m"),
        ("hypothesis:", "hypotesis:"),
        ("type: duration", "type: time"),
        ("    with: {delay: \"${delay}\", jitter: 20ms}\n", ""),
        ("kind: Scenario", "kind: Drill"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_not(old: str, new: str, good: str, faults: Faults) -> None:
    assert old in good
    assert messages(good.replace(old, new, 1), faults)


def test_references_may_stand_for_values_but_not_in_the_parameters(good: str, faults: Faults) -> None:
    assert messages(good.replace("pods: 100%", 'pods: "${share}"').replace("at: 1m", 'at: "${at}"'), faults) == []
    assert messages(good.replace("required: true", 'required: "${x}"'), faults)


def test_every_key_of_every_part_is_described() -> None:
    parts = [part for part in vars(model).values() if isinstance(part, type) and issubclass(part, model.Part)]
    missing = [
        f"{part.__name__}.{key_of(name, field)}"
        for part in parts
        for name, field in part.model_fields.items()
        if key_of(name, field) not in DESCRIPTIONS.get(part.__name__, {})
    ]
    known = {part.__name__: {key_of(*item) for item in part.model_fields.items()} for part in parts}
    stale = [
        f"{part}.{key}" for part, keys in DESCRIPTIONS.items() for key in keys if key not in known.get(part, ())
    ]
    assert (missing, stale) == ([], [])


def test_descriptions_reach_the_editor(faults: Faults) -> None:
    schema: dict[str, Any] = json_schema(faults)
    assert schema["$defs"]["Injection"]["properties"]["for"]["description"] == "how long it lasts, like 5m"
    assert schema["$defs"]["Latency"]["properties"]["delay"]["description"] == "added to every packet"


def test_defaults_are_shown_only_as_a_person_would_write_them(faults: Faults) -> None:
    parts = json_schema(faults)["$defs"]
    assert parts["Metadata"]["properties"]["difficulty"]["default"] == "beginner"
    assert "default" not in parts["Guardrails"]["properties"]["max_blast_radius"]
