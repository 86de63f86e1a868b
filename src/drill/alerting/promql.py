"""Reading what an alert expression means: its conditions, constants and windows, from the syntax tree.

Owns the walk over promql-parser's tree. Refuses to guess from names: a window is a range in the expression.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import promql_parser as ql

Lookup = Callable[[Any], Any]
"""Maps a vector selector to the expression of the recording rule behind it, or None."""

MAX_CHAIN = 8
"""Recording rules that read recording rules: chains are short, and a circle is the user's mistake."""
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_ERROR_LABELS = re.compile(r"code|status|result|outcome|grpc_code|error", re.IGNORECASE)
_ERROR_VALUES = re.compile(r"5|err|fail|unavailable|internal", re.IGNORECASE)


class Condition(NamedTuple):
    """``expr > threshold``; ``leaves`` are the factors the threshold is written as."""

    expr: Any
    threshold: float
    leaves: tuple[float, ...]
    dropped: frozenset[str]
    """Labels that aggregations around it take away (``without``)."""


def parse(text: str) -> Any:
    """Parse PromQL. Raises ValueError with the parser's message."""
    return ql.parse(text)


def conjunctions(expr: Any, lookup: Lookup) -> list[list[Condition]]:
    """Return the alternatives (``or``) of *expr*, each a list of conditions that must all hold (``and``).

    Parts that are no comparison with a constant (guards, joins) are left out; ``unless`` keeps its left side.
    """
    if isinstance(expr, ql.ParenExpr):
        return conjunctions(expr.expr, lookup)
    if isinstance(expr, ql.AggregateExpr):
        gone = _dropped(expr)
        return [
            [condition._replace(dropped=condition.dropped | gone) for condition in part]
            for part in conjunctions(expr.expr, lookup)
        ]
    if not isinstance(expr, ql.BinaryExpr):
        return [[]]
    op = str(expr.op)
    if op == "or":
        return conjunctions(expr.lhs, lookup) + conjunctions(expr.rhs, lookup)
    if op == "and":
        return [a + b for a in conjunctions(expr.lhs, lookup) for b in conjunctions(expr.rhs, lookup)]
    if op == "unless":
        return conjunctions(expr.lhs, lookup)
    condition = _comparison(expr, op, lookup)
    return [[condition]] if condition else [[]]


def _dropped(expr: Any) -> frozenset[str]:
    modifier = expr.modifier
    if modifier is not None and modifier.type == ql.AggModifierType.Without:
        return frozenset(modifier.labels)
    return frozenset()


def _comparison(expr: Any, op: str, lookup: Lookup) -> Condition | None:
    left, right = constant(expr.lhs, lookup), constant(expr.rhs, lookup)
    if op in (">", ">=") and left is None and right is not None:
        return _normal(expr.lhs, right, _leaves(expr.rhs, lookup), lookup)
    if op in ("<", "<=") and right is None and left is not None:
        return _normal(expr.rhs, left, _leaves(expr.lhs, lookup), lookup)
    if op in ("<", "<=") and left is None and right is not None and right < 1:
        return _normal(expr.lhs, round(1 - right, 12), _short_of_one(expr.rhs, lookup), lookup)
    return None


def _short_of_one(expr: Any, lookup: Lookup) -> tuple[float, ...]:
    """Return the factors of ``x`` in ``good ratio < 1 - x``: too little good is too much bad."""
    while isinstance(expr, ql.ParenExpr):
        expr = expr.expr
    if isinstance(expr, ql.BinaryExpr) and str(expr.op) == "-" and constant(expr.lhs, lookup) == 1:
        return _leaves(expr.rhs, lookup)
    return ()


def _normal(expr: Any, threshold: float, leaves: tuple[float, ...], lookup: Lookup) -> Condition:
    """Move constant factors from the vector's side to the threshold: ``ratio / budget > 14`` and its like."""
    dropped: frozenset[str] = frozenset()
    for _ in range(4 * MAX_CHAIN):
        if isinstance(expr, ql.ParenExpr):
            expr = expr.expr
        elif isinstance(expr, ql.AggregateExpr) and lookup_inside(expr.expr, lookup):
            dropped, expr = dropped | _dropped(expr), expr.expr
        elif isinstance(expr, ql.VectorSelector) and _divides(lookup(expr), lookup):
            expr = lookup(expr)
        elif _divides(expr, lookup):
            by = constant(expr.rhs, lookup) or 1.0
            divide = str(expr.op) == "/"
            threshold, leaves = (threshold * by, (*leaves, by)) if divide else (threshold / by, (*leaves, 1 / by))
            expr = expr.lhs
        else:
            break
    return Condition(expr, threshold, leaves, dropped)


