"""`drill tabletop`: a scenario told on a clock, with no target. The page and the injects come, people talk.

Nothing is touched and nothing is measured; times of the page are those the plan predicts for real windows.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from drill.cli import wiring
from drill.cli.console import Console
from drill.cli.folders import new_folder
from drill.cli.settings import RunSettings
from drill.cli.training.books import reader, rule_texts
from drill.cli.training.record import EVENTS, Recorder, write_debrief
from drill.cli.training.screens import rule, wrapped
from drill.cli.training.trainee import Trainee
from drill.core.units import format_duration
from drill.plan.model import ExpectedAlert
from drill.training import events as t
from drill.training.given import Order, Stop, Tick, Told
from drill.training.live import LiveStage
from drill.training.script import Script, ServiceCalls, Setting, script_of

FOLDER = "tabletop"
TICK_S = 0.1
LATE_PAGE_S = 120.0
"""When a page comes for which nothing is predicted."""
NEXT = "go on to the next thing that happens"


class TableClock:
    """Unix seconds that run *speed* times as fast, or only when somebody moves them (speed 0)."""

    def __init__(self, speed: float) -> None:
        self._speed, self._base, self._since, self._moved = speed, time.time(), time.monotonic(), 0.0

    def __call__(self) -> float:
        """Return the time at the table."""
        return self._base + (time.monotonic() - self._since) * self._speed + self._moved

    def move(self, seconds: float) -> None:
        """Move it on."""
        self._moved += max(0.0, seconds)


@dataclass
class Table:
    """The pages that are to come, and the clock they come on."""

    stage: LiveStage
    clock: TableClock
    pages: Sequence[tuple[float, t.PageTold]]
    began: float
    told: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tick(self) -> None:
        """Tell what is due."""
        with self.lock:
            while self.told < len(self.pages) and self.clock() >= self.began + self.pages[self.told][0]:
                self.told += 1
                self.stage.give(Told(self.pages[self.told - 1][1]))
            self.stage.give(Tick())

    def step(self) -> str:
        """Move the clock to the next thing that happens; return what to say when nothing is left to happen."""
        due = self._next_due()
        if due is None:
            return "nothing more happens by itself: suspect, then `done`"
        self.clock.move(due - self.clock() + 0.001)
        self.tick()
        return ""

    def _next_due(self) -> float | None:
        state = self.stage.state
        times = [self.began + due_s for due_s, _ in self.pages[self.told :]]
        if state.paged_at:
            script = state.script
            times += [state.paged_at + one.due_s for one in script.injects if one.id not in state.injects]
            times += [state.paged_at + hint.after_s for hint in script.hints[len(state.hints) :] if hint.after_s]
        return min(times, default=None)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let time go by until the block is left."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(TICK_S):
                self.tick()

        thread = threading.Thread(target=run, name="drill-table", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(5)


def hold_tabletop(scenario: str, settings: RunSettings, speed: float, limit_s: float, console: Console) -> int:
    """Hold a tabletop in this terminal; *speed* 0 is step by step. Raises ProblemsFound, UsageError."""
    compiled = wiring.compile_plan(scenario, settings)
    folder = new_folder(settings.out, FOLDER)
    (folder / "plan.json").write_text(compiled.plan.model_dump_json(indent=1))
    recorder, clock = Recorder(folder / EVENTS), TableClock(speed)
    stage = LiveStage(_script(compiled, folder.name, limit_s), clock, recorder.write, _nothing)
    stage.look_around(ready=True, runbook=reader(1.0))
    table = Table(stage, clock, _pages(compiled), clock())
    for text, style in _welcome(speed, limit_s):
        console.say(text, style)
    with table.running():
        trainee = Trainee(stage, None, extra={"next": (NEXT, lambda _: trainee.tell(table.step()))})
        trainee.run([])
        stage.give(Stop("the table was left"))
        stage.give(Tick())
    recorder.close()
    _, text = write_debrief(folder)
    console.say()
    console.markdown(text)
    console.say(f"\n  Kept in {folder}/debrief.md", "dim")
    console.say("  `drill debrief last` shows it again.", "dim")
    return 0


def _nothing(_: Order) -> str:
    """There is no target: nothing to end, nothing to abort, and a second fault was refused before."""
    return ""


def _script(compiled: wiring.CompiledPlan, session: str, limit_s: float) -> Script:
    scenario = compiled.loaded.scenario
    assert scenario is not None
    services = compiled.place.facts().services
    setting = Setting(
        session=session,
        nonce=secrets.token_hex(16),
        limit_s=limit_s,
        mode="tabletop",
        rules=rule_texts(compiled.alert_path.rules_text),
        services=tuple(ServiceCalls(name=one.name, calls=one.calls) for one in services),
    )
    return script_of(scenario, compiled.plan, setting)


def _pages(compiled: wiring.CompiledPlan) -> list[tuple[float, t.PageTold]]:
    """The pages the scenario expects, at the times its plan predicts."""
    pages = [_page(alert) for alert in compiled.plan.expected]
    return sorted(pages, key=lambda one: one[0])


def _page(alert: ExpectedAlert) -> tuple[float, t.PageTold]:
    predicted = alert.predicted
    labels = dict(predicted.labels) if predicted else dict(alert.match)
    due_s = LATE_PAGE_S
    if predicted is not None and (delivered := predicted.delivered_s or predicted.firing_s):
        due_s = predicted.starts_at_s + delivered[1]
    return due_s, t.PageTold(labels=labels)


def _welcome(speed: float, limit_s: float) -> list[tuple[str, str]]:
    told = (
        "You are on call, around one table. Nothing is touched: what happens is told, on a clock, and you say what "
        "you would look at and do. Whatever you type that is no command goes on the timeline: let one of you write."
    )
    if speed == 0:
        how = "The clock stands until you type `next`: it goes on to the next thing that happens."
    else:
        how = f"The clock runs {speed:g} times as fast as real time; `next` goes on at once."
    lines = [(rule("drill: tabletop"), "bold"), *((line, "") for line in wrapped(told)), ("", "")]
    lines += [(line, "") for line in wrapped(f"{how} It ends with `done`, or after {format_duration(limit_s)}.")]
    return [*lines, ("", "")]
