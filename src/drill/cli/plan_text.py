"""A plan as text: what will be done, how it is undone, what it will cause, when, and at what price. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from drill.cli.lines import number, span_words
from drill.core.actions import describe
from drill.core.units import format_duration, format_ratio
from drill.plan.model import ExpectedAlert, Plan, PlannedInjection, PredictedAlert

WIDTH = 60
"""Columns of the timeline."""
LABEL = 36
"""Columns its labels may take at most."""
MARKS = {"info": "·", "warn": "!", "block": "✗"}
WAYS = {
    "api": "through the API",
    "helper": "by a helper pod on the node",
    "ephemeral": "by an ephemeral container in the pod",
}
SEVERITIES = {"page": 0, "ticket": 1, "log": 2}


def plan_text(plan: Plan) -> str:
    """Render *plan* as `drill plan` prints it."""
    parts = [
        _head(plan),
        _section("Actions", _actions(plan)),
        _section("Blast radius", _blast_radius(plan)),
        _section("Expected alerts", [line for alert in plan.expected for line in _expected(alert)]),
        _section("These will fire too", [_also(alert) for alert in _by_severity(plan.also) if alert.fires]),
        _section("These may fire too", [_also(alert) for alert in _by_severity(plan.also) if _only_may(alert)]),
        _section("Timeline", timeline(plan)),
        _section("Price", _price(plan)),
        _section("Guardrails", _guardrails(plan)),
        _section("Findings", _findings(plan)),
    ]
    return "\n\n".join(part for part in parts if part)


def windows_line(plan: Plan) -> str:
    """Say in one line which windows are tested; the first thing anybody should know of a fast-forwarded run."""
    pairs = ", ".join(
        f"{pair.severity} {pair.factor:g}x over {format_duration(pair.long_s)}+{format_duration(pair.short_s)}"
        for pair in plan.windows
    )
    if plan.fast_forward == 1:
        return f"windows tested: the real ones: {pairs}"
    real = ", ".join(f"{format_duration(p.real_long_s)}+{format_duration(p.real_short_s)}" for p in plan.windows)
    return f"windows tested: fast-forward {plan.fast_forward:g}: {pairs} (in production {real})"


def _head(plan: Plan) -> str:
    namespace = f", namespace {plan.namespace}" if plan.namespace else ""
    values = " ".join(f"{name}={value}" for name, value in plan.parameters.items())
    lines = [
        f"{plan.scenario}: {plan.title}" if plan.title else plan.scenario,
        f"  target {plan.target}{namespace}, seed {plan.seed}" + (f", {values}" if values else ""),
        f"  {windows_line(plan)}",
        f"  hypothesis: {' '.join(plan.hypothesis.split())}",
    ]
    return "\n".join(lines)


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)]) if lines else ""


def _actions(plan: Plan) -> Sequence[str]:
    lines = []
    for one in plan.injections:
        when = f"{_at(one.at_s)} for {format_duration(one.for_s)}"
        why = f": {one.why}" if one.why else ""
        way = f", {WAYS[one.way]}" if one.way else ""
        lines.append(f"{one.id}: {one.fault} by {one.backend}{way}{why}; {when}")
        lines += [f"  at    {name} = {place}" for name, place in one.places.items()]
        for step in one.steps:
            later = f" ({_at(one.at_s + step.at_s)})" if step.at_s else ""
            lines += [f"  do    {describe(step.action)}{later}", f"  undo  {describe(step.undo)}"]
        lines.append(f"  proof {_proof(one)}")
    return lines


def _at(seconds: float) -> str:
    return f"T+{format_duration(seconds)}" if seconds else "T0"


def _proof(one: PlannedInjection) -> str:
    effect = one.effect
    high = f" to {number(effect.high)}" if effect.high != float("inf") else " or more"
    added = "added " if effect.relative else ""
    return (
        f"{effect.kind} must show {added}{number(effect.low)}{high} {effect.unit} on every replica"
        f" within {format_duration(effect.within_s)}, else the verdict is unknown"
    )


def _blast_radius(plan: Plan) -> Sequence[str]:
    lines = []
    for one in plan.injections:
        share = format_ratio(round(len(one.replicas) / max(1, one.of_replicas), 3))
        names = ", ".join(one.replicas)
        lines.append(f"{len(one.replicas)} of {one.of_replicas} replicas of {one.service} ({share}): {names}")
    return list(dict.fromkeys(lines))


def _expected(alert: ExpectedAlert) -> Sequence[str]:
    name = " ".join(f"{key}={value}" for key, value in alert.match.items())
    predicted = alert.predicted
    lines = [f"{name}{_to(alert.receiver)}"]
    if alert.within_s is not None:
        lines.append(f"  must fire within {format_duration(alert.within_s)}")
    if predicted is None:
        return [*lines, "  no alert rule fits these labels"]
    return [*lines, *(f"  {line}" for line in prediction_lines(predicted))]


def _only_may(predicted: PredictedAlert) -> bool:
    return predicted.may_fire and not predicted.fires


def prediction_lines(predicted: PredictedAlert) -> Sequence[str]:
    """Say what one alert will do, in lines: whether and when it fires, is delivered and resolves."""
    if _only_may(predicted):
        return [f"MAY fire, {predicted.why.removeprefix('it may fire, ')}"]
    if not predicted.fires or predicted.firing_s is None:
        return [f"does NOT fire: {predicted.why.removeprefix('it does not fire: ')}"]
    low, high = (format_ratio(round(ratio, 4)) for ratio in predicted.error_ratio)
    lines = [
        f"bad requests {low if low == high else f'{low} to {high}'},"
        f" {predicted.factor:g}x over {format_duration(predicted.long_s)}+{format_duration(predicted.short_s)}",
        f"fires {span_words(predicted.firing_s)} after the fault is in effect",
    ]
    if predicted.delivered_s:
        lines.append(f"delivered {span_words(predicted.delivered_s)} after it{_to(', '.join(predicted.receivers))}")
    if predicted.resolved_s:
        lines.append(f"resolves {span_words(predicted.resolved_s)} after the fault's end")
    return lines


def _also(predicted: PredictedAlert) -> str:
    name = predicted.labels.get("alertname", "") or predicted.sloth_id
    about = f"{predicted.sloth_id} {predicted.severity}".strip()
    when = f", {span_words(predicted.firing_s)} after the effect" if predicted.firing_s else ""
    if _only_may(predicted):
        high = format_ratio(round(predicted.error_ratio[1], 4))
        when = f", at an error ratio near {high}"
    return f"{about or name}{when}{_to(', '.join(predicted.receivers))}"


def _to(receiver: str) -> str:
    return f" → {receiver}" if receiver else ""


def timeline(plan: Plan) -> Sequence[str]:
    """Draw faults (█), predicted starts of firing (▒) and the firing that follows (─) over time.

    The scale is that of the faults and the expected alerts; others that fire on and on run out of it (›).
    """
    expected = [alert.predicted for alert in plan.expected if alert.predicted and alert.predicted.fires]
    alerts = [alert for alert in (*expected, *_by_severity(plan.also)) if alert.fires and alert.firing_s]
    end = max([plan.end_s * 1.05, *(time for alert in expected for time in _firing(alert) if time < float("inf"))])
    rows: list[tuple[str, str]] = [
        (f"{one.id} ({one.fault})", _bar([(one.at_s, one.at_s + one.for_s, "█")], end)) for one in plan.injections
    ]
    for alert in alerts:
        first, last, resolved = _firing(alert)
        label = f"{alert.sloth_id or alert.labels.get('alertname', '')} {alert.severity}"
        bar = _bar([(last, min(resolved, end), "─"), (first, min(last, end), "▒")], end)
        rows.append((label, f"{bar[: WIDTH - 1]}›" if resolved > end else bar))
    wide = min(LABEL, max(len(label) for label, _ in rows)) + 2
    legend = "█ fault  ▒ must start to fire  ─ fires"
    return [f"{_cut(label):<{wide}}{bar}".rstrip() for label, bar in [*rows, ("", _axis(end)), ("", legend)]]


def _firing(alert: PredictedAlert) -> tuple[float, float, float]:
    """First and last moment it may start to fire, and the last at which it resolves, seconds from T0."""
    low, high = alert.firing_s or (0.0, 0.0)
    resolved = alert.ends_at_s + alert.resolved_s[1] if alert.resolved_s else alert.ends_at_s
    return alert.starts_at_s + max(0.0, low), alert.starts_at_s + high, resolved


def _cut(label: str) -> str:
    return label if len(label) <= LABEL else f"{label[: LABEL - 1]}…"


def _bar(bars: Sequence[tuple[float, float, str]], end: float) -> str:
    cells = [" "] * WIDTH
    for start, stop, mark in bars:
        first = min(WIDTH - 1, int(start / end * WIDTH))
        for index in range(first, max(first + 1, min(WIDTH, round(stop / end * WIDTH)))):
            cells[index] = mark
    return "".join(cells)


def _axis(end: float) -> str:
    left, middle, right = "T0", f"T+{format_duration(end / 2)}", f"T+{format_duration(end)}"
    half = WIDTH // 2
    return f"{left:<{half - len(middle) // 2}}{middle}".ljust(WIDTH - len(right)) + right


def _price(plan: Plan) -> Sequence[str]:
    lines = [f"at most {format_ratio(round(plan.budget_spend, 4))} of a service's error budget of the period"]
    for alert in plan.expected:
        predicted = alert.predicted
        if predicted and predicted.fires:
            about = f"{predicted.sloth_id} {predicted.severity}"
            before = format_ratio(round(predicted.price, 4))
            lines.append(
                f"{about}: {before} is spent before it fires{_if_young(predicted)},"
                f" {format_ratio(round(predicted.budget, 4))} in all"
            )
    return lines


def _if_young(predicted: PredictedAlert) -> str:
    """F·W/T is the price with a full history; on a young one it fires cheaper."""
    return " once the history is full" if predicted.budget < predicted.price else ""


def price_line(predicted: PredictedAlert) -> str:
    """Say what it costs in error budget until it fires, and what the whole fault costs."""
    price, budget = (format_ratio(round(share, 4)) for share in (predicted.price, predicted.budget))
    return f"{price} of the error budget is spent before it fires{_if_young(predicted)}, {budget} in all"


def _guardrails(plan: Plan) -> Sequence[str]:
    rails = plan.guardrails
    lines = [
        f"budget spend at most {format_ratio(rails.max_budget_spend)},"
        f" at most {format_ratio(rails.max_blast_radius)} of a service's replicas,"
        f" at most {format_duration(rails.max_duration_s)}"
    ]
    return [*lines, *(f"abort if {one.promql} for {format_duration(one.for_s)}" for one in rails.abort_if)]


def _findings(plan: Plan) -> Sequence[str]:
    return [line for finding in plan.findings for line in finding_lines(finding.level, finding.text, finding.fix)]


def finding_lines(level: str, text: str, fix: str) -> Sequence[str]:
    """Render one finding: a mark, the text, and below it what to do."""
    lines = [f"{MARKS.get(level, '·')} {text}"]
    return [*lines, f"    fix: {fix}"] if fix else lines


def _by_severity(alerts: Sequence[PredictedAlert]) -> Sequence[PredictedAlert]:
    return sorted(alerts, key=lambda alert: (SEVERITIES.get(alert.severity, 9), alert.sloth_id))
