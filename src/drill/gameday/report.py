"""The report of a game day: a pure function of its journal, with links to the reports of its runs.

``report.json`` is a contract (``drill.gameday/v1``); Markdown and HTML say the same for people and leave room for
what only people can write.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

from drill.core.clock import rfc3339
from drill.gameday import events as e
from drill.gameday.conduct import exit_code, summary, verdict_of
from drill.report.html import FILTERS, TONES
from drill.report.markdown import code, escape
from drill.report.people import OPEN_PARTS, ROLES
from drill.report.write import write_whole

RESULTS: dict[e.Verdict, str] = {
    "pass": "The alerts did what they had to; what the people say is below.",
    "fail": "Not every alert did what it had to.",
    "unknown": "The evidence does not suffice.",
    "aborted": "It was not played to the end.",
}
"""A drill's hypothesis may be about people: the verdict speaks of what was measured only."""


class Part(BaseModel):
    """Base of all parts: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ReportedStep(Part):
    """One scenario. ``report`` leads to its run's report, from the game day's directory; null without a run."""

    id: str
    scenario: str
    title: str
    parameters: dict[str, str]
    state: str
    verdict: e.Verdict | None
    headline: str
    attempts: int
    run: str | None
    report: str | None
    earlier_runs: tuple[str, ...]
    recovered: tuple[str, ...]
    started_at: str | None
    finished_at: str | None
    budget_spent_percent: dict[str, float]
    action_items: tuple[str, ...] = ()


class Line(Part):
    """One thing that happened."""

    at: str
    text: str


class GamedayReport(Part):
    """The whole report. Fields are only ever added to version 1; times are RFC 3339, UTC."""

    schema_: Literal["drill.gameday/v1"] = Field("drill.gameday/v1", alias="schema")
    name: str
    drill: str
    title: str
    owner: str
    goal: str
    hypothesis: str
    target: str
    fast_forward: float
    verdict: e.Verdict
    exit_code: int
    headline: str
    finished: bool
    stopped: str
    resumed: int
    forced: bool
    source_sha256: str
    drill_version: str
    started_at: str | None
    finished_at: str | None
    scheduled_for: str | None
    people: tuple[tuple[str, str], ...]
    approvals: tuple[tuple[str, str], ...]
    checks: tuple[e.Check, ...]
    announced: tuple[e.Announced, ...]
    steps: tuple[ReportedStep, ...]
    budget_spent_percent: dict[str, float]
    timeline: tuple[Line, ...]

    def to_json(self) -> str:
        """Render as ``report.json``."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def build(name: str, events: list[e.AnyEvent], progress: e.Progress) -> GamedayReport | None:
    """Build the report of the game day *name*; None when its journal has not even a start. Pure."""
    started, finished = progress.started, progress.finished
    if started is None:
        return None
    return GamedayReport(
        name=name,
        drill=started.drill,
        title=started.title,
        owner=started.owner,
        goal=started.goal,
        hypothesis=started.hypothesis,
        target=started.target,
        fast_forward=started.fast_forward,
        verdict=verdict_of(progress),
        exit_code=int(exit_code(progress)),
        headline=summary(progress),
        finished=finished is not None,
        stopped=progress.stopped,
        resumed=progress.resumed,
        forced=started.forced,
        source_sha256=started.sha256,
        drill_version=started.drill_version,
        started_at=rfc3339(started.at),
        finished_at=rfc3339(finished.at) if finished else None,
        scheduled_for=rfc3339(started.scheduled_for) if started.scheduled_for else None,
        people=started.participants,
        approvals=started.approvals,
        checks=progress.checks,
        announced=progress.announced,
        steps=tuple(_step(step) for step in progress.steps),
        budget_spent_percent=_budgets(progress),
        timeline=tuple(Line(at=rfc3339(one.at), text=text) for one in events if (text := words(one))),
    )


