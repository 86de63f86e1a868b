"""The dashboard is one by Grafana's published schema: its own model classes read it and lose nothing of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as schema
from grafana_foundation_sdk.models import stat, timeseries

DASHBOARD = json.loads((Path(__file__).parents[2] / "grafana/slo-dashboard.json").read_text())
NOT_IN_SCHEMA = {"definition"}
"""What Grafana shows as a variable's query in its settings; it writes and reads it, its schema leaves it out."""


def lost(wrote: Any, read: Any, path: str = "") -> Iterator[str]:
    """Yield every place of *wrote* that *read* does not have, or has with another value."""
    if isinstance(wrote, dict) and isinstance(read, dict):
        for key in wrote.keys() - NOT_IN_SCHEMA:
            if key not in read:
                yield f"{path}/{key}"
            else:
                yield from lost(wrote[key], read[key], f"{path}/{key}")
    elif isinstance(wrote, list) and isinstance(read, list) and len(wrote) == len(read):
        for index, (one, other) in enumerate(zip(wrote, read, strict=True)):
            yield from lost(one, other, f"{path}/{index}")
    elif wrote != read:
        yield path


def through(data: Any) -> Any:
    register_default_plugins()
    return json.loads(JSONEncoder().encode(schema.Dashboard.from_json(data)))


def test_grafana_s_own_model_reads_all_of_it() -> None:
    assert list(lost(DASHBOARD, through(DASHBOARD))) == []


@pytest.mark.parametrize("key", ["titel", "panles"])
def test_a_key_grafana_does_not_know_would_be_noticed(key: str) -> None:
    assert list(lost({**DASHBOARD, key: 1}, through({**DASHBOARD, key: 1}))) == [f"/{key}"]


@pytest.mark.parametrize(("kind", "options"), [("stat", stat.Options), ("timeseries", timeseries.Options)])
def test_options_of_the_panels_are_grafana_s(kind: str, options: Any) -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] == kind]
    assert panels
    for panel in panels:
        read = json.loads(JSONEncoder().encode(options.from_json(panel["options"])))
        assert list(lost(panel["options"], read)) == []
