"""What the terminals of a training show: lines of plain text with a style each, at most 80 columns. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from drill.core.units import format_duration, format_ratio
from drill.training.views import (
    AlertLine,
    FacilitatorView,
    Message,
    PageText,
    PhaseTime,
    ReplicaLine,
    SloSeries,
    TraineeView,
)

Line = tuple[str, str]
"""(text, style)."""
WIDTH = 78
BARS = "▁▂▃▄▅▆▇█"
SPARK = 24
CHANNEL = {"pagerduty": "PagerDuty", "slack": "Slack", "log": "Log"}
LOUD = {"firing": "bold red", "resolved": "green", "pending": "yellow"}


def clock(at: float) -> str:
    """``02:51:07``, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def rule(left: str = "", right: str = "") -> str:
    """A line across the screen with words in it."""
    left, right = (f" {text} " if text else "" for text in (left, right))
    return f"──{left}{'─' * max(2, WIDTH - 4 - len(left) - len(right))}{right}──"


def wrapped(text: str, indent: str = "  ") -> list[str]:
    """Fold *text* to the screen's width."""
    lines = []
    for paragraph in text.splitlines():
        lines += textwrap.wrap(paragraph, WIDTH - len(indent), break_long_words=False, break_on_hyphens=False) or [
            ""
        ]
    return [f"{indent}{line}".rstrip() for line in lines]


def page_lines(page: PageText) -> list[Line]:
    """One message as its receiver shows it; a resolved one and a ticket in short."""
    where = CHANNEL[page.channel]
    if page.status == "resolved":
        return [(line, "green") for line in wrapped(f"{where}, {clock(page.at)}: {page.title}")]
    if page.channel != "pagerduty":
        return [(line, "yellow") for line in wrapped(f"{where}, {clock(page.at)}: {page.title}")]
    style = "bold red"
    lines = [(rule(where, f"{clock(page.at)} UTC"), style)]
    lines += [(line, style) for line in wrapped(f"TRIGGERED  {page.title}")]
    lines += [(line, "") for line in wrapped(page.body)]
    return [*lines, (rule(), style)]


def message_lines(message: Message) -> list[Line]:
    """Something somebody said."""
    if message.kind == "notice":
        return [(rule(), "bold white on red"), *((line, "bold") for line in wrapped(message.text)), (rule(), "")]
    who = f"[to {message.to}]" if message.to else f"[{message.said_by or 'somebody'}]"
    first, *rest = wrapped(f"{who} {message.text}", "  ")
    return [(first, "cyan"), *((f"  {line}", "cyan") for line in rest)]


# ---- status ----------------------------------------------------------------------------------------------


def status_lines(view: TraineeView) -> list[Line]:
    """Everything at a glance, in less than one screen."""
    lines: list[Line] = [(where_line(view), "bold"), ("", "")]
    measured = any(slo.error_ratio for slo in view.slos)
    if measured or view.alerts:
        lines += _alert_table(view.alerts)
    else:
        lines += [("  nothing is measured; what was told:", "dim")]
        lines += [(f"    {clock(page.at)}  {page.title}", "") for page in view.pages[-4:]]
    if measured:
        lines += [("", ""), *_slo_table(view.slos)]
    paged = [slo.service for slo in view.slos if slo.relation == "paged"]
    replicas = [one for one in view.replicas if one.service in paged]
    if replicas:
        lines += [("", ""), *_replica_table(replicas, view.clock.now)]
    return lines


def where_line(view: TraineeView) -> str:
    """One line: phase and clock."""
    words = {
        "preparing": "the services are starting",
        "quiet": "on call, all quiet",
        "paged": "paged, not acknowledged",
        "acknowledged": "yours: find it, mend it",
        "mitigated": "users are well again",
        "over": "over",
    }
    text = words[view.phase]
    if view.clock.paged_at and view.phase != "over":
        text += f" · {minutes(view.clock.elapsed_s)} since the page"
    if view.clock.paused:
        text += " · CLOCK PAUSED"
    elif view.clock.deadline:
        text += f" · {minutes(max(0.0, view.clock.deadline - view.clock.now))} left"
    return text


def bar(view: TraineeView) -> str:
    """The same in less room, for a line that is always there."""
    words = {"paged": "PAGED", "acknowledged": "yours", "mitigated": "users are well", "quiet": "all quiet"}
    text = words.get(view.phase, view.phase)
    if view.clock.paused:
        return f"{text} · CLOCK PAUSED"
    left = max(0.0, view.clock.deadline - view.clock.now)
    return f"{text} · {minutes(left)} left" if view.clock.deadline else text


def minutes(seconds: float) -> str:
    """``4:07``."""
    whole, rest = divmod(int(seconds), 60)
    return f"{whole}:{rest:02d}"


