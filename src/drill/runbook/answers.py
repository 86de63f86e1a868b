"""What a cell answered, and whether that is what its ``expect`` says. Pure."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable

from drill.core.values import Value

_COMPARISON = re.compile(r"(<=|>=|==|!=|<|>)(-?\d+(?:\.\d+)?(?:e-?\d+)?)")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
SHOWN = 6


class Series(Value):
    """One element of a query's answer; ``value`` may be NaN or infinite."""

    labels: dict[str, str]
    value: float


class Answer(Value):
    """The answer of one cell: a command's exit code and output, or a query's series; ``error``: there is none."""

    exit_code: int | None = None
    output: str = ""
    series: tuple[Series, ...] | None = None
    error: str = ""

    def shown(self) -> str:
        """The answer as a person reads it."""
        if self.error:
            return self.error
        if self.series is None:
            return self.output.rstrip("\n")
        if not self.series:
            return "no value"
        return "\n".join(f"{_name(one)}{one.value:.4g}" for one in self.series)

    def value(self) -> str:
        """The same without labels where there is one value only."""
        one = self.series is not None and len(self.series) == 1 and not self.error
        return f"{self.series[0].value:.4g}" if one and self.series else self.short()

    def short(self) -> str:
        """The same in one line."""
        lines = self.shown().splitlines() or ["nothing was printed"]
        more = f" (and {len(lines) - SHOWN} more)" if len(lines) > SHOWN else ""
        joined = "; ".join(lines[:SHOWN]) if self.series is not None else lines[-1]
        return joined[:300] + more


def _name(series: Series) -> str:
    labels = ", ".join(f'{name}="{value}"' for name, value in sorted(series.labels.items()) if name != "__name__")
    return f"{{{labels}}} " if labels else ""


def meets(expect: str, answer: Answer) -> bool | None:
    """Does *answer* meet *expect*? None: nothing was expected, or there is no answer to judge.

    A comparison must hold for every series; no series, or NaN, does not meet it.
    """
    if not expect or answer.error:
        return None
    if expect.startswith("exit="):
        return None if answer.exit_code is None else answer.exit_code == int(expect[5:])
    if expect in ("empty", "nonempty"):
        something = bool(answer.series) if answer.series is not None else bool(answer.output.strip())
        return something == (expect == "nonempty")
    found = _COMPARISON.fullmatch(expect)
    if found is None:
        return None
    values = _values(answer)
    compare, limit = _OPERATORS[found[1]], float(found[2])
    return bool(values) and all(not math.isnan(value) and compare(value, limit) for value in values)


def _values(answer: Answer) -> list[float]:
    if answer.series is not None:
        return [one.value for one in answer.series]
    try:
        return [float(answer.output.strip())]
    except ValueError:
        return []
