"""The live screen: ``render(view, width, now)`` is pure; ``LiveScreen`` only redraws it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from drill.cli.lines import number, span_words
from drill.cli.view import BEFORE, AlertView, InjectionView, View, alert_name, burn_rate
from drill.core.units import format_duration, format_ratio
from drill.journal.events import AnyEvent

if TYPE_CHECKING:
    from rich.live import Live

BARS = "▁▂▃▄▅▆▇█"
PHASES = ("preflight", "baseline", "inject", "hold", "recover", "resolve", "done")
STATE_STYLES = {
    "inactive": "dim",
    "pending": "yellow",
    "firing": "bold red",
    "resolved": "green",
    "waiting": "dim",
    "applying": "yellow",
    "in effect": "bold red",
    "undoing": "yellow",
    "undone": "green",
    "undo failed": "bold red",
    "clean": "green",
    "NOT CLEAN": "bold white on red",
}
REDRAWS_PER_S = 4


def render(view: View, width: int, now: float) -> RenderableType:
    """Draw everything *view* knows, *width* columns wide, at *now* (runner's clock, Unix seconds)."""
    parts: list[RenderableType] = [_head(view, now), _phases(view), Text("")]
    parts += [_injection(one, now) for one in view.injections.values()]
    parts += [Text(""), *_sli(view, width), Text("")]
    parts += [line for alert in view.alerts for line in _alert(view, alert, now)]
    parts += _others(view)
    parts += [Text(f"  ! {source} does not answer: {error}", style="yellow") for source, error in view.lost.items()]
    if view.abort:
        parts.append(Text(f"  ! abort ({view.abort.by}): {view.abort.reason}", style="bold magenta"))
    return Group(*parts)


def _head(view: View, now: float) -> RenderableType:
    plan = view.plan
    line = Table.grid(expand=True)
    line.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    line.add_column(justify="right", no_wrap=True)
    title = Text.assemble((plan.scenario, "bold"), f" · {plan.service} · {plan.target}")
    if plan.fast_forward != 1:
        title.append(f" · windows ÷ {plan.fast_forward:g}", style="cyan")
    line.add_row(title, Text(time_left(view, now)))
    return line


def time_left(view: View, now: float) -> str:
    """Say where on the timeline we are: ``T+0:12, fault ends in 0:48``."""
    if not view.t0:
        if not view.started_at:
            return view.setting_up
        until = view.plan.baseline_s - (now - view.started_at)
        return f"fault in about {_clock(max(0.0, until))}"
    since = f"T+{_clock(now - view.t0)}"
    left = view.end_s - (now - view.t0)
    if view.finished:
        return since
    if left > 0 and view.phase in ("inject", "hold"):
        return f"{since}, fault ends in {_clock(left)}"
    dues = [
        due[1] - now for alert in view.alerts if alert.state != "resolved" and (due := view.resolved_due(alert))
    ]
    return f"{since}, resolved within {_clock(max(dues))}" if dues and 0 < max(dues) < float("inf") else since


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _phases(view: View) -> RenderableType:
    line = Text(no_wrap=True, overflow="ellipsis")
    reached = PHASES.index(view.phase) if view.phase in PHASES else -1
    for index, phase in enumerate(PHASES):
        mark, style = ("✓", "green") if index < reached or view.finished else ("·", "dim")
        if index == reached and not view.finished:
            mark, style = "▶", "bold cyan"
        line.append(f"{mark} {phase}  ", style=style)
    return line


def _injection(one: InjectionView, now: float) -> RenderableType:
    planned = one.planned
    share = f"{len(planned.replicas)}/{planned.of_replicas} of {planned.service}"
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{planned.fault} ", style="bold")
    line.append(f"({planned.backend}) on {share}  ", style="dim")
    line.append(one.state, style=STATE_STYLES.get(one.state, ""))
    if one.effective_at and not one.ended_at:
        line.append(f" for {_clock(now - one.effective_at)}")
    if one.measured is not None:
        unit = planned.effect.unit
        line.append(f"  {number(one.measured)} {unit} (wanted {number(planned.effect.expected)})")
    if one.problem:
        line.append(f"  {one.problem}", style="bold red")
    return line


def _sli(view: View, width: int) -> Sequence[RenderableType]:
    sloth_id, predicted = view.main_slo()
    samples = view.slis.get(sloth_id, ())
    if not samples:
        return [Text("  waiting for the first samples", style="dim")]
    room = max(10, min(60, width - 50))
    last = samples[-1]
    budget = predicted.factor * _slo_budget(view, sloth_id) if predicted else 0.0
    errors = [sample.error_ratio for sample in samples]
    lines = [
        _row("bad requests", errors, room, budget, f"{format_ratio(round(last.error_ratio, 3))} of {sloth_id}")
    ]
    if predicted is None:
        return lines
    for window in (predicted.short_s, predicted.long_s):
        rates = [rate for sample in samples if (rate := burn_rate(sample, window)) is not None]
        if rates:
            label = f"burn rate {format_duration(window)}"
            lines.append(
                _row(label, rates, room, predicted.factor, f"{number(rates[-1])}, threshold {predicted.factor:g}")
            )
    return lines


def _slo_budget(view: View, sloth_id: str) -> float:
    return next((1 - slo.objective for slo in view.plan.slos if slo.sloth_id == sloth_id), 0.0)


def _row(label: str, values: Sequence[float], room: int, threshold: float, tail: str) -> Text:
    line = Text(f"  {label:<16}", no_wrap=True, overflow="ellipsis")
    line.append_text(sparkline(values, room, threshold))
    line.append(f"  {tail}")
    return line


def sparkline(values: Sequence[float], room: int, threshold: float) -> Text:
    """Draw the last *room* values; those above *threshold* are red. The scale ends at the largest value shown
    or twice the threshold, so that the threshold is visible as half height while all is well."""
    shown = list(values)[-room:]
    top = max([*shown, 2 * threshold, 1e-12])
    line = Text()
    for value in shown:
        level = min(len(BARS) - 1, int(value / top * len(BARS))) if value > 0 else 0
        line.append(BARS[level], style="red" if threshold and value > threshold else "cyan")
    line.append(" " * (room - len(shown)))
    return line


def _alert(view: View, alert: AlertView, now: float) -> Sequence[RenderableType]:
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{alert.label:<28} ", style="bold")
    line.append(f"{alert.state:<9}", style=STATE_STYLES[alert.state])
    line.append_text(_expectation(view, alert, now))
    steps = _steps(view, alert)
    way = Text(f"    T+ {' · '.join(steps)}", style="dim", no_wrap=True, overflow="ellipsis")
    return [line, way] if steps else [line]


def _others(view: View) -> Sequence[RenderableType]:
    """Alerts beside the expected ones: those of before, those that were to be expected, and those that were not."""
    kinds: dict[str, set[str]] = {f", {BEFORE}": set(), ", as predicted": set(), "": set()}
    for span in view.others.values():
        why = view.foreseen(span)
        kinds[f", {BEFORE}" if why == BEFORE else ", as predicted" if why else ""].add(alert_name(span.labels))
    lines = []
    for kind, names in kinds.items():
        if names:
            text, style = f"  also firing{kind}: {', '.join(sorted(names))}", "dim" if kind else "bold yellow"
            lines.append(Text(text, style=style, overflow="ellipsis", no_wrap=True))
    return lines


def _expectation(view: View, alert: AlertView, now: float) -> Text:
    predicted = alert.predicted
    if predicted is not None and predicted.may_fire and not predicted.fires:
        return Text(" may fire, not for certain", style="yellow")
    if predicted is None or predicted.firing_s is None:
        return Text("")
    due = view.firing_due(alert)
    if due is None:
        return Text(f" fires {span_words(predicted.firing_s)} after the effect", style="dim")
    if alert.firing_at:
        on_time = due[0] <= alert.firing_at - view.skew_s <= due[1]
        return Text(" on time" if on_time else " NOT in its interval", style="green" if on_time else "bold red")
    if now < due[0]:
        return Text(f" due in {due[0] - now:.0f} to {due[1] - now:.0f} s", style="cyan")
    if now <= due[1]:
        return Text(f" due now, at the latest in {due[1] - now:.0f} s", style="bold cyan")
    return Text(f" late by {now - due[1]:.0f} s", style="bold red")


def _steps(view: View, alert: AlertView) -> Sequence[str]:
    """The way of an alert, each step with its seconds after T0."""
    steps = (
        ("pending", alert.pending_at - view.skew_s, alert.pending_at),
        ("firing", alert.firing_at - view.skew_s, alert.firing_at),
        ("Alertmanager", alert.in_alertmanager_at, alert.in_alertmanager_at),
        (alert.receiver or "delivered", alert.delivered_at, alert.delivered_at),
        ("resolved", alert.resolved_at - view.skew_s, alert.resolved_at),
    )
    return [f"{name} {at - view.t0:.1f}s" for name, at, seen in steps if seen and view.t0]


class LiveScreen:
    """Redraws the view while a run goes on; ``see`` may be called from any thread."""

    def __init__(self, view: View, console: Console, clock: Callable[[], float] = time.time) -> None:
        self.view = view
        self._console = console
        self._clock = clock
        self._lock = threading.Lock()
        self._live: Live | None = None
        self.note = ""

    def see(self, event: AnyEvent) -> None:
        """Take in one event; the next redraw shows it."""
        with self._lock:
            self.view.see(event)

    def tell(self, note: str) -> None:
        """Show *note* below the screen from now on. Takes no lock: it is called by a signal handler."""
        self.note = note

    def progress(self, text: str) -> None:
        """Say what is being set up; the first event of the run takes its place."""
        self.view.setting_up = text

    def __rich__(self) -> RenderableType:
        with self._lock:
            drawn = render(self.view, self._console.width, self._clock())
        return Group(drawn, Text(f"  {self.note}", style="bold magenta")) if self.note else drawn

    def __enter__(self) -> LiveScreen:
        from rich.live import Live

        self._live = Live(self, console=self._console, refresh_per_second=REDRAWS_PER_S)
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
