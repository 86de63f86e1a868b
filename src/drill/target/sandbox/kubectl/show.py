"""Tables, custom columns and JSONPath of what the API would give. Pure."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import yaml

from drill.target.sandbox.kubectl.words import Refused

Json = dict[str, Any]
Row = Sequence[str]
_STEP = re.compile(r"\.([A-Za-z0-9_\-]+)|\[\*\]|\[(\d+)\]|\[\?\(@\.(\w+)==[\"']([^\"']*)[\"']\)\]|\['([^']+)'\]")


def table(head: Row, rows: Iterable[Row], headers: bool = True) -> str:
    """Columns as wide as their widest cell, three spaces apart."""
    lines = [list(head), *map(list, rows)] if headers else [list(row) for row in rows]
    widths = [max((len(line[column]) for line in lines), default=0) for column in range(len(head))]
    shown = (
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    return "".join(f"{line}\n" for line in shown)


def age(seconds: float) -> str:
    """``45s``, ``12m``, ``3h``: as kubectl writes ages."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    return f"{whole // 60}m" if whole < 7200 else f"{whole // 3600}h"


def since(text: str, now: float) -> str:
    """The age of an API time."""
    if not text:
        return "<unknown>"
    return age(now - datetime.datetime.fromisoformat(text).timestamp())


def follow(found: Any, path: str) -> list[Any]:
    """Everything *path* (``.a.b[*].c``, with or without braces) leads to. Raises Refused for other JSONPath."""
    path = path.strip().removeprefix("{").removesuffix("}")
    path = path if path.startswith((".", "[")) else f".{path}"
    values, at = [found], 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise Refused(f"the sandbox's kubectl does not know this JSONPath: {path[at:]}")
        at, values = step.end(), [after for value in values for after in _step(value, step)]
    return [value for value in values if value is not None]


def _step(value: Any, step: re.Match[str]) -> list[Any]:
    name, index, key, wanted, quoted = step.groups()
    if name or quoted:
        return [value.get(name or quoted)] if isinstance(value, dict) else []
    if not isinstance(value, list):
        return []
    if index is not None:
        return value[int(index) : int(index) + 1]
    if key is not None:
        return [one for one in value if str(one.get(key)) == wanted]
    return value


def said(values: Sequence[Any]) -> str:
    """Values in one cell: ``<none>`` where there are none."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return ",".join(texts) or "<none>"


def custom_columns(spec: str, objects: Sequence[Json], headers: bool) -> str:
    """``-o custom-columns=NAME:.path,…``."""
    columns = [part.partition(":") for part in re.split(r",(?=[A-Za-z0-9_ -]+:)", spec)]
    if any(not path for _, _, path in columns):
        raise Refused("unexpected custom-columns spec: expected <header>:<json-path-expr>")
    rows = [[said(follow(one, path)) for _, _, path in columns] for one in objects]
    return table([name for name, _, _ in columns], rows, headers)


def ordered(objects: Sequence[Json], path: str) -> list[Json]:
    """``--sort-by``."""
    return sorted(objects, key=lambda one: [(str(type(value)), value) for value in follow(one, path)])


def documents(objects: Sequence[Json], form: str, single: bool) -> str:
    """``-o json`` and ``-o yaml``."""
    whole: Any = objects[0] if single else {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    if form == "json":
        return json.dumps(whole, indent=4) + "\n"
    return yaml.safe_dump(whole, sort_keys=True)


def names(objects: Sequence[Json]) -> str:
    """``-o name``."""
    group = {"Deployment": "deployment.apps", "EndpointSlice": "endpointslice.discovery.k8s.io"}
    return "".join(f"{group.get(one['kind'], one['kind'].lower())}/{one['metadata']['name']}\n" for one in objects)


def output(form: str, objects: Sequence[Json], headers: bool, single: bool, rows: Callable[[bool], str]) -> str:
    """Render *objects* as ``-o`` says; *rows* makes the table (wide or not)."""
    kind, _, spec = form.partition("=")
    match kind:
        case "" | "wide":
            return rows(kind == "wide")
        case "custom-columns":
            return custom_columns(spec, objects, headers)
        case "json" | "yaml":
            return documents(objects, kind, single)
        case "name":
            return names(objects)
        case "jsonpath":
            whole = objects[0] if single else {"items": list(objects)}
            return " ".join(v if isinstance(v, str) else json.dumps(v) for v in follow(whole, spec))
    raise Refused(f"the sandbox's kubectl knows -o wide, name, json, yaml, jsonpath=, custom-columns=, not {form}")
