"""Reading a fence's info string, ``bash { name=x tag=mitigate }``, the way Runme's parser splits it.

Values end at white space; quotes and braces mean nothing inside them, which is why lint refuses them. Runme's
other form, a JSON object, is read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

OURS = ("expect", "verify", "within", "for", "undo", "role")
RUNME = (
    "background", "category", "closeTerminalOnSuccess", "cwd", "excludeFromRunAll", "id", "ignore", "interactive",
    "interpreter", "mimeType", "name", "openTerminalOnError", "promptEnv", "skipPrompts", "tag", "terminalRows",
)  # fmt: skip

_VARIABLE = re.compile(r"\$(?:\{([A-Z][A-Z0-9_]*)\}|([A-Z][A-Z0-9_]*))")


def split_info(info: str) -> tuple[str, dict[str, str], list[str]]:
    """Return the language, the attributes, and the pieces that are no ``key=value`` (often half a value)."""
    head, brace, rest = info.strip().partition("{")
    language = (head.split() or [""])[0].lower()
    if not brace:
        return language, {}, []
    inside = rest.rstrip().removesuffix("}")
    if (fields := _json(f"{{{inside}}}")) is not None:
        return language, fields, []
    attributes: dict[str, str] = {}
    stray = []
    for piece in inside.split():
        key, equals, value = piece.partition("=")
        if equals and key:
            attributes.setdefault(key, value)
        else:
            stray.append(piece)
    return language, attributes, stray


def _json(text: str) -> dict[str, str] | None:
    if not text.lstrip("{ ").startswith('"'):
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}


def variables(body: str) -> frozenset[str]:
    """Return the names of the variables (``$SERVICE``, ``${NAMESPACE}``) in *body*."""
    return frozenset(match[1] or match[2] for match in _VARIABLE.finditer(body))


def fill(body: str, values: Mapping[str, str]) -> str:
    """Return *body* with the variables that *values* has; others stay as they are. For PromQL, not for shells."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2], match[0]), body)
