"""What `drill gameday plan`, `status` and `due` say. Makes text and plain data; prints nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from drill.cli.occasion import Day, check_words, load_drill
from drill.core.units import format_duration, format_ratio
from drill.gameday import events as e
from drill.gameday.announce import withheld
from drill.gameday.journal import game_days, is_alive, read_progress
from drill.gameday.model import Drill, Schedule
from drill.gameday.windows import Occasion, following, missed, occasions
from drill.plan.model import Plan

START_S = 15.0
"""A sandbox is up within that time on a small machine; for the estimate only."""
UP_TO_HERE = {"ok": "✓", "note": "·", "block": "✗"}


def plan_lines(day: Day, checks: Sequence[e.Check]) -> Iterator[str]:
    """Yield the plan of a game day in lines."""
    drill = day.drill
    yield f"{drill.title} ({drill.metadata.name}), by {drill.metadata.owner}"
    yield f"  goal: {drill.goal}"
    yield f"  hypothesis: {drill.hypothesis}"
    yield f"  target: {drill.target}, windows divided by {day.fast_forward:g}"
    yield ""
    yield "scenarios, all at once:" if drill.order == "parallel" else "scenarios, one after another:"
    lengths = [length(job.plan) for job in day.jobs.values()]
    for number, (step, took) in enumerate(zip(day.steps, lengths, strict=True), 1):
        yield from _step_lines(number, step, day.jobs[step.id].plan, took)
    if drill.order == "parallel":
        yield f"  about {format_duration(max(lengths))} in all"
    else:
        rest = day.cooldown_s * (len(lengths) - 1)
        yield f"  cool-down between them: {format_duration(day.cooldown_s)}"
        yield f"  about {format_duration(sum(lengths) + rest)} in all"
    yield ""
    yield "before it begins:"
    for check in checks:
        yield f"  {UP_TO_HERE[check.level]} {check_words(check)}"
    if not checks:
        yield "  nothing is asked for"
    yield from _announcement_lines(drill)
    yield from _schedule_lines(drill)


def _step_lines(number: int, step: e.PlannedStep, plan: Plan, took: float) -> Iterator[str]:
    title = f": {step.title}" if step.title else ""
    yield f"  {number}. {step.id}{title} ({plan.scenario} on {plan.service})"
    faults = ", ".join(
        f"{one.fault} on {len(one.replicas)} of {one.of_replicas} {one.service}" for one in plan.injections
    )
    pages = [one for one in plan.expected if one.predicted is not None and one.predicted.fires]
    yield f"     {faults}; {len(pages)} of {len(plan.expected)} expected alerts are predicted to fire"
    yield f"     price: up to {format_ratio(plan.budget_spend)} of a month's budget; about {format_duration(took)}"
    for finding in plan.findings:
        if finding.level == "block":
            yield f"     ✗ {finding.text}"


def length(plan: Plan) -> float:
    """Return about how long a run takes, in seconds: start, baseline, faults, and the alerts' resolving."""
    predicted = [one.predicted for one in plan.expected if one.predicted is not None]
    resolving = max((one.resolved_s[1] for one in predicted if one.resolved_s is not None), default=0.0)
    return START_S + plan.baseline_s + plan.end_s + min(resolving, plan.guardrails.max_duration_s)


def _announcement_lines(drill: Drill) -> Iterator[str]:
    said = drill.announcements
    channels = [name for name, one in (("Slack", said.slack), ("PagerDuty", said.pagerduty)) if one is not None]
    if not channels:
        return
    yield ""
    why = withheld(drill, "") if drill.target == "sandbox" and not said.announce_in_sandbox else ""
    yield f"announced in {' and '.join(channels)}" + (f": {why}" if why else "")


def _schedule_lines(drill: Drill) -> Iterator[str]:
    if drill.schedule is None:
        return
    yield ""
    yield f"schedule: {drill.schedule.cron} in {drill.schedule.timezone}"
    for one in following(drill.schedule, datetime.now(UTC)):
        yield f"  {local(one, drill.schedule)}" + (f", not held: {one.blackout}" if one.blackout else "")


def local(occasion: Occasion, schedule: Schedule) -> str:
    """Return an occasion in the schedule's own time: ``Tue 2027-01-12 10:00 CET``."""
    return f"{occasion.at.astimezone(ZoneInfo(schedule.timezone)):%a %Y-%m-%d %H:%M %Z}"


def due_rows(names: Sequence[str], start: datetime, end: datetime) -> list[dict[str, str]]:
    """Return what is due in ``[start, end)``, earliest first; blackouts are listed with their reason."""
    rows = []
    for name in names:
        drill = load_drill(name).drill
        if drill is None or drill.schedule is None:
            continue
        rows += [
            {
                "drill": drill.metadata.name,
                "at": f"{one.at:%Y-%m-%dT%H:%M:%SZ}",
                "local": local(one, drill.schedule),
                "note": f"not held: {one.blackout}" if one.blackout else "",
            }
            for one in occasions(drill.schedule, start, end)
        ]
    return sorted(rows, key=lambda row: (row["at"], row["drill"]))


def drill_status(name: str, out: Path, at: datetime | None) -> dict[str, Any]:
    """Return how the drill stands: its latest game day, its next dates, and the runs it missed."""
    now = at or datetime.now(UTC)
    drill = load_drill(name).drill
    assert drill is not None
    days = game_days(out, drill.metadata.name)
    starts = [datetime.fromtimestamp(one.at, UTC) for day in days if (one := read_progress(day).started)]
    found: dict[str, Any] = {"drill": drill.metadata.name, "title": drill.title, "file": name}
    found |= _latest(days[0]) if days else {"state": "never held", "game_day": None, "steps": []}
    found["next"], found["missed"] = [], []
    if drill.schedule is not None:
        found["next"] = [local(one, drill.schedule) for one in following(drill.schedule, now, 1)]
        gone = missed(drill.schedule, starts, now, min(starts, default=None))
        found["missed"] = [local(one, drill.schedule) for one in gone]
    return found


def _latest(folder: Path) -> dict[str, Any]:
    progress = read_progress(folder)
    if progress.finished is not None:
        state: str = progress.finished.verdict
    else:
        state = "under way" if is_alive(folder) else "interrupted"
    steps = [
        {"id": step.planned.id, "state": step.verdict or step.state, "run": step.run} for step in progress.steps
    ]
    return {"state": state, "game_day": str(folder), "steps": steps}


def status_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield a drill's status in lines."""
    yield f"{found['drill']}: {found['state']}"
    if found["game_day"]:
        yield f"  {found['game_day']}"
        for step in found["steps"]:
            yield f"  {step['id']}: {step['state']}" + (f" ({step['run']})" if step["run"] else "")
    if found["state"] == "interrupted":
        yield f"  ! it was interrupted: drill gameday resume {found['drill']}"
    for one in found["next"]:
        yield f"  next: {one}"
    for one in found["missed"]:
        yield f"  ! missed: {one}"