def _alert_table(alerts: Sequence[AlertLine]) -> Iterable[Line]:
    loud = [alert for alert in alerts if alert.severity != "log"]
    if not loud:
        yield "  no page, no ticket", "dim"
        return
    for alert in loud[:6]:
        yield (
            f"  {alert.state:<8} {alert.severity:<6} {alert.name:<34} since {clock(alert.since)}",
            LOUD[alert.state],
        )


def _slo_table(slos: Sequence[SloSeries]) -> Iterable[Line]:
    paged = any(slo.relation == "paged" for slo in slos)
    head = "burn rate" + (f" (pages above {slos[0].page_at:g})" if slos and slos[0].page_at else "")
    yield f"  {'SLO':<30} {'bad now':>8}  {head}", "dim"
    shown = [slo for slo in slos if slo.relation != "other"] if paged else list(slos)
    for slo in shown[:10]:
        ratio = slo.error_ratio[-1][1] if slo.error_ratio else 0.0
        rate = _shortest(slo)
        burns = rate[-1][1] if rate else 0.0
        style = "bold red" if slo.page_at and burns > slo.page_at else "yellow" if burns > 1 else ""
        mark = {"paged": "*", "called by it": ">", "calls it": "<"}.get(slo.relation, " ")
        name = f"{mark} {slo.service} {slo.slo}"
        bars = spark([value for _, value in rate], slo.page_at)
        yield f"  {name:<30} {_share(ratio):>8}  {burns:>6.1f} {bars}", style
    if paged:
        yield "  * paged   > called by it   < calls it", "dim"


def _shortest(slo: SloSeries) -> Sequence[tuple[float, float]]:
    return next(iter(slo.burn_rates.values()), ())


def _share(ratio: float) -> str:
    return "-" if ratio == 0 else format_ratio(round(ratio, 3 if ratio < 0.1 else 2))


def spark(values: Sequence[float], threshold: float) -> str:
    """Draw the last values; the scale ends at twice the threshold or the largest value."""
    shown = list(values)[-SPARK:]
    top = max([*shown, 2 * threshold, 1e-9])
    return "".join(
        BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] if value > 0 else BARS[0] for value in shown
    )


def _replica_table(replicas: Sequence[ReplicaLine], now: float) -> Iterable[Line]:
    yield f"  {'REPLICA':<20} {'STATE':<15} {'RESTARTS':>8}  STARTED", "dim"
    for one in replicas[:8]:
        since = (
            f"{format_duration(round(max(0.0, now - one.started_at)))} ago" if one.started_at else "before the page"
        )
        style = "" if one.state == "serving" else "yellow"
        yield f"  {one.name:<20} {one.state:<15} {one.restarts:>8}  {since}", style


# ---- the facilitator -------------------------------------------------------------------------------------


def facilitator_lines(view: FacilitatorView) -> list[Line]:
    """Everything, for who leads the session."""
    lines: list[Line] = [(f"{view.title}, on {view.service}", "bold"), (where_line(view.trainee), ""), ("", "")]
    lines += [(line, "") for line in wrapped(f"answer: {view.answer_cause} at {view.answer_component}")]
    for one in view.injections:
        held = f" for {minutes(view.trainee.clock.now - one.effective_at)}" if one.state == "in effect" else ""
        replicas = ", ".join(one.replicas)
        lines.append((f"  {one.fault:<10} at {replicas}: {one.state}{held}", "red" if held else ""))
    healthy = f"yes, for {minutes(view.trainee.clock.now - view.healthy_since)}" if view.healthy_since else "no"
    lines += [(f"  users within the SLO: {healthy}", ""), ("", "")]
    lines += [(line, "") for line in _phase_table(view.phases)]
    if view.injects:
        lines += [("", ""), ("  injects", "dim")]
        lines += [
            (f"  {one.id:<10} +{minutes(one.due_s):<6} {one.state:<8} to {one.to}: {one.text}"[:WIDTH], "")
            for one in view.injects
        ]
    given = len(view.trainee.hints)
    lines += [("", ""), (f"  hints given: {given} of {len(view.hints)}", "dim")]
    lines += [
        (line, "dim" if number <= given else "")
        for number, hint in enumerate(view.hints, 1)
        for line in wrapped(f"{number}. {hint}")
    ]
    if view.grades:
        lines += [("", ""), ("  suspicions", "dim")]
        for said, how in zip(view.trainee.suspicions, view.grades, strict=True):
            lines += [(line, "") for line in wrapped(f'"{said.text}" {said.component}: {how}')]
    return lines


def _phase_table(phases: Sequence[PhaseTime]) -> Iterable[str]:
    for phase in phases:
        after = "-" if phase.after_s is None else f"+{minutes(phase.after_s)}"
        target = "" if phase.target_s is None else f"target +{minutes(phase.target_s)}"
        yield f"  {phase.name:<13} {after:>7}  {target:<14} {phase.note}"[:WIDTH]
