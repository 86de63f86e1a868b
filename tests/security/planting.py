"""Markup planted in every text of a document: whatever of it gets into a page as more than text runs, and is seen.

``planted`` poisons any pydantic model: every text that its schema lets be any text, keys of maps included. So a field
that is added tomorrow is tested tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

RUN = "window.planted=(window.planted||0)+1"
PAYLOAD = (
    f"</style></title></textarea></template></script><script>{RUN}</script>"
    f"<img src=x onerror={RUN}><svg onload={RUN}></svg>"
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>"
    f"\" autofocus onfocus={RUN} onmouseover={RUN} x=\"' onmouseover={RUN} x='"
    f"<a href=javascript:{RUN}>link</a>{{{{7*7}}}}${{7*7}}]]>--><!--"
)
LINK = f"javascript:{RUN}//"
Model = TypeVar("Model", bound=BaseModel)


def planted(model: Model, poison: str = PAYLOAD) -> Model:
    """Return *model* with *poison* in every text that may be any text, and a script's address in every link."""
    document = model.model_dump(mode="json", by_alias=True)
    for path in _texts(document):
        before = _get(document, path)
        _set(document, path, LINK if _is_link(path) else poison)
        if not _valid(type(model), document):
            _set(document, path, before)
    for path in _maps(document):
        inside = _get(document, path)
        _set(document, path, {**inside, poison: poison})
        if not _valid(type(model), document):
            _set(document, path, inside)
    return type(model).model_validate(document)


def fields_reached(model: BaseModel) -> set[str]:
    """Names of the fields in which a payload stands."""
    document = model.model_dump(mode="json", by_alias=True)
    poisons = (PAYLOAD, LINK)
    return {
        next(str(part) for part in reversed(path) if isinstance(part, str))
        for path in _texts(document)
        if _get(document, path) in poisons
    }


def _is_link(path: tuple[Any, ...]) -> bool:
    return path[-1] in ("link", "url", "report", "runbook_url", "href")


def _valid(kind: type[BaseModel], document: dict[str, Any]) -> bool:
    try:
        kind.model_validate(document)
    except ValidationError:
        return False
    return True


def _texts(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    return _walk(value, path, lambda one: isinstance(one, str))


def _maps(value: Any) -> list[tuple[Any, ...]]:
    return [path for path in _walk(value, (), lambda one: isinstance(one, dict)) if path]


def _walk(value: Any, path: tuple[Any, ...], wanted: Callable[[Any], bool]) -> list[tuple[Any, ...]]:
    found = [path] if wanted(value) else []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        found += _walk(one, (*path, key), wanted)
    return found


def _get(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def _set(value: Any, path: tuple[Any, ...], new: Any) -> None:
    _get(value, path[:-1])[path[-1]] = new
