"""What the readers of all SLO forms share: places of mistakes, known keys, names, percentages, labels.

Owns the wording of mistakes that every form can contain. Knows no form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import promql_parser as ql

from drill.core.problems import Problem, did_you_mean
from drill.slo.model import Slo
from drill.slo.positions import Document, Path

NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass
class DocumentReader:
    """Base of the readers: collects problems with the places of one document."""

    document: Document
    problems: list[Problem] = field(default_factory=list)

    def bad(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Note a mistake at *path* (with ``key`` at its key)."""
        self.problems.append(self.document.problem(path, message, hint, key=key))

    def known(self, raw: dict[str, Any], path: Path, known: set[str]) -> None:
        """Note every key of *raw* that is not *known*."""
        for name in raw.keys() - known:
            self.bad((*path, name), f"unknown key '{name}'", did_you_mean(name, known), key=True)

    def mapping(self, raw: dict[str, Any], path: Path, name: str, *, required: bool = True) -> dict[str, Any]:
        """Return the mapping under *name*; ``{}``, with a note unless it may be absent, when there is none."""
        value = raw.get(name)
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            self.bad((*path, name), f"{name} is missing" if value is None else f"{name} must be a mapping")
            return {}
        if required and not value:
            self.bad((*path, name), f"{name} is empty")
        return value

    def text(self, raw: dict[str, Any], path: Path, name: str) -> str:
        """Return the non-empty text under *name*, or note that it is missing."""
        value = raw.get(name)
        if not isinstance(value, str) or not value.strip():
            self.bad((*path, name), f"{name} is missing" if value in (None, "") else f"{name} must be text")
            return ""
        return value.strip()

    def flag(self, raw: dict[str, Any], path: Path, name: str, default: bool) -> bool:
        """Return the boolean under *name*, *default* where it is absent."""
        value = raw.get(name, default)
        if not isinstance(value, bool):
            self.bad((*path, name), f"{name} must be true or false")
            return default
        return value

    def name(self, raw: dict[str, Any], path: Path, key: str) -> str:
        """Return a name that can stand in a Sloth id, or note what is wrong with it."""
        value = raw.get(key)
        if value is None or value == "":
            self.bad((*path, key), f"{key} is missing")
            return ""
        if not isinstance(value, str) or not NAME.fullmatch(value):
            self.bad((*path, key), f"{key} '{value}' must be letters, digits, '-', '_' and '.'")
            return ""
        return value

    def percentage(self, raw: dict[str, Any], path: Path, key: str, scale: int = 1) -> str:
        """Return the objective under *key*, times *scale*, as text: a percentage between 0 and 100."""
        value = raw.get(key)
        try:
            number = Decimal(str(value)) * scale if not isinstance(value, bool) else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not (number.is_finite() and 0 < number < 100):
            full = number.is_finite() and number == 100
            example = "99.9" if scale == 1 else "0.999"
            hint = "100 % leaves no error budget" if full else f"write a {_kind(scale)} such as {example}"
            self.bad((*path, key), f"{key} '{value}' is not between 0 and {100 // scale}", hint)
            return "0"
        return f"{number.normalize():f}"

    def labels(self, raw: Any, path: Path) -> dict[str, str]:
        """Return *raw* as labels; notes names Prometheus does not allow and values that are no text."""
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            self.bad(path, f"{path[-1]} must be a mapping of names to text")
            return {}
        out = {}
        for name, value in raw.items():
            if not LABEL.fullmatch(name):
                self.bad((*path, name), f"'{name}' is not a valid label name", key=True)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                out[name] = str(value)
            else:
                self.bad((*path, name), f"the value of '{name}' must be text: put it in quotes")
        return out

    def selector(self, text: str, path: Path) -> Any:
        """Parse *text* as a plain series selector; None, noted, when it is another expression."""
        try:
            found = ql.parse(text)
        except ValueError as error:
            self.bad(path, f"not PromQL: {str(error).splitlines()[0]}")
            return None
        if not isinstance(found, ql.VectorSelector):
            self.bad(path, "expected a plain series selector", 'write it like http_requests_total{job="api"}')
            return None
        if found.offset is not None or found.at is not None:
            self.bad(path, "a selector with offset or @ cannot be given a window")
            return None
        return found


def _kind(scale: int) -> str:
    return "percentage" if scale == 1 else "fraction"


def equal_labels(selector: Any) -> dict[str, str]:
    """Return the labels a selector fixes by ``=``, the metric's name left out."""
    return {
        m.name: m.value
        for m in selector.matchers.matchers
        if m.op == ql.MatchOp.Equal and m.value and m.name != "__name__"
    }


def by(grouping: Sequence[str]) -> str:
    """Return the ``by`` clause for *grouping* between spaces; empty for none."""
    return f" by ({', '.join(grouping)}) " if grouping else ""


def twice(slos: Iterable[Slo]) -> list[Problem]:
    """Return a problem for every SLO whose id another one before it has."""
    seen: dict[str, Slo] = {}
    problems = []
    for slo in slos:
        first = seen.setdefault(slo.sloth_id, slo)
        if first is not slo:
            where = f"{first.file}:{first.line}" if first.file != slo.file else f"line {first.line}"
            problems.append(
                Problem(slo.file, slo.line, 1, f"the SLO '{slo.sloth_id}' stands twice: see {where} too")
            )
    return problems