def _divides(expr: Any, lookup: Lookup) -> bool:
    if not isinstance(expr, ql.BinaryExpr) or str(expr.op) not in ("/", "*"):
        return False
    return bool(constant(expr.rhs, lookup)) and constant(expr.lhs, lookup) is None


def lookup_inside(expr: Any, lookup: Lookup) -> bool:
    """True when an aggregation's argument is a recorded series (so that the aggregation only drops labels)."""
    while isinstance(expr, ql.ParenExpr):
        expr = expr.expr
    return isinstance(expr, ql.VectorSelector) and lookup(expr) is not None


def constant(expr: Any, lookup: Lookup, depth: int = 0) -> float | None:
    """Return the value of *expr* when it is constant, through arithmetic, ``vector()`` and recording rules.

    Rules that read each other in a circle have none.
    """
    if isinstance(expr, ql.NumberLiteral):
        return float(expr.val)
    if isinstance(expr, ql.ParenExpr):
        return constant(expr.expr, lookup, depth)
    if isinstance(expr, ql.UnaryExpr):
        inner = constant(expr.expr, lookup, depth)
        return None if inner is None else -inner
    if isinstance(expr, ql.Call) and expr.func.name in ("vector", "scalar") and len(expr.args) == 1:
        return constant(expr.args[0], lookup, depth)
    if isinstance(expr, ql.AggregateExpr) and str(expr.op) in ("max", "min", "avg"):
        return constant(expr.expr, lookup, depth)
    if isinstance(expr, ql.VectorSelector):
        recorded = lookup(expr) if depth < MAX_CHAIN else None
        return None if recorded is None else constant(recorded, lookup, depth + 1)
    if isinstance(expr, ql.BinaryExpr):
        return _arithmetic(str(expr.op), constant(expr.lhs, lookup, depth), constant(expr.rhs, lookup, depth))
    return None


def _arithmetic(op: str, a: float | None, b: float | None) -> float | None:
    if a is None or b is None or (op == "/" and b == 0):
        return None
    if op not in _OPERATORS:
        return None
    return round(float(_OPERATORS[op](a, b)), 15)


def _leaves(expr: Any, lookup: Lookup) -> tuple[float, ...]:
    while isinstance(expr, ql.ParenExpr):
        expr = expr.expr
    if isinstance(expr, ql.BinaryExpr) and str(expr.op) == "*":
        return _leaves(expr.lhs, lookup) + _leaves(expr.rhs, lookup)
    value = constant(expr, lookup)
    return () if value is None else (value,)


def factor_and_budget(threshold: float, leaves: tuple[float, ...], budget: float | None) -> tuple[float, float]:
    """Split a threshold into ``F`` and ``b``: by the SLO's own budget where it is known, else by how the
    threshold is written (the one factor below 1 is the budget). A bare number is all budget, with F = 1."""
    if budget is None:
        small = [leaf for leaf in leaves if 0 < leaf < 1]
        budget = small[0] if len(small) == 1 else threshold
    return round(threshold / budget, 9), round(budget, 12)