def _step(step: e.Step) -> ReportedStep:
    return ReportedStep(
        id=step.planned.id,
        scenario=step.planned.scenario,
        title=step.planned.title,
        parameters=step.planned.parameters,
        state=step.state,
        verdict=step.verdict,
        headline=step.headline or step.error or step.why,
        attempts=step.attempts,
        run=step.run or None,
        report=f"../{step.run}/report.html" if step.run and step.state == "finished" else None,
        earlier_runs=step.earlier_runs,
        recovered=step.recovered,
        started_at=rfc3339(step.started_at) if step.started_at else None,
        finished_at=rfc3339(step.finished_at) if step.finished_at else None,
        budget_spent_percent={name: round(share * 100, 4) for name, share in step.budget_spent.items()},
    )


def _budgets(progress: e.Progress) -> dict[str, float]:
    """What the whole game day cost of each SLO's budget, in percent: its runs' prices added up."""
    total: dict[str, float] = {}
    for step in progress.steps:
        for name, share in step.budget_spent.items():
            total[name] = total.get(name, 0.0) + share * 100
    return {name: round(total[name], 4) for name in sorted(total)}


def words(event: e.AnyEvent) -> str:
    """Return what an event says in the timeline; ``''`` when it is not worth a line."""
    match event:
        case e.Started():
            return f"begun: {event.title} on {event.target}"
        case e.Checked():
            blocking = [check.text for check in event.checks if check.level == "block"]
            return f"prerequisites: {'; '.join(blocking) if blocking else 'nothing in the way'}"
        case e.Announced():
            return f"{event.channel}: {event.error or f'told: {event.text}'}"
        case e.StepStarted():
            return f"{event.step}: begins" + (f", attempt {event.attempt}" if event.attempt > 1 else "")
        case e.StepFinished():
            return f"{event.step}: {event.verdict}. {event.headline or event.error}".rstrip()
        case e.StepRecovered():
            left = f"; LEFT BEHIND: {'; '.join(event.remaining)}" if event.remaining else ", nothing is left"
            return f"{event.step}: what the interrupted run had done was removed{left}"
        case e.StepSkipped():
            return f"{event.step}: skipped, {event.why}"
        case e.CooldownStarted():
            return f"cool-down of {event.seconds:.1f} s"
        case e.Resumed():
            return f"resumed after a crash; interrupted: {', '.join(event.interrupted) or 'nothing'}"
        case e.Stopped():
            return f"stopped: {event.why}"
        case e.Finished():
            return f"over: {event.verdict}"
        case _:
            return ""


def _open_parts(report: GamedayReport) -> tuple[tuple[str, str], ...]:
    """What people are asked to write: who had which role only where the drill's file does not say it."""
    return tuple(one for one in OPEN_PARTS if one[0] != ROLES or not report.people)


def write_all(folder: Path, report: GamedayReport) -> None:
    """Write ``report.json``, ``report.md`` and ``report.html`` into *folder*. Raises OSError."""
    write_whole(folder / "report.json", report.to_json())
    write_whole(folder / "report.md", to_markdown(report))
    write_whole(folder / "report.html", to_html(report))


def to_markdown(report: GamedayReport) -> str:
    """Render as GitHub-flavoured Markdown."""
    import re

    text = _environment(html=False).get_template("gameday.md.j2").render(
        r=report, result=RESULTS[report.verdict], open_parts=_open_parts(report)
    )  # fmt: skip
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def to_html(report: GamedayReport) -> str:
    """Render as one self-contained page."""
    return _environment(html=True).get_template("gameday.html.j2").render(
        r=report, tone=TONES[report.verdict], tones=TONES, result=RESULTS[report.verdict],
        open_parts=_open_parts(report),
    )  # fmt: skip


@cache
def _environment(*, html: bool) -> Environment:
    loader = ChoiceLoader([PackageLoader("drill.gameday"), PackageLoader("drill.report")])  # its style.css is used
    environment = Environment(  # nosec B701 - HTML is escaped, Markdown by its finalizer
        loader=loader,
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=None if html else escape,
    )
    environment.filters |= FILTERS if html else {**FILTERS, "code": code, "raw": Markup}
    return environment
