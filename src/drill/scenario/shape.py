"""What a pydantic model allows at a place of a file: its keys, and what they are for."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from drill.scenario.descriptions import DESCRIPTIONS

Annotation = typing.Any
"""A type annotation: there is no closed type for these."""


def keys_at(model: type[BaseModel], path: Sequence[str | int]) -> dict[str, str]:
    """Return the keys the mapping at *path* may have, each with its description (``''`` where there is none)."""
    found: dict[str, str] = {}
    for inner in _models(_at(model, path)):
        described = DESCRIPTIONS.get(inner.__name__, {})
        for name, field in inner.model_fields.items():
            key = key_of(name, field)
            found[key] = described.get(key) or field.description or ""
    return found


def key_of(name: str, field: FieldInfo) -> str:
    """Return how a field is written in a file: its alias, where it has one."""
    return field.alias or name


def _at(model: type[BaseModel], path: Sequence[str | int]) -> list[Annotation]:
    annotations: list[Annotation] = [model]
    for part in path:
        annotations = [inner for annotation in annotations for inner in _step(annotation, part)]
    return annotations


def _step(annotation: Annotation, part: str | int) -> Iterator[Annotation]:
    for option in _options(annotation):
        origin: Annotation = typing.get_origin(option)
        arguments = typing.get_args(option)
        if origin in (tuple, list) and isinstance(part, int):
            yield arguments[0]
        elif origin is dict and isinstance(part, str):
            yield arguments[1]
        elif isinstance(option, type) and issubclass(option, BaseModel):
            for name, field in option.model_fields.items():
                if key_of(name, field) == part:
                    yield field.annotation


def _models(annotations: list[Annotation]) -> Iterator[type[BaseModel]]:
    for annotation in annotations:
        for option in _options(annotation):
            if isinstance(option, type) and issubclass(option, BaseModel):
                yield option


def _options(annotation: Annotation) -> Iterator[Annotation]:
    origin: Annotation = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _options(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for option in typing.get_args(annotation):
            yield from _options(option)
    elif origin is not None or annotation is not None:
        yield annotation
