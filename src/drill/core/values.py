"""The base of every value that is written to disk: frozen, closed, and exact about its fields."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen record with a JSON form; unknown fields are refused, so a typo never becomes data."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    def with_(self, **changes: Any) -> Self:
        """Return a copy with *changes*; the copy is validated like a new value."""
        return type(self).model_validate({**dict(self), **changes})
