"""Two runs side by side: what is the same about them, and what came out differently. Pure.

Only runs of one scenario with the same parameters and windows are a pair; everything else is shown, with what
makes the comparison unsound.
"""

from __future__ import annotations

from dataclasses import dataclass

from drill.core.labels import render
from drill.report.model import Alert, Report


@dataclass(frozen=True)
class Row:
    """One value of both runs, as text; ``change`` says what became of it (``''``: nothing to say)."""

    what: str
    before: str
    after: str
    change: str = ""


@dataclass(frozen=True)
class Comparison:
    """``unlike`` says why the two are no pair; ``rows`` are what came out."""

    unlike: tuple[str, ...]
    rows: tuple[Row, ...]


def compare(before: Report, after: Report) -> Comparison:
    """Compare two runs; *before* is usually the older one."""
    return Comparison(tuple(_unlike(before, after)), tuple(_rows(before, after)))


def _unlike(a: Report, b: Report) -> list[str]:
    found = [
        f"{what}: {left} and {right}"
        for what, left, right in (
            ("scenario", a.scenario, b.scenario),
            ("target", a.target, b.target),
            ("fast-forward", f"{a.windows.fast_forward:g}", f"{b.windows.fast_forward:g}"),
            ("drill's version", a.drill_version, b.drill_version),
        )
        if left != right
    ]
    names = sorted(a.parameters.keys() | b.parameters.keys())
    found += [
        f"parameter {name}: {a.parameters.get(name, '–')} and {b.parameters.get(name, '–')}"
        for name in names
        if a.parameters.get(name) != b.parameters.get(name)
    ]
    if a.scenario == b.scenario and a.source_sha256 != b.source_sha256:
        found.append("the scenario's file was changed in between")
    return found


def _rows(a: Report, b: Report) -> list[Row]:
    order = ("fail", "aborted", "unknown", "pass")
    change = ""
    if a.verdict != b.verdict:
        change = "better" if order.index(b.verdict) > order.index(a.verdict) else "worse"
    rows = [Row("verdict", a.verdict, b.verdict, change)]
    for title, alert_a, alert_b in _pairs(a, b):
        rows.append(Row(title, _say(alert_a), _say(alert_b), _changed(_say(alert_a), _say(alert_b))))
        for what, name in (("fired after", "firing_after_s"), ("delivered after", "delivered_after_s"),
                           ("resolved after", "resolved_after_s")):  # fmt: skip
            left = getattr(alert_a, name, None) if alert_a else None
            right = getattr(alert_b, name, None) if alert_b else None
            if left is not None or right is not None:
                rows.append(
                    Row(f"  {what}", _number(left, "s"), _number(right, "s"), _difference(left, right, "s"))
                )
    rows += _unexpected(a, b)
    budgets_a = {one.slo: one.spent_percent for one in a.budgets}
    budgets_b = {one.slo: one.spent_percent for one in b.budgets}
    for slo in sorted(budgets_a.keys() | budgets_b.keys()):
        left, right = budgets_a.get(slo), budgets_b.get(slo)
        rows.append(Row(f"budget of {slo}", _number(left, "%"), _number(right, "%"), _difference(left, right, "%")))
    return rows


def _pairs(a: Report, b: Report) -> list[tuple[str, Alert | None, Alert | None]]:
    left = {render(alert.match): alert for alert in a.alerts}
    right = {render(alert.match): alert for alert in b.alerts}
    return [(f"alert {name}", left.get(name), right.get(name)) for name in dict.fromkeys([*left, *right])]


def _unexpected(a: Report, b: Report) -> list[Row]:
    left = {render(alert.labels) for alert in a.unexpected_alerts}
    right = {render(alert.labels) for alert in b.unexpected_alerts}
    return [
        Row(f"unexpected {name}", "yes" if name in left else "no", "yes" if name in right else "no",
            _changed(str(name in left), str(name in right)))
        for name in sorted(left | right)
    ]  # fmt: skip


def _say(alert: Alert | None) -> str:
    return alert.verdict.value if alert else "–"


def _changed(before: str, after: str) -> str:
    return "changed" if before != after else ""


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g} {unit}"


def _difference(before: float | None, after: float | None, unit: str) -> str:
    if before is None or after is None:
        return ""
    return f"{after - before:+.3g} {unit}"