def walk(expr: Any) -> Iterator[Any]:
    """Yield *expr* and all expressions in it, depth first."""
    yield expr
    for child in (getattr(expr, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")):
        if child is not None:
            yield from walk(child)
    if isinstance(expr, ql.Call):
        for argument in expr.args:
            yield from walk(argument)


def windows(expr: Any) -> set[float]:
    """Return the ranges of *expr* in seconds; a subquery's range counts, what is inside it does not."""
    if isinstance(expr, ql.SubqueryExpr | ql.MatrixSelector):
        return {expr.range.total_seconds()} if expr.range is not None else set()
    children = [getattr(expr, name, None) for name in ("lhs", "rhs", "expr")]
    children += expr.args if isinstance(expr, ql.Call) else []
    return set().union(*(windows(child) for child in children if child is not None))


def is_ratio(expr: Any) -> bool:
    """True when *expr* is a ratio over a time: a division of vectors, an average over time, or the share of a
    native histogram below a value."""
    for part in walk(expr):
        if isinstance(part, ql.BinaryExpr) and str(part.op) == "/":
            return True
        if isinstance(part, ql.Call) and part.func.name in ("avg_over_time", "histogram_fraction"):
            return True
    return False


def divisor(expr: Any) -> str:
    """Return the PromQL of what a ratio divides by, through parentheses and ``1 - …``; empty when it does not.

    A guard (``total > 0``) is taken off: without traffic the answer is zero, not nothing.
    """
    while True:
        if isinstance(expr, ql.ParenExpr):
            expr = expr.expr
        elif isinstance(expr, ql.BinaryExpr) and str(expr.op) == "-":
            expr = expr.rhs
        else:
            break
    return written(_unguarded(expr.rhs)) if isinstance(expr, ql.BinaryExpr) and str(expr.op) == "/" else ""


def written(expr: Any) -> str:
    """Return *expr* as PromQL on one line. The parser's ``str`` forgets to escape; its ``prettify`` does not."""
    return " ".join(line.strip() for line in expr.prettify().splitlines())


def _unguarded(expr: Any) -> Any:
    inner = expr
    while isinstance(inner, ql.ParenExpr):
        inner = inner.expr
    guarded = isinstance(inner, ql.BinaryExpr) and str(inner.op) in (">", "!=")
    return inner.lhs if guarded and constant(inner.rhs, lambda _: None) is not None else expr


def ranged(expr: Any) -> list[Any]:
    """Return the selectors in *expr* that a range is taken of."""
    found = []
    for part in walk(expr):
        if isinstance(part, ql.MatrixSelector):
            found.append(part.vector_selector)
        elif isinstance(part, ql.SubqueryExpr):
            found += selectors(part.expr)
    return found


def selectors(expr: Any) -> list[Any]:
    """Return all vector selectors in *expr*, those inside ranges included."""
    return [part for part in walk(expr) if isinstance(part, ql.VectorSelector)]


def latency_threshold(expr: Any) -> float | None:
    """Return the bucket (seconds, as its ``le`` says) by which *expr* tells slow from fast, or None.

    A native histogram has no buckets: there it is the upper bound of ``histogram_fraction``.
    """
    for part in walk(expr):
        if isinstance(part, ql.Call) and part.func.name == "histogram_fraction":
            return constant(part.args[1], lambda _: None)
    for selector in selectors(expr):
        for matcher in selector.matchers.matchers:
            number = _NUMBER.match(matcher.value) if matcher.name == "le" else None
            if number and matcher.op in (ql.MatchOp.Equal, ql.MatchOp.Re):
                return float(number[0])
    return None


def counts_errors(expr: Any) -> bool:
    """True when *expr* selects failed events by a status-like label or a metric named for failures."""
    for selector in selectors(expr):
        if re.search(r"error|fail", selector.name or ""):
            return True
        for matcher in selector.matchers.matchers:
            if _ERROR_LABELS.search(matcher.name) and _ERROR_VALUES.search(matcher.value):
                return True
    return False


def accepts(selector: Any, labels: dict[str, str]) -> bool | None:
    """True when *labels* satisfy all matchers, None when a matched label is not among them, False otherwise."""
    unknown = False
    for matcher in selector.matchers.matchers:
        if matcher.name not in labels:
            unknown = True
            continue
        value = labels[matcher.name]
        same = value == matcher.value
        if matcher.op in (ql.MatchOp.Re, ql.MatchOp.NotRe):
            same = re.fullmatch(matcher.value, value) is not None
        if same == (matcher.op in (ql.MatchOp.NotEqual, ql.MatchOp.NotRe)):
            return False
    return None if unknown else True


def equals(selector: Any) -> dict[str, str]:
    """Return the labels a selector fixes by ``=``."""
    return {m.name: m.value for m in selector.matchers.matchers if m.op == ql.MatchOp.Equal and m.value}


_OPS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
"""By the parser's names of its operators, which are no dictionary keys themselves."""


def text(selector: Any) -> str:
    """Return a vector selector as PromQL, without offset."""
    return render(selector.name or "", list(selector.matchers.matchers))


def render(name: str, matchers: Sequence[Any]) -> str:
    """Return the selector of a metric (``""``: any) with these matchers as PromQL."""
    inside = ", ".join(f"{one.name}{operator_of(one)}{_quoted(one.value)}" for one in matchers)
    return f"{name}{{{inside}}}" if inside or not name else name


def operator_of(matcher: Any) -> str:
    """Return how a matcher compares, as it is written."""
    return _OPS[str(matcher.op).rpartition(".")[2]]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def is_finite(value: float) -> bool:
    """True for a number that can be a threshold."""
    return math.isfinite(value) and value > 0
